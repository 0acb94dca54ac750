"""Run prepare.py on a data set with every kind of damage: outcomes, speed and memory.

    python scripts/bench/damaged.py --data drawn:20000 --out DIR
    python scripts/bench/damaged.py --data drawn:300:5 --out DIR --share 0.2

DIR/drawn keeps the synthetic faces for the next time; DIR/set is the data set, DIR/packed the result. Prints a table and
writes DIR/bench.json; exit code 1 if a record had another outcome than expected.
"""

import dataclasses
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from damage import IMAGES, ROWS, Outcome, put, table

from pipelines import synthetic
from pipelines.images import decode
from pipelines.io import console, files
from pipelines.packing import dataset, report
from pipelines.synthetic import drawn

ROOT = Path(__file__).parents[2]
UNOPENED = 86400  # when a file was last opened that nobody opened


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--data", default="drawn:20000", help="drawn:COUNT[:POINTS] (default: %(default)s)")
    parser.add_argument("--out", required=True, help="folder to work in")
    parser.add_argument(
        "--share", type=float, default=0.01, help="share of the records that are damaged (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=0, help="decoding threads; 0: the cores (default: %(default)s)")
    flags = parser.parse_args()
    out, (count, points) = Path(flags.out), drawn.parse(flags.data)
    draw(out, count, points)
    outcomes = damage(out, count, flags.share)
    seconds, peak = prepare(out, flags.workers)
    wrong, row = differences(out, outcomes), {"seconds": seconds, "peak_mb": peak / 1e6, "records": len(outcomes)}
    ways = Counter(f.way for f in outcomes)
    for way, owed in {way: made[1] for way, made in [*IMAGES.items(), *ROWS.items()]}.items():
        print(f"{way:30s} {ways[way]:6d}   {f'rejected: {owed}' if owed else 'accepted'}")
    print(
        f"{len(outcomes)} rows, {seconds:.1f} s, {len(outcomes) / seconds:.0f} images/s, peak {peak / 1e6:.0f} MB resident"
    )
    print("\n".join(wrong[:20]) if wrong else "every record had the outcome it should have")
    files.write_json(out / "bench.json", {**row, "ways": dict(ways), "wrong": wrong})
    return 1 if wrong else 0


@dataclasses.dataclass
class Drawer:
    """Draws one face into a folder; gives its row. Goes to other processes."""

    folder: Path
    points: int

    def __call__(self, index: int) -> str:
        face, name = synthetic.draw(index, num_points=self.points), f"{index:06d}.jpg"
        (self.folder / name).write_bytes(decode.encode_jpeg(face.image))
        return "\t".join([name, *map(str, np.rint(face.points).astype(int).ravel().tolist())])


def draw(out: Path, count: int, points: int) -> None:
    """Faces into out/drawn, and out/drawn.csv when they are all there; nothing where they are there already."""
    header = "file_name" + "\tx\ty" * points
    if (out / "drawn.csv").is_file():
        with open(out / "drawn.csv") as file:
            if file.readline().rstrip("\n") == header and sum(1 for _ in file) == count:
                return
    (out / "drawn").mkdir(parents=True, exist_ok=True)
    progress = console.Progress(count, "face")
    with files.whole(out / "drawn.csv") as file, multiprocessing.get_context("spawn").Pool(2) as pool:
        file.write(f"{header}\n".encode())
        for done, row in enumerate(pool.imap(Drawer(out / "drawn", points), range(count), chunksize=8), 1):
            file.write(f"{row}\n".encode())
            progress.show(done)


def damage(out: Path, count: int, share: float) -> list[Outcome]:
    """out/set, a contest folder of the drawn faces (links to them) with this share of the records damaged, every way
    as often; returns the outcome that every row should have."""
    random, images = np.random.RandomState(0), out / "set/train/images"
    shutil.rmtree(out / "set", ignore_errors=True)
    images.mkdir(parents=True)
    for index in range(count):
        os.link(out / f"drawn/{index:06d}.jpg", images / f"{index:06d}.jpg")
    names = [*IMAGES, *ROWS]
    each = max(1, round(share * count / len(names)))
    if each * len(names) > count:
        raise ValueError(f"--data drawn:{count}: there are {len(names)} ways of damage; draw as many faces or more")
    places = random.choice(count, each * len(names), replace=False).tolist()
    ways = {place: names[n % len(names)] for n, place in enumerate(places)}
    for place, way in ways.items():
        if way in IMAGES:
            put(images / f"{place:06d}.jpg", way, (out / f"drawn/{place:06d}.jpg").read_bytes())
    shutil.copy(out / "drawn/000000.jpg", out / "set/train/outside.jpg")
    os.utime(out / "set/train/outside.jpg", (UNOPENED, UNOPENED))
    return table(out / "drawn.csv", out / "set/train/landmarks.csv", ways, random)


def prepare(out: Path, workers: int) -> tuple[float, int]:
    """Pack out/set into out/packed by prepare.py; (seconds, peak resident bytes)."""
    shutil.rmtree(out / "packed", ignore_errors=True)
    flags = ["--data", str(out / "set"), "--out", str(out / "packed"), "--workers", str(workers)]
    began, known = time.perf_counter(), {**os.environ, "PYTHONPATH": str(ROOT)}
    code = subprocess.run([sys.executable, str(ROOT / "scripts/prepare.py"), *flags], env=known).returncode
    if code:
        raise ValueError(f"prepare.py ended with exit code {code}")
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def differences(out: Path, outcomes: list[Outcome]) -> list[str]:
    """Every record whose outcome in out/packed is not the one it should have, in a line."""
    due = {(f.file, f.line, f.kind): f.way for f in outcomes if f.kind}
    reported = {
        (r["file"], r["line"], report.kind(r["reason"])) for r in files.read_json(out / "packed/report.json")["refused"]
    }
    reported = {(file, line, kind.split(",")[0]) for file, line, kind in reported}
    wrong = [f"{way}: {file} (line {line}) should be rejected: {kind}" for (file, line, kind), way in due.items()
             if (file, line, kind) not in reported]  # fmt: skip
    wrong += [f"{file} (line {line}) was rejected: {kind}" for file, line, kind in sorted(reported - set(due))]
    kept, way_of = {f.file for f in outcomes if not f.kind}, {f.file: f.way for f in outcomes if not f.kind}
    packed = dataset.Packed(out / "packed", "train")
    wrong += [f"{name} is lost" for name in sorted(kept - set(packed.names))]
    wrong += [f"{name} should not be there" for name in sorted(set(packed.names) - kept)]
    shown = [i for i, name in enumerate(packed.names) if way_of.get(name) or i % max(1, len(kept) // 500) == 0]
    labels = _labels(out, {packed.names[i] for i in shown})
    for name, example in ((packed.names[i], packed[i]) for i in shown):
        file = (out / "set/train/images" / name).read_bytes()
        same = example.image == file
        if way_of.get(name) == "16-bit PNG" and isinstance(example.image, bytes):  # packed as 8 bits
            same = np.array_equal(decode.decode(example.image), decode.decode(file))
        if not same or example.points.ravel().tolist() != labels[name] or not example.mask.all():
            wrong.append(f"{name} is not packed as it was")
    outside = (out / "set/train/outside.jpg").stat()
    return wrong + ["an image outside of the folder was opened"] * (outside.st_atime != UNOPENED)


def _labels(out: Path, names: set[str]) -> dict[str, list[float]]:
    """The drawn labels of some faces, read in the plainest way."""
    with open(out / "drawn.csv") as file:
        rows = (line.split("\t") for line in file)
        return {row[0]: [float(v) for v in row[1:]] for row in rows if row[0] in names}


if __name__ == "__main__":
    console.run(main)
