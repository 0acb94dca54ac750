"""Find a learning rate: a short training with a rate that moves from one end to the other, and its loss over the rate.

    python scripts/find_lr.py --data PATH --out lr.png
    python scripts/find_lr.py --data drawn:600:68 --model resnet18 --size 64 --batch 16 --from 1e-5 --to 1 --out lr.png

In a downward sweep, the default, training progresses and the loss falls where the rate is right; in an upward sweep it
falls, stalls and diverges. The suggested rate and range are printed and marked in the plot; the numbers are written beside
it as .json. No run is written. The flags are train.py's except those of the schedule, and so are the batches.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import config as configs
from pipelines.io import console

UNUSED = (
    "schedule", "lr", "warmup", "steps", "epochs", "freeze", "thaw_lr", "plateau_factor", "plateau_patience", "ema",
    "val_every", "save_minutes", "deterministic",
)  # fmt: skip


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--out", required=True, help="PNG to write; the numbers are written beside it as .json")
    parser.add_argument("--from", dest="first", type=float, default=1e-2, help="first rate (default: %(default)g)")
    parser.add_argument("--to", dest="last", type=float, default=1e-5, help="last rate (default: %(default)g)")
    parser.add_argument("--sweep-steps", type=int, default=200, help="training steps (default: %(default)s)")
    configs.add_arguments(parser, UNUSED)
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import data_sets, experiment
from jaxmarks.training import loop, optimizer, sweep
from pipelines import loader
from pipelines.io import compilation, files
from pipelines.packing import overwrites
from pipelines.reports import plots
from pipelines.runs import restore, run_data, run_folder
from pipelines.sources import sampling_weights


def main() -> int:
    flags = vars(arguments().parse_args())
    out, first, last, steps = (flags.pop(name) for name in ("out", "first", "last", "sweep_steps"))
    check(out, first, last, steps, flags)
    given = [
        flags.get(name)
        for name in ("data", "augment", "scheme", "boxes", "weights", "review", "init_from", "point_map")
    ]
    overwrites.check({"--out": [out], "the numbers of --out": [Path(out).with_suffix(".json")]}, inputs=given)
    config = run_folder.settings({**flags, "steps": steps, "schedule": "constant", "warmup": 0})
    found = sweep_of(config, optimizer.sweep(first, last, steps))
    rates, losses, stopped = found
    if stopped:
        print(f"stopped at step {len(rates)} of {steps}; nothing was written")
        return stopped
    if not len(rates):
        raise ValueError(f"--from {first:g}: the loss of the very first step is not finite")
    used = {name: value for name, value in configs.to_dict(config).items() if name not in UNUSED}
    print("\n".join(write(Path(out), rates, losses, {"from": first, "to": last, "sweep_steps": steps, **used})))
    return 0


def check(out: str, first: float, last: float, steps: int, flags: dict[str, Any]) -> None:
    """Raise ValueError for what cannot be swept."""
    if unused := [name for name in UNUSED if name in flags]:
        raise ValueError(f"--{unused[0].replace('_', '-')} means nothing to a sweep: it tries rates, and ends")
    if Path(out).suffix != ".png":
        raise ValueError(f"--out {out}: name a .png file; the numbers go beside it as .json")
    files.check_outs({"--out": out, "the numbers of --out": str(Path(out).with_suffix(".json"))})
    if not (1e-9 <= first <= 10 and 1e-9 <= last <= 10) or max(first, last) < 2 * min(first, last):
        raise ValueError(
            f"--from and --to must lie in 1e-9..10, a factor of 2 or more apart, got {first:g} and {last:g}"
        )
    if not sweep.LEAST <= steps <= 10**5:
        raise ValueError(f"--sweep-steps must lie in {sweep.LEAST}..100000, got {steps}")


def sweep_of(config: configs.Config, schedule: Callable) -> tuple[np.ndarray, np.ndarray, int]:
    """Rates and losses f64[steps] of a training as far as the loss is finite; and the exit code where it was stopped before
    the last of them, else 0."""
    source, faults = run_data.of_config(config), loader.Faults(config.max_faults)
    run = run_folder.plan(Path(), config, source)._replace(origin=restore.origin(config))
    part = run_data.split_of(run, source, "train")
    weights = sampling_weights.of(part.names, config, config.weights)
    plan = experiment.assemble(config, run.key, run.scheme, len(part))
    begin, notes = restore.first_weights(run, plan)
    console.say(*experiment.remarks(plan), *notes)
    feed = loader.batches(part, config, run.key, faults=faults, weights=weights, ready=plan.split)
    take, first = plan.training_step(schedule), plan.initial_state(begin)
    progress, stop = console.Progress(config.steps, "step"), console.Stop()
    rates, losses, bad = np.zeros(0), np.zeros(0), -1
    progress.start()
    take = compilation.report_first_call(take, progress.say)
    try:
        for block in loop.blocks(take, first, feed, (config.log_every,), config.steps, stop):
            bad, record = int(block.state.bad_step), block.record
            good = len(record.loss) if bad < 0 else bad - block.first
            rates, losses = np.append(rates, record.lr[:good]), np.append(losses, record.loss[:good])
            progress.show(block.first + len(record.loss), f"rate {record.lr[-1]:.1e}  loss {record.loss[-1]:.3f}")
            if bad >= 0:
                break
    finally:
        progress.close()
        console.faults(faults.report())
    return rates, losses, stop.exit_code if bad < 0 and len(rates) < config.steps else 0


def write(out: Path, rates: np.ndarray, losses: np.ndarray, settings: dict[str, Any]) -> list[str]:
    """Write the plot and the numbers; return remarks on them, a line each."""
    smoothed, suggestion, remarks = sweep.smoothed(losses), sweep.suggested(rates, losses), []
    data = ", ".join(Path(path).name for path in data_sets.paths(settings["data"]))
    title = f"{settings['model']}, {settings['size']} px, batch {settings['batch']}, {data}"
    plots.learning_rate(out, title, rates, losses, smoothed, suggestion)
    numbers = {"rates": rates.tolist(), "losses": losses.tolist(), "smoothed": smoothed.tolist()}
    chosen = suggestion._asdict() if suggestion else None
    files.write_json(out.with_suffix(".json"), {**numbers, "suggested": chosen, "settings": settings})
    if len(rates) < settings["sweep_steps"]:
        remarks.append(f"the loss was not finite after rate {sweep.short(rates[-1])}; the sweep ended there")
    found = "no rate can be suggested: the loss does not fall clearly; try more --sweep-steps, a larger --batch or other ends"
    if suggestion:
        low, high, best = map(sweep.short, suggestion)
        found = f"suggested: --lr {best} (range {low} .. {high})"
    return [*remarks, f"{found}; plot: {out}, numbers: {out.with_suffix('.json')}"]


if __name__ == "__main__":
    console.run(main)
