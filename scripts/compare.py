"""Trains the same thing under several settings and seeds, and writes a table of test NME with mean and spread.

    python scripts/compare.py --data PATH --vary augment=none,recipe,light --seeds 3 --out out/augment -- \\
        --model resnet18 --size 64 --batch 32 --steps 600

What follows -- goes to train.py as it is. Runs lie in OUT/runs and go on where they were stopped; the table is
OUT/table.md, the numbers OUT/table.json. The spread is the standard deviation over seeds.
"""

import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from pipelines import console, files


def main() -> int:
    own, _, passed = " ".join(map(shlex.quote, sys.argv[1:])).partition(" -- ")
    parser = console.Parser(__doc__)
    parser.add_argument("--data", required=True, help="data with a test part whose truth is known")
    parser.add_argument("--vary", required=True, help="a flag of train.py and its values: augment=none,light")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each value, seeds 0, 1, ... (default: 3)")
    parser.add_argument("--tta", default="none", help="views by which the runs are judged (default: none)")
    parser.add_argument("--out", required=True, help="the folder to write to")
    flags = parser.parse_args(shlex.split(own))
    name, _, values = flags.vary.partition("=")
    if not values or flags.seeds < 1:
        raise ValueError("expected --vary FLAG=VALUE,VALUE,... and --seeds of 1 or more")
    out, rest = Path(flags.out), shlex.split(passed)
    found: dict[str, list[float]] = {}
    for seed in range(flags.seeds):
        for value in values.split(","):
            run = out / "runs" / f"{Path(value).stem}-{seed}"
            settings = [f"--{name}", value, "--seed", str(seed), *rest]
            found.setdefault(value, []).append(nme_of(run, flags.data, settings, flags.tta))
            print(f"{name} {value}, seed {seed}: {found[value][-1]:.4f}", flush=True)
            write(out, flags, name, rest, found)
    print(f"{out / 'table.md'}, {out / 'table.json'}")
    return 0


def nme_of(run: Path, data: str, settings: list[str], views: str) -> float:
    """Test NME of one run, trained here unless it is finished."""
    scripts = Path(__file__).parent
    train = [scripts / "train.py", "--data", data, "--runs", run.parent, "--name", run.name, *settings]
    judge = [scripts / "evaluate.py", "--run", run, "--data", data, "--tta", views, "--out", run / "test.json"]
    for command in (train, judge):
        done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{run}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads((run / "test.json").read_text())["nme"]


def write(out: Path, flags, name: str, rest: list[str], found: dict[str, list[float]]) -> None:
    """The table so far."""
    rows = {v: (statistics.mean(n), statistics.stdev(n) if len(n) > 1 else 0.0) for v, n in found.items()}
    lines = [f"| {name} | test NME, mean | spread | each |", "|---|---|---|---|"]
    lines += [f"| {v} | {m:.4f} | {s:.4f} | {', '.join(f'{n:.4f}' for n in found[v])} |" for v, (m, s) in rows.items()]
    own = f"--data {flags.data} --vary {flags.vary} --seeds {flags.seeds} --tta {flags.tta} --out {flags.out}"
    command = f"python scripts/compare.py {own} -- {shlex.join(rest)}"
    files.write_json(out / "table.json", {"command": command, "nme": found})
    with files.whole(out / "table.md") as file:
        file.write(("\n".join([*lines, "", f"    {command}", ""])).encode())


if __name__ == "__main__":
    console.run(main)
