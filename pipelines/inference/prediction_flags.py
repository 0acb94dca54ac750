"""The flags that say which networks to ask, and how: `pipelines.predictor.from_flags` obeys them."""

import argparse

from jaxmarks import choices


def add(parser: argparse.ArgumentParser, views: str) -> None:
    """The flags that say which networks to ask, and how; views: of each image, by default."""
    parser.add_argument(
        "--run", required=True, action="append", help="a run folder; again for others, whose answers are mixed"
    )
    parser.add_argument(
        "--tta",
        default=views,
        help=f"views of each image: {', '.join(choices.VIEWS)}, or a .json list (default: {views})",
    )
    parser.add_argument(
        "--weights",
        default="auto",
        help="of the views: equal, fitted, auto (fitted where it can be), 1,1,2 or a .json list",
    )
    parser.add_argument("--merge", default="mean", help=f"of the views: {', '.join(choices.MERGES)} (default: mean)")
    parser.add_argument(
        "--refine", action="store_true", help="look again, closer, at objects that fill little of the frame"
    )
    parser.add_argument("--checkpoint", default="best", help="best, newest or a step (default: best)")
    parser.add_argument(
        "--at-once", type=int, help="images that pass through a network at one time (default: 128, on a CPU 32)"
    )
