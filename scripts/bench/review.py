"""Count how many of the labels made wrong on purpose are among as many first ranks of rank.py.

    python scripts/bench/mislabel.py --data PATH --out out/wrong --share 0.01 \\
        --kinds another,shifted,exchanged --shift 0.15
    for k in 1 2 3; do python scripts/train.py --data out/wrong --runs out/runs --name fold$k --fold $k/3 \\
        --split-by '^(.*)_' --model resnet18 --size 64 --batch 32 --steps 600; done
    python scripts/rank.py --run out/runs/fold1 --run out/runs/fold2 --run out/runs/fold3 --out out/review
    python scripts/bench/review.py --data out/wrong --review out/review/review.csv

Reads DATA/wrong.csv of mislabel.py. --least SHARE: exit code 1 where fewer are found.
"""

from pathlib import Path

from pipelines.io import console, csv_text


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--data", required=True, help="the folder that mislabel.py made")
    parser.add_argument("--review", required=True, help="review.csv of rank.py")
    parser.add_argument("--least", type=float, default=0.0, help="the share that must be found (default: %(default)s)")
    flags = parser.parse_args()
    wrong = dict(rows(Path(flags.data) / "wrong.csv", ["file_name", "kind"]))
    places = {name: at for at, (name, *_) in enumerate(rows(Path(flags.review), ["file_name", "score", "reason"]), 1)}
    if missing := sorted(set(wrong) - set(places)):
        raise ValueError(f"{flags.review} does not list {missing[0]} ({len(missing)} in all); is it of {flags.data}?")
    for kind in [*dict.fromkeys(sorted(wrong.values())), "all"]:
        found = sorted(places[name] for name, of in wrong.items() if kind in (of, "all"))
        first = sum(at <= len(wrong) for at in found)
        print(f"{kind:10s} {first:4d} of {len(found):4d} ({first / len(found):.0%}); places {hardest(found)}")
    share = sum(places[name] <= len(wrong) for name in wrong) / len(wrong)
    print(f"{share:.1%} of the first {len(wrong)} of {len(places)} listed are wrong labels")
    return int(share < flags.least)


def rows(path: Path, header: list[str]) -> list[list[str]]:
    """The rows of a table under this header. Raises ValueError where it has another, or no row."""
    if not (found := [fields for _, fields in csv_text.rows(path, header)]):
        raise ValueError(f"{path}: has no row under its header")
    return found


def hardest(places: list[int]) -> str:
    """The last few places, where the hard ones lie."""
    return f"{'... ' if len(places) > 6 else ''}{' '.join(map(str, places[-6:]))}"


if __name__ == "__main__":
    console.run(main)
