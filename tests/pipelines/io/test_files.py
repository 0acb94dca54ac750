"""Files are written whole or not at all."""

import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipelines.io import files

ROOT = Path(__file__).parents[3]


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
def test_what_is_not_our_json_is_rejected_by_name_in_one_line(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match="a.json:") as caught:
        files.read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


HALF = """
import os, sys
from pipelines.io import files
with files.whole(sys.argv[1]) as file:
    file.write(b"half of it")
    file.flush()
    os._exit(9)
"""


def test_what_a_killed_process_left_is_taken_over_by_the_next(tmp_path):
    path = tmp_path / "a.txt"
    subprocess.run([sys.executable, "-c", HALF, str(path)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert len(list(tmp_path.iterdir())) == 1 and not path.exists()
    with files.whole(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_two_who_write_one_file_at_once_leave_one_of_both_whole(tmp_path):
    path, texts = tmp_path / "a.txt", [bytes([n]) * 100_000 for n in (65, 66, 67, 68)]

    def write(text: bytes) -> None:
        for _ in range(20):
            with files.whole(path) as file:
                for at in range(0, len(text), 9973):
                    file.write(text[at : at + 9973])

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in texts and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 251])
def test_names_as_long_as_a_file_system_takes_are_written(tmp_path, name):
    with files.whole(tmp_path / name) as file:
        file.write(b"x")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".a.txt.tmp").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="a.txt"), files.whole(tmp_path / "a.txt") as file:
        file.write(b"x")
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_lock_follows_no_link_and_empties_nothing(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match="lock: a symbolic link"), files.locked(tmp_path / "lock", "taken"):
        pass
    (tmp_path / "file").write_text("kept too")
    with files.locked(tmp_path / "file", "taken"):
        assert (tmp_path / "file").read_text() == "kept too"
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("shared", [False, True])
def test_a_lock_is_gone_with_the_last_who_held_it(tmp_path, shared):
    path = tmp_path / "lock"
    path.write_text("")  # as a killed process leaves it
    with files.locked(path, "taken", shared=shared):
        with pytest.raises(ValueError, match="taken"), files.locked(path, "taken"):
            pass
        if shared:
            with files.locked(path, "taken", shared=True):
                pass
        assert path.exists()
    assert not path.exists()


def test_of_many_who_take_a_lock_in_turn_never_two_hold_it(tmp_path):
    held, most = [], []

    def take() -> None:
        for _ in range(300):
            try:
                with files.locked(tmp_path / "lock", "taken"):
                    held.append(1)
                    most.append(len(held))
                    held.pop()
            except ValueError:
                pass

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and not list(tmp_path.iterdir())


def test_a_disk_that_is_full_at_the_first_write_is_told_with_the_name_of_the_file(tmp_path):
    """Closing writes once more what a full disk did not take, and must not hide the name."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, limits[1]))
    try:
        with pytest.raises(OSError) as caught, files.whole(tmp_path / "a.json") as file:
            file.write(b"more than seven")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "a.json"))
    assert not list(tmp_path.iterdir())
