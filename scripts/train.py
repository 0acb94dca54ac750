"""Train a run, or resume it.

    python scripts/train.py --data PATH --name mine
    python scripts/train.py --data PATH --name entry --recipe resnet50
    python scripts/train.py --data PATH --name tuned --model resnet50 --init-from resnet50.pth --freeze 1 --thaw-lr 0.1
    python scripts/train.py --data PATH --name cleaned --review decisions.csv
    python scripts/train.py --data drawn:4000:68 --data PATH --shares 0.7,0.3 --name both
    python scripts/train.py --name mine --fork calmer --step 3000 --lr 1e-4
    python scripts/train.py --data drawn:600:68 --name try --model resnet18 --size 64 --batch 16 --steps 150

The last is a two-minute trial on a laptop. The same command again resumes from the newest checkpoint; Ctrl-C saves
first. A run folder holds config.json, key.json, split.json, checkpoints/, log/ (TensorBoard) and metrics.jsonl. PATH is a
contest folder, another known format (docs/formats.md), or a folder packed by prepare.py; data that is not packed
is checked and packed into the cache first. docs/training.md describes recipes and flags.
"""

import dataclasses
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import config as configs
from jaxmarks.training import recipes
from pipelines.io import console, distributed


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument("--name", default="run", help="name of the run folder, runs/NAME (default: run)")
    parser.add_argument("--runs", default="runs", help="folder of the run folders (default: runs)")
    recipe_list = "; ".join(f"{name}: {r.about}" for name, r in recipes.NAMES.items())
    parser.add_argument("--recipe", default="", help=f"settings by name, overridden by flags. {recipe_list}")
    parser.add_argument("--fork", help="continue from a checkpoint of runs/NAME under other settings, as runs/FORK")
    parser.add_argument("--step", help="with --fork: checkpoint to continue from, a step or best (default: newest)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and stop")
    configs.add_arguments(parser)
    distributed.add_arguments(parser)
    return parser


console.begin(__name__, arguments)
console.large_pages()

from jaxmarks import backend, data_sets, experiment, processes
from jaxmarks.training import checkpoint, log, session, sharding
from pipelines import example, loader
from pipelines.io import compilation, costs
from pipelines.label_checks import conflicts, copied_labels, label_remarks, lattice_labels, shape_faults
from pipelines.packing import overwrites
from pipelines.runs import canvases, halves, pace, restore, run_data, run_folder, validation
from pipelines.sources import boxes, decisions, mixed, sampling_weights

NOT_SAME = "batches stay the same; the same bits as in one session are not promised"


def main() -> int:
    flags = vars(arguments().parse_args())
    folder, name, new, dry = (flags.pop(n) for n in ("runs", "name", "fork", "dry_run"))
    root, step, recipe = run_folder.folder(folder, name), flags.pop("step"), flags.pop("recipe")
    if step and not new:
        raise ValueError("--step says where a --fork begins; give both")
    if flags.get("deterministic"):
        backend.ask_same_bits()
    compilation.for_threads(flags.get("shards", 1))  # devices share the shards: no process has more of them
    console.join(flags)
    if new:
        return fork(
            root, run_folder.folder(folder, new), recipes.settings(recipe, flags) if recipe else flags, step, dry
        )
    asked = run_folder.settings(flags, recipe)
    if not run_folder.exists(root):
        overwrites.check_run("--name", root, [asked.data, asked.point_map])
    source = processes.together(lambda: run_data.of_config(asked, root, dry=dry))
    if processes.count() > 1:
        processes.same("the data", example.identity(source))
    if dry:
        return describe(planned(root, asked, source), source, fresh=not run_folder.exists(root))
    if not run_folder.exists(root):
        # raises what it can before anything is written
        processes.together(lambda: restore.check(run_folder.plan(root, asked, source)))
    with processes.held(lambda: run_folder.lock(root)):
        return train(processes.first_then(lambda: opened(root, asked, source)), source)


def opened(root: Path, asked: configs.Config, source: example.Source) -> run_folder.Run:
    """The run that is there, or a new one."""
    if not run_folder.exists(root):
        return run_folder.create(root, asked, source, restore.origin(asked))
    run, notes = run_folder.resume(run_folder.load(root), asked, source)
    print("".join(f"note: {note}; {NOT_SAME}\n" for note in notes), end="")
    return run


def planned(root: Path, asked: configs.Config, source: example.Source) -> run_folder.Run:
    """The run that is there, or that would be."""
    return (
        run_folder.resume(run_folder.load(root), asked, source)[0]
        if run_folder.exists(root)
        else run_folder.plan(root, asked, source)
    )


def describe(run: run_folder.Run, source: example.Source, *, fresh: bool) -> int:
    """--dry-run: sizes and steps, and nothing is written; fresh: the run would begin at step 0."""
    plan = experiment.assemble(run.config, run.key, run.scheme, len(run.parts["train"]))
    notes = restore.check(run) if fresh else []
    console.say(
        *remarks(run, plan, source, counted=True), *notes, *experiment.describe(plan), *configs.unusual(run.config)
    )
    if run_folder.exists(run.root):
        print(f"{run.root} already exists; it would resume from step {checkpoint.newest_step(run.root)}")
    return 0


