"""The places that write, found in the source, and how a fault is judged; the torture itself is `make torture`."""

import errno
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "scripts/bench/torture"
MADE_UP = """
import gzip, os, shutil, tempfile
from pathlib import Path
from pipelines.io import files
from pipelines.io.files import whole

def one(path: Path, data, how):
    with open(path, "w") as file:
        file.write(data)
    with path.open("ab") as file:
        pass
    open(path, how)
    open(path)
    open(path, "rb")
    gzip.open(path, mode="wt")
    os.open(path, os.O_RDONLY)
    os.open(path, os.O_RDWR | os.O_CREAT)
    data.replace("a", "w")
    data.copy()

class Two:
    def three(self, path: Path):
        with files.whole(path) as file:
            np.savez(file, a=1)
        with whole(path):
            pass
        np.save(path, 1)
        path.write_text("a")
        path.rename(path)
        path.replace(path)
        shutil.rmtree(path)
        tempfile.mkdtemp()
"""


def part(name: str) -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def places() -> ModuleType:
    return part("places")


def test_every_kind_of_write_of_a_made_up_module_is_found(places):
    found = [place.name.partition(":")[2] for place in places.of_source(MADE_UP, "a.py")]
    one = ["one:open", "one:path.open", "one:open#2", "one:gzip.open", "one:os.open"]
    three = "files.whole whole np.save path.write_text path.rename path.replace shutil.rmtree tempfile.mkdtemp"
    assert found == [*one, *(f"Two.three:{name}" for name in three.split())]


def test_no_exception_is_stale_and_the_known_writers_are_there(places):
    names = {place.name for place in places.found()}
    assert len(names) > 100 and set(places.EXCEPTIONS) <= names and all(places.EXCEPTIONS.values())
    assert {
        "pipelines/io/files.py:whole:temporary.rename",
        "jaxmarks/training/checkpoint.py:_write:ocp.save_pytree",
    } <= names


INJECTED = """
import sys
sys.path.insert(0, {folder!r})
sys.path.insert(0, {root!r})
import os, places, writes
from pathlib import Path
from pipelines.io import files
notes = os.open("notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
fault = writes.Fault("pipelines/io/files.py:whole:" + {place!r}, {event!r}, {number}, {kind!r})
writes.Watch(places.found(), notes, fault).start()
for name in "ab":  # each comes by two opens, `open` and its opener
    try:
        with files.whole(name) as file:
            file.write(b"some more than seven")
    except OSError as error:
        print(error.errno, sorted(os.listdir()))
"""


@pytest.mark.parametrize(
    ("place", "event", "kind", "code", "said", "left"),
    [
        ("open", "open", "no space", 0, f"{errno.ENOSPC} ['a', 'notes']", ["a"]),
        ("open", "open", "short write", 0, f"{errno.EFBIG} ['a', 'notes']", ["a"]),
        ("temporary.rename", "os.rename", "read-only", 0, f"{errno.EROFS} ['a', 'notes']", ["a"]),
        ("temporary.rename", "os.rename", "kill before", -9, "", [".b.tmp", "a"]),
        ("temporary.rename", "os.rename", "kill after", -9, "", ["a", "b"]),
    ],
)
def test_a_fault_comes_up_at_its_place_and_nowhere_before(tmp_path, place, event, kind, code, said, left):
    program = INJECTED.format(
        folder=str(FOLDER), root=str(ROOT), place=place, event=event, number=2 if event == "open" else 1, kind=kind
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (code, said), ended.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*left, "notes"])


def made_up(engine: ModuleType, name: str, draws: int, *places: str):
    notes = [{"event": "open", "path": f"a/{p}", "places": [p], "hit": False} for p in places]
    scenario = part("scenarios").Scenario(name, "train", "", draws=draws)
    return engine.Reference(scenario, {}, notes, 1.0, "")


def test_every_quick_place_and_every_command_has_a_fault_and_every_kind_comes_up():
    engine, writes = part("engine"), part("writes")
    some = [made_up(engine, "dear", 2, "a", "b", "c", "d"), made_up(engine, "quick", 0, "a", "b", "e", "f", "g"),
            made_up(engine, "nothing new", 0, "a")]  # fmt: skip
    drawn = engine.drawn(some, 0)
    assert sorted(f.place for f in drawn["quick"]) == ["a", "b", "e", "f", "g"]
    assert sorted(f.place for f in drawn["dear"]) == ["c", "d"] and len(drawn["nothing new"]) == 1
    assert {f.kind for faults in drawn.values() for f in faults} == set(writes.FAULTS)


@pytest.mark.parametrize(
    ("kind", "line", "explained"),
    [
        ("no space", "a/b.json: No space left on device", True),
        ("no space", "a/c.json: No space left on device", False),
        ("short write", "a/c.json: File too large", True),
        ("short write", "elsewhere: File too large", False),
    ],
)
def test_a_line_must_name_the_file_or_for_a_short_write_one_written_since(kind, line, explained):
    engine = part("engine")
    notes = [{"event": "open", "path": f"/x/.{n}.json.tmp", "places": [], "hit": n == "b"} for n in "abc"]
    ended = part("child").Ended(2, "", f"error: {line}", notes, False, 0.0)
    assert (engine.judged(ended, kind)[1] == "") == explained
