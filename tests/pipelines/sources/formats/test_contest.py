"""The contest's tables: what is read, what is rejected and where, and that what is written can be read again."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.images import decode
from pipelines.sources.formats import contest
from pipelines.sources.tables import Images, Row

HEADER = "any\tnames\twill\tdo\t!"


def picture(shade: int) -> bytes:
    return decode.encode_png(np.full((20, 30, 3), shade, np.uint8))


def contest_folder(root: Path, train: dict, test: dict | None = None, asked: dict | None = None) -> Path:
    """Writes a contest folder. train and test: {name: (bytes, or None for a missing image; points)}."""
    for part, known, table in (("train", train, "landmarks.csv"), ("test", test, "landmarks_true.csv")):
        if known is None:
            continue
        (root / part / "images").mkdir(parents=True)
        count = len(next(iter(known.values()))[1])
        rows = ["file_name" + "\tx\ty" * count]
        for name, (data, points) in known.items():
            rows.append("\t".join([name, *(f"{v:.2f}" for v in np.ravel(points))]))
            if data is not None:
                (root / part / "images" / name).write_bytes(data)
        (root / part / table).write_text("\n".join(rows) + "\n")
    if asked is not None:
        rows = ["file_name\tpoints", *(f"{name}\t{json.dumps(points)}" for name, points in asked.items())]
        (root / "test" / "test_points.csv").write_text("\n".join(rows) + "\n")
    return root


def small_folder(root: Path) -> Path:
    points = {name: [[i, i + 0.5], [20 + i, 10]] for i, name in enumerate("cab")}
    train = {f"{name}.png": (picture(40 * i), points[name]) for i, name in enumerate(points)}
    test = {"z.png": (picture(9), [[1, 2], [3, 4]]), "y.png": (picture(8), [[5, 6], [7, 8]])}
    return contest_folder(root, train, test, {"z.png": [1, 0, 1], "y.png": [0, 0, 1]})


def landmarks(path: Path):
    """(names, points f32[rows, points, 2]) of a whole table; a row that is rejected is raised."""
    scan = contest.read_landmarks(path)
    _raise(path, scan.rejected)
    return scan.names, np.stack([scan.row(i) for i in range(len(scan.names))]).reshape(len(scan.names), -1, 2)


def asked(path: Path):
    names, _, found, rejected = contest.read_asked(path)
    _raise(path, rejected)
    return names, found


def _raise(path: Path, rejected: list) -> None:
    if rejected:
        raise ValueError(f"{path}:{rejected[0].line}: {rejected[0].reason}")


def train_of(root: Path) -> Images:
    return Images(contest.read(root, "train"))


def held_out(root: Path) -> Images:
    return Images(contest.read(root, "test"))


def read(tmp_path: Path, text: str | bytes, reader=landmarks):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return reader(path)


def rejection(tmp_path: Path, text: str | bytes, reader=landmarks) -> str:
    """The message, which must be one line that begins with the file."""
    with pytest.raises(ValueError) as caught:
        read(tmp_path, text, reader)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(tmp_path / "table.csv"))
    return message.removeprefix(str(tmp_path / "table.csv"))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\na.jpg\t1\t2\t3\t4\nb.jpg\t5\t6\t7\t8\n",
        f"\ufeff{HEADER}\na.jpg\t1\t2\t3\t4\nb.jpg\t5\t6\t7\t8\n",
        f"{HEADER}\r\na.jpg\t1\t2\t3\t4\r\nb.jpg\t5\t6\t7\t8\r\n",
        f"{HEADER}\na.jpg\t1\t2\t3\t4\nb.jpg\t5\t6\t7\t8",
        f"\n{HEADER}\n\na.jpg\t1\t2\t3\t4\n  \nb.jpg\t5\t6\t7\t8\n\n\n",
        f"{HEADER}\na.jpg\t1.0\t 2\t3e0\t+4\nb.jpg\t5\t6\t7\t8\n",
        f"{HEADER}\na.jpg\t1\t2\t3\t4\nb.jpg\t5\t6\t7\t8\n".replace("\t", ","),
    ],
    ids=["plain", "bom", "crlf", "no last newline", "blank lines", "ways to write a number", "commas"],
)
def test_only_the_number_of_header_fields_counts_and_text_files_may_be_of_any_make(tmp_path, text):
    names, points = read(tmp_path, text)
    assert names == ["a.jpg", "b.jpg"] and points.dtype == np.float32
    assert points.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]


def test_coordinates_far_outside_the_image_survive(tmp_path):
    _, points = read(tmp_path, "h\tx\ty\na.jpg\t-22\t1308\n")
    assert points.tolist() == [[[-22, 1308]]]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("b.jpg\t1\t2\t3", "4 fields"),
        ("b.jpg\t1\t2\t3\t4\t5", "6 fields"),
        ("b.jpg 1 2 3 4", "1 fields"),
        ("b.jpg\t1\ttwo\t3\t4", "field 3 is 'two'"),
        ("b.jpg\t1\t2\t\t4", "field 4 is ''"),
        ("b.jpg\tnan\t2\t3\t4", "field 2 is 'nan'"),
        ("b.jpg\t1\t2\t3\t-inf", "field 5 is '-inf'"),
        ("b.jpg\t1\t2\t3\t1e39", "field 5 is '1e39'"),
        ("a.jpg\t1\t2\t3\t4", "first on line 3"),
        ("../x.jpg\t1\t2\t3\t4", "'../x.jpg' is not a plain file name"),
        ("/etc/passwd\t1\t2\t3\t4", "'/etc/passwd' is a path from the root"),
        ("..\\x.jpg\t1\t2\t3\t4", "not a plain file name"),
        ("..\t1\t2\t3\t4", "not a plain file name"),
        ("\t1\t2\t3\t4", "not a plain file name"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path, row, told):
    message = rejection(tmp_path, f"{HEADER}\n\na.jpg\t1\t2\t3\t4\n{row}\n")  # the blank line counts as a line
    assert message.startswith(":4: ") and told in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: the header has 0"),
        (HEADER, "no row under the header"),
        ("name\tx\na.jpg\t1\n", ":1: the header has 2"),
        ("name\tx\ty\tx\na.jpg\t1\t2\t3\n", ":1: the header has 4"),
        ("name x y\na.jpg 1 2\n", ":1: the header has 1"),
        (b"name\tx\ty\n\xe9.jpg\t1\t2\n", "not UTF-8"),
    ],
    ids=["empty", "header only", "too short", "even", "blanks", "latin-1"],
)
def test_a_table_that_is_none_is_rejected(tmp_path, text, told):
    assert told in rejection(tmp_path, text)


def test_missing_files_and_folders_are_named(tmp_path):
    for reader in (train_of, held_out):
        with pytest.raises(ValueError, match=r"\.csv: the file is missing"):
            reader(tmp_path)
    root = small_folder(tmp_path / "set")
    for part, reader in (("train", train_of), ("test", held_out)):
        (root / part / "images").rename(root / part / "elsewhere")
        with pytest.raises(ValueError, match=f"{part}/images: the folder of images is missing"):
            reader(root)


def test_asked_points_keep_their_own_order_and_repeats(tmp_path):
    names, found = read(tmp_path, "n\tp\r\nb.jpg\t[5, 1, 5]\r\na.jpg\t[0,2,1]", asked)
    assert names == ["b.jpg", "a.jpg"] and [a.tolist() for a in found] == [[5, 1, 5], [0, 2, 1]]


@pytest.mark.parametrize(
    "field",
    ["[]", "[1.0]", "[1, -2]", "[true]", "7", '"[1]"', "{}", "", "[1, 2", "[[1]]", "[null]", "__import__('os')",
     "[__import__('os').getpid()]", "[1] + [2]", "[" * 100_000, "[" + "9" * 5000 + "]"],
    ids=lambda field: field[:30],
)  # fmt: skip
def test_what_is_no_list_of_point_numbers_is_rejected_and_never_run(tmp_path, field):
    message = rejection(tmp_path, f"n\tp\na.jpg\t[0]\nb.jpg\t{field}\n", asked)
    assert message.startswith(":3: not a list of points: ") and len(message) < 200


@pytest.mark.parametrize(
    ("row", "told"),
    [("b.jpg", "fields: 1,"), ("b.jpg\t[1]\t[2]", "fields: 3,"), ("a.jpg\t[1]", "twice"), ("../b\t[1]", "plain")],
)
def test_a_bad_row_of_test_points_is_named_by_its_line(tmp_path, row, told):
    message = rejection(tmp_path, f"n\tp\na.jpg\t[0]\n{row}\n", asked)
    assert message.startswith(":3: ") and told in message


def test_the_training_part_comes_by_name_and_the_test_part_as_listed(tmp_path):
    root = small_folder(tmp_path)
    train, test = train_of(root), held_out(root)
    assert train.names == ["a.png", "b.png", "c.png"] and train.num_points == 2
    assert train[0].points.tolist() == [[1, 1.5], [21, 10]] and train[0].mask.all()
    assert train[0].image == (root / "train/images/a.png").read_bytes()
    assert test.names == ["z.png", "y.png"] and [a.tolist() for a in test.asked] == [[1, 0, 1], [0, 0, 1]]
    assert test[1].points.tolist() == [[5, 6], [7, 8]] and test[1].mask.all()


def test_without_truth_nothing_is_labelled_and_the_training_header_gives_the_number_of_points(tmp_path):
    root = small_folder(tmp_path)
    (root / "test/landmarks_true.csv").unlink()
    test = held_out(root)
    assert test.num_points == 2 and not test[0].mask.any()
    (root / "train/landmarks.csv").unlink()
    assert held_out(root).num_points == 2  # the highest asked, and one


@pytest.mark.parametrize("truth", [True, False])
def test_a_point_that_does_not_exist_cannot_be_asked(tmp_path, truth):
    root = small_folder(tmp_path)
    (root / "test/test_points.csv").write_text("n\tp\nz.png\t[2]\ny.png\t[0]\n")
    if not truth:
        (root / "test/landmarks_true.csv").unlink()
    with pytest.raises(ValueError, match="test_points.csv: point 2 is asked, but there are 2 points"):
        held_out(root)


def test_a_truth_that_lacks_an_image_is_rejected(tmp_path):
    root = small_folder(tmp_path)
    (root / "test/landmarks_true.csv").write_text("n\tx\ty\nz.png\t1\t2\n")
    with pytest.raises(ValueError, match=r"landmarks_true.csv: no row for y.png.*\(1 in all\)"):
        held_out(root)


def test_the_submission_to_the_letter(tmp_path):
    points = np.array([[[0.6, -0.6], [10.4, 1307.9], [-21.7, 3.49]], [[1, 2], [3, 4], [5, 6]]])
    file = io.BytesIO()
    contest.write_submission(file, ["b.jpg", "a.jpg"], points, [np.array([2, 0]), np.array([1, 1])])
    assert file.getvalue() == (
        b"file_name,Point_M0_X,Point_M0_Y,Point_M1_X,Point_M1_Y\nb.jpg,-22,3,1,-1\na.jpg,3,4,3,4\n"
    )


def test_thirty_points_make_sixty_one_columns(random):
    file, points = io.BytesIO(), random.uniform(0, 500, (3, 971, 2))
    contest.write_submission(file, ["a", "b", "c"], points, [random.choice(971, 30, replace=False) for _ in range(3)])
    lines = file.getvalue().decode().splitlines()
    assert [len(line.split(",")) for line in lines] == [61] * 4 and lines[0].endswith(",Point_M29_X,Point_M29_Y")


def test_rows_that_ask_for_different_numbers_of_points_make_no_submission():
    with pytest.raises(ValueError, match="1 to 2 points"):
        contest.write_submission(io.BytesIO(), ["a", "b"], np.zeros((2, 3, 2)), [np.array([0]), np.array([1, 2])])


def test_landmarks_written_are_the_landmarks_read(tmp_path, random):
    points = np.round(random.uniform(-22, 1308, (4, 7, 2)), 2)
    rows = [Row(name, face, np.ones(7, bool), (0, 0)) for name, face in zip("dcba", points, strict=True)]
    contest.write(tmp_path / "table.csv", rows, 7)
    names, found = landmarks(tmp_path / "table.csv")
    assert names == ["d", "c", "b", "a"] and np.array_equal(found, points.astype(np.float32))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (landmarks, "a.jpg\t1\t2\t3\t4\nb.jpg\t1\t2\t3\t4\n"),
        (asked, "a.jpg\t[0, 1]\nb.jpg\t[1]\n"),
    ],
)
def test_a_table_without_a_header_is_rejected_and_no_image_lost(tmp_path, read, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=":1: this is a row.*, not a header"):
        read(path)
