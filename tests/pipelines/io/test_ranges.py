"""Parts of files through descriptors that stay open."""

import os
import threading

import pytest

from pipelines.io import ranges


@pytest.fixture
def path(tmp_path):
    (tmp_path / "t").write_bytes(bytes(range(100)))
    return tmp_path / "t"


def test_parts_are_those_of_the_file_which_is_opened_once(path):
    before = ranges._opened.cache_info().misses
    for offset, length in ((0, 5), (90, 20), (50, 1), (200, 3)):
        assert ranges.read(path, offset, length) == bytes(range(100))[offset : offset + length]
    assert ranges._opened.cache_info().misses == before + 1


def test_a_file_that_was_replaced_or_changed_is_opened_anew(path):
    assert ranges.read(path, 0, 3) == b"\0\1\2"
    path.with_name("new").write_bytes(b"other")
    path.with_name("new").rename(path)
    assert ranges.read(path, 0, 3) == b"oth"
    path.write_bytes(b"again and longer")
    assert ranges.read(path, 0, 5) == b"again"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        ranges.read(path, 0, 1)


def test_many_files_and_threads(tmp_path):
    for i in range(40):
        (tmp_path / str(i)).write_bytes(bytes([i]) * 50)
    wrong: list[int] = []

    def work(start: int) -> None:
        for i in range(400):
            which = (start + i) % 40
            if ranges.read(tmp_path / str(which), i % 40, 5) != bytes([which]) * 5:
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(7 * n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert len(os.listdir("/proc/self/fd")) < 400 if os.path.isdir("/proc/self/fd") else True
