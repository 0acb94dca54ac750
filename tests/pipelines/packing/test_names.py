"""Names of images: what a table or a terminal cannot hold is its row's fault alone, named and escaped; accents in either form
of Unicode are found."""

import json
import logging
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.images import decode
from pipelines.io import console, files
from pipelines.packing import cache, overwrites, report
from pipelines.sources import formats, image_names
from pipelines.sources.tables import Images, Table

PNG = decode.encode_png(np.full((40, 50, 3), 90, np.uint8))
GOOD = ["a.png", "face \U0001f600.png", "two  blanks.png", "it's.png", "caf\u00e9.PNG", "-dash.png", "[x].png"]
GOOD.append("n" * 251 + ".png")
BAD = [
    "t\tab.png",
    "n\new.png",
    "e\x1b[2J.png",
    "d\x7f.png",
    "c\x85.png",
    "l\u2028.png",
    "\ud800.png",
    "x" * 252 + ".png",
]


def coco(root: Path, names: list[str], images: list[str] | None = None) -> str:
    root.mkdir(parents=True, exist_ok=True)
    for name in names if images is None else images:
        (root / name).write_bytes(PNG)
    data = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "keypoints": [i, 2, 2]} for i in range(len(names))],
    }
    (root / "a.json").write_text(json.dumps(data))
    return str(root / "a.json")


def kinds(table: Table) -> list[str]:
    return [r.reason.partition(":")[0] for r in table.rejected]


def test_a_bad_name_is_its_annotation_s_fault_alone(tmp_path):
    table = opening.open_table(coco(tmp_path, GOOD + BAD, GOOD), "train")
    assert table.names == sorted(GOOD) and kinds(table) == ["bad file name"] * len(BAD)


def test_a_bad_id_of_an_annotation_is_its_own_fault(tmp_path):
    path = coco(tmp_path, GOOD)
    data = json.loads(Path(path).read_text())
    for annotation, bad in zip(data["annotations"], ["\ud800", "a\tb", "x" * 300], strict=False):
        annotation["id"] = bad
    Path(path).write_text(json.dumps(data))
    table = opening.open_table(path, "train")
    assert kinds(table) == ["bad id"] * 3 and len(table.names) == len(GOOD) - 3


def csv_file(root: Path, rows: list[bytes]) -> Path:
    (root / "t.csv").write_bytes(b"file_name,x,y\na.png,1,2\n" + b"".join(row + b"\n" for row in rows))
    return root / "t.csv"


def pts_file(root: Path, rows: list[bytes]) -> Path:
    for name in [row.split(b",")[0] for row in rows] + [b"a.png"]:
        stem = os.path.join(os.fsencode(root), name.removesuffix(b".png"))
        for ending, data in ((b".png", PNG), (b".pts", b"version: 1\nn_points: 1\n{\n1 2\n}\n")):
            with open(stem + ending, "wb") as file:
                file.write(data)
    return root


def wflw_file(root: Path, rows: list[bytes]) -> Path:
    line = b"1 2 0 0 9 9 0 0 0 0 0 0 "
    (root / "t.txt").write_bytes(b"".join(line + row.split(b",")[0] + b"\n" for row in [b"a.png", *rows]))
    return root / "t.txt"


def dlc_file(root: Path, rows: list[bytes]) -> Path:
    head = b"scorer,m,m\nbodyparts,n,n\ncoords,x,y\na.png,1,2\n"
    (root / "CollectedData_m.csv").write_bytes(head + b"".join(row + b"\n" for row in rows))
    return root


def contest(root: Path, rows: list[bytes]) -> Path:
    (root / "train/images").mkdir(parents=True)
    table = b"n\tx\ty\n" + b"".join(row.replace(b",", b"\t") + b"\n" for row in [b"a.png,1,2", *rows])
    (root / "train/landmarks.csv").write_bytes(table)
    return root


@pytest.mark.parametrize("make", [csv_file, pts_file, wflw_file, dlc_file, contest])
def test_bytes_that_are_no_text_and_control_characters_in_every_format(tmp_path, make, monkeypatch):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").write_bytes(PNG)
    path = make(tmp_path / "set", [b"\xe9.png,1,2", b"e\x1b[2J.png,1,2", b"d\x7f.png,1,2"])
    if make is contest:
        (path / "train/images/a.png").write_bytes(PNG)
    table = opening.open_table(str(path), "train")
    assert table.names == ["a.png"] and kinds(table) == ["bad file name"] * 3
    for line in [report.line(r) for r in table.rejected]:
        assert line.isprintable() and line.isascii()
    assert list(cache.training_set(str(path)).names) == ["a.png"]  # packed, its report written


