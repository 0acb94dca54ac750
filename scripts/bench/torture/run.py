"""Torture: every place that writes with every fault, damaged files, and what else goes wrong.

    python scripts/bench/torture/run.py
    python scripts/bench/torture/run.py --long
    python scripts/bench/torture/run.py --only predict,rank

The places are found in the source (places.py). Each is visited by a small command (scenarios.py), in which the fault is
injected from within (writes.py); then the same command, undisturbed, must end with the same files. The short form draws one
fault for each place, the long form takes all. Prints a table and writes it to --out; exit code 1 if anything was lost or is
not explained, or if a place is not visited.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
OUT = "out/torture"
sys.path.insert(0, str(ROOT))
os.environ |= {
    "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", ""),  # no command restarts itself for it
    "JAX_PLATFORMS": "cpu",
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # an exported file would name the callers in this folder
    "JAX_COMPILATION_CACHE_DIR": str(Path(OUT).absolute() / "compiled"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=1 --xla_backend_optimization_level=0",
}

import argparse
import multiprocessing
import resource
import shutil
import time
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed

import child
import engine
import places
import scenarios
import upsets
from engine import Reference, Row

from jaxmarks.config import cores
from pipelines.io import console, files


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--long", action="store_true", help="every fault at every place")
    parser.add_argument("--only", default="", help="scenarios, comma-separated (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--out", default=OUT, help="folder to work in (default: %(default)s)")
    flags = parser.parse_args()
    began, out = time.monotonic(), Path(flags.out).absolute()
    for name in ("work", "base", "faults"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "base").mkdir(parents=True)
    child.imported()
    known, only = places.found(), set(filter(None, flags.only.split(",")))
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("fork")) as pool:
        references = undisturbed(pool, out, known, only)
        jobs = beside(pool, out, known, references, flags) if not only or "upsets" in only else []
        jobs += faulted(pool, out, known, references, flags)
        rows = []
        for job in as_completed(jobs):
            for row in job.result():
                rows.append(row)
                print(f"{row.injected}, {row.place}: {row.lost or row.unexplained or row.noticed}", flush=True)
    wrong = [f"{r.scenario.name}: undisturbed, {r.problem}" for r in references if r.problem]
    wrong += [] if only else unvisited(known, references, rows)
    wrong += [
        f"{r.injected}, {r.place}, {r.scenario}: {r.lost or r.unexplained}" for r in rows if r.lost or r.unexplained
    ]
    count = len(visited(references, rows))
    print("\n".join([*table(rows), *wrong]))
    print(
        f"{count} of {len(known)} places that write visited, {len(places.EXCEPTIONS)} excepted; {len(rows)} faults,"
        f" {sum(bool(r.lost) for r in rows)} with a loss, {sum(bool(r.unexplained) for r in rows)} unexplained;"
        f" {time.monotonic() - began:.0f} s, {computed():.0f} s of computing"
    )
    files.write_json(out / "torture.json", {"rows": [r._replace(visited=[])._asdict() for r in rows], "wrong": wrong})
    return 1 if wrong else 0


def undisturbed(pool: Executor, out: Path, known: list[places.Place], only: set[str]) -> list[Reference]:
    """Run the scenarios as they are; the first ones in turn, since each needs what others left."""
    wanted = [s for s in scenarios.OTHERS if not only or s.name in only]
    found = []
    for some in (*([s] for s in scenarios.FIRST), wanted, upsets.SCENARIOS if not only or "upsets" in only else []):
        jobs = [pool.submit(engine.reference, s, out / "base", out / "work", known) for s in some]
        for one in (job.result() for job in jobs):
            shown = f"{one.scenario.name:20s} {one.seconds:6.1f} s  {len(one.notes):4d} writes  {one.problem}"
            print(shown, flush=True)
            found.append(one)
    return found


def faulted(
    pool: Executor, out: Path, known: list[places.Place], references: list[Reference], flags: argparse.Namespace
) -> list[Future]:
    """Start the faults at places, the longest tasks first."""
    sound = [r for r in references if not r.problem]
    chosen = engine.every(sound) if flags.long else engine.drawn(sound, flags.seed)
    tasks = [(r, some) for r in sound for some in parted(chosen.get(r.scenario.name, []), r)]
    tasks.sort(key=lambda task: -task[0].seconds * len(task[1]))
    work = [(r, some, out / "work", out / "faults" / str(n), known) for n, (r, some) in enumerate(tasks)]
    return [pool.submit(engine.tortured, *arguments) for arguments in work]


def beside(
    pool: Executor, out: Path, known: list[places.Place], references: list[Reference], flags: argparse.Namespace
) -> list[Future]:
    """Start what goes wrong besides."""
    ends = {r.scenario.name: r for r in references if not r.problem}
    some = [u for u in (*upsets.UPSETS, *upsets.damages(out, flags.seed, flags.long)) if u.scenario.name in ends]
    jobs = [
        pool.submit(upsets.upset, c, ends[c[0].scenario.name], out, out / "faults", known) for c in upsets.chains(some)
    ]
    twice = [s for s in (upsets.PREPARE, upsets.TRAIN) if s.name in ends]
    return jobs + [pool.submit(upsets.two_writers, s, ends[s.name], out / "base", out / "faults", known) for s in twice]


def computed() -> float:
    """Return the seconds of a core that all commands took together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parted(faults: list, found: Reference) -> list[list]:
    """Split the faults of a scenario so that no task takes much longer than the others."""
    each = max(1, round(60 / max(found.seconds, 1)))
    return [faults[at : at + each] for at in range(0, len(faults), each)]


def visited(references: list[Reference], rows: list[Row]) -> set[str]:
    """Return the names of the places that a command came to."""
    return {p for row in rows for p in row.visited} | {p for r in references for n in r.notes for p in n["places"]}


def unvisited(known: list[places.Place], references: list[Reference], rows: list[Row]) -> list[str]:
    """Return the places that no command came to, without a reason."""
    seen = visited(references, rows) | set(places.EXCEPTIONS)
    return [f"{p.name}: no scenario visits it" for p in known if p.name not in seen]


def table(rows: list[Row]) -> list[str]:
    """Return the table, a line for each kind of fault at a place."""
    counts = Counter((r.injected, r.place, r.noticed.split(": ")[0]) for r in rows)
    first = {(r.injected, r.place, r.noticed.split(": ")[0]): r for r in reversed(rows)}
    lines = [f"{'injected':26s} {'place':70s} {'times':>5s}  {'lost':8s} noticed"]
    for key, row in sorted(first.items(), key=lambda item: item[0][1]):
        lost = "LOST" if row.lost else "?" if row.unexplained else "nothing"
        lines.append(f"{row.injected:26s} {row.place:70s} {counts[key]:5d}  {lost:8s} {row.noticed[:150]}")
    return lines


if __name__ == "__main__":
    console.run(main)
