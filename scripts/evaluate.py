"""How good a run is: NME, AUC, failure rate and, where points are asked, the contest score, each with its interval.

    python scripts/evaluate.py --run runs/NAME --data PATH --out out.json

Reads the test part of the data (its truth: test/landmarks_true.csv), or with --part val the run's validation part.
Writes out.json, and beside it out.csv with a row a photograph. NME is divided by the scheme's norm (68 points: the outer
eye corners; 971: the pupils; others: the box); the box norm is always reported beside it.
"""

from pathlib import Path

from jaxmarks import assemble, evaluate, predict, tta
from pipelines import answers, console, files, loader, runs, sources, trained


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--run", required=True, help="a run folder")
    parser.add_argument("--data", help="default: what the run was trained on")
    parser.add_argument("--out", required=True, help="the JSON file to write")
    parser.add_argument("--pictures", default="", help="the folder of the photographs, where the data does not say")
    parser.add_argument("--boxes", default="", help="CSV of file_name,x,y,width,height: what to look at in each")
    parser.add_argument("--part", default="test", choices=("test", "val"), help="which photographs (default: test)")
    parser.add_argument("--tta", default="none", choices=tta.NAMES, help="views of each photograph (default: none)")
    parser.add_argument("--checkpoint", default="best", help="best, newest or a step (default: best)")
    parser.add_argument(
        "--limit", type=float, default=0.10, help="NME at which AUC ends and a face fails (default: 0.10)"
    )
    flags = parser.parse_args()
    if not 0 < flags.limit < float("inf"):
        raise ValueError(f"--limit must be above 0, got {flags.limit}")
    if Path(flags.out).suffix == ".csv":
        raise ValueError(f"--out {flags.out}: name a .json file; the table goes beside it as .csv")
    run, plan, state, commit = trained.load(Path(flags.run), flags.checkpoint)
    faults = loader.Faults()
    data = flags.data or run.config.data
    if flags.part == "val":
        train = runs.data_of(run, flags.data)
        source = runs.part(run, train, "val")
    else:
        train = runs.training_labels(run, flags.data)
        source = runs.test_part(run, flags.data, pictures=flags.pictures, boxes=flags.boxes)
    runs.check_points(run, source)
    if not source.labelled:
        raise ValueError(
            f"{data}: no labels to compare with (test/landmarks_true.csv); --part val scores the held-out photographs"
        )
    progress = console.Progress(len(source), "photograph")
    batches = progress.over(loader.ordered(source, run.config, faults=faults))
    forward = assemble.forward(plan, flags.tta)
    found = predict.gather(predict.predictions(forward, state, batches, plan.mesh))
    progress.close()
    rows = evaluate.per_photograph(found.points, found.truth, found.mask, plan.scheme)
    asked = sources.asked_points(source)
    if asked is not None:
        rows["contest_score"] = evaluate.contest_scores(found.points, found.truth, [asked[i] for i in found.index])
    if train is not None:
        mean = answers.mean_face(train, found, run.config, faults)
        rows["mean_face_nme"] = evaluate.per_photograph(mean, found.truth, found.mask, plan.scheme)["nme"]
    report = evaluate.report(rows, flags.limit)
    about = {"run": flags.run, "step": commit.step, "tta": flags.tta, "part": flags.part}
    files.write_json(flags.out, {**report, **about})
    table = Path(flags.out).with_suffix(".csv")
    with files.whole(table) as file:
        answers.write_table(file, sources.names_at(source, found.index), rows)
    for name in report["intervals"]:
        low, high = report["intervals"][name]
        print(f"{name:16s} {report[name]:9.4f}   [{low:.4f}, {high:.4f}]")
    console.faults(faults.report())
    print(f"{report['count']} faces, step {commit.step}, views {flags.tta}: {flags.out}, each photograph in {table}")
    return 0


if __name__ == "__main__":
    console.run(main)
