"""Trains a run, or goes on with it.

    python scripts/train.py --data PATH --name mine
    python scripts/train.py --data drawn:600:68 --name try --model resnet18 --size 64 --batch 16 --steps 150

The second is a two-minute trial on a laptop. The same command again goes on from the newest checkpoint; Ctrl-C saves
first. A run folder holds config.json, key.json, split.json, checkpoints/, log/ (TensorBoard) and metrics.jsonl. PATH is a
contest folder, another known format (docs/formats.md), or a folder packed by prepare.py; what is not packed yet is
checked and packed into the cache first.
"""

from pathlib import Path

from jaxmarks import assemble, checkpoint, predict, session, state
from jaxmarks import config as configs
from jaxmarks import evaluate as evaluation
from pipelines import console, loader, runs, sources


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--name", default="run", help="the run folder is runs/NAME (default: run)")
    parser.add_argument("--runs", default="runs", help="where run folders lie (default: runs)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    configs.add_arguments(parser)
    flags = vars(parser.parse_args())
    root, dry = runs.folder(flags.pop("runs"), flags.pop("name")), flags.pop("dry_run")
    asked = runs.settings(flags)
    if dry:
        return describe(asked, root)
    source = runs.data(asked)
    if not runs.exists(root):
        runs.plan(root, asked, source)  # raises what it can before anything is written
    with runs.lock(root):
        run, notes = runs.resume(runs.load(root), asked, source) if runs.exists(root) else (None, [])
        print("".join(f"note: {n}; the same bits as in one sitting are not promised\n" for n in notes), end="")
        return sit(run or runs.create(root, asked, source), source)


def describe(asked: configs.Config, root: Path) -> int:
    """--dry-run: sizes and steps, from the tables alone."""
    source = sources.open_source(asked.data, pictures=asked.pictures, boxes=asked.boxes)
    run = runs.plan(root, asked, source)
    plan = assemble.assemble(asked, run.key, run.scheme, len(run.parts["train"]))
    print(f"{len(run.parts['train'])} photographs to train on, {len(run.parts['val'])} to validate on")
    print("\n".join([*assemble.remarks(plan), *assemble.describe(plan)]))
    if runs.exists(root):
        print(f"{root} is there already; it would go on from step {checkpoint.newest_step(root)}")
    return 0


def sit(run: runs.Run, source: sources.Source) -> int:
    """One sitting: from the newest checkpoint, or step 0, to the end or to Ctrl-C."""
    faults, stop = loader.Faults(run.config.max_faults), console.Stop()
    train_part, val_part = runs.part(run, source, "train"), runs.part(run, source, "val")
    plan = assemble.assemble(run.config, run.key, run.scheme, len(train_part))
    found = checkpoint.restore(run.root, assemble.template(plan))
    begin, offsets = (found[1].step, found[1].offsets) if found else (0, None)
    if begin >= plan.steps:
        return finish(run)
    doing = f"going on from step {begin}" if found else "a new run"
    print("\n".join([*assemble.remarks(plan), f"{run.root}: {doing} of {plan.steps} steps"]), flush=True)
    feed = loader.batches(
        train_part, run.config, run.key, begin, faults=faults, weights=runs.weights(run), ready=plan.split
    )
    forward = assemble.forward(plan, "none")

    def validate(now: state.State) -> dict[str, float]:
        ordered = loader.ordered(val_part, run.config, faults=faults)
        found = predict.gather(predict.predictions(forward, now, ordered, plan.mesh)) if len(val_part) else None
        return evaluation.means(found, plan.scheme) if found else {}

    progress, done = console.Progress(plan.steps, "step"), begin
    first = assemble.place(plan, found[0]) if found else assemble.initial_state(plan)
    try:
        for event in session.sit(run.root, plan, first, offsets, assemble.training_step(plan), feed, validate, stop):
            progress.show(event.step, f"{session.describe(event)}{faults.told()}")
            done = event.step
    finally:
        progress.close()
        runs.write_faults(run, faults.report())
        console.faults(faults.report())
    if done < plan.steps:
        print(f"stopped at step {done} and saved; the same command goes on from there")
        return 130
    return finish(run)


def finish(run: runs.Run) -> int:
    """The end of a run, written down and said."""
    last = checkpoint.commits(run.root)[-1]
    print("\n".join(runs.finish(run, last.step, last.digest)))
    return 0


if __name__ == "__main__":
    console.run(main)
