"""A conversion that was stopped: the same command completes it, and no other one writes over its files."""

import errno
import os
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def convert(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*flags: str) -> None:
        monkeypatch.setattr(sys, "argv", ["convert.py", *flags])
        runpy.run_path(str(ROOT / "scripts/convert.py"))["main"]()

    return run


def found(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def full_at(monkeypatch, number: int, of: str = "") -> None:
    """Let the disk be full as the file of this number is written to it, from 0, of those with `of` in their names."""
    calls, fsync = iter(range(1000)), os.fsync

    def limited(descriptor: int) -> None:
        if of in os.readlink(f"/proc/self/fd/{descriptor}") and next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", limited)


SMALL = ("--data", "drawn:2:5", "--part", "test")


@pytest.mark.parametrize(("kind", "out"), [("contest", "out"), ("pts", "out"), ("coco", "out/a.json"), ("yolo", "out")])
def test_wherever_the_disk_was_full_the_same_command_ends_as_if_it_had_not_been(
    convert, monkeypatch, tmp_path, kind, out
):
    data = tmp_path / "boxes.csv"
    convert(*SMALL, "--format", "contest", "--out", "data")
    names = sorted(p.name for p in (tmp_path / "data/test/images").iterdir())
    data.write_text("file_name,x,y,width,height\n" + "".join(f"{n},1,1,90,90\n" for n in names))
    flags = ("--data", "data", "--part", "test", "--format", kind, "--boxes", "boxes.csv", "--out", out)
    convert(*flags)
    known = found(tmp_path / "out")
    for number in range(len(known) + (kind != "coco")):
        for path in sorted((tmp_path / "out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        with monkeypatch.context() as patch:
            full_at(patch, number)
            with pytest.raises(OSError, match="No space left"):
                convert(*flags)
        convert(*flags)
        assert found(tmp_path / "out") == known, number


def test_files_of_another_command_or_of_somebody_stay(convert, monkeypatch, tmp_path):
    flags = (*SMALL, "--format", "pts", "--out", "out")
    with monkeypatch.context() as patch:
        full_at(patch, 1, ".pts")
        with pytest.raises(OSError, match="No space left"):
            convert(*flags)
    assert (tmp_path / "out/.unfinished").is_file()
    (label,) = (tmp_path / "out").glob("*.pts")
    label.write_text("mine")
    with pytest.raises(ValueError, match="already exists"):
        convert("--data", "drawn:3:5", *flags[2:])
    assert label.read_text() == "mine"
    convert(*flags)
    with pytest.raises(ValueError, match="already exists"):
        convert(*flags)
    assert not (tmp_path / "out/.unfinished").exists()
