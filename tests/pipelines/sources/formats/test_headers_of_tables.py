"""What columns are is read by no guess: headers that tell another order, columns that are no coordinates, rows of WFLW's lists of
another layout."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.sources.formats import contest, plain, wflw
from pipelines.sources.tables import Images, Row, Table

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
BOX = ",box_x,box_y,box_width,box_height"
TWO = "x_0,y_0,x_1,y_1"


def table(root: Path, header: str, separator: str = ",") -> Path:
    (root / "a.png").write_bytes(PNG)
    fields = ["a.png", *map(str, range(1, header.count(",") + 1))]
    text = f"{header}\n{','.join(fields)}\n".replace(",", separator)
    (root / "t.csv").write_text(text)
    return root / "t.csv"


def folder(root: Path, header: str) -> Path:
    (root / "train" / "images").mkdir(parents=True)
    (root / "train" / "images" / "a.png").write_bytes(PNG)
    table(root, header, "\t").rename(root / "train" / "landmarks.csv")
    return root


def opened(path: Path) -> Table:
    return opening.open_table(str(path), "train")


def points(found: Table) -> list:
    assert found.label is not None
    return found.label(0)[0].ravel().tolist()


def rejection(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


STRAY = [
    ("x_0,x_1,y_0,y_1", ["2 ('x_0')", "3 ('x_1')", "4 ('y_0')", "5 ('y_1')"]),
    ("y_0,x_0,y_1,x_1", ["2 ('y_0')", "5 ('x_1')"]),
    ("x_0,y_1,x_1,y_0", ["2 ('x_0')", "3 ('y_1')"]),
    ("nose_x,nose_y,eye_y,eye_x", ["4 ('eye_y')", "5 ('eye_x')"]),
    ("y,x", ["2 ('y')", "3 ('x')"]),
    ("nose_row,nose_col", ["2 ('nose_row')", "3 ('nose_col')"]),
    ("p0,p1,width,height", ["4 ('width')", "5 ('height')"]),
    ("p0,p1,track_id,Age", ["4 ('track_id')", "5 ('Age')"]),
    ("p0,p1,gps_lon,gps_lat", ["4 ('gps_lon')", "5 ('gps_lat')"]),
    (f"{TWO},width,height", ["6 ('width')", "7 ('height')"]),
    (f"{TWO},conf_0,conf_1", ["6 ('conf_0')", "7 ('conf_1')"]),
    (f"{TWO},x_min,x_max", ["6 ('x_min')", "7 ('x_max')"]),
    (f"{TWO},split", ["6 ('split')"]),
    ("x_0,y_0,v_0,x_1,y_1,v_1", ["4 ('v_0')", "7 ('v_1')"]),
    ("x0,y0,z0,x1,y1,z1", ["4 ('z0')", "7 ('z1')"]),
    ("Point_M0_X,Point_M0_Y,Point_M1_X,Point_M2_Y", ["4 ('Point_M1_X')", "5 ('Point_M2_Y')"]),
    ("noseX,noseY,split,fold", ["4 ('split')", "5 ('fold')"]),
    (",".join(f"{axis}_{i}" for axis in "xy" for i in range(20)), ["2 ('x_0')", "and 32 more"]),
]


@pytest.mark.parametrize(("header", "named"), STRAY, ids=[header[:30] for header, _ in STRAY])
@pytest.mark.parametrize("end", ["", BOX], ids=["", "boxed"])
def test_a_column_that_is_no_coordinate_by_its_name_is_named(tmp_path, header, named, end):
    message = rejection(table(tmp_path, f"file_name,{header}{end}"))
    assert message.startswith(f"{tmp_path / 't.csv'}:1: column") and all(part in message for part in named)
    assert "('x_0'), 3 ('y_0')" not in message and "('box_x')" not in message and BOX[1:] in message


@pytest.mark.parametrize(
    ("end", "named"),
    [
        ("bbox_x,bbox_y,bbox_w,bbox_h", "bbox_x"),
        ("Box_X,Box_Y,Box_Width,Box_Height", "Box_X"),
        ("box_x,box_y,box_x2,box_y2", "box_x2"),
        ("box_y,box_x,box_width,box_height", "box_y"),
        ("box_width,box_height", "box_width"),
        ("box_x,box_y", "box_x"),
        (f"{BOX[1:]},split,fold", "box_height"),
        (f"{BOX[1:]}{BOX}", "box_x"),
        ("boundingBoxX,boundingBoxY", "boundingBoxX"),
    ],
)
@pytest.mark.parametrize("start", [TWO, "a,b"])
def test_a_box_under_other_names_or_elsewhere_is_named_with_what_is_expected(tmp_path, start, end, named):
    message = rejection(table(tmp_path, f"file_name,{start},{end}"))
    assert f"('{named}')" in message and BOX[1:] in message and "x_0" not in message


GOOD = [
    "x,y,x,y",
    "x,y,x.1,y.1",
    "x0,y0,x1,y1",
    "X0,Y0,X1,Y1",
    "0_x,0_y,1_x,1_y",
    "p1x,p1y,p2x,p2y",
    "left.eye.x,left.eye.y,nose x,nose y",
    "noseX,noseY,maxX,maxY",
    "x_nose,nose_y,eye-x,Eye_Y",
    "x_x,y_x,x_y,y_y",
    "x_y,y_y,axis_x,axis_y",
    "Point_M0_X,Point_M0_Y,Point_M1_X,Point_M1_Y",
    "a,b,c,d",
    "max,may,pxl,pyl",
    "конец_x,конец_y,nez (x),nez (y)",
]


MERGED = [
    ",".join(f"{p}_{axis}_{table}" for p in ("leye", "nose") for axis in "xy" for table in "xy"),
    ",".join(f"{p}_{axis}_{table}" for table in "xy" for p in ("leye", "nose") for axis in "xy"),
    "leye_y_y,leye_x_y,leye_y_x,leye_x_x",
    "x_0_x,y_0_x,x_0_y,y_0_y",
]


@pytest.mark.parametrize("header", MERGED)
@pytest.mark.parametrize("end", ["", ",box_x_x,box_x_y"])
def test_two_tables_that_pandas_merged_are_not_read_as_points(tmp_path, header, end):
    message, name = rejection(table(tmp_path, f"file_name,{header}{end}")), "x_0" if "0" in header else "leye_x"
    assert f"{name}_x and {name}_y" in message and "pandas.merge" in message


@pytest.mark.parametrize("header", ["nose_x,nose_y,eye_x,eye_y,nose_x,nose_y", "x_0,y_0,x_0,y_0"])
def test_the_name_of_a_point_twice_is_named(tmp_path, header):
    message = rejection(table(tmp_path, f"file_name,{header}"))
    assert f"({header.rpartition(',')[2]!r})" in message and "second time" in message


@pytest.mark.parametrize("pair", ["session,rater", "hour,rig"])
def test_a_pair_of_columns_unlike_the_others_is_no_point(tmp_path, pair):
    message = rejection(table(tmp_path, f"file_name,p0a,p0b,p1a,p1b,{pair}"))
    first, second = pair.split(",")
    assert f"6 ({first!r}), 7 ({second!r})" in message and "remove such columns" in message
    assert points(opened(table(tmp_path, f"file_name,{pair},q0,q1"))) == [1, 2, 3, 4]  # nothing tells which is unlike


@pytest.mark.parametrize("header", GOOD)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_names_that_agree_or_tell_no_axes_are_read(tmp_path, header, separator):
    assert points(opened(table(tmp_path, f"file_name,{header}", separator))) == [1, 2, 3, 4]
    assert points(opened(folder(tmp_path, f"file_name,{header}"))) == [1, 2, 3, 4]


def test_columns_are_reported_in_a_table_of_another_make(tmp_path):
    path = table(tmp_path, '"","file_name","x_0","x_1","y_0","y_1"', ";")
    path.write_text(path.read_text().replace("a.png;", "0;a.png;").replace(";5\n", "\n"))
    assert "3 ('x_1')" in rejection(path)
    path.write_text(path.read_text().replace('"x_1";"y_0"', '"y_0";"x_1"'))
    assert points(opened(path)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("header", "named"),
    [*(s for s in STRAY if s[0] != f"{TWO},split"), (f"{TWO}{BOX}", ["6 ('box_x')", "`boxes`"])],
)
def test_the_header_of_a_contest_is_checked_too(tmp_path, header, named):
    root = folder(tmp_path, f"file_name,{header}")
    message = rejection(root)
    assert message.startswith(f"{root / 'train' / 'landmarks.csv'}:1: column") and all(p in message for p in named)


@pytest.mark.parametrize("count", [1, 2, 98])
def test_our_own_headers_and_lists_agree(tmp_path, count):
    row = Row("a.png", np.arange(2.0 * count).reshape(-1, 2), np.ones(count, bool), (50, 40))
    boxed = row._replace(box=np.array([0, 0, 900, 900.0]))
    for name, found in (("a.csv", row), ("b.csv", boxed)):
        plain.write(tmp_path / name, [found], count)
    for name, found in (("a.txt", row), ("b.txt", boxed)):
        wflw.write(tmp_path / name, [found], count)
    contest.write(folder(tmp_path, "file_name,x,y") / "train" / "landmarks.csv", [row], count)
    (tmp_path / "a.png").write_bytes(PNG)
    for path in (*(tmp_path / n for n in ("a.csv", "b.csv", "a.txt", "b.txt")), tmp_path):
        assert points(opened(path)) == list(range(2 * count))


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("x,y,width,height", None),
        ("left,top,w,h", None),
        ("a,b,c,d", None),
        ("x_min,y_min,x_max,y_max", ["4 ('x_max')", "5 ('y_max')"]),
        ("x1,y1,x2,y2", ["4 ('x2')", "5 ('y2')"]),
        ("left,top,Right,Bottom", ["4 ('Right')", "5 ('Bottom')"]),
        ("y,x,height,width", ["2 ('y')", "3 ('x')", "4 ('height')", "5 ('width')"]),
        ("x,y,h_height,w_width", ["4 ('h_height')", "5 ('w_width')"]),
        (TWO, ["5 ('y_1')"]),
    ],
)
def test_a_file_of_boxes_whose_header_tells_other_numbers_is_rejected(tmp_path, header, named):
    path = table(tmp_path, "file_name,x,y")
    (tmp_path / "boxes.csv").write_text(f"file_name,{header}\na.png,1,2,30,30\n")
    if named is None:
        found = opening.open_table(str(path), "train", boxes=str(tmp_path / "boxes.csv"))
        assert found.boxes is not None and found.boxes.tolist() == [[1, 2, 30, 30]]
        return
    with pytest.raises(ValueError) as caught:
        opening.open_table(str(path), "train", boxes=str(tmp_path / "boxes.csv"))
    assert all(part in str(caught.value) for part in [*named, "boxes.csv:1:", "width, height"])


# WFLW's lists

BOXED = "{0} 20 30 40 5 6 45 46 0 1 0 0 1 0 {0}.png"
MANY = " ".join(str(10 + i % 30) for i in range(195))


def listed(root: Path, row: str, *more: str, rows: int = 5) -> Path:
    texts = [*(row.format(i) for i in range(rows)), *more]
    for i in range(rows):
        (root / f"{i}.png").write_bytes(PNG)
    (root / "list.txt").write_text("\n".join(texts) + "\n")
    return root / "list.txt"


def test_a_list_of_points_alone_is_read_without_boxes_and_said_so(tmp_path):
    found = opened(listed(tmp_path, f"{{0}} {MANY} {{0}}.png", f"x {MANY} b.png"))
    assert found.num_points == 98 and found.boxes is None and len(found.names) == 5
    assert "98 points" in found.notes[0] and "no boxes" in found.notes[0]
    assert points(found) == [0, *(10 + i % 30 for i in range(195))]
    assert [(r.file, r.line, r.reason.partition(":")[0]) for r in found.rejected] == [
        ("b.png", 6, "not a finite number")
    ]
    assert opening.open_source(str(tmp_path / "list.txt")).num_points == 98


def test_a_list_of_as_many_fields_in_the_usual_layout_is_that(tmp_path):
    numbers = " ".join(MANY.split()[:185])
    found = opened(listed(tmp_path, f"{{0}} {numbers} 5 6 45 46 0 1 0 0 1 0 {{0}}.png"))
    assert found.num_points == 93 and found.boxes is not None and not found.notes


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{0} 40 60 50 90 60 11 70 13 80 14 10 15 12 {0}.png", "14 numbers"),  # 7 points
        ("{0} 20 30 40 5 6 45 46 0 0 0 0 0 0 0 1 {0}.png", "16 numbers"),  # 8 attributes
        ("{0} 20 30 40 11 20 1 2 5 6 45 46 {0}.png", "12 numbers"),  # no attributes
        ("{0} 20 30 40 5 6 45 46 0 0 0 0 0 0 my nice {0}.png", "my nice"),
        ("{0} 40 60 50 90 60 110 70 130 80 140 100 150 120 0 1 0 0 1 0 {0}.png", "20 numbers"),  # no box
        ("{0} 20 30 40 45 46 5 6 0 1 0 0 1 0 {0}.png", "14 numbers"),  # the box turned round
    ],
)
def test_lists_of_another_layout_are_rejected_with_what_a_row_has(tmp_path, row, said):
    message = rejection(listed(tmp_path, row))
    assert f"{tmp_path / 'list.txt'}: not a WFLW list" in message and said in message and "196 numbers" in message


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("1 2 3 4 0 0 9 9 0 2 0 0 0 0 b.png", "bad attributes"),
        ("1 2 3 4 0 0 9 9 0 0 0.5 0 0 0 b.png", "bad attributes"),
        ("1 2 3 4 0 0 9 9 0 0 no 0 0 0 b.png", "bad attributes"),
        ("1 2 3 4 0 0 9 9 0 0 nan 0 0 0 b.png", "bad attributes"),
        ("1 2 3 4 9 0 0 9 0 0 0 0 0 0 b.png", "bad box"),
        ("1 2 3 4 0 9 9 0 0 0 0 0 0 0 b.png", "bad box"),
    ],
)
def test_a_row_of_another_layout_is_rejected_by_name_and_the_others_are_read(tmp_path, row, kind):
    found = opened(listed(tmp_path, BOXED, row, "1 2 3 4 0 0 0 0 0.0 1.0 0 0 0 0 0.png"))
    assert [(r.file, r.line, r.reason.partition(":")[0]) for r in found.rejected] == [("b.png", 6, kind)]
    assert found.names == ["0.png#1", "0.png#7", "1.png", "2.png", "3.png", "4.png"] and not found.notes[1:]


def test_columns_and_rows_are_x_and_y_and_names_of_points_are_told(tmp_path):
    found = opened(table(tmp_path, "file_name,nose_col,nose_row,a Column,a Row,b_col,b_row,c_col,c_row"))
    assert found.num_points == 4 and points(found) == list(range(1, 9))
    told = opening.described(Images(found))
    assert "4 points (nose_col, nose_row), (a Column, a Row), ..., (c_col, c_row)" in told and str(tmp_path) in told


def test_boxes_of_images_that_the_set_does_not_have_are_told(tmp_path):
    path = table(tmp_path, "file_name,x,y")
    (tmp_path / "boxes.csv").write_text("file_name,x,y,width,height\na.png,1,2,30,30\nelse.png,1,2,30,30\n")
    found = opening.open_table(str(path), "train", boxes=str(tmp_path / "boxes.csv"))
    assert any("1 row" in note and "else.png" in note for note in found.notes)
