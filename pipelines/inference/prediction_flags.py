"""Flags that select runs, views and merging, for `pipelines.predictor.from_flags`."""

import argparse
import logging

from jaxmarks import choices


class _Renamed(argparse.Action):
    """--weights, as --view-weights was called: train.py's --weights are how often images are drawn."""

    def __call__(self, parser, namespace, values, option_string=None):
        namespace.weights = values
        if logging.getLogger().handlers:  # not yet where the command line is read before anything else
            logging.getLogger("jaxmarks").warning("--weights is called --view-weights now")


def add(parser: argparse.ArgumentParser, views: str) -> None:
    """Add the flags that say which runs predict, and how.

    Args:
        parser: what the flags are added to.
        views: of each image, by default.
    """
    parser.add_argument("--run", required=True, action="append", help="a run folder; repeat for an ensemble")
    parser.add_argument(
        "--tta",
        default=views,
        help=f"views of each image: {', '.join(choices.VIEWS)}, or a .json list (default: {views})",
    )
    parser.add_argument(
        "--view-weights",
        dest="weights",
        default="auto",
        help="equal, fitted, auto (fitted where it can be), 1,1,2 or a .json list (default: auto)",
    )
    parser.add_argument("--weights", action=_Renamed, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--merge", default="mean", help=f"merging of the views: {', '.join(choices.MERGES)} (default: mean)"
    )
    parser.add_argument(
        "--refine", action="store_true", help="predict objects that fill little of the frame again, in a closer crop"
    )
    parser.add_argument("--checkpoint", default="best", help="best, newest or a step (default: best)")
    parser.add_argument("--at-once", type=int, help="images in a network at one time (default: 128, on a CPU 32)")
