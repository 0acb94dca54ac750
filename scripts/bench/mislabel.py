"""Copy a contest folder with a known share of its training labels made wrong on purpose.

    python scripts/bench/mislabel.py --data PATH --out DIR
    python scripts/bench/mislabel.py --data PATH --out DIR --share 0.1 --seed 1
    python scripts/bench/mislabel.py --data PATH --out DIR --share 0.01 --kinds another,shifted,exchanged --shift 0.15

As many each of the --kinds: `another` image's label as it stands, in pixels; the label `shifted` by --shift (else
10 to 25 %) of its box's longer side in any direction; the label `mirrored` in place but not renumbered, so that left
and right change names; left and right `exchanged`, the points where they were but renumbered, where that is known for
so many. Images are hard links where that can be, copies elsewhere; the test split stays as it is. DIR/wrong.csv lists
which are wrong, and how.
"""

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxmarks import landmarks
from pipelines.io import console, csv_text, files
from pipelines.sources.formats import contest
from pipelines.sources.tables import Row, Table

LEAST, MOST = 0.10, 0.25  # of the box's longer side: how far a label is shifted, and how far another is at least
TRIES = 100  # images tried for another label: those of one person may be alike


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--data", required=True, help="a contest folder")
    parser.add_argument("--out", required=True, help="the folder to make")
    parser.add_argument("--share", type=float, default=0.05, help="share of wrong labels (default: %(default)s)")
    parser.add_argument("--kinds", default="another,shifted,mirrored", help="comma-separated (default: %(default)s)")
    parser.add_argument("--shift", type=float, default=0.0, help="of the box's longer side; 0: 0.10 to 0.25 (default)")
    parser.add_argument("--seed", type=int, default=0, help="of which and how (default: %(default)s)")
    flags = parser.parse_args()
    data, out = Path(flags.data).expanduser(), Path(flags.out)
    if not 0 < flags.share <= 1 or not 0 <= flags.seed < 2**32:
        raise ValueError(f"expected 0 < --share <= 1 and a --seed of 0 or more, got {flags.share} and {flags.seed}")
    if unknown := [kind for kind in flags.kinds.split(",") if kind not in CHANGES]:
        raise ValueError(f"--kinds: {unknown[0]!r} is not known; these are: {', '.join(CHANGES)}")
    if not 0 <= flags.shift <= 10:
        raise ValueError(f"--shift must lie in 0..10, got {flags.shift}")
    if out.exists():
        raise ValueError(f"--out {out} already exists; remove it, or choose another folder")
    table = contest.read(data, "train")
    labels = labels_of(table)
    asked = {kind: CHANGES[kind] for kind in flags.kinds.split(",")}
    if flags.shift and "shifted" in asked:
        asked["shifted"] = functools.partial(shifted, least=flags.shift, most=flags.shift)
    kinds = wrong(labels, flags.share, np.random.RandomState(flags.seed), table.whole, asked)
    made = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        copy(data, made, table, labels, kinds)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    print(f"{out}: {len(labels)} labels, {len(kinds)} of them wrong; {out / 'wrong.csv'} names them")
    return 0


def labels_of(table: Table) -> np.ndarray:
    """f32[images, points, 2]. Raises ValueError where no label could be another, or has no box to be shifted by."""
    if table.label is None or len(table.names) < 2 or table.num_points < 2:
        raise ValueError(f"{table.where}: expected two images or more, with labels of two points or more")
    return np.stack([table.label(i)[0] for i in range(len(table.names))])


def wrong(
    labels: np.ndarray, share: float, random: np.random.RandomState, whole: bool, changes: dict[str, Callable]
) -> dict[int, str]:
    """Make this share of the labels f[images, points, 2] wrong, in place; {which: how}. whole: to whole pixels."""
    true = labels.copy()
    places = random.choice(len(labels), max(1, round(share * len(labels))), replace=False)
    kinds = {int(place): list(changes)[n % len(changes)] for n, place in enumerate(places)}
    for place, kind in kinds.items():
        changed = changes[kind](true, place, random)
        labels[place] = np.rint(changed) if whole else changed
    return kinds


def side(label: np.ndarray) -> float:
    """The longer side of a label's box."""
    return float(np.ptp(label, 0).max())


def another(labels: np.ndarray, place: int, random: np.random.RandomState) -> np.ndarray:
    """Another image's label, the points of which lie `LEAST` away in the mean."""
    for _ in range(TRIES):
        other = labels[random.randint(len(labels))]
        if np.linalg.norm(other - labels[place], axis=1).mean() >= max(LEAST * side(labels[place]), 1e-9):
            return other
    raise ValueError(f"of {TRIES} other labels none differs from number {place}; the data is too uniform for this")


def shifted(
    labels: np.ndarray, place: int, random: np.random.RandomState, least: float = LEAST, most: float = MOST
) -> np.ndarray:
    """The label elsewhere."""
    angle, share = random.uniform(0, 2 * np.pi), random.uniform(least, most)
    return labels[place] + share * side(labels[place]) * np.array([np.cos(angle), np.sin(angle)])


def mirrored(labels: np.ndarray, place: int, random: np.random.RandomState) -> np.ndarray:
    """The label mirrored about the middle of its box, its points in their old order."""
    x = labels[place][:, 0]
    return np.stack([x.min() + x.max() - x, labels[place][:, 1]], 1)


def exchanged(labels: np.ndarray, place: int, random: np.random.RandomState) -> np.ndarray:
    """The label's points where they were, in the order that a mirrored label would have."""
    mirror = landmarks.scheme(labels.shape[1]).mirror
    if mirror is None:
        raise ValueError(f"--kinds exchanged: how {labels.shape[1]} points mirror is not known; take mirrored")
    return labels[place][mirror]


CHANGES = {"another": another, "shifted": shifted, "mirrored": mirrored, "exchanged": exchanged}


def copy(data: Path, out: Path, table: Table, labels: np.ndarray, kinds: dict[int, str]) -> None:
    """The folder with these labels, and the list of those that are wrong."""
    for part in contest.parts(data):
        shutil.copytree(data / part, out / part, copy_function=linked)
    seen = np.ones(labels.shape[1], bool)
    rows = (Row(name, label, seen, (0, 0)) for name, label in zip(table.names, labels, strict=True))
    # a new file takes the link's place: what it was a link to stays as it was
    contest.write(out / "train" / "landmarks.csv", rows, table.num_points, 0 if table.whole else 4)
    with files.whole(out / "wrong.csv") as file:
        file.write(csv_text.row(["file_name", "kind"]))
        for place in sorted(kinds):
            file.write(csv_text.row([table.names[place], kinds[place]]))


def linked(source: str, target: str) -> None:
    """The same file at another place; a copy of it on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


if __name__ == "__main__":
    console.run(main)
