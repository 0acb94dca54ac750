"""Benchmark against peers, as one table: training, inference, views, rendering, loading, labels, first step, growth.

    make bench
    make bench BENCH_ARGS=--quick
    python scripts/bench/run.py --only train --only labels
    python scripts/bench/run.py --only infer-resnet18 --rounds 31 --out infer.json

The peers are installed into .bench-venv first, once. Each side of a row is a process of its own; their outputs are compared,
then they take turns, A B A B. A ratio is the peer's seconds over ours, its median over rounds with the quartiles: over 1,
ours is quicker. Writes bench.json. Exit code 1 where outputs differ by more than they should, or a side failed. What the
rows are, and how peers are written: docs/performance.md. Everything is on the CPU.
"""

import dataclasses
import tempfile
from pathlib import Path

import environment
import growth
import machine
import measure
import rows
from measure import Result

from pipelines.io import console, files
from pipelines.packing import overwrites

_HEAD = f"{'name':26s} {'ours':>9s} {'peer':>9s}  {'unit':9s} {'ratio':>6s} {'quartiles':>14s} {'memory':>7s}  peer; outputs"


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--only", action="append", help="rows whose names begin with this; may be repeated")
    parser.add_argument("--quick", action="store_true", help="some rows, on small sets")
    parser.add_argument("--rounds", type=int, help="turns of each side (default: by row, 2 to 15)")
    parser.add_argument("--out", default="bench.json", help="JSON file for the results (default: %(default)s)")
    flags = parser.parse_args()
    if flags.rounds is not None and flags.rounds < 1:
        raise ValueError(f"--rounds must be 1 or more, got {flags.rounds}")
    files.check_out("--out", flags.out)
    overwrites.check({"--out": [flags.out]})
    table, axes = chosen(flags.only, flags.quick)
    environment.make()
    here, peers = machine.describe(), environment.versions()
    print(f"{here['processor']}, {here['cores']} cores, {' '.join(here['flags'])}; peers: {spelled(peers)}")
    if here["load_before"] > 0.5:
        print(
            f"note: something else runs here, the load is {here['load_before']:.1f}; small batches suffer most from that"
        )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        limits = measure.limits(Path(folder))
        print(_HEAD, flush=True)
        found = []
        for row in table:
            for result in measure.row(row, Path(folder), limits, here["flags"], flags.rounds, flags.quick):
                print(line(result), flush=True)
                found.append(result)
        grown = []
        for axis in axes:
            grown.append(growth.measure(axis, Path(folder)))
            print(growth.line(grown[-1]), flush=True)
    print("limits, measured in this run: " + "; ".join(f"{name} {value:.0f}" for name, value in limits.items()))
    entries = [dataclasses.asdict(result) for result in found]
    known = {"machine": here | {"peers": peers}, "limits": limits, "rows": entries, "growth": grown}
    files.write_json(flags.out, known)
    print(flags.out)
    return int(any(r.failed for r in found))


def chosen(only: list[str] | None, quick: bool) -> tuple[list[rows.Row], list[growth.Axis]]:
    """The rows and axes of growth whose names begin as asked. Raises ValueError for a beginning that none has."""
    table, axes = rows.table(quick), [] if quick else list(growth.AXES)
    names = [each.name for each in (*table, *axes)]
    for start in only or []:
        if not any(name.startswith(start) for name in names):
            raise ValueError(f"--only {start}: no row is called so; there are {', '.join(names)}")
    asked = tuple(only or [""])
    return [r for r in table if r.name.startswith(asked)], [a for a in axes if a.name.startswith(asked)]


def spelled(versions: dict[str, str]) -> str:
    """Names and versions on one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "none"


def line(r: Result) -> str:
    """A row of the table."""
    if r.ratio is None:
        return f"{r.name:26s} {r.remark}{f': {r.peer_name}' if r.peer_name else ''}{f'; {r.difference}' if r.difference else ''}"
    low, high = r.spread
    figures = f"{r.ours:9.1f} {r.peer:9.1f}  {r.unit:9s} {r.ratio:6.2f} {f'{low:.2f} to {high:.2f}':>14s}"
    memory = f"{r.memory_ratio:7.2f}" if r.memory_ratio else f"{'':7s}"
    share = f"; {r.share:.0%} and {r.peer_share:.0%} of the limit" if r.share and r.peer_share else ""
    return f"{r.name:26s} {figures} {memory}  {r.peer_name}; {r.difference}{share}"


if __name__ == "__main__":
    console.run(main)
