"""A scenario undisturbed, then with faults, one after another on what the fault before left, until it ends well."""

if __name__ == "__main__":
    raise SystemExit("engine.py is a part of run.py, and does nothing by itself")

import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import child
import scenarios
import writes
from places import Place
from scenarios import Scenario
from writes import Fault

KILLED = -9


class Reference(NamedTuple):
    """How a scenario ends if nothing disturbs it."""

    scenario: Scenario
    state: dict[str, str]
    notes: list[dict]
    seconds: float  # of a core
    problem: str  # empty: it ended well


class Row(NamedTuple):
    """A line of the table."""

    injected: str
    place: str
    scenario: str
    times: int
    noticed: str
    lost: str  # empty: nothing
    unexplained: str  # empty: nothing
    visited: list[str] = []


def start(scenario: Scenario, base: Path, folder: Path, places: list[Place]) -> None:
    """Make the folder that a scenario starts from."""
    scenarios.copied(base, scenario.needs, folder)
    if scenario.edit:
        scenario.edit(folder)
    if scenario.killed:
        ended = _run(scenario, folder, places, scenario.killed)
        if ended.code != KILLED:
            raise ValueError(f"{scenario.name}: it was to be killed, and ended with {ended.code}: {ended.err[-300:]}")
    if scenario.edit_after:
        scenario.edit_after(folder)


def _run(scenario: Scenario, folder: Path, places: list[Place], fault: Fault | None = None) -> child.Ended:
    return child.run(scenario.script, scenario.flags.split(), folder, folder / "cache", places, fault)


def reference(scenario: Scenario, base: Path, work: Path, places: list[Place]) -> Reference:
    """Run a scenario undisturbed; what it starts from is kept beside its folder, and what it gives goes into `base`."""
    folder, first = work / scenario.name.replace(" ", "_"), work / f"{scenario.name.replace(' ', '_')}.start"
    try:
        start(scenario, base, folder, places)
    except ValueError as error:
        return Reference(scenario, {}, [], 0.0, str(error))
    shutil.rmtree(first, ignore_errors=True)
    shutil.copytree(folder, first, symlinks=True)
    ended = _run(scenario, folder, places)
    state = scenarios.state(folder)
    problem = "" if ended.code == 0 else f"exit code {ended.code}: {ended.err.strip()[-400:]}"
    problem = problem or ", ".join(f"{p} is left" for p, d in state.items() if d == "half-written")
    for name in scenario.gives:
        shutil.rmtree(base / name, ignore_errors=True)
        if (folder / name).exists():
            shutil.copytree(folder / name, base / name, symlinks=True)
    return Reference(scenario, state, ended.notes, ended.seconds, problem)


def possible(found: Reference) -> list[tuple[int, Fault, list[str]]]:
    """Return the faults that a scenario can have, in the order in which it comes to them: (number of the note, fault, places
    that it is at)."""
    counts: dict[tuple[str, str], int] = {}
    made = []
    for at, note in enumerate(found.notes):
        for place in note["places"]:
            key = (place, note["event"])
            number = counts.get(key, 0)
            counts[key] = number + 1
            made += [
                (at, Fault(place, note["event"], number, k), note["places"]) for k in writes.fitting(note["event"])
            ]
    return made


def drawn(references: list[Reference], seed: int) -> dict[str, list[Fault]]:
    """Draw faults, the kinds in turn: one for each place that the quick scenarios come to, some for each of the others; by
    scenario, in order."""
    rng, done, by = random.Random(seed), set(), {}
    kinds = {kind: 0 for kind in writes.FAULTS}
    for found in sorted(references, key=lambda r: r.scenario.draws > 0):
        faults, chosen = possible(found), []
        while faults:
            new = [f for f in faults if not done.intersection(f[2])]
            if len(chosen) >= (found.scenario.draws or (1 if not new else len(faults))):
                break
            least = min(kinds[f.kind] for _, f, _ in new or faults)
            at, fault, places = rng.choice([f for f in new or faults if kinds[f[1].kind] == least])
            kinds[fault.kind] += 1
            done.update(places)
            chosen.append((at, fault))
        by[found.scenario.name] = [fault for _, fault in sorted(chosen)]
    return by


def every(references: list[Reference]) -> dict[str, list[Fault]]:
    """Return all faults of all scenarios, at the first and the last time that a place is come to."""
    by: dict[str, list[Fault]] = {}
    for found in references:
        faults = possible(found)
        last = {(f.place, f.event): f.number for _, f, _ in faults}
        by[found.scenario.name] = [f for _, f, _ in faults if f.number in (0, last[f.place, f.event])]
    return by


