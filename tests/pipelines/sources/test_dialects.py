"""Tables as other programs write them: each is read as the plain one is, and said to be another; what is not read is named."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.sources import dialects, text_tables
from pipelines.sources.tables import Table

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
PLAIN = "file_name,x0,y0,x1,y1\na.png,1.5,2,30,4.25\nb.png,5,6.5,7,8\n"
SEMI = PLAIN.replace(",", ";")
COMMAS = SEMI.replace(".5", ",5").replace(".25", ",25")
QUOTED = "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in PLAIN.splitlines())
INDEXED = "\n".join(f"{'' if i == 0 else i - 1},{line}" for i, line in enumerate(PLAIN.splitlines()))


def opened(root: Path, data: bytes, name: str = "t.csv") -> Table:
    for image in ("a.png", "b.png", "x,y.png"):
        (root / image).write_bytes(PNG)
    (root / name).write_bytes(data)
    return opening.open_table(str(root / name), "train")


def held(table: Table) -> dict[str, list]:
    assert table.label is not None
    return {
        n: np.where(m[:, None], p, np.nan).ravel().tolist()
        for i, n in enumerate(table.names)
        for p, m in [table.label(i)]
    }


KNOWN = {"a.png": [1.5, 2, 30, 4.25], "b.png": [5, 6.5, 7, 8]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PLAIN.encode(), None),
        (PLAIN.encode("utf-8-sig"), None),
        (PLAIN.replace(",", ", ").encode(), None),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "UTF-16"),
        (PLAIN.encode("utf-16-le"), "UTF-16-LE"),
        (PLAIN.encode("utf-16-be"), "UTF-16-BE"),
        (PLAIN.encode("utf-32"), "UTF-32"),
        (SEMI.encode(), "semicolons"),
        (COMMAS.encode(), "decimal commas"),
        (COMMAS.encode("utf-16"), "UTF-16 text, semicolons between the fields, decimal commas"),
        (COMMAS.replace(";", "\t").encode(), "tabs between the fields, decimal commas"),
        (PLAIN.replace(",", "\t").encode(), "tabs"),
        (QUOTED.encode(), "quotes"),
        (QUOTED.replace("\n", "\r\n").encode("utf-8-sig"), "quotes"),
        (PLAIN.replace("b.png", '"b.png"').encode(), "quotes"),
        (INDEXED.encode(), "row numbers"),
        (PLAIN.replace("\n", ",,\n").encode(), "2 empty columns"),
        (COMMAS.replace("\n", ";\r\n").encode(), "decimal commas, 1 empty column"),
        (f"{QUOTED}\n".replace('"', "").replace("\n", "\n\n").encode("utf-16"), "UTF-16"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_table_of_another_make_holds_the_same(tmp_path, data, said):
    table = opened(tmp_path, data)
    assert held(table) == KNOWN and not table.rejected and table.num_points == 2
    assert [said in note for note in table.notes] == ([True] if said else [])


@pytest.mark.parametrize("extra", [b"", b'"x,y.png",1,2,3,4\n'], ids=["plain", "of another make"])
def test_nan_is_a_point_that_is_not_labelled(tmp_path, extra):
    data = PLAIN.encode() + b"c.png,nan,NaN,3,4\nd.png,nan,1,2,3\ne.png,,,nan,nan\nf.png,inf,1,2,3\n" + extra
    table = opened(tmp_path, data)
    found = held(table)
    assert np.isnan(found["c.png"][:2]).all() and found["c.png"][2:] == [3, 4] and np.isnan(found["e.png"]).all()
    assert [(r.line, r.reason.split(":")[0]) for r in table.rejected] == [
        (5, "half a point"),
        (7, "not a finite number"),
    ]
    if extra:
        assert found["x,y.png"] == [1, 2, 3, 4] and "quotes" in table.notes[0]


def test_a_quoted_row_far_below_the_beginning_is_read_and_lines_are_the_file_s(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "_HEAD", 2000)
    rows = "".join(f"{i:06}.png,{i % 997},2,3,4\n" for i in range(600))
    data = "file_name,x,y,x,y\n" + rows + '"x,y.png","1","2","3","4"\nlast.png,1,2,3\n'
    table = opened(tmp_path, data.encode())
    assert len(table.names) == 601 and held(table)["x,y.png"] == [1, 2, 3, 4]
    assert [r.line for r in table.rejected] == [603] and "quotes" in table.notes[0]


@pytest.mark.parametrize("field", ["1,234", "12,5", "1,5,5"])
def test_what_may_be_thousands_or_stands_alone_is_no_decimal_comma(tmp_path, field):
    rows = [f"{name}.jpg\t{field if name == 'a' or field == '1,234' else 7}\t2\t3\t4\t5\t6" for name in "abcdef"]
    (tmp_path / "t").write_text("\n".join(["n\tx\ty\tx\ty\tx\ty", *rows]))
    scan = text_tables.scan(tmp_path / "t")
    assert not scan.notes and scan.rejected[0].reason.startswith("not a finite number: field 2 is ")
    assert scan.names == ([] if field == "1,234" else ["b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"])


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize(("commas", "whole"), [(3, 0), (1, 0), (2, 30)])
def test_dots_that_may_divide_thousands_beside_decimal_commas_are_rejected_with_their_line(
    tmp_path, separator, commas, whole
):
    rows = ["a.png;12,5;3", "b.png;7,25;3", "c.png;1,5;3"][:commas] + [f"{i}.png;7;8" for i in range(whole)]
    text = "\n".join(["file_name;x_0;y_0", *rows, "x,y.png;1.214;5"])
    with pytest.raises(ValueError, match=rf":{len(rows) + 2}: 1\.214 .*decimal commas"):
        opened(tmp_path, text.replace(";", separator).encode())


def test_one_comma_among_decimal_points_is_its_rows_fault_alone(tmp_path):
    rows = [f"{i}.png;{i + 1}.125;{i + 2}.250" for i in range(5)]
    table = opened(tmp_path, "\n".join(["file_name;x_0;y_0", "a.png;12,5;3", "b.png;3.125;4", *rows]).encode())
    assert held(table)["0.png"] == [1.125, 2.25] and [r.line for r in table.rejected] == [2]


def test_bad_names_in_a_table_of_another_make_are_their_rows_alone(tmp_path):
    data = b'"file_name","x","y"\n"a.png","1","2"\n"\xe9.png","1","2"\n"b\n.png","3","4"\n"b.png","5","6"\n"../x","1","2"\n'
    table = opened(tmp_path, data)
    assert table.names == ["a.png", "b.png"] and list(table.lines) == [2, 6]
    assert [(r.line, r.reason.split(":")[0]) for r in table.rejected] == [
        (3, "bad file name"),
        (4, "bad file name"),
        (7, "bad file name"),
    ]


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xff\xfea\0b\0,\0\x00\xd8", b'"a,1,2\n' * 3])
def test_what_is_no_table_is_reported_in_one_line(tmp_path, data):
    with pytest.raises(ValueError) as caught:
        opened(tmp_path, data)
    assert "t.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_the_contest_s_tables_are_read_with_decimal_commas_and_its_list_in_utf_16(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "images").mkdir(parents=True)
        (tmp_path / part / "images/a.jpg").write_bytes(PNG)
    (tmp_path / "train/landmarks.csv").write_text("n\tx\ty\na.jpg\t1,5\t2,25\n")
    (tmp_path / "test/test_points.csv").write_bytes("n\tp\na.jpg\t[0]\n".encode("utf-16"))
    train = opening.open_table(str(tmp_path), "train")
    assert held(train) == {"a.jpg": [1.5, 2.25]} and "decimal commas" in train.notes[0]
    test = opening.open_table(str(tmp_path), "test")
    assert test.names == ["a.jpg"] and test.num_points == 1


def test_deeplabcut_s_table_of_another_make(tmp_path):
    text = "scorer;m;m\nbodyparts;nose;nose\ncoords;x;y\na.png;1,5;2\nb.png;;\n"
    table = opened(tmp_path, text.encode("utf-16"), "CollectedData_m.csv")
    assert held(table)["a.png"] == [1.5, 2] and np.isnan(held(table)["b.png"]).all()


def test_boxes_of_another_make(tmp_path):
    (tmp_path / "boxes.csv").write_text("file_name;x;y;width;height\na.png;1,5;2,5;30,5;20,5\nb.png;1;2;3;4\n")
    opened(tmp_path, PLAIN.encode())
    table = opening.open_table(str(tmp_path / "t.csv"), "train", boxes=str(tmp_path / "boxes.csv"))
    assert table.boxes is not None and table.boxes[0].tolist() == [1.5, 2.5, 30.5, 20.5] and len(table.notes) == 1


def test_one_decimal_point_among_decimal_commas_does_not_turn_the_table_away(tmp_path):
    rows = [f"{i}.png;{i + 1},5;{i + 2},25" for i in range(5)]
    table = opened(tmp_path, "\n".join(["file_name;x_0;y_0", "a.png;12.5;3,5", *rows]).encode())
    assert held(table)["a.png"] == [12.5, 3.5] and held(table)["0.png"] == [1.5, 2.25] and not table.rejected
