"""Comparisons: rows as they are written, runs as they are named, and a table whose numbers are checked by hand and SciPy."""

import csv
import importlib
import json
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.evaluation import experiments
from pipelines.evaluation.experiments import Result, Row
from pipelines.images import decode
from pipelines.io import files
from tests.commands import ROOT
from tests.pipelines.runs.test_run_folder import rejection
from tests.pipelines.sources.formats.test_contest import contest_folder, landmarks, picture, small_folder, train_of

COMMON = ["--model", "resnet18", "--split-by", "^(.*)_"]


def rows_file(path: Path, rows: object) -> Path:
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


def test_rows_are_read_as_they_are_written(tmp_path):
    written = [
        {"name": "plain", "flags": ""},
        {"name": "other", "flags": "--loss l1", "data": "{out}/wrong", "judge": False},
    ]
    found = experiments.read(rows_file(tmp_path / "rows.json", written))
    assert found == [Row("plain", "", "", True), Row("other", "--loss l1", "{out}/wrong", False)]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("[", "rows.json:1: not JSON"),
        ("{}", "rows.json: expected a list of rows"),
        ([], "rows.json: expected a list of rows"),
        (["--loss l1"], "rows.json: expected a list of rows"),
        ([{"name": "a", "flags": ""}, {"name": "b", "flags": "", "seed": 3}], "row 2: unknown key 'seed'"),
        ([{"name": "a", "flags": "", "seeds": "3"}], "row 1: seeds must be of type int"),
        ([{"name": "a"}], "row 1: flags is missing"),
        ([{"flags": ""}], "row 1: name is missing"),
        ([{"name": "a", "flags": ["--loss", "l1"]}], "row 1: flags must be of type str"),
        ([{"name": "a", "flags": "", "judge": "no"}], "row 1: judge must be of type bool"),
        ([{"name": "a", "flags": ""}, {"name": "a", "flags": "--loss l1"}], "two rows are named a"),
        ([{"name": "../a", "flags": ""}], "'../a' is not a plain name"),
        ([{"name": "a", "flags": "--split-by '^("}], "row a: No closing quotation"),
        ([{"name": "a", "flags": "--loss l1 --seed=4"}], "row a: --seed=4 is given by the comparison itself"),
    ],
)
def test_rows_that_cannot_be_meant_are_rejected_in_a_line(tmp_path, rows, told):
    assert told in rejection(experiments.read, rows_file(tmp_path / "rows.json", rows))


def test_a_missing_file_of_rows_and_an_unknown_name_are_reported(tmp_path):
    assert rejection(experiments.read, tmp_path / "none.json") == f"`rows` {tmp_path}/none.json: does not exist"
    rows = [Row("a", ""), Row("b", ""), Row("c", "")]
    assert experiments.chosen(rows, "c,a") == [rows[0], rows[2]] and experiments.chosen(rows, "") == rows
    assert rejection(experiments.chosen, rows, "a,d") == "`only` d: no such row; there are a, b, c"


def test_one_flag_is_varied_by_its_values():
    found = experiments.varied("augment=none,my own/mix.json")
    assert found == [Row("none", "--augment none"), Row("mix", "--augment 'my own/mix.json'")]
    assert "two rows are named mix" in rejection(experiments.varied, "augment=a/mix.json,b/mix.json")
    for text in ("augment", "augment=", "=light"):
        assert "expected FLAG=VALUE" in rejection(experiments.varied, text)


def test_placeholders_are_filled_and_nothing_else():
    row = Row("late", "--init-from {runs}/early-{seed} --split-by '^(.{2})_'", "{out}/wrong")
    made = experiments.commands(row, 7, COMMON, "faces", Path("my out"), "flip")
    own = ["--data", "my out/wrong", "--runs", "my out/runs", "--name", "late-7", "--seed", "7"]
    assert made["train"] == [*COMMON, "--init-from", "my out/runs/early-7", "--split-by", "^(.{2})_", *own]
    judge = "--run 'my out/runs/late-7' --data faces --tta flip --out 'my out/runs/late-7/test.json'"
    assert list(made) == ["train", "evaluate"] and made["evaluate"] == shlex.split(judge)
    assert list(experiments.commands(row._replace(judge=False), 7, COMMON, "faces", Path("o"), "flip")) == ["train"]