def tortured(found: Reference, faults: Iterable[Fault], starts: Path, work: Path, places: list[Place]) -> list[Row]:
    """Inject faults into a scenario. Each is injected into what the one before left; where the command ends well, and at the
    end, what it left must be what the undisturbed one did."""
    name = found.scenario.name.replace(" ", "_")
    folder, first, rows, since = work / name, starts / f"{name}.start", [], []
    fresh, left = True, list(faults)
    while left:
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(first, folder, symlinks=True)
        fault = left[0]
        ended = _run(found.scenario, folder, places, fault)
        if ended.hit is None and not fresh and ended.code == 0:  # what came before it was done already
            _close(found, folder, rows, since, ended, places)
            fresh, since = True, []
            continue
        left.pop(0)
        rows.append(_row(found.scenario, fault, ended))
        since.append(len(rows) - 1)
        fresh = ended.code == 0
        if fresh:
            _close(found, folder, rows, since, ended, places)
            since = []
    if since:
        _close(found, folder, rows, since, _run(found.scenario, folder, places), places)
    shutil.rmtree(folder, ignore_errors=True)
    return rows


def _row(scenario: Scenario, fault: Fault, ended: child.Ended) -> Row:
    noticed, unexplained = judged(ended, fault.kind)
    seen = sorted({p for note in ended.notes for p in note["places"]})
    return Row(f"{fault.kind} at {fault.event.removeprefix('os.').removeprefix('torture.')}", fault.place, scenario.name, 1,
               noticed, "", unexplained, seen)  # fmt: skip


def judged(ended: child.Ended, kind: str) -> tuple[str, str]:
    """Return (how a fault was noticed, what of that is not explained)."""
    lines = [line for line in ended.err.splitlines() if line.startswith(("error: ", "warning: "))]
    last = lines[-1] if lines else ""
    if ended.hung:
        return "", "it hung"
    if ended.hit is None:
        return "", f"the fault was not come to (exit code {ended.code}: {last})"
    if kind in (writes.BEFORE, writes.AFTER):
        return "killed", "" if ended.code == KILLED else f"exit code {ended.code}"
    if "Traceback" in ended.err:
        return last, "a traceback: " + " ".join(ended.err.split())[-300:]
    if ended.code == 0:
        said = [line for line in ended.out.splitlines() if any(os.strerror(n) in line for n in writes.ERRORS.values())]
        return f"0: {said[0] if said else 'done without it'}", ""
    if ended.code != 2 or not last.startswith("error: "):
        return f"{ended.code}: {last}", f"exit code {ended.code}: {ended.err.strip()[-300:]}"
    since = ended.notes[ended.notes.index(ended.hit) :]
    known = "(at " in last or any(name in last for name in named(since if kind == writes.SHORT else since[:1]))
    return f"2: {last}", "" if known else f"the line does not say where: {ended.hit['path']}: {last}"


def named(notes: list[dict]) -> set[str]:
    """Return the names by which a line may tell where: of the file that could not be written, or of its folder. Where files
    take no more from some time on it is any of those that were written since."""
    paths = [Path(note["path"]) for note in notes]
    shown = {name.removeprefix(".") for path in paths for name in (path.name, path.parent.name)}
    return {name.removesuffix(end) for name in shown for end in ("", ".tmp", ".lock")} - {""}


def _close(
    found: Reference, folder: Path, rows: list[Row], since: list[int], ended: child.Ended, places: list[Place]
) -> None:
    """Hold what a command left against what it should leave; the rows since the last time answer for it. One that did
    without a file, such as what is fitted once, is run again."""
    if ended.code == 0 and ended.hit and differences(found.state, scenarios.state(folder)):
        ended = _run(found.scenario, folder, places)
    lost = "" if ended.code == 0 else f"the same command ended with {ended.code}: {ended.err.strip()[-300:]}"
    lost = lost or differences(found.state, scenarios.state(folder))
    seen = {p for note in ended.notes for p in note["places"]}
    for at in since:
        rows[at] = rows[at]._replace(lost=lost, visited=sorted({*rows[at].visited, *seen}))


def differences(known: dict[str, str], state: dict[str, str]) -> str:
    """Return what differs between two states; empty where nothing does."""
    changed = [f"{p} differs" if p in state else f"{p} is lost" for p in known if state.get(p) != known[p]]
    more = [f"{p} is left" for p in state if p not in known]
    return ", ".join((changed + more)[:6])
