"""Faults of lists of labels that other programs and systems make: read where there is no doubt, else each with its own words."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import guesses
from pipelines.sources.tables import Table

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
PTS = "version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n"


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG)
    return root


def opened(path: Path) -> Table:
    return opening.open_table(str(path), "train")


def plain(root: Path, text: str | bytes) -> Table:
    put(root, "images/a.png", "images/sub/b c.png")
    (root / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return opened(root / "t.csv")


def wflw(root: Path, *names: str, before: str = "") -> Table:
    put(root, "a.png", "sub/b.png")
    (root / "list.txt").write_text(before + "".join(f"1 2 3 4 0 1 9 9 0 0 0 0 0 0 {name}\n" for name in names))
    return opened(root / "list.txt")


def reason(table: Table) -> str:
    assert len(table.rejected) == 1
    return table.rejected[0].reason


def test_utf_16_appended_to_utf_8_is_told_of(tmp_path):
    wflw(tmp_path, "a.png", "a.png", "a.png")
    with open(tmp_path / "list.txt", "ab") as file:
        file.write("1 2 3 4 0 1 9 9 0 0 0 0 0 0 sub/b.png\r\n".encode("utf-16-le"))
    table = opened(tmp_path / "list.txt")
    found = reason(plain(tmp_path, b"file_name,x,y\na.png,1,2\n" + "sub/b c.png,3,4".encode("utf-16-le")))
    assert all("UTF-16" in said and said.startswith("bad file name") for said in (reason(table), found))


def test_names_as_other_systems_write_them(tmp_path):
    table = plain(tmp_path, "file_name,x,y\n./a.png,1,2\nsub\\b c.png,3,4\n")
    assert table.names == ["a.png", "sub/b c.png"] and not table.rejected
    assert table.label is not None and table.label(1)[0].tolist() == [[3, 4]]
    assert reason(plain(tmp_path, "file_name,x,y\na.png,1,2\n./a.png,1,2\n")).startswith("name twice")
    table = wflw(tmp_path / "w", "a.png", "sub\\b.png")
    assert table.names == ["a.png", "sub/b.png"] and not table.rejected
    assert table.label is not None and table.label(1)[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("name", ["C:\\data\\a.png", "c:/data/a.png", "\\\\server\\a.png", "/data/a.png"])
def test_a_path_of_another_computer_has_its_remedy(tmp_path, name):
    for table in (plain(tmp_path, f"file_name,x,y\na.png,1,2\n{name},1,2\n"), wflw(tmp_path / "w", "a.png", name)):
        assert reason(table).startswith("bad file name") and "folder of images" in reason(table)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_a_table_that_is_not_utf_8_is_to_be_saved_again_not_its_images_renamed(tmp_path, encoding):
    text = "scorer,m,m\nbodyparts,n,n\ncoords,x,y\na.png,1,2\nMäuse.png,1,2\n".encode(encoding)
    put(tmp_path, "a.png")
    (tmp_path / "CollectedData_m.csv").write_bytes(text)
    said = [reason(plain(tmp_path, "file_name,x,y\na.png,1,2\nMäuse.png,1,2\n".encode(encoding)))]
    for why in (*said, reason(opened(tmp_path / "CollectedData_m.csv"))):
        assert "save the table" in why and "rename" not in why


@pytest.mark.parametrize("word", ["NA", "n/a", "None", "-"])
def test_a_word_for_a_gap_has_its_remedy_where_gaps_may_be(tmp_path, word):
    assert "leave it empty" in reason(plain(tmp_path, f"file_name,x,y\na.png,{word},{word}\n"))


def test_a_number_that_is_none_is_named(tmp_path):
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "a.pts").write_text(PTS)
    (tmp_path / "b.pts").write_text(PTS.replace("3 4", "3 4,5"))
    assert "y on line 5 is '4,5'" in reason(opened(tmp_path)) and "decimal point" in reason(opened(tmp_path))
    text = "scorer;m;m\nbodyparts;nose;nose\ncoords;x;y\na.png;1,234;2,345\n"
    (tmp_path / "CollectedData_m.csv").write_text(text)
    assert "x of nose is '1,234'" in reason(opened(tmp_path / "CollectedData_m.csv"))
    (tmp_path / "list.txt").write_text("1 2 0 1 9 9 0 0 0 0 0 0 a.png\n1 x 0 1 9 9 0 0 0 0 0 0 b.png\n")
    assert "field 2 is 'x'" in reason(opened(tmp_path / "list.txt"))


# .pts


def test_pts_in_utf_16_are_read(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "a.pts").write_bytes(PTS.encode("utf-16"))
    assert opened(tmp_path).names == ["a.png"]


def test_pts_of_two_objects_or_with_more_behind_the_brace(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png")
    for name, text in (("a", PTS), ("b", PTS + PTS), ("c", PTS + "occluded: 1\n")):
        (tmp_path / f"{name}.pts").write_text(text)
    table = opened(tmp_path)
    assert table.names == ["a.png"] and [r.file for r in table.rejected] == ["b.pts", "c.pts"]
    second, other = (r.reason for r in table.rejected)
    assert "second object" in second and "'occluded: 1'" in other


def test_pts_with_points_that_are_not_labelled(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png")
    for name, row in (("a", "NaN nan"), ("b", "nan 4"), ("c", "3 4")):
        (tmp_path / f"{name}.pts").write_text(PTS.replace("3 4", row))
    table = opened(tmp_path)
    assert table.label is not None and [table.label(i)[1].tolist() for i in (0, 1)] == [[True, False], [True, True]]
    assert "half a point: only one of x and y on line 5" in reason(table)
    (tmp_path / "b.pts").write_text("version: 1\nn_points: 2\n{\nnan nan\nnan nan\n}")
    assert "no labelled point" in reason(opened(tmp_path))


def test_pts_in_a_folder_without_images_that_correct_others(tmp_path):
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "new").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"{name}.pts").write_text(PTS)
        (tmp_path / "new" / f"{name}.pts").write_text(PTS.replace("3 4", "3 9") if name == "b" else PTS)
    table = opened(tmp_path)
    assert len(table.rejected) == 2
    assert any(
        "1 .pts file without an image beside them, the first new/b.pts" in n and "5 pixels" in n for n in table.notes
    )


def test_pts_named_by_the_whole_name_of_their_image(tmp_path):
    put(tmp_path, "a.jpg", "b.png", "b.png.png")
    for name in ("a.jpg.pts", "b.png.pts", "b.pts"):
        (tmp_path / name).write_text(PTS)
    table = opened(tmp_path)
    assert table.names == ["a.jpg", "b.png", "b.png.png"] and not table.rejected


def test_pts_of_another_case_or_another_folder_are_led_to_their_images(tmp_path):
    put(tmp_path, "a.png", "IMG_1.png")
    for name in ("a.pts", "img_1.pts"):
        (tmp_path / name).write_text(PTS)
    assert "there is IMG_1.png" in reason(opened(tmp_path))
    apart = put(tmp_path / "apart", "images/a.png")
    (apart / "labels").mkdir()
    (apart / "labels" / "a.pts").write_text(PTS)
    for path in (apart, apart / "labels"):
        with pytest.raises(ValueError, match=f"give {apart / 'labels'} .*{apart / 'images'} as `pictures`"):
            opened(path)


# WFLW


def test_wflw_comments_and_paths_with_blanks(tmp_path):
    table = wflw(tmp_path, "a.png", "sub/b.png", before="# faces of\n# 2020\n")
    assert table.names == ["a.png", "sub/b.png"] and not table.rejected and "2 lines" in table.notes[0]
    table = wflw(tmp_path, "a.png", "sub/b.png", "my folder/c d.png")
    assert table.rejected[0].file == "my folder/c d.png" and "blanks" in reason(table)


@pytest.mark.parametrize("between", ["", " "])
def test_two_rows_of_wflw_in_one_line(tmp_path, between):
    wflw(tmp_path, *["a.png"] * 4)
    text = (tmp_path / "list.txt").read_text()
    (tmp_path / "list.txt").write_text(text + text.split("\n")[0] + between + text.split("\n")[0])
    table = opened(tmp_path / "list.txt")
    assert len(table.names) == 4 and "two rows in one line" in reason(table)


# names that differ little


@pytest.mark.parametrize(
    ("missing", "there"),
    [
        ("my%20a.png", "my a.png"),
        ("sub%20d/x%281%29.png", "x(1).png"),
        ("A.PNG", "a.png"),
        ("a", "a.png"),
        ("b.png", ""),
    ],
)
def test_a_file_whose_name_differs_little_is_named(tmp_path, missing, there):
    put(tmp_path, "my a.png", "sub d/x(1).png", "a.png")
    assert guesses.near_file(tmp_path / missing) == (f": there is {there}" if there else "")


def test_names_without_their_extension_are_led_to_the_files(tmp_path):
    with pytest.raises(ValueError, match=r"there is a\.png"):
        plain(tmp_path, "file_name,x,y\na,1,2\n")
