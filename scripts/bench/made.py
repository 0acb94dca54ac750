"""Input files of the benchmarks, made once and kept."""

if __name__ == "__main__":
    raise SystemExit("made.py is a part of run.py, and does nothing by itself")

from pathlib import Path

import cv2
import numpy as np

from pipelines import example, synthetic
from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import pack, seal

SIDE, POINTS = 500, 68


def image_source(root: Path, count: int) -> example.Source:
    """Drawn faces as JPEGs of 500 px with a camera's noise, about 60 KB each, in a contest folder; made once."""
    done = root / "train" / "landmarks.csv"
    if not done.is_file() or len(done.read_text().splitlines()) != count + 1:
        (root / "train" / "images").mkdir(parents=True, exist_ok=True)
        rows = ["file_name" + "\tx\ty" * POINTS]
        for index in range(count):
            face = synthetic.draw(index, num_points=POINTS, faults=False)
            noise = np.random.RandomState(index).normal(0, 5, (SIDE, SIDE, 3))
            image = np.clip(cv2.resize(face.image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) + noise, 0, 255)
            points = (face.truth + 0.5) * SIDE / face.image.shape[1::-1] - 0.5
            name = f"{index:05d}.jpg"
            (root / "train" / "images" / name).write_bytes(decode.encode_jpeg(image.astype(np.uint8), 90))
            rows.append("\t".join([name, *(str(int(v)) for v in np.rint(points).reshape(-1))]))
        with files.whole(done) as file:
            file.write(("\n".join(rows) + "\n").encode())
    return opening.open_source(str(root))


def packed(root: Path, working_size: int) -> example.Source:
    """The images of a folder as prepare.py packs them; made once."""
    out = root.with_name(f"{root.name}_packed_{working_size}")
    if not seal.is_whole(out):
        job = pack.plan(out, {"train": opening.open_source(str(root))}, working_size)
        pack.write(job, 2, lambda done, detail: None)
        pack.merge(job)
    return opening.open_source(str(out))


def table(root: Path, rows: int) -> Path:
    """A table of labels in the contest's layout, 971 whole numbers of -22..1308 a row (101 rows that come again and again,
    8.6 KB each); made if no file has so many rows."""
    done = root / f"landmarks_{rows}.csv"
    if done.is_file():
        return done
    random, columns = np.random.RandomState(0), [f"Point_M{i}_{axis}" for i in range(971) for axis in "XY"]
    lines = ["\t".join(map(str, random.randint(-22, 1309, len(columns)))) + "\n" for _ in range(101)]
    with files.whole(done) as file:
        file.write(("\t".join(["file_name", *columns]) + "\n").encode())
        for index in range(rows):
            file.write(f"{index:032x}.jpg\t{lines[index % 101]}".encode())
    return done