def test_the_rows_of_the_project_can_be_read_and_begin_from_what_comes_before_them():
    rows = experiments.read(ROOT / "docs" / "experiments.json")
    names = [row.name for row in rows]
    for place, row in enumerate(rows):
        made = experiments.commands(row, 2, [], "faces", Path("out"), "none")["train"]
        assert not any("{" in flag for flag in made)
        if "--init-from" in made:
            begins = Path(made[made.index("--init-from") + 1]).name
            assert begins in [
                f"{name}-{s}" for name, row in zip(names[:place], rows, strict=False) for s in (2, 0) if row.has(s)
            ]
    assert [row.name for row in rows if not row.has(1)] == ["pretrained"] and all(row.has(0) for row in rows)
    assert rows[0] == Row("baseline", "") and [row.name for row in rows if not row.judge] == ["pretrained"]


def test_students_t_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 3, 4, 9, 30, 200):
        assert experiments.student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-5)


def test_the_paired_interval_is_scipys_over_the_seeds_that_both_have(random):
    stats = pytest.importorskip("scipy.stats")
    first = dict(enumerate(random.rand(6)))
    ours = {seed: random.rand() for seed in (5, 0, 2, 3, 9)}
    found = experiments.paired(ours, first)
    test = stats.ttest_rel([ours[s] for s in (0, 2, 3, 5)], [first[s] for s in (0, 2, 3, 5)])
    low, high = test.confidence_interval(0.95)
    assert found["mean"] == pytest.approx((low + high) / 2) and found["half"] == pytest.approx(
        (high - low) / 2, rel=1e-5
    )
    assert experiments.paired({1: 3.0}, {1: 1.0, 2: 1.0}) == {"mean": 2.0, "half": None}
    assert experiments.paired({1: 3.0}, {2: 1.0}) == {"mean": None, "half": None}


def test_the_table_of_an_unfinished_comparison():
    rows = [Row("pre", "", judge=False), Row("base", ""), Row("a|b", "--loss l1", "{out}/wrong"), Row("none", "")]
    found = {
        "pre": {0: Result(None, 9.0)},
        "base": {1: Result(0.12, 31.0), 0: Result(0.10, 30.0)},
        "a|b": {0: Result(0.09, None)},
    }
    lines = experiments.table(experiments.summary(rows, found))
    assert lines == [
        "|  | test NME, mean | spread | each | less base | norm of the weights | flags |",
        "|---|---|---|---|---|---|---|",
        "| base | 0.1100 | 0.0141 | 0.1000, 0.1200 |  | 30.50 |  |",
        "| a\\|b | 0.0900 |  | 0.0900 | -0.0100 |  | `--data {out}/wrong --loss l1` |",
    ]
    both = {**found, "a|b": {0: Result(0.09, 20.0), 1: Result(0.115, 20.5)}}
    assert (
        "| -0.0075 ± 0.0318 | 20.25 |" in experiments.table(experiments.summary(rows, both))[-1]
    )  # 12.706 * 0.0035 / 1.41


def finished(out: Path, row: Row, seed: int, data: Path, nme: float, norms: list) -> None:
    """A run folder as training and judging leave it."""
    run = out / "runs" / f"{row.name}-{seed}"
    run.mkdir(parents=True)
    lines = [{"step": step, "split": "train", "loss": 1.0, "weight_norm": norm} for step, norm in enumerate(norms, 1)]
    (run / "metrics.jsonl").write_text("\n".join(json.dumps(v) for v in [*lines, {"step": 9, "split": "val"}]) + "\n")
    files.write_json(run / "test.json", {"nme": nme})
    experiments.note(run, experiments.commands(row, seed, COMMON, str(data), out, "none"))


