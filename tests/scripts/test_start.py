"""The start of a command: what is imported for its help, and compiled code kept for the next one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.io import compilation

pytestmark = pytest.mark.bits

ROOT = Path(__file__).parents[2]
HEAVY = (
    "jax",
    "flax",
    "optax",
    "tensorflow",
    "tensorflow_datasets",
    "grain",
    "orbax",
    "matplotlib",
    "tensorboardX",
    "torch",
    "imagehash",
)
HELP = f"""
import contextlib, io, runpy, sys
sys.argv = [sys.argv[1], "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    runpy.run_path(sys.argv[0], run_name="__main__")
print(*sorted(set(sys.modules) & set({HEAVY!r})))
"""
COMPILE = """
import sys
from pipelines.io import console
if sys.argv[1:] == ["first"]:
    import jax
def main():
    import jax
    hits = []
    jax.monitoring.register_event_listener(lambda event, **_: event.endswith("cache_hits") and hits.append(event))
    for n in range(1, 4):
        x = jax.jit(lambda x: jax.lax.scan(lambda c, _: (jax.numpy.sin(c @ c), 0), x, None, n)[0])(jax.numpy.ones((64, 64)) / n)
    print(jax.config.jax_compilation_cache_dir, len(hits), bytes(x).hex()[:64])
console.run(main)
"""


def run(code: str, *arguments: object, **environment: str) -> tuple[list[str], str]:
    """(the words that a program prints, its stderr); without the cache that conftest gives JAX."""
    known = {name: value for name, value in os.environ.items() if "_CACHE_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**known, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("script", sorted(p.stem for p in (ROOT / "scripts").glob("*.py")))
def test_help_imports_nothing_heavy(script):
    assert run(HELP, ROOT / "scripts" / f"{script}.py")[0] == []


@pytest.mark.parametrize("script", ["train", "predict"])
def test_outside_the_environment_a_script_says_so_in_one_line(script):
    bare = [sys.executable, "-S", "-E", str(ROOT / "scripts" / f"{script}.py"), "--run", "x"]  # -S: no site-packages
    done = subprocess.run(bare, capture_output=True, text=True, cwd="/")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and "no numpy" in done.stderr and str(ROOT) in done.stderr


@pytest.mark.parametrize("imported", ["first", "later"])
def test_compiled_code_is_kept_for_the_next_process_and_gives_the_same_bits(tmp_path, imported):
    words, said = run(COMPILE, imported, JAXMARKS_CACHE=str(tmp_path))
    folder, hits, value = words
    assert Path(folder).parent == tmp_path / "compiled" and hits == "0"
    assert [p.name for p in tmp_path.iterdir()] == ["compiled"] and list(Path(folder).glob("*-cache"))
    again, said_again = run(COMPILE, imported, JAXMARKS_CACHE=str(tmp_path))
    assert again[0] == folder and again[2] == value
    assert said == "" and (int(again[1]) > 0) == ("failed" not in said_again)  # some processors cannot load it


def test_a_folder_of_the_users_own_and_no_cache_at_all(tmp_path):
    ours, own = tmp_path / "ours", tmp_path / "own"
    given = {"JAXMARKS_CACHE": str(ours), "JAX_COMPILATION_CACHE_DIR": str(own)}
    assert run(COMPILE, "first", **given)[0][0] == str(own) and not ours.exists()
    run(COMPILE, "first", JAXMARKS_CACHE=str(ours), JAX_ENABLE_COMPILATION_CACHE="false")
    assert not ours.exists()


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "compiled").write_text("in the way")
    _, said = run(COMPILE, "first", JAXMARKS_CACHE=str(tmp_path))
    assert said.count("\n") == 1 and said.startswith("warning: ") and str(tmp_path / "compiled") in said


def test_half_a_file_is_reported_once_and_written_anew(tmp_path):
    run(COMPILE, "first", JAXMARKS_CACHE=str(tmp_path))
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:40])
    _, said = run(COMPILE, "first", JAXMARKS_CACHE=str(tmp_path))
    assert said.count("\n") == 1 and said.startswith("warning: reading ")
    assert all(path.stat().st_size > 40 for path in tmp_path.rglob("*-cache"))


@pytest.fixture
def kept(tmp_path, monkeypatch) -> list[Path]:
    """Four files of 100 bytes, 40, 30, 20 and 10 days unused."""
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path))
    paths = [tmp_path / "compiled" / "machine" / f"{n}-cache" for n in range(4)]
    paths[0].parent.mkdir(parents=True)
    for n, path in enumerate(paths):
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - (40 - 10 * n) * 86400,) * 2)
    return paths


def test_the_longest_unused_is_deleted_where_there_is_too_much(kept):
    compilation.bound(400)
    assert all(p.exists() for p in kept)
    compilation.bound(250)
    assert [p.exists() for p in kept] == [False, False, True, True]


def test_cache_lists_and_prunes_compiled_code(kept, command):
    code, said = command("cache")
    assert code == 0 and "compiled code, 4 files" in said.out and "0 sets, 400 bytes, in" in said.out
    code, said = command("cache", "--prune", 25)
    assert (
        code == 0 and "compiled code, 2 files" in said.out and [p.exists() for p in kept] == [False, False, True, True]
    )


def test_other_cores_have_a_folder_of_their_own(monkeypatch):
    before = compilation.folder()
    monkeypatch.setattr(compilation.os, "sched_getaffinity", lambda _: range(97))
    assert compilation.folder() != before == compilation.root() / before.name


def test_code_for_more_threads_than_cores_has_a_folder_of_its_own_and_nproc_as_given_is_left(monkeypatch):
    monkeypatch.setattr(compilation, "cores", lambda: 2)
    monkeypatch.setenv("NPROC", "")
    monkeypatch.delenv("NPROC")
    plain = compilation.folder()
    compilation.for_threads(2)
    assert "NPROC" not in os.environ and compilation.folder() == plain
    compilation.for_threads(8)
    assert os.environ["NPROC"] == "8" and compilation.folder() != plain
    compilation.for_threads(16)
    assert os.environ["NPROC"] == "8"


def test_only_the_first_step_is_reported():
    lines: list[str] = []
    step = compilation.report_first_call(lambda a, b: (a + b, a), lines.append)
    assert step(1, 2) == (3, 1) and step(2, 3) == (5, 2)
    assert len(lines) == 1 and lines[0].startswith("first step after ") and "compiling it" in lines[0]
