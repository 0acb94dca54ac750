"""Any failure is one line with the file or the place, the remedy and an exit code."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pipelines.io import console, failures, files
from tests.commands import ROOT, SMALL, begin, end


def raised(action) -> str:
    """The line on what an action raises."""
    with pytest.raises(BaseException) as caught:
        action()
    line, code = failures.describe(caught.value)
    assert code == failures.REJECTED and "\n" not in line
    return console.as_typed(line)


def fails(error: BaseException):
    raise error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), ("/a/b", "free some space")),
        (OSError(errno.EFBIG, "File too large", "/a/b"), ("/a/b", "ulimit -f")),
        (OSError(errno.EMFILE, "Too many open files", "/a/b"), ("/a/b", "--workers")),
        (OSError(errno.EIO, "Input/output error"), ("Input/output error", "resumes")),
        (OSError("odd"), ("odd",)),
        (MemoryError(), ("memory", "--batch", "--at-once")),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), ("onnx", "pip install onnx onnxruntime")),
        (ModuleNotFoundError("No module named 'grain.x'", name="grain.x"), ("pip install grain",)),
        (ValueError("a\nb"), ("a b",)),
        (ValueError("`trim_top` of `a_file`, `batch`"), ("--trim-top of `a_file`, --batch",)),
    ],
)
def test_a_failure_of_the_machine_names_file_and_remedy(error, told):
    line = raised(lambda: fails(error))
    assert all(part in line for part in told), line


def test_the_place_in_the_program_is_named_where_no_file_is():
    assert "8.00 PiB" in raised(lambda: np.zeros(1 << 50))
    assert "pipelines/io/files.py:" in raised(lambda: files.patiently(lambda: fails(MemoryError())))


def test_what_a_failure_came_of_is_reported():
    def library():
        try:
            fails(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full"))
        except OSError as error:
            raise RuntimeError("could not save") from error

    assert "/full" in raised(library)


def test_out_of_memory_on_a_device():
    import jax
    import jax.numpy as jnp

    line = raised(lambda: jax.block_until_ready(jax.jit(lambda: jnp.zeros(1 << 45) * 2)()))
    assert "memory" in line and str(1 << 47) in line and "--batch" in line and "--at-once" in line


# What cannot be read


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"a": [1,\n2,,]}', "a.json:2"),
        (b'{"a": "\xe9"}', "0xe9"),
        (b"\n\n" + b"[" * 200_000, "nested"),
        (b"[1" + b"0" * 5000 + b"]", "5001 digits"),
        (b"[1" + b"0" * 30 + b"]", "31 digits"),
        (b"", "a.json:1"),
        (b'{"images": [], "boxes": [1], "images": [2], "boxes": []}', "'images' stands twice"),
        (b'[{"a": {"b": 1, "b": 1}}]', "'b' stands twice"),
    ],
)
def test_json_that_cannot_be_used_names_the_file_and_the_place(tmp_path, data, told):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError) as caught:
        files.parse_json(files.read_bytes(tmp_path / "a.json"), tmp_path / "a.json")
    assert told in str(caught.value) and "a.json" in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_any_encoding_that_says_so_is_read(encoding):
    data = {"é": [1, 2.5, 1234567890123456789, -(2**63), 0.1234567890123456789012]}
    assert files.parse_json(json.dumps(data, ensure_ascii=False).encode(encoding), "x") == data


def test_text_that_is_not_utf8_names_the_file_and_the_line(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\nthr\xe9e\n")
    with pytest.raises(ValueError, match=r"a.txt: line 3: the byte 0xe9"):
        files.read_text(tmp_path / "a.txt")


# Commands


def ended(script: str, *flags: object, env: dict[str, str] | None = None, limit: str = "", out=subprocess.PIPE):
    """(exit code, stderr) of a command under a limit of the shell's and other variables."""
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *map(str, flags)]
    shell = ["sh", "-c", f'{limit or ":"}; exec "$@"', "sh", *command]
    known = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    done = subprocess.run(shell, stdout=out, stderr=subprocess.PIPE, text=True, env=known, timeout=300, check=False)
    return done.returncode, done.stderr


def one_line(code: int, err: str, *told: str) -> None:
    lines = [line for line in err.splitlines() if not line.startswith(("step ", "warning: "))]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("error: "), err
    assert all(part in lines[0] for part in told), err


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_device_that_is_not_there_is_one_line_with_the_remedy(tmp_path, platform):
    flags = ("--data", "drawn:24:5", "--runs", tmp_path, *SMALL)
    code, err = ended("train", *flags, env={"JAX_PLATFORMS": platform})
    one_line(code, err, f"JAX_PLATFORMS={platform}", "unset it")
    assert ("jax[cuda12]" in err) == (platform == "cuda") and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_full_disk_under_what_is_printed_is_one_line():
    with open("/dev/full", "w") as full:
        one_line(*ended("cache", out=full), "No space left")


@pytest.mark.slow
def test_a_reader_that_has_read_enough_is_no_failure():
    process = begin("cache")
    process.stdout.close()
    assert process.wait(60) in (0, 141) and process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.slow
def test_a_full_disk_under_a_checkpoint_is_one_line_and_the_same_command_resumes(tmp_path):
    flags = ("--data", "drawn:24:5", "--runs", tmp_path, "--steps", 2, *SMALL)
    code, err = ended("train", *flags, limit="ulimit -f 2000")
    one_line(code, err, str(tmp_path / "run/checkpoints"), "ulimit -f")
    assert end(begin("train", *flags))[0] == 0


@pytest.mark.slow
def test_traceback_shows_the_rest(tmp_path):
    code, err = ended("predict", "--run", tmp_path, "--out", tmp_path / "p.csv", "--traceback")
    assert code == 2 and "Traceback" in err and err.splitlines()[-1].startswith("error: ")