def remarks(run: run_folder.Run, plan: experiment.Experiment, source: example.Source, *, counted: bool) -> list[str]:
    """What a person should know before training, a line each; counted: of the labels too."""
    chooses = halves.held(run, source).chooses
    by_labels = boxes.of_labels(chooses, range(len(chooses)), run.config.threads)
    own = (
        [f"no --data: {run.config.data}, faces that the project draws"]
        if run.config.data == configs.Config().data
        else []
    )
    return [
        *own,
        *decisions.describe(source),
        *halves.described(run, source),
        *sampling_weights.remarks(run.config.weights, run.parts["train"], source.names),
        *(of_labels(run, source) if counted else []),
        *boxes.describe(source, run.config.box_margin),
        *boxes.of_labels_lines(by_labels, len(chooses), "validation images"),
        *experiment.remarks(plan),
    ]


def of_labels(run: run_folder.Run, source: example.Source) -> list[str]:
    """Remarks on the labels, of several data sets on those of each."""
    lines = []
    paths = {data_sets.label(place): path for place, path in enumerate(data_sets.paths(run.config.data))}
    for label, some in mixed.apart(source).items():
        path = paths[label] if label else run.config.data
        if label and path.startswith("drawn:"):
            continue
        config = dataclasses.replace(run.config, data=path, shares="", point_map="")
        found = [
            *conflicts.describe(conflicts.of_source(some)),
            *copied_labels.describe(copied_labels.of_source(some)),
            *lattice_labels.describe(lattice_labels.of_source(some)),
            *shape_faults.describe(shape_faults.of_source(some, run.scheme)),
            *shape_faults.describe_mirror(shape_faults.mirror_misfit(some, run.scheme), some.num_points),
            *label_remarks.remarks(some, config, run.scheme),
        ]
        lines += [f"{label}: {line}" if label else line for line in found]
    return lines


def fork(parent: Path, root: Path, flags: dict, step: str | None, dry: bool) -> int:
    """--fork: a new run folder from a checkpoint of another, or the one that it made before, then a session of it."""
    if not run_folder.exists(root):
        overwrites.check_run("--fork", root)
    processes.together(lambda: None)  # none of several processes begins the folder before all have looked
    run, at = processes.first_then(lambda: restore.fork(parent, root, flags, step, dry=dry))
    if dry:
        print(f"{root}: would continue from {parent} at step {at}")
        return describe(run, run_data.of_run(run, dry=True, brief=False), fresh=False)
    print(f"{root}: forked from {parent} at step {at}; the same command goes on with it")
    with processes.held(lambda: run_folder.lock(root)):
        return train(run, run_data.of_run(run, brief=False))


def train(run: run_folder.Run, source: example.Source) -> int:
    """One session: from the newest checkpoint, or step 0, to the end or to Ctrl-C."""
    faults, stop = loader.Faults(run.config.max_faults), console.Stop()
    train_part, weights = run_data.split_of(run, source, "train"), run_folder.weights(run)
    plan = experiment.assemble(run.config, run.key, run.scheme, len(train_part))
    found = processes.together(lambda: checkpoint.restore(run.root, plan.template()))
    processes.same("the checkpoint", found[1].digest if found else "")
    begin = found[1].step if found else 0
    if found and begin >= plan.steps:
        processes.in_first(lambda: log.restore(run.root, found[1]))
        return finish(run, train_part)
    given, notes = (None, []) if found else restore.first_weights(run, plan)
    doing = f"going on from step {begin}" if found else "a new run"
    chooses = halves.held(run, source).chooses
    by_labels = boxes.of_labels(chooses, range(len(chooses)), run.config.threads)
    lines = [*remarks(run, plan, source, counted=not found), *notes, *experiment.describe(plan)[:1]]
    console.say(*lines, f"{run.root}: {doing} of {plan.steps} steps; setting up its network")
    progress, done = console.Progress(plan.steps, "step"), begin
    first = plan.place(found[0]) if found else plan.initial_state(given)
    kept, spent = canvases.opened(run, source, train_part, plan), costs.Costs()
    console.say(*kept.lines)
    feed = loader.batches(
        train_part,
        run.config,
        run.key,
        begin,
        faults=faults,
        weights=weights,
        store=kept.store,
        costs=spent,
        ready=kept.ready,
        rows=sharding.own_rows(plan.mesh, run.config.batch),
    )
    judge = validation.judging(plan, train_part, chooses, weights, faults, by_labels)
    judge = pace.announced(judge, progress, "first validation: compiling it, or reading it from the cache")
    take_step = pace.paced(plan.training_step(), progress, begin, plan.steps, run.config, spent)
    undecodable: list[str] | None = None
    try:
        for event in session.train(run.root, plan, first, found and found[1], take_step, feed, judge, stop, spent.take):
            if processes.is_first():
                progress.show(event.step, f"{session.describe(event)}{faults.describe()}")
            done = event.step
        undecodable = processes.gather_lines(faults.report())
    finally:
        progress.close()
        undecodable = faults.report() if undecodable is None else undecodable  # a failure: of this process alone
        if processes.is_first():
            run_folder.write_faults(run, undecodable)
            console.faults(undecodable)
    if done < plan.steps:
        known = f"saved at step {done}; the same command resumes"
        print(
            known
            if done
            else "stopped before the first step was saved: nothing to resume; the same command begins anew"
        )
        return processes.agree(stop.exit_code)
    return finish(run, train_part)


def finish(run: run_folder.Run, part: example.Source) -> int:
    """The end of a run, written down and said."""

    def write() -> list[str]:
        last = checkpoint.commits(run.root)[-1]
        return [
            *restore.write_history(run, part),
            *restore.best_line(run),
            *run_folder.finish(run, last.step, last.digest),
        ]

    console.say(*(processes.in_first(write) or []))
    return 0


if __name__ == "__main__":
    console.run(main)
