"""Find the mirror permutation of a data set's points from its labels, or check a table against them.

    python scripts/symmetry.py --data drawn:200 --out scheme.json --sheet sheet.png
    python scripts/symmetry.py --data PATH --check known

Writes a scheme (see pipelines/shapes/schemes.py) and a sheet to check by eye. Exits with 1 if the labels contradict the
table, with 2 if they support no permutation.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_data("a data set's folder, or drawn:COUNT[:POINTS]", required=True)
    parser.add_places(["category"])
    parser.add_argument("--out", help="scheme file to write")
    parser.add_argument(
        "--check", help="a scheme file, a file of pairs, or `known`: the built-in one for this number of points"
    )
    parser.add_argument("--sheet", help="PNG of the pairs, of the table if one is checked")
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import landmarks, words
from pipelines import open as opening
from pipelines import synthetic
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import overwrites
from pipelines.shapes import schemes, symmetry
from pipelines.synthetic import drawn


def labels(path: str, category: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Points f64[faces, points, 2] and mask bool[faces, points] of as many faces as are used, evenly taken."""
    source = opening.open_source(path, category=category)
    indices = np.linspace(0, len(source) - 1, min(len(source), symmetry.MAX_FACES)).astype(int)
    if isinstance(source, drawn.DrawnSource):
        points = np.stack([synthetic.label(int(i), num_points=source.num_points).points for i in indices])
        return points, np.ones(points.shape[:2], bool)
    examples = [source[int(i)] for i in indices]
    return np.stack([e.points for e in examples]), np.stack([e.mask for e in examples])


def main() -> int:
    flags = arguments().parse_args()
    if not (flags.out or flags.check or flags.sheet):
        raise ValueError("nothing asked: give --out, --check or --sheet")
    files.check_outs({"--out": flags.out, "--sheet": flags.sheet})
    overwrites.check({"--out": [flags.out], "--sheet": [flags.sheet]}, inputs=[flags.data, flags.check])
    found = symmetry.examine(*labels(flags.data, flags.category))
    table, against = None, []
    if flags.check:
        table = _table(flags.check, len(found.mirror))
        against = symmetry.contradictions(found, table)
    if flags.sheet:
        with files.whole(Path(flags.sheet)) as file:
            file.write(decode.encode_png(schemes.sheet(found, table, against)))
        print(f"the sheet: {flags.sheet}")
    fixed = int((found.mirror == np.arange(len(found.mirror))).sum())
    print(
        f"{words.counted(len(found.mirror), 'point')}, {fixed} fixed, from {words.counted(found.faces, 'object')};"
        f" {found.by_order.sum()} paired by their order alone"
    )
    symmetry.insist(found)
    if flags.out:
        schemes.write_scheme(flags.out, schemes.named_scheme(found.mirror))
        print(f"the scheme: {flags.out}")
    return _report(against) if flags.check else 0


def _table(name: str, num_points: int) -> np.ndarray:
    known = landmarks.scheme(num_points) if name == "known" else schemes.load_scheme(name, num_points)
    if known.mirror is None:
        raise ValueError(f"--check known: no mirror permutation is known for {num_points} points")
    return known.mirror


def _report(against: list[symmetry.Contradiction], limit: int = 10) -> int:
    """Print what speaks against the table; 1 where something does."""
    wrong = [row for row in against if row.margin > symmetry.WEAK]
    verdict = "the table does not fit the labels" if wrong else "the table fits the labels"
    print(
        f"{verdict}: {words.counted(len(wrong), 'point')} contradicted,"
        f" {len(against) - len(wrong)} undecided by the labels"
    )
    for row in wrong[:limit]:
        print(f"  point {row.point}: the table says {row.table}, the labels {row.found} (margin {row.margin:.2f})")
    return int(bool(wrong))


if __name__ == "__main__":
    console.run(main)
