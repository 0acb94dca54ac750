"""Re-create a batch of a run from its saved key: the images as the network saw them, and their checksum.

    python scripts/replay.py --run runs/NAME --step 120
    python scripts/replay.py --run runs/NAME --step 120 --verify
    python scripts/replay.py --run runs/NAME --step 100:140 --verify
    python scripts/replay.py --run runs/NAME --why a1b2.jpg

Step N (from 0) takes the run from N to N + 1 steps; one that the run has yet to take is re-created too, with a note, one
beyond its last is an error. Writes a PNG sheet with the points drawn, and prints the checksum of the re-created batch
beside the logged one; exits with 1 if they differ, or if the log does not match the run's checkpoints. --verify then repeats
the steps from the nearest checkpoint before them, and compares loss, gradient norm, rate, checksum and each example's loss
with the log, bit for bit (guaranteed for the same code, versions, devices, cores and flags; on a GPU only with
--deterministic, else within a tolerance). --why prints the image history: each step that saw the image, how it was
augmented, its loss, and whether it was trimmed.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--run", required=True, help="a run folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--step", help="step, from 0; with --verify also FIRST:LAST, inclusive")
    what.add_argument("--why", metavar="FILE_NAME", help="print the history of an image")
    parser.add_argument("--verify", action="store_true", help="also repeat the steps, and compare them with the log")
    parser.add_data("path of the run's data, if it was moved")
    parser.add_argument("--out", help="sheet of the (first) step to write (default: runs/NAME/replay/STEP.png)")
    return parser


console.begin(__name__, arguments)

import numpy as np

from jaxmarks import backend, experiment, words
from jaxmarks.training import checkpoint, forward, log, replay, sharding
from pipelines import example, loader
from pipelines.io import compilation, files
from pipelines.packing import overwrites
from pipelines.reports import sheets
from pipelines.runs import restore, run_data, run_folder


def main() -> int:
    flags = arguments().parse_args()
    first, last = _range(flags.step, flags.verify) if flags.step else (0, 0)
    run = run_folder.load(Path(flags.run))
    files.check_outs({"--out": flags.out})
    overwrites.check({"--out": [flags.out]}, inputs=[flags.data, run.config.data])
    if run.config.deterministic:
        backend.ask_same_bits()
    compilation.for_threads(run.config.shards)
    part = run_data.split_of(run, run_data.of_run(run, flags.data), "train")
    if flags.why:
        return why(run, part, flags.why)
    logged = log.read_examples(run.root, run.config.batch)
    if flags.verify and last >= len(logged):
        raise ValueError(f"--step {last}: {taken(run, len(logged))}; only steps that were trained are verified")
    wrong = [damaged(run), show(run, part, logged, first, flags.out)]
    wrong += [verify(run, part, logged, first, last)] if flags.verify else []
    return int(any(wrong))


def _range(text: str, many: bool) -> tuple[int, int]:
    fields = text.split(":")
    if (
        len(fields) > 1 + many
        or not all(f.isascii() and f.isdigit() for f in fields)
        or int(fields[0]) > int(fields[-1])
    ):
        raise ValueError(
            f"--step must be 0 or more{', or FIRST:LAST' if many else ' (FIRST:LAST needs --verify)'}, got {text}"
        )
    return int(fields[0]), int(fields[-1])


def verify(run: run_folder.Run, part: example.Source, logged: np.ndarray, first: int, last: int) -> bool:
    """Take the steps again; return whether one is not what the log says."""
    plan = experiment.assemble(run.config, run.key, run.scheme, len(part))
    state = checkpoint.anchor_before(run.root, plan.template(), first)
    for note in run_folder.other_versions(run):
        print(f"note: {note}; the same bits are not promised")
    print(
        f"from the checkpoint of step {int(state.step)}: {words.counted(last + 1 - int(state.step), 'step')} to take",
        flush=True,
    )
    feed = loader.batches(part, run.config, run.key, int(state.step), weights=run_folder.weights(run), ready=plan.split)
    different, tolerance = 0, 0.0 if backend.same_bits() else replay.TOLERANCE
    take, first_state = plan.training_step(), plan.place(state)
    for r in replay.replayed(take, first_state, feed, logged, first, last, tolerance):
        print(replay.describe(r, tolerance), flush=True)
        different += bool(r.differ)
    print(f"{words.counted(last + 1 - first, 'step')} verified, {different} different")
    return different > 0


def show(run: run_folder.Run, part: example.Source, logged: np.ndarray, number: int, out: str | None) -> bool:
    """The batch of a step as a sheet; return whether its checksum is not what the log says."""
    faults = loader.Faults()
    plan = experiment.assemble(run.config, run.key, run.scheme, len(part), sharding.mesh_dividing(run.config.divisible))
    if number >= plan.steps:
        raise ValueError(f"--step {number}: the last step of {run.root} is {plan.steps - 1}, counted from 0")
    batch = next(loader.batches(part, run.config, run.key, number, faults=faults, weights=run_folder.weights(run)))
    shown = plan.render()(plan.split(batch))
    found = int(forward.checksum(shown.images, shown.points))
    row = logged[number] if number < len(logged) else None
    path = Path(out) if out else run.root / "replay" / f"{number:08d}.png"
    sheets.write_batch(
        path, np.asarray(shown.images), np.asarray(shown.points), example.names_at(part, batch.index), row
    )
    equal = row is None or row["checksum"] == found
    said = f"not trained, only re-created: {taken(run, len(logged))}"
    if row is not None:
        said = f"the log has {row['checksum']:08x}: {'equal' if equal else 'DIFFERENT'}"
    print(f"the batch of step {number}: checksum {found:08x}, {said}")
    print(f"as the network saw it{' (file, loss, x: trimmed)' if row is not None else ''}: {path}")
    console.faults(faults.report())
    return not equal


def taken(run: run_folder.Run, count: int) -> str:
    """Return the steps that a run has in its log."""
    return (
        f"the last step in the log of {run.root} is {count - 1}, counted from 0" if count else f"{run.root} took none"
    )


def damaged(run: run_folder.Run) -> bool:
    """Print where the log is not what the run's checkpoints counted; return whether it is not."""
    fault = log.damage(run.root, checkpoint.commits(run.root), "examples.bin")
    if fault:
        print(fault)
    return bool(fault)


def why(run: run_folder.Run, part: example.Source, name: str) -> int:
    """A line for each step at which an image was seen; exit code 1 where it never was."""
    if name not in part.names:
        raise ValueError(f"--why {name}: {restore.where_is(run, name)}")
    lines = restore.story(run, part, name)
    print("\n".join(lines))
    steps = len(log.read_examples(run.root, run.config.batch))
    print(f"{name}: seen {words.counted(len(lines), 'time')} in {words.counted(steps, 'step')}")
    return int(not lines)


if __name__ == "__main__":
    console.run(main)
