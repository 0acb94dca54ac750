"""What goes wrong besides writing: damaged files, changed data, NaN, no memory, a second writer, a clock that is set back."""

if __name__ == "__main__":
    raise SystemExit("upsets.py is a part of run.py, and does nothing by itself")

import fnmatch
import functools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import child
import scenarios
import spoil
from engine import Reference, Row, differences
from places import Place
from scenarios import Scenario

_TRAIN = "--model resnet18 --size 32 --batch 4 --steps 6 --val-every 3 --log-every 1 --workers 1 --val-fraction 0.5"
LOOK = Scenario("look at a packed set", "prepare", "--data packed --look --workers 1", ("packed",))
READ = Scenario("fork, tried", "train", "--name a --fork g --steps 8 --dry-run", ("set", "cache", "runs"))
NO_CACHE = Scenario(
    "train, not packed", "train", f"--data set --name d --no-cache --max-faults 2 {_TRAIN}", ("set",), draws=1
)
PREPARE = Scenario("prepare sound", "prepare", "--data set --out packed --workers 1", ("set",))
SCENARIOS = [LOOK, READ, NO_CACHE, PREPARE]
TRAIN, RESUME, PREDICT = (
    next(s for s in (*scenarios.FIRST, *scenarios.OTHERS) if s.name == name)
    for name in ("train", "train resumed", "predict")
)


class Upset(NamedTuple):
    """Something that goes wrong.

    What it is; where; the scenario; codes that may come of it; `words` that its line then has; `spoil`: done to its folder;
    `within`: done in its process; `start`: what is spoiled, a folder in `work`, if not what the scenario needs.
    """

    what: str
    where: str
    scenario: Scenario
    codes: tuple[int, ...]
    words: str
    spoil: Callable[[Path], None] | None = None
    within: Callable[[], None] | None = None
    start: str = ""


READERS = (  # (what reads it; where it starts; the folder; which files of it)
    (LOOK, "", "packed", ("*",)),
    (READ, "", "runs/a", ("checkpoints/*", "*.json", "*.csv")),
    (RESUME, "train_resumed.start", "runs/b", ("*.jsonl", "*.bin", "log/*", "checkpoints/N/commit.json")),
    (PREDICT, "predict", "runs/a/fitted", ("*",)),
)


def damages(out: Path, seed: int, long: bool) -> list[Upset]:
    """Return the damage to each kind of file: all ways, or one that is drawn. out: has `base` and `work`."""
    rng, made = random.Random(seed), []
    for scenario, start, name, patterns in READERS:
        top = out / "work" / start if start else out / "base"
        for shown, path in spoil.kinds(top / name).items():
            if not any(fnmatch.fnmatch(shown, p) for p in patterns):
                continue
            for way in spoil.WAYS if long else [rng.choice(list(spoil.WAYS))]:
                done = functools.partial(spoil.spoiled, str(path.relative_to(top)), way, f"{seed} {shown} {way}")
                made.append(Upset(way, f"{name}/{shown}", scenario, (0, 2), "", done, None, start))
    return made


UPSETS = [
    Upset("NaN in a label", "landmarks.csv", PREPARE, (0,), "", spoil.nan_label),
    Upset("image of NaN values", "images/*", PREPARE, (0,), "", spoil.nan_image),
    Upset("label file edited", "during a run", TRAIN, (0, 2), "", None, spoil.label_edit),
    Upset("decode thread raises", "during a run", NO_CACHE, (70,), "injected", None, spoil.broken_decoder),
    Upset("images go bad", "during a run", NO_CACHE, (2,), "max-faults", None, spoil.bad_images),
    Upset("input/output error", "during a run", NO_CACHE, (2,), "Input/output error", None, spoil.failing_disk),
    Upset("out of memory", "during a run", NO_CACHE, (2,), "out of memory", None, spoil.little_memory),
    Upset("clock set back", "between two sessions", RESUME, (0,), "", None, spoil.yesterday, "train_resumed.start"),
]


def chains(made: list[Upset]) -> list[list[Upset]]:
    """Return what goes wrong in groups, each for one folder: what is dear to put right is put right once."""
    by: dict[tuple, list[Upset]] = {}
    for one in made:
        by.setdefault((one.scenario.name, one.start), []).append(one)
    return [some[at : at + 8] for some in by.values() for at in range(0, len(some), 8)]