def test_a_bad_row_of_the_contest_s_list_is_its_own_fault(tmp_path):
    from pipelines.sources.formats.contest import read_asked

    (tmp_path / "t").write_bytes(b"n\tp\na.jpg\t[0]\n\xe9.jpg\t[0]\nb\x1b.jpg\t[1]\n")
    names, _, _, rejected = read_asked(tmp_path / "t")
    assert names == ["a.jpg"] and [r.line for r in rejected] == [3, 4]
    assert all(r.reason.startswith("bad file name: ") for r in rejected)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\tb", "control"),
        ("\udce9", "Unicode"),
        ("x" * 256, "255"),
        ("../x", "path"),
        ("a/" + "x" * 255, None),
        ("é" * 127, None),
    ],
)
def test_what_is_wrong_with_a_name_is_said(name, said):
    fault = image_names.path_fault(name, "a path")
    assert fault is None if said is None else fault is not None and said in fault
    assert image_names.inner_path(name) is (said is None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b é \U0001f600", None),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\ud800x", "\\ud800x"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\nb", "a\\nb"),
    ],
)
def test_text_is_escaped_for_a_terminal(text, shown):
    assert files.escaped(text) == (shown or text)


def test_errors_warnings_and_faults_are_escaped(capsys):
    def failing() -> None:
        logging.getLogger("jaxmarks").warning("a \x1b[2J name")
        console.faults(["b \x1b[2J"])
        raise ValueError("c \x1b[2J \ud800")

    handlers = logging.getLogger().handlers[:]
    logging.getLogger().handlers[:] = []
    try:
        with pytest.raises(SystemExit):
            console.run(failing)
    finally:
        logging.getLogger().handlers[:] = handlers
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "b \\x1b[2J" in out and "c \\x1b[2J \\ud800" in err


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_accents_are_found_in_either_form_of_unicode(tmp_path, stored, listed):
    names = [f"{word}.png" for word in ("café", "Åse/née", "plain", "가")]
    for name in names:
        path = tmp_path / unicodedata.normalize(stored, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "t.csv").write_text(
        "file_name,x,y\n" + "".join(f"{unicodedata.normalize(listed, n)},1,2\n" for n in names)
    )
    source = opening.open_source(str(tmp_path / "t.csv"))
    assert [source[i].image for i in range(4)] == [PNG] * 4
    assert set(source.names) == {unicodedata.normalize(listed, n) for n in names}
    assert isinstance(source, Images)
    assert ["3 names" in note for note in source.table.notes] == [True] * (stored != listed)


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_pts_and_images_of_one_name_in_two_forms(tmp_path, stored):
    (tmp_path / unicodedata.normalize(stored, "é.png")).write_bytes(PNG)
    other = unicodedata.normalize("NFD" if stored == "NFC" else "NFC", "é.pts")
    (tmp_path / other).write_text("version: 1\nn_points: 1\n{\n1 2\n}\n")
    table = opening.open_table(str(tmp_path), "train")
    assert table.names == [unicodedata.normalize(stored, "é.png")] and not table.rejected


def test_a_set_whose_first_images_are_missing_is_found(tmp_path):
    names = [f"{i:05}.png" for i in range(3000)]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / names[-2]).write_bytes(PNG)
    (tmp_path / "t.csv").write_text("file_name,x,y\n" + "".join(f"{n},1,2\n" for n in names))
    assert opening.open_table(str(tmp_path / "t.csv"), "train").root == tmp_path / "images"
    (tmp_path / names[0]).write_bytes(PNG)  # one strays, most are elsewhere
    for name in names[5:2500:7]:
        (tmp_path / "images" / name).write_bytes(PNG)
    assert opening.open_table(str(tmp_path / "t.csv"), "train").root == tmp_path / "images"
    assert formats.image_folders.spelled(tmp_path, "none.png") is None


def test_names_of_outputs_that_no_file_can_have_are_rejected_before_the_work(tmp_path):
    for name, said in (("n" * 252 + ".png", "255"), ("a\tb", "control"), ("../x", "path")):
        with pytest.raises(ValueError, match=said):
            overwrites.below(tmp_path, name)
    assert overwrites.below(tmp_path, "n" * 251 + ".png").name == "n" * 251 + ".png"
    with files.whole(tmp_path / ("n" * 255)) as file:  # whatever the name of the temporary file
        file.write(b"x")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"
    with pytest.raises(ValueError, match="--out .*241"):
        files.check_out("--out", tmp_path / ("o" * 241))
    files.check_out("--out", tmp_path / ("o" * 240))


def test_a_table_whose_own_name_is_long_or_no_text_is_packed(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    for name in (b"t" * 250 + b".csv", b"t\xe9.csv"):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        (tmp_path / "a.png").write_bytes(PNG)
        Path(path).write_text("file_name,x,y\na.png,1,2\n")
        assert list(cache.training_set(path).names) == ["a.png"]


def test_a_folder_of_images_passes_bad_names_over_and_tells(tmp_path, caplog):
    for name in (b"a.png", b"\xe9.png", b"e\x1b[2J.png", b"sub/t\tb.png"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(PNG)
    source = opening.open_images(str(tmp_path), 5)
    assert source.names == ["a.png"] and "3 passed over" in caplog.text
    assert caplog.messages[0].isprintable() and "\\x1b[2J" in caplog.messages[0] and "\\udce9" in caplog.messages[0]
