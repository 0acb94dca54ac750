"""Trains a run, or goes on with it.

    python scripts/train.py --data PATH --name mine
    python scripts/train.py --data drawn:600:68 --name try --model resnet18 --size 64 --batch 16 --steps 150

The second is a two-minute trial on a laptop. The same command again goes on from the newest checkpoint; Ctrl-C saves
first. A run folder holds config.json, key.json, split.json, checkpoints/, log/ (TensorBoard) and metrics.jsonl.
"""

from pathlib import Path

import jax

from jaxmarks import assemble, checkpoint, predict, session, sharding, state
from jaxmarks import config as configs
from jaxmarks import evaluate as evaluation
from pipelines import console, files, loader, runs, sources


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--name", default="run", help="the run folder is runs/NAME (default: run)")
    parser.add_argument("--runs", default="runs", help="where run folders lie (default: runs)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")
    configs.add_arguments(parser)
    flags = vars(parser.parse_args())
    root, dry = runs.folder(flags.pop("runs"), flags.pop("name")), flags.pop("dry_run")
    asked = runs.settings(flags)
    source = sources.open_source(asked.data)
    if dry:
        return describe(asked, source, root)
    held = runs.lock(root)
    if runs.exists(root):
        run, notes = runs.resume(runs.load(root), asked, source)
        print("".join(f"note: {n}; the same bits as in one sitting are not promised\n" for n in notes), end="")
    else:
        run = runs.create(root, asked, source)
    code = sit(run, source)
    held.close()
    return code


def describe(config: configs.Config, source: sources.Source, root: Path) -> int:
    """--dry-run: sizes and steps."""
    run = runs.plan(root, config, source)
    if runs.exists(root):
        run, _ = runs.resume(runs.load(root), config, source)
        print(f"{root} is there already; it would go on from step {checkpoint.newest_step(root)}")
    plan = assemble.assemble(config, run.key, run.scheme, len(run.parts["train"]))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(assemble.template(plan)))
    sizes = [len(run.parts[part]) for part in ("train", "val")]
    print(f"{sizes[0]} photographs to train on, {sizes[1]} to validate on")
    print("\n".join(assemble.remarks(plan)))
    print(f"{plan.steps} steps of {config.batch} on {plan.mesh.size} devices; {config.model} at {config.size} px")
    print(f"a checkpoint takes {size / 1e6:.0f} MB, four at most, in {root / 'checkpoints'}")
    return 0


def sit(run: runs.Run, source: sources.Source) -> int:
    """One sitting: from the newest checkpoint, or step 0, to the end or to Ctrl-C."""
    faults, stop = loader.Faults(), console.Stop()
    train_part, val_part = runs.part(run, source, "train"), runs.part(run, source, "val")
    plan = assemble.assemble(run.config, run.key, run.scheme, len(train_part))
    found = checkpoint.restore(run.root, assemble.template(plan))
    begin, offsets = (found[1].step, found[1].offsets) if found else (0, None)
    if begin >= plan.steps:
        return finish(run, "nothing to do but to use it")
    doing = f"going on from step {begin}" if found else "a new run"
    print("\n".join([*assemble.remarks(plan), f"{run.root}: {doing} of {plan.steps} steps"]), flush=True)
    feed = (sharding.split(plan.mesh, b) for b in loader.batches(train_part, run.config, run.key, begin, faults=faults))
    forward = assemble.forward(plan, "none")

    def validate(now: state.State) -> dict[str, float]:
        if not len(val_part):
            return {}
        ordered = loader.ordered(val_part, run.config, faults=faults)
        return evaluation.means(predict.gather(predict.predictions(forward, now, ordered, plan.mesh)), plan.scheme)

    progress, done = console.Progress(plan.steps, "step"), begin
    first = assemble.place(plan, found[0]) if found else assemble.initial_state(plan)
    for event in session.sit(run.root, plan, first, offsets, assemble.training_step(plan), feed, validate, stop):
        progress.show(event.step, session.describe(event))
        done = event.step
    progress.close()
    console.faults(faults.report())
    if done < plan.steps:
        print(f"stopped at step {done} and saved; the same command goes on from there")
        return 130
    return finish(run, "next:")


def finish(run: runs.Run, words: str) -> int:
    """The end of a run, said and written down."""
    last = checkpoint.commits(run.root)[-1]
    files.write_json(run.root / "final.json", {"step": last.step, "digest": last.digest})
    print(f"{run.root} is finished at step {last.step}; {words}")
    print(f"python scripts/evaluate.py --run {run.root} --data {run.config.data} --out out.json")
    return 0


if __name__ == "__main__":
    console.run(main)