def upset(made: list[Upset], found: Reference, out: Path, work: Path, places: list[Place]) -> list[Row]:
    """Run a scenario with something wrong, then put that right; where the command ended well, and at the end, it must end as
    the undisturbed one did."""
    folder = work / f"{found.scenario.name.replace(' ', '_')}-{made[0].where.replace('/', '_')}"
    rows: list[Row] = []
    since = 0
    for number, one in enumerate(made):
        if since == number:
            placed(one, out, folder)
        if one.spoil:
            one.spoil(folder)
        ended = _run(one.scenario, folder, places, one.within)
        rows.append(_row(one, ended))
        changed = differences(found.state, scenarios.state(folder))
        if ended.code == 0 and (one.start or not changed):  # damage that is not noticed must change nothing
            rows[since:] = [row._replace(lost=changed) for row in rows[since:]]
            since = number + 1
            continue
        mended(one, out, folder)
        if ended.code == 0 or number + 1 == len(made):
            lost = _again(one, found, folder, places)
            rows[since:] = [row._replace(lost=lost) for row in rows[since:]]
            since = number + 1
    shutil.rmtree(folder, ignore_errors=True)
    return rows


def placed(one: Upset, out: Path, folder: Path) -> None:
    """Make the folder that a scenario starts from."""
    if one.start:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(out / "work" / one.start, folder, symlinks=True)
    else:
        scenarios.copied(out / "base", one.scenario.needs, folder)


def mended(one: Upset, out: Path, folder: Path) -> None:
    """Put right what was wrong: all files as they were before."""
    start = out / "work" / one.start if one.start else out / "base"
    for name in {*one.scenario.needs, *([one.where.partition("/")[0]] if one.start else [])}:
        if name != "cache" and (start / name).exists():
            shutil.copytree(start / name, folder / name, symlinks=True, dirs_exist_ok=True)


def _again(one: Upset, found: Reference, folder: Path, places: list[Place]) -> str:
    """Run the command again and return what of its end is lost."""
    again = _run(one.scenario, folder, places)
    state = scenarios.state(folder)
    if again.code == 2 and "packed holds another packed set" in again.err and "take another folder" in again.err:
        again = _run(one.scenario._replace(flags=one.scenario.flags.replace("packed", "another")), folder, places)
        found_again = scenarios.state(folder)
        state = {p: d for p, d in found_again.items() if not p.startswith(("packed", "another"))}
        state |= {p.replace("another", "packed", 1): d for p, d in found_again.items() if p.startswith("another")}
    if again.code:
        return f"put right, it ends with {again.code}: {again.err.strip()[-300:]}"
    return differences(found.state, state)


def _run(scenario: Scenario, folder: Path, places: list[Place], within: Callable[[], None] | None = None):
    return child.run(scenario.script, scenario.flags.split(), folder, folder / "cache", places, None, within)


def _row(one: Upset, ended: child.Ended) -> Row:
    lines = [line for line in ended.err.splitlines() if line.startswith(("error: ", "warning: "))]
    last = lines[-1] if lines else ""
    wrong = "it hung" if ended.hung else "a traceback" if "Traceback" in ended.err else ""
    if not wrong and (ended.code not in one.codes or (ended.code and one.words not in last)):
        wrong = f"exit code {ended.code}: {ended.err.strip()[-300:]}"
    damaged = ended.code == 2 and one.what in spoil.WAYS and "/N/" not in one.where
    if not wrong and damaged and Path(one.where).name not in last:
        wrong = f"the line does not name the file: {last}"
    seen = sorted({p for note in ended.notes for p in note["places"]})
    return Row(one.what, one.where, one.scenario.name, 1, f"{ended.code}: {last or told(ended.out)}", "", wrong, seen)


def told(out: str) -> str:
    """Return what a command said of records that it left out; else that it did without."""
    found = [line for line in out.splitlines() if "left out" in line or "rejected" in line or "cannot be used" in line]
    return found[0].strip() if found else "done, as if it were sound"


def two_writers(scenario: Scenario, found: Reference, base: Path, work: Path, places: list[Place]) -> list[Row]:
    """Start a command twice at once; the second must end at once, or both end well."""
    folder = work / f"two-{scenario.name.replace(' ', '-')}"
    scenarios.copied(base, scenario.needs, folder)
    flags, cache = scenario.flags.split(), folder / "cache"
    begun = [child.begin(scenario.script, flags, folder, cache, places) for _ in range(2)]
    ended = [child.wait(b) for b in begun]
    codes = sorted(e.code for e in ended)
    line = next((e.err.strip().splitlines()[-1] for e in ended if e.code), "both ended well")
    wrong = (
        ""
        if codes in ([0, 0], [0, 2]) and not any("Traceback" in e.err for e in ended)
        else f"exit codes {codes}: {line}"
    )
    lost = differences(found.state, scenarios.state(folder))
    return [Row("two writers", scenario.script, scenario.name, 1, f"{codes[-1]}: {line}", lost, wrong)]
