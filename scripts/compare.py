"""Train several settings with several seeds each, and write a table of test NME with mean and spread.

    python scripts/compare.py --data PATH --vary augment=none,recipe,light --seeds 3 --out out/augment -- \\
        --model resnet18 --size 64 --batch 32 --steps 600
    python scripts/bench/mislabel.py --data PATH --out out/experiments/wrong
    python scripts/compare.py --data PATH --rows docs/experiments.json --out out/experiments -- \\
        --model resnet18 --size 64 --batch 32 --steps 600 --split-by '^(.*)_'

Arguments after -- are passed to train.py. Rows of a file are {"name", "flags"} with optional "data" (to train on
instead; {out} is OUT), "judge": false (train only) and "seeds": 1 (of this row alone); flags may contain {seed} and
{runs}, as in --init-from {runs}/NAME-{seed}. Every row is evaluated on the test split of --data. Runs are in OUT/runs and
resume if interrupted; one made by the same commands is used as it is. The table is OUT/table.md, the numbers
OUT/table.json.
"""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_data("data with a test split and its ground truth", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--vary", help="a flag of train.py and its values: augment=none,light")
    what.add_argument("--rows", help="a JSON file of rows: docs/experiments.json")
    parser.add_argument("--only", default="", help="rows to run now: NAME,NAME (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row, seeds 0, 1, ... (default: 3)")
    parser.add_argument("--tta", default="none", help="views for evaluation (default: none)")
    parser.add_argument("--out", required=True, help="folder to write to")
    return parser


console.begin(__name__, arguments)

from pipelines import open as opening
from pipelines.evaluation import experiments
from pipelines.io import files
from pipelines.packing import overwrites

NOTE = """Spread: the standard deviation over seeds. Differences are paired by seed, ± half the 95 % interval by Student's t
(an empty cell: not available). Norm of the weights: at the end of the training, mean over seeds."""


def main() -> int:
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    flags, common = arguments().parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    experiments.check_flags(common)
    if flags.seeds < 1:
        raise ValueError(f"--seeds must be 1 or more, got {flags.seeds}")
    rows = experiments.read(Path(flags.rows)) if flags.rows else experiments.varied(flags.vary)
    asked, out = experiments.chosen(rows, flags.only), Path(flags.out)
    files.check_out("--out", out, folder=True)
    overwrites.check({"--out": [out / "table.json", out / "table.md", out / "runs"]}, inputs=[flags.data, flags.rows])
    for row in asked:
        if not opening.exists(where := experiments.data_of(row, flags.data, out)):
            raise ValueError(f"row {row.name}: there is nothing at {where} to train on")

    def made(row: experiments.Row, seed: int) -> experiments.Commands:
        return experiments.commands(row, seed, common, flags.data, out, flags.tta)

    found: dict[str, dict[int, experiments.Result]] = {row.name: {} for row in rows}
    for row, seed in ((r, s) for r in rows for s in range(flags.seeds)):
        if (known := experiments.result(run_of(out, row, seed), made(row, seed))) is not None:
            found[row.name][seed] = known
    wanted = [(s, r) for s in range(flags.seeds) for r in asked if r.has(s)]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        for count, (seed, row) in enumerate(wanted, 1):
            if seed not in found[row.name]:
                run = run_of(out, row, seed)
                log = run / "metrics.jsonl"
                print(f"training {row.name}, seed {seed} ({count} of {len(wanted)}); its progress: {log}", flush=True)
                found[row.name][seed] = new = make(run, made(row, seed))
                print(f"  {'trained' if new.nme is None else f'test NME {new.nme:.4f}'}", flush=True)
                write(out, experiments.summary(rows, found))
    except KeyboardInterrupt as stopped:
        done = sum(seed in found[row.name] for seed, row in wanted)
        print(
            f"stopped: {done} of {len(wanted)} runs are done, and kept with the one that was begun in {out / 'runs'}; the same"
            " command goes on"
        )
        return 128 + (stopped.args[0] if stopped.args else signal.SIGINT)
    write(out, experiments.summary(rows, found))
    print(f"{out / 'table.md'}, {out / 'table.json'}")
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def run_of(out: Path, row: experiments.Row, seed: int) -> Path:
    """Return the folder of a run."""
    return out / "runs" / f"{row.name}-{seed}"


def make(run: Path, commands: experiments.Commands) -> experiments.Result:
    """Train and evaluate one run."""
    for script, arguments in commands.items():
        if script == "evaluate":
            print("  evaluating it", flush=True)
        path = Path(__file__).with_name(f"{script}.py")
        command = [sys.executable, str(path), *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            try:
                _, said = child.communicate()
            except KeyboardInterrupt:
                child.terminate()  # which saves before it ends
                child.communicate()
                raise
        if child.returncode:
            lines = said.strip().splitlines() or [f"exit code {child.returncode}"]
            raise ValueError(f"{run}: {lines[-1]}")
    experiments.note(run, commands)
    found = experiments.result(run, commands)
    assert found is not None
    return found


def write(out: Path, numbers: list[dict]) -> None:
    """The table so far, with the command beside it."""
    command = f"{console.as_typed('python scripts/compare.py')} {shlex.join(sys.argv[1:])}"
    files.write_json(out / "table.json", {"command": command, "rows": numbers})
    with files.whole(out / "table.md") as file:
        lines = experiments.table(numbers) if numbers else []
        file.write("\n".join([*lines, "", NOTE, "", f"    {command}", ""]).encode())


if __name__ == "__main__":
    console.run(main)
