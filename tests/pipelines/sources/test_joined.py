"""Tables that were joined: whatever headers and rows come again, no row is read by the columns of another header, and what is
not read is counted."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.sources import joined
from pipelines.sources.tables import Table

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
HEAD, OTHER = (
    ["file_name", *(f"{p}_{a}" for p in parts for a in "xy")] for parts in (("left", "right"), ("right", "left"))
)
ROWS = {name: [f"{name}.png", *numbers] for name, numbers in zip("abc", ("1234", "5678", "9123"), strict=True)}


def plain(root: Path, lines: list[list[str]], separator: str = ",") -> Table:
    (root / "t.csv").write_text("".join(f"{separator.join(line)}\n" for line in lines))
    return opened(root, root / "t.csv", ".")


def semicolons(root: Path, lines: list[list[str]]) -> Table:
    return plain(root, lines, ";")


def contest(root: Path, lines: list[list[str]]) -> Table:
    (root / "train" / "images").mkdir(parents=True)
    (root / "train" / "landmarks.csv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return opened(root, root, "train/images")


def deeplabcut(root: Path, lines: list[list[str]]) -> Table:
    text = ""
    for line in lines:
        if line[0] == "file_name":
            parts = ",".join(field.partition("_")[0] for field in line[1:])
            text += f"scorer,m,m,m,m\nbodyparts,{parts}\ncoords,x,y,x,y\n"
        else:
            text += f"labeled-data/v/{','.join(line)}\n"
    (root / "labeled-data" / "v").mkdir(parents=True, exist_ok=True)
    (root / "labeled-data" / "v" / "CollectedData_m.csv").write_text(text)
    return opened(root, root, "labeled-data/v")


FORMATS = [plain, semicolons, contest, deeplabcut]


def opened(root: Path, path: Path, images: str) -> Table:
    for name in ROWS:
        (root / images / f"{name}.png").write_bytes(PNG)
    return opening.open_table(str(path), "train")


def held(table: Table) -> dict[str, str]:
    assert table.label is not None
    rows = {name[-5]: table.label(i)[0] for i, name in enumerate(table.names)}
    return {name: "".join(f"{v:g}" for v in points.ravel()) for name, points in rows.items()}


def rejected(table: Table) -> list[tuple[str, str]]:
    return [(row.file[-5], row.reason.partition(":")[0]) for row in table.rejected]


@pytest.mark.parametrize("read", FORMATS)
def test_a_header_of_the_same_columns_between_rows_is_passed_over_and_counted(tmp_path, read):
    table = read(tmp_path, [HEAD, ROWS["a"], HEAD, ROWS["b"], HEAD, ROWS["c"]])
    assert held(table) == {"a": "1234", "b": "5678", "c": "9123"} and not table.rejected
    assert sum("2 headers" in note for note in table.notes) == 1


@pytest.mark.parametrize("read", FORMATS)
def test_rows_below_a_header_of_another_order_are_not_read(tmp_path, read):
    table = read(tmp_path, [HEAD, ROWS["a"], OTHER, ROWS["b"], HEAD, ROWS["c"]])
    assert held(table) == {"a": "1234", "c": "9123"}
    assert rejected(table) == [("b", "below another header")]
    said = [note for note in table.notes if "another header" in note]
    assert len(said) == 1 and "'right" in said[0] and "'left" in said[0]


@pytest.mark.parametrize("read", FORMATS)
@pytest.mark.parametrize(("header", "same"), [(HEAD, True), (OTHER, False)])
def test_a_header_behind_a_last_line_without_its_end_is_seen(tmp_path, monkeypatch, read, header, same):
    whole = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, text: whole(path, text.replace("8\n", "8")))
    table = read(tmp_path, [HEAD, ROWS["a"], ROWS["b"], header, ROWS["c"]])
    assert held(table) == {"a": "1234", **({"c": "9123"} if same else {})}
    assert rejected(table) == [("b", "wrong number of fields"), *([] if same else [("c", "below another header")])]
    assert len(table.notes) == 1 + (read == semicolons)


@pytest.mark.parametrize("mark", ["\ufeff", " "])
def test_a_mark_in_front_of_a_header_makes_no_other_of_it(tmp_path, mark):
    table = plain(tmp_path, [HEAD, ROWS["a"], [mark + HEAD[0], *HEAD[1:]], ROWS["b"]])
    assert held(table) == {"a": "1234", "b": "5678"} and not table.rejected and "1 header" in table.notes[0]


@pytest.mark.parametrize(
    "header", [["image", *OTHER[1:]], ["image", "x", "y", "x", "y"], [";".join(OTHER)], [*HEAD[:3], "nose_x", "nose_y"]]
)
def test_a_header_is_known_by_its_first_field_or_by_its_words(tmp_path, header):
    table = plain(tmp_path, [HEAD, ROWS["a"], header, ROWS["b"]])
    assert held(table) == {"a": "1234"} and rejected(table) == [("b", "below another header")]


@pytest.mark.parametrize("row", ["NA,N/A,null,None", "-,n/a,Nil,nan", "x,5,6,7"])
def test_a_row_of_gaps_is_no_header(tmp_path, row):
    table = plain(tmp_path, [HEAD, ["a.png", *row.split(",")], ROWS["b"]])
    assert held(table) == {"b": "5678"} and rejected(table) == [("a", "not a finite number")]


def test_numbers_as_names_of_columns_make_no_row(tmp_path):
    table = plain(
        tmp_path, [["file_name", "1", "2", "3", "p"], ROWS["a"], ["file_name", "2", "1", "3", "4"], ROWS["b"]]
    )
    assert held(table) == {"a": "1234"} and rejected(table) == [("b", "below another header")]


@pytest.mark.parametrize("read", FORMATS)
def test_of_rows_of_one_name_the_first_is_used_and_how_far_the_others_lie_is_said(tmp_path, read):
    again = [["a.png", *"1264"], ["b.png", *"5678"]]
    table = read(tmp_path, [HEAD, *ROWS.values(), *again])
    assert held(table)["a"] == "1234" and rejected(table) == [("a", "name twice"), ("b", "name twice")]
    said = [note for note in table.notes if "2 rows" in note]
    assert len(said) == 1 and "1 of them differ" in said[0] and "3 pixels" in said[0]


def test_how_far_rows_lie_apart():
    gap = np.array([np.nan, 2.0])
    assert joined.apart(gap, gap.copy()) is None
    assert joined.apart(gap, np.array([1.0, 4.5])) == 2.5 and joined.apart(gap, np.array([1.0, 2.0])) == 0
    assert joined.again_notes("t", []) == []


# several tables in one folder of a DeepLabCut project


def copied(root: Path, name: str = "CollectedData_m - Copy.csv", of: str = "m") -> Path:
    """A project with one table, and another of the same images beside it, a pixel apart."""
    deeplabcut(root, [HEAD, *ROWS.values()])
    table = root / "labeled-data" / "v" / "CollectedData_m.csv"
    text = table.read_text().replace(",m,m,m,m", f",{of},{of},{of},{of}").replace(".png,", ".png,9")
    (table.parent / name).write_text(text)
    return root


def test_of_a_table_and_its_copies_the_one_of_its_scorer_s_name_is_read(tmp_path):
    table = opening.open_table(str(copied(tmp_path)), "train")
    assert held(table) == {"a": "1234", "b": "5678", "c": "9123"} and not table.rejected and table.tables == 1
    assert [("Copy" in note, "not read" in note) for note in table.notes] == [(True, True)]
    (tmp_path / "labeled-data" / "v" / "CollectedData_m.csv").rename(
        tmp_path / "labeled-data" / "v" / "CollectedData_m2.csv"
    )
    with pytest.raises(ValueError, match=r"CollectedData_m - Copy\.csv.*CollectedData_m2\.csv"):
        opening.open_table(str(tmp_path), "train")


@pytest.mark.parametrize(("line", "first"), [("scorer: m", "1234"), ("scorer: 'you' # me", "91234")])
def test_of_the_tables_of_two_scorers_that_of_the_project_s_is_read(tmp_path, line, first):
    copied(tmp_path, "CollectedData_you.csv", "you")
    with pytest.raises(ValueError, match="several scorers"):
        opening.open_table(str(tmp_path), "train")
    (tmp_path / "config.yaml").write_text(f"Task: t\n{line}\ndate: x\n")
    for place in (tmp_path, tmp_path / "labeled-data" / "v"):
        table = opening.open_table(str(place), "train")
        assert held(table)["a"] == first and not table.rejected


def test_tables_of_other_images_in_one_folder_are_all_read(tmp_path):
    copied(tmp_path, "CollectedData_more.csv")
    more = tmp_path / "labeled-data" / "v" / "CollectedData_more.csv"
    more.write_text(more.read_text().replace("a.png", "d.png").replace("b.png", "e.png").replace("c.png", "f.png"))
    assert len(opening.open_table(str(tmp_path), "train").names) == 6


def test_a_table_of_predictions_among_those_of_a_project_is_named_and_the_others_are_read(tmp_path):
    copied(tmp_path)
    other = tmp_path / "labeled-data" / "w"
    other.mkdir()
    text = "scorer,m,m,m\nbodyparts,left,left,left\ncoords,x,y,likelihood\nlabeled-data/w/a.png,1,2,0.9\n"
    (other / "CollectedData_m.csv").write_text(text)
    table = opening.open_table(str(tmp_path), "train")
    assert len(table.names) == 3 and [(row.file, row.line) for row in table.rejected] == [
        ("labeled-data/w/CollectedData_m.csv", 4)
    ]
    assert "likelihood" in table.rejected[0].reason
    with pytest.raises(ValueError, match="likelihood"):
        opening.open_table(str(other), "train")