def test_finished_runs_become_a_table_without_being_made_again(tmp_path, command):
    data, out = small_folder(tmp_path / "data"), tmp_path / "out"
    rows = [Row("base", ""), Row("l1", "--loss l1")]
    path = rows_file(tmp_path / "rows.json", [{"name": row.name, "flags": row.flags} for row in rows])
    for row, seed, nme in ((rows[0], 0, 0.11), (rows[0], 1, 0.13), (rows[1], 0, 0.10), (rows[1], 1, 0.125)):
        finished(out, row, seed, data, nme, [40.0, 30.0 + seed])
    flags = ("--data", data, "--rows", path, "--out", out, "--seeds", 2)
    code, said = command("compare", *flags, "--only", "l1", "--", *COMMON)
    assert code == 0 and said.out == f"{out / 'table.md'}, {out / 'table.json'}\n", said.err
    text = (out / "table.md").read_text()
    assert "| base | 0.1200 | 0.0141 | 0.1100, 0.1300 |  | 30.50 |  |\n" in text
    assert "| l1 | 0.1125 | 0.0177 | 0.1000, 0.1250 | -0.0075 ± 0.0318 | 30.50 | `--loss l1` |\n" in text
    numbers = files.read_json(out / "table.json")
    assert shlex.split(numbers["command"]) == [
        "python",
        "scripts/compare.py",
        *map(str, flags),
        "--only",
        "l1",
        "--",
        *COMMON,
    ]
    assert numbers["rows"][1]["seeds"] == [0, 1] and numbers["rows"][1]["nme"] == [0.10, 0.125]


