"""What the tests of annotation tools' formats share."""

from pathlib import Path

import numpy as np

from pipelines.packing import round_trip
from pipelines.sources import formats
from pipelines.sources.tables import Row, Table
from tests.pipelines.sources.formats.test_formats import held, put

NAMES = ["a.png", "b.png#1", "b.png#left", "d/c.png"]
POINTS = np.array([[3.5, 4], [-20, 6.25], [30.1234567, 3100]])
MASKS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], bool)


def rows(boxed: bool) -> list[Row]:
    """Records of three images of 50 x 40, one with two objects, with gaps."""
    boxes = [np.array([1, 2.5, 30.12, 31.57 + i]) if boxed else None for i in range(4)]
    return [Row(n, POINTS + i, MASKS[i], (50, 40), boxes[i]) for i, n in enumerate(NAMES)]


def again(kind: str, out: Path, boxed: bool, names: list[str]) -> Table:
    """The table that is read from what was written; asserts that nothing was lost but names of objects, for a format
    without them."""
    home = (out.parent if out.suffix else out) / formats.FORMATS[kind].IMAGES
    put(home, "a.png", "b.png", "d/c.png")
    given = rows(boxed)
    sent: list[round_trip.Sent] = []
    formats.FORMATS[kind].write(out, round_trip.noted(given, sent), 3, names)
    module = formats.recognise(out)
    assert [name for name, known in formats.FORMATS.items() if known.recognises(out)] == [kind]
    table = module.read(out, "train")
    assert (
        kind == module.NAME
        and not table.rejected
        and list(table.points) == (names or ["point_0", "point_1", "point_2"])
    )
    lost = [] if kind != "yolo" else ["1 under another name"]
    assert round_trip.changes(sent, table) == lost
    wanted = [
        [p if m else None for p, m in zip(r.points.astype(np.float32).tolist(), r.mask, strict=True)] for r in given
    ]
    assert list(held(table).values()) == wanted
    return table
