"""Several folders that hold images of the names of a table: which is taken, and what is told."""

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode


def put(folder, names, width, height):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(decode.encode_png(np.full((height, width, 3), 90, np.uint8)))


def table(path, kind: str, x: int):
    """Two images with one face each, whose first point is at x."""
    if kind == "plain":
        path.write_text(f"file_name,x0,y0,x1,y1\na.png,{x},20,30,30\nb.png,{x},20,30,30\n")
    else:
        path.write_text("".join(f"{x} 20 30 30 10 10 150 110 0 0 0 0 0 0 {name}\n" for name in ("a.png", "b.png")))
    return path


@pytest.mark.parametrize(("kind", "file", "images"), [("plain", "l.csv", "images"), ("wflw", "l.txt", "WFLW_images")])
@pytest.mark.parametrize("x", [120, 40])
def test_small_copies_beside_the_table_are_reported_and_not_taken_where_labels_lie_outside(
    tmp_path, kind, file, images, x
):
    path = table(tmp_path / file, kind, x)
    put(tmp_path, ["a.png", "b.png"], 80, 60)
    put(tmp_path / images, ["a.png", "b.png"], 160, 120)
    found = opening.open_table(str(path), "train")
    assert found.root == (tmp_path / images if x == 120 else tmp_path)
    (note,) = found.notes
    assert all(part in note for part in (f"{tmp_path} (80 x 60)", f"{images} (160 x 120)", f"{found.root} is used"))
    assert "`pictures`" in note and ("outside" in note) == (x == 120)
    given = opening.open_table(str(path), "train", pictures=str(tmp_path))
    assert given.root == tmp_path and not given.notes


def test_copies_of_the_same_files_and_a_few_of_them_elsewhere_are_not_told(tmp_path):
    path = table(tmp_path / "l.csv", "plain", 40)
    put(tmp_path, ["a.png", "b.png"], 80, 60)
    put(tmp_path / "images", ["a.png", "b.png"], 80, 60)
    assert not opening.open_table(str(path), "train").notes
    path.write_text(path.read_text() + "c.png,1,2,3,4\nd.png,1,2,3,4\ne.png,1,2,3,4\n")
    put(tmp_path, ["c.png", "d.png", "e.png"], 80, 60)
    put(tmp_path / "images", ["a.png", "b.png"], 160, 120)
    found = opening.open_table(str(path), "train")
    assert found.root == tmp_path and not found.notes


def test_what_cannot_be_decoded_in_one_folder_is_reported_all_the_same(tmp_path):
    path = table(tmp_path / "l.csv", "plain", 40)
    put(tmp_path / "images", ["a.png", "b.png"], 160, 120)
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"?")
    found = opening.open_table(str(path), "train")
    assert found.root == tmp_path / "images" and len(found.notes) == 1
