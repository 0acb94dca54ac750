"""Reading a table of labels of the contest's size: speed on one core, and memory.

    python scripts/bench/labels.py                       400,000 rows x 971 points, a file of 3.4 GB
    python scripts/bench/labels.py --rows 40000

The file is made first (random whole numbers of -22..1308) and kept for the next time.
"""

import resource
import time
from pathlib import Path

import numpy as np

from pipelines import console, files
from pipelines.formats import contest

POINTS = 971


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--rows", type=int, default=400_000, help="how many (default: %(default)s)")
    parser.add_argument("--file", default="out/bench_landmarks.csv", help="the table (default: %(default)s)")
    parser.add_argument("--out", default="out/bench_labels.json", help="where the figures go (default: %(default)s)")
    flags = parser.parse_args()
    path = Path(flags.file)
    if not path.is_file() or _rows(path) != flags.rows:
        make(path, flags.rows)
    before, began, on_core = peak(), time.perf_counter(), time.process_time()
    scan = contest.read_landmarks(path)
    wall, core = time.perf_counter() - began, time.process_time() - on_core
    size, after = path.stat().st_size / 1e6, peak()
    chosen = np.random.RandomState(0).randint(0, len(scan.names), 2000)
    began = time.perf_counter()
    total = sum(float(scan.row(int(i)).sum()) for i in chosen)
    each = (time.perf_counter() - began) / len(chosen)
    print(f"{len(scan.names)} rows, {size:.0f} MB: {size / core:.0f} MB/s of one core, {wall:.1f} s")
    print(
        f"peak memory {before:.0f} MB before, {after:.0f} MB after: {(after - before) / len(scan.names) * 1e6:.0f} bytes a row"
    )
    print(f"a row when it is asked for: {each * 1e6:.0f} microseconds (checksum {total:.0f})")
    row = {"name": "labels", "rows": len(scan.names), "mb_per_s": size / core, "mb_before": before, "mb_after": after}
    files.write_json(flags.out, {"rows": [row]})
    return 0


def _rows(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b"")) - 1


def make(path: Path, rows: int) -> None:
    """The table, from 101 lines of numbers that come again and again."""
    random = np.random.RandomState(0)
    lines = ["\t".join(map(str, random.randint(-22, 1309, 2 * POINTS))) + "\n" for _ in range(101)]
    with files.whole(path) as file:
        file.write(
            ("\t".join(["file_name", *(f"Point_M{i}_{axis}" for i in range(POINTS) for axis in "XY")]) + "\n").encode()
        )
        for index in range(rows):
            file.write(f"{index:032x}.jpg\t{lines[index % 101]}".encode())


def peak() -> float:
    """The most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    console.run(main)
