"""Comparison of the outputs of two sides before timing: a line for the table, and a check of the bound."""

if __name__ == "__main__":
    raise SystemExit("compare.py is a part of run.py, and does nothing by itself")

from typing import NamedTuple

import numpy as np

Output = dict[str, np.ndarray]


class Difference(NamedTuple):
    """Difference of two outputs, in words, and whether it is within its bound."""

    words: str
    within: bool


def _relative(ours: np.ndarray, peer: np.ndarray) -> float:
    return float(np.max(np.abs(ours - peer)) / np.max(np.abs(peer)))


def training(ours: Output, peer: Output, bound: float = 1e-3) -> Difference:
    """Loss and gradient's norm of the first step, relative."""
    loss, norm = (_relative(ours[name], peer[name]) for name in ("loss", "grad_norm"))
    return Difference(f"loss {loss:.0e}, gradient norm {norm:.0e}, relative", max(loss, norm) <= bound)


def training_in_half(ours: Output, peer: Output) -> Difference:
    """Compare as `training`, for bfloat16 with its eight bits on both sides."""
    return training(ours, peer, 0.05)


def points(ours: Output, peer: Output) -> Difference:
    """Points, relative to the farthest: those of a random network reach far out of the frame."""
    apart = _relative(ours["points"], peer["points"])
    return Difference(f"points {apart:.0e}, relative", apart <= 1e-4)


def views(ours: Output, peer: Output) -> Difference:
    """Points in pixels of images of 500 px, mean over them. Within a fiftieth of how much the points of a random network vary:
    where a turned view meets the edge of the image (2 % of its pixels) grid_sample blends with the grey beyond, ours does not;
    all other pixels agree to 0.002 grey levels, and the points of views without an edge to 1e-5 of what they vary."""
    apart = float(np.mean(np.linalg.norm(ours["points"] - peer["points"], axis=-1)))
    varies = float(np.mean(np.std(peer["points"], axis=0)))
    return Difference(f"points {apart:.2f} px of 500 on average, where they vary by {varies:.1f}", apart <= varies / 50)


def rendering(ours: Output, peer: Output) -> Difference:
    """Pixels that show the canvas, in grey levels, and points, of the same records."""
    apart = np.abs(ours["images"] - peer["images"]).mean(-1)[ours["inside"]].mean()
    moved = np.abs(ours["points"] - peer["points"]).max()
    return Difference(f"{apart:.2f} grey levels, points {moved:.0e} px", bool(apart <= 0.5 and moved <= 1e-2))


def drawn_apart(ours: Output, peer: Output) -> Difference:
    """Of libraries that draw for themselves: shapes, ranges and roughly the mean grey level (some fill what was not seen with
    black), and no more than that."""
    alike = ours["images"].shape == peer["images"].shape and ours["points"].shape == peer["points"].shape
    ranges = all(o["images"].min() >= -1 and o["images"].max() <= 256 for o in (ours, peer))
    means = [float(o["images"].mean()) for o in (ours, peer)]
    words = f"draws its own: mean grey {means[0]:.0f} and {means[1]:.0f}, shapes {'alike' if alike else 'DIFFER'}"
    return Difference(words, alike and ranges and abs(means[0] - means[1]) <= 25)


def loading(ours: Output, peer: Output) -> Difference:
    """The first images of the set, and how many come in a turn."""
    apart = float(np.abs(ours["images"].astype(float) - peer["images"]).mean())
    counts = int(ours["count"]), int(peer["count"])
    return Difference(
        f"{apart:.2f} grey levels, {counts[0]} and {counts[1]} images", apart <= 3 and counts[0] == counts[1]
    )


def labels(ours: Output, peer: Output) -> Difference:
    """The rows that were asked for, number by number."""
    same = np.array_equal(ours["labels"], peer["labels"])
    return Difference("equal" if same else "labels DIFFER", same)


def digests(ours: Output, peer: Output) -> Difference:
    """The state after the step, bit for bit."""
    same = str(ours["digest"]) == str(peer["digest"])
    return Difference("the same bits" if same else "the states DIFFER", same)
