"""Files are written whole or not at all."""

import pytest

from pipelines import files


def test_a_file_appears_whole_with_the_folders_above_it(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with files.whole(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" whole")
    assert path.read_bytes() == b"half whole" and [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_inside_leaves_the_old_file_and_nothing_behind(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), files.whole(path) as file:
        file.write(b"new")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_an_error_that_leaves_nothing_behind(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError), files.whole(tmp_path / "a") as file:
        file.write(b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_json_is_read_as_it_was_written(tmp_path):
    files.write_json(tmp_path / "a.json", {"x": [1, 2.5, "é"]})
    assert files.read_json(tmp_path / "a.json") == {"x": [1, 2.5, "é"]}


def test_json_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"{}", b'{"format_version": 2}', b"\xff\xfe\x00"])
def test_what_is_not_our_json_is_refused_by_name_in_one_line(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match="a.json: not ") as caught:
        files.read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)