def test_it_says_what_it_begins_and_stopped_what_it_keeps(tmp_path, command, monkeypatch):
    data, out = small_folder(tmp_path / "data"), tmp_path / "out"
    finished(out, Row("base", ""), 0, data, 0.11, [40.0, 30.0])
    ended = []

    class Child(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([sys.executable, "-c", "import time; time.sleep(60)"], **options)

        def communicate(self, *arguments):
            if not ended:
                ended.append(self)
                raise KeyboardInterrupt(15)  # as the handler of SIGTERM does
            return super().communicate(*arguments)

    monkeypatch.setattr(subprocess, "Popen", Child)
    path = rows_file(tmp_path / "rows.json", [{"name": "base", "flags": ""}, {"name": "l1", "flags": "--loss l1"}])
    code, said = command("compare", "--data", data, "--rows", path, "--out", out, "--seeds", 2, "--", *COMMON)
    assert code == 143 and ended[0].returncode == -15
    begun, last = said.out.splitlines()
    assert begun == "training l1, seed 0 (2 of 4)" and "1 of 4" in last and str(out / "runs") in last


def test_a_run_that_was_made_otherwise_is_not_taken(tmp_path):
    row, data = Row("base", ""), tmp_path / "data"
    finished(tmp_path, row, 0, data, 0.1, [3.0])
    run = tmp_path / "runs" / "base-0"
    for common, of, views in (
        (COMMON, row, "none"),
        ([], row, "none"),
        (COMMON, Row("base", "--lr 1"), "none"),
        (COMMON, row, "flip"),
    ):
        found = experiments.result(run, experiments.commands(of, 0, common, str(data), tmp_path, views))
        assert (found is not None) == (common == COMMON and of == row and views == "none")
    assert experiments.result(tmp_path / "runs" / "base-1", {}) is None


def test_what_cannot_be_compared_is_rejected_before_anything_is_trained(tmp_path, rejected):
    data, out = small_folder(tmp_path / "data"), tmp_path / "out"
    given = ("compare", "--data", data, "--out", out)
    assert "not allowed with argument" in rejected(*given, "--vary", "loss=l1", "--rows", "rows.json")
    assert "one of the arguments --vary --rows is required" in rejected(*given)
    assert "--seeds must be 1 or more" in rejected(*given, "--vary", "loss=l1", "--seeds", 0)
    assert "--name is given by the comparison" in rejected(*given, "--vary", "loss=l1", "--", "--name", "x")
    path = rows_file(tmp_path / "rows.json", [{"name": "a", "flags": "", "data": "{out}/wrong"}])
    assert f"row a: there is nothing at {out}/wrong to train on" in rejected(*given, "--rows", path)
    assert not out.exists()


@pytest.fixture
def forty(tmp_path, random) -> Path:
    """A contest folder of forty labels of four points in whole pixels, in no order of names, with a test split."""
    names = [f"{i:02d}.png" for i in random.permutation(40)]
    train = {name: (picture(5), random.randint(-9, 60, (4, 2))) for name in names}
    return contest_folder(tmp_path / "data", train, {"z.png": (picture(9), [[1, 2]] * 4)}, {"z.png": [1, 0]})


def labels_of(root: Path) -> dict[str, np.ndarray]:
    names, points = landmarks(root / "train" / "landmarks.csv")
    return dict(zip(names, points.astype(np.float64), strict=True))


def test_wrong_labels_are_wrong_in_the_way_that_is_reported_and_all_others_as_they_were(forty, tmp_path, command):
    code, _ = command("bench/mislabel", "--data", forty, "--out", tmp_path / "wrong", "--share", 0.3)
    true, found = labels_of(forty), labels_of(tmp_path / "wrong")
    kinds = dict(list(csv.reader((tmp_path / "wrong" / "wrong.csv").read_text().splitlines()))[1:])
    assert code == 0 and Counter(kinds.values()) == {"another": 4, "shifted": 4, "mirrored": 4}
    assert {name for name in true if not np.array_equal(true[name], found[name])} == set(kinds)
    for name, kind in kinds.items():
        was, now = true[name], found[name]
        if kind == "another":
            assert any(np.array_equal(now, other) for key, other in true.items() if key != name)
        if kind == "shifted":
            step = now - was
            assert (step == step[0]).all()
            assert 0.1 - 0.03 < np.linalg.norm(step[0]) / np.ptp(was, 0).max() < 0.25 + 0.03  # whole pixels
        if kind == "mirrored":
            assert np.array_equal(now[:, 0] - was[:, 0].min(), was[:, 0].max() - was[:, 0])
            assert np.array_equal(now[:, 1], was[:, 1])
    for part in ("train", "test"):
        old, new = (opening.open_source(str(root), part) for root in (forty, tmp_path / "wrong"))
        assert [new[i].image for i in range(len(new))] == [old[i].image for i in range(len(old))]
    assert np.array_equal(opening.open_source(str(tmp_path / "wrong"), "test")[0].points, [[1, 2]] * 4)


def test_the_same_seed_makes_the_same_mistakes(forty, tmp_path, command, rejected):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        command("bench/mislabel", "--data", forty, "--out", tmp_path / name, "--share", 0.3, "--seed", seed)
    texts = [[(tmp_path / n / f).read_bytes() for f in ("wrong.csv", "train/landmarks.csv")] for n in "abc"]
    assert texts[0] == texts[1] and texts[0][0] != texts[2][0]
    assert "already exists" in rejected("bench/mislabel", "--data", forty, "--out", tmp_path / "a")
    assert "--share" in rejected("bench/mislabel", "--data", forty, "--out", tmp_path / "d", "--share", 0)
    assert not (tmp_path / "d").exists() and not list(tmp_path.glob(".*.tmp"))


@pytest.fixture(scope="module")
def peers():
    pytest.importorskip("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts" / "bench")
        yield importlib.import_module("peers")


def test_the_peer_is_torchvisions_resnet18_by_its_size(peers):
    model = peers.ResNet("resnet18", 1000)
    assert sum(p.numel() for p in model.parameters()) == 11_689_512  # as torchvision documents it
    assert model(peers.torch.zeros(2, 3, 64, 64)).shape == (2, 1000)


def test_the_peers_predictions_are_mapped_back(peers, tmp_path):
    """A network that says the truth of each crop is right in every image's own pixels, and a crop is where it says."""
    image = np.zeros((90, 130, 3), np.uint8)
    image[40:49, 60:69] = 255  # a square about (64, 44)
    source = train_of(contest_folder(tmp_path, {"a.png": (decode.encode_png(image), [[64, 44], [-20.5, 300]])}))
    crop, points, home = peers.ImageDataset.of_table(source.table, 48)[0]
    rows, columns = np.nonzero(crop[0].numpy() > 127)
    assert [columns.mean(), rows.mean()] == pytest.approx(points[0].tolist(), abs=0.5)

    class Oracle(peers.nn.Module):
        def forward(self, images):
            return (points - 23.5).flatten()[None] / 24

    assert peers.predict(Oracle(), source, 48)[0] == pytest.approx(np.array([[64, 44], [-20.5, 300]]), abs=1e-3)
