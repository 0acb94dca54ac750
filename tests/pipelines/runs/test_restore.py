"""Runs that begin with another's weights, forks, recipes, and what is told of an image; by the commands."""

import csv
import json
import re
import shutil

import jax
import numpy as np
import pytest

from jaxmarks import config as configs
from jaxmarks import experiment, keys, landmarks, models
from jaxmarks.training import checkpoint, recipes
from jaxmarks.training import state as states
from pipelines.runs import restore as opened
from pipelines.runs import run_folder
from tests.commands import SMALL, done


def _state(root, which="newest"):
    run = run_folder.load(root)
    plan = experiment.assemble(run.config, run.key, run.scheme, len(run.parts["train"]))
    return checkpoint.require(root, plan.template(), which)[0]


def _same(one, other):
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def _train(data, folder, name, *flags):
    return ("train", "--data", data, "--runs", folder, "--name", name, "--steps", 2, *SMALL, *flags)


@pytest.mark.slow
def test_a_run_begins_with_the_best_weights_of_another_and_says_so(trained, tmp_path):
    data, parent, _ = trained
    said = done(*_train(data, tmp_path, "next", "--init-from", parent, "--size", 40))
    assert f"begins with the weights of {parent}" in said and "trained at 32 px, this run at 40" in said
    first, before = _state(tmp_path / "next", "0"), _state(parent, "best")
    assert _same(first.params, before.params) and _same(first.stats, before.stats)
    assert int(first.step) == 0 and not _same(_state(tmp_path / "next").params, before.params)
    stored = json.loads((tmp_path / "next" / "config.json").read_text())
    assert stored["origin"] in {c.digest for c in checkpoint.commits(parent)}


@pytest.mark.slow
def test_another_number_of_points_gets_a_new_head_and_the_backbone(trained, tmp_path):
    _, parent, _ = trained
    said = done(*_train("drawn:12:68", tmp_path, "wide", "--init-from", parent))
    assert "the head is of another number of points: it starts anew" in said
    first, before = _state(tmp_path / "wide", "0"), _state(parent, "best")
    assert _same(first.params["backbone"], before.params["backbone"])
    assert first.params["head"]["bias"].shape == (136,)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--model", "resnet50", "--init-from", "{run}"), "{run} is a resnet18: give --model resnet18"),
        (("--init-from", "{data}"), "no run folder with a checkpoint"),
        (("--init-from", "{data}/nothing.pth"), "nothing.pth"),
        (("--init-from", "{data}/train/landmarks.csv"), "landmarks.csv"),
        (("--recipe", "finetune-enme"), "finetune-enme starts from weights: give them as --init-from"),
        (("--recipe", "finest"), "choose one of baseline, "),
    ],
)
def test_weights_and_recipes_that_cannot_be_are_one_line(trained, command, tmp_path, flags, told):
    data, run, _ = trained
    flags = [str(f).format(run=run, data=data) for f in flags]
    code, said = command(*_train(data, tmp_path, "bad", *flags))
    assert code == 2 and told.format(run=run, data=data) in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "bad").exists()


def test_a_run_resumes_only_with_the_weights_it_began_with(trained, command, tmp_path):
    data, parent, _ = trained
    code, said = command(*_train(data, parent.parent, "one", "--init-from", parent, "--steps", 6))
    assert code == 2 and "began with weights drawn from its key" in said.err


@pytest.mark.slow
def test_a_fork_resumes_from_its_parents_step_under_other_settings(trained, tmp_path):
    data, parent, _ = trained
    folder = tmp_path / "runs"
    shutil.copytree(parent, folder / "one")
    middle = checkpoint.commits(parent)[1].step
    fork = ("--runs", folder, "--name", "one", "--fork", "two", "--step", middle)
    said = done("train", *fork, "--steps", 8, "--lr", "1e-4", "--schedule", "constant")
    assert f"forked from {folder / 'one'} at step {middle}" in said and "finished at step 8" in said
    forked, stored = run_folder.load(folder / "two"), json.loads((folder / "two" / "config.json").read_text())
    assert stored["parent"]["step"] == middle and forked.parts == run_folder.load(parent).parts
    assert _same(_state(folder / "two", str(middle)), _state(parent, str(middle)))
    lines = [(root / "metrics.jsonl").read_text().splitlines() for root in (folder / "two", parent)]
    until = [line for line in lines[1] if json.loads(line)["step"] <= middle]
    assert lines[0][: len(until)] == until and json.loads(lines[0][-1])["step"] == 8
    rows = [line for line in lines[0] if json.loads(line)["step"] == middle + 1]
    assert json.loads(rows[0])["lr"] == pytest.approx(1e-4)
    assert not list(folder.glob("*.tmp"))
    again = done("train", *fork, "--steps", 8, "--lr", "1e-4", "--schedule", "constant")
    assert "is finished at step 8" in again


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--batch", 8), "a fork keeps --batch of"),
        (("--seed", 1), "a fork keeps --seed of"),
        (("--ema", 0.9), "the saved state is of another network"),
        (("--step", 99), "there is no checkpoint '99'"),
        (("--lr", 1e-4), "is at step 6, where a run of 6 steps ends: give --steps above 6"),
    ],
)
def test_a_fork_that_cannot_be_leaves_nothing(trained, command, flags, told):
    _, parent, _ = trained
    code, said = command("train", "--runs", parent.parent, "--name", "one", "--fork", "bad", *flags)
    assert code == 2 and told in said.err and said.err.count("\n") == 1
    assert not list(parent.parent.glob("bad*"))


def test_a_dry_fork_writes_nothing_and_says_what_it_would_be(trained, command):
    _, parent, _ = trained
    before = {p: p.stat().st_mtime_ns for p in parent.parent.rglob("*")}
    flags = ("--runs", parent.parent, "--name", "one", "--fork", "two", "--lr", 1e-4)
    code, said = command("train", *flags, "--steps", 9, "--dry-run")
    assert code == 0 and f"{parent} at step 6" in said.out and "9 steps of 4" in said.out
    code, said = command("train", *flags, "--dry-run")
    assert code == 2 and "--steps above 6" in said.err
    assert {p: p.stat().st_mtime_ns for p in parent.parent.rglob("*")} == before


def test_a_dry_run_shows_the_split_of_the_run(trained, command, tmp_path):
    data, run, told = trained
    (line,) = [found for found in told.splitlines() if found.startswith("split: ")]
    known = run_folder.load(run).parts
    assert line.startswith(f"split: train {len(known['train'])}, validation {len(known['val'])} ")
    for flags in ((), ("--no-cache",)):
        code, said = command(*_train(data, tmp_path, "new", "--steps", 6, *flags), "--dry-run")
        assert code == 0 and line in said.out.splitlines() and not (tmp_path / "new").exists()
    code, said = command(*_train(data, run.parent, "one", "--steps", 6), "--dry-run")
    assert code == 0 and line in said.out.splitlines() and "step 6" in said.out
    code, said = command(*_train(data, run.parent, "one", "--steps", 6, "--seed", 4), "--dry-run")
    assert code == 2 and "--seed: the run has 0, got 4" in said.err


@pytest.mark.slow
def test_the_story_of_an_image_agrees_with_the_log(trained, command):
    data, run, _ = trained
    name = run_folder.load(run).parts["train"][0]
    code, said = command("replay", "--run", run, "--why", name)
    lines = [line for line in said.out.splitlines() if line.startswith(("step ", name))]
    assert code == 0 and re.fullmatch(rf"{name}: seen {len(lines) - 1} times? in 6 steps", lines[-1]) and len(lines) > 1
    from jaxmarks.training import log

    rows = log.read_examples(run, 4)
    for line in lines[:-1]:
        step, place, loss = re.search(r"step (\d+), place (\d+), .*: loss ([\d.e+-]+)", line).groups()
        assert float(loss) == pytest.approx(rows["each"][int(step), int(place)], rel=1e-3)
    for other, told in (("nobody.jpg", "not in"), (run_folder.load(run).parts["val"][0], "held out for validation")):
        code, said = command("replay", "--run", run, "--why", other)
        assert code == 2 and told in said.err


def test_every_image_has_its_line_in_the_history(trained):
    _, run, _ = trained
    with open(run / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["file_name"] for row in rows} == set(run_folder.load(run).parts["train"])
    assert sum(int(row["seen"]) for row in rows) == 6 * 4


@pytest.mark.parametrize("name", recipes.NAMES)
def test_a_recipe_is_a_configuration_and_flags_have_the_last_word(name):
    given = {"init_from": "x"} if recipes.NAMES[name].needs_weights else {}
    config = configs.Config(**recipes.settings(name, given)).check()
    assert configs.differences(configs.Config(), config)
    assert configs.Config(**recipes.settings(name, {**given, "lr": 0.5})).lr == 0.5


@pytest.mark.slow
def test_a_layer_of_other_shape_names_itself_when_weights_do_not_fit():
    fresh, other = (models.build("resnet18", n).init(jax.random.key(0), 32) for n in (5, 5))
    other[0]["backbone"]["conv1"] = {"kernel": np.zeros((3, 3, 3, 64))}
    with pytest.raises(ValueError, match=r"conv1/kernel is \(3, 3, 3, 64\) there, \(7, 7, 3, 64\) here"):
        models.adopt(fresh, other)


def test_an_auxiliary_head_takes_the_layers_that_fit():
    params = {
        "backbone": {"k": np.ones(2)},
        "head": {"k": np.zeros(3)},
        "aux": {"conv0": {"k": np.zeros(4)}, "head": {"k": np.zeros(3)}},
    }
    stats = {"backbone": {"m": np.zeros(2)}, "aux": {"conv0": {"m": np.zeros(4)}}}
    given = (
        {"backbone": {"k": np.full(2, 7.0)}, "aux": {"conv0": {"k": np.full(4, 7.0)}}},
        {"backbone": {"m": np.full(2, 7.0)}, "aux": {"conv0": {"m": np.full(4, 7.0)}}},
    )
    (found, moved), notes = models.adopt((params, stats), given)
    assert found["aux"]["conv0"]["k"][0] == moved["aux"]["conv0"]["m"][0] == found["backbone"]["k"][0] == 7
    assert found["aux"]["head"]["k"][0] == found["head"]["k"][0] == 0 and params["aux"]["conv0"]["k"][0] == 0
    assert notes == [f"the {n} is not among the weights: it starts anew" for n in ("head", "aux/head")]


def test_a_trained_run_opens_with_what_predicts(trained):
    _, run, _ = trained
    found = opened.load(run, "newest")
    assert found.commit.step == 6 and _same(states.judged(found.state)[0], _state(run).params)


def test_weights_that_are_not_finite_are_rejected_by_name(trained, command, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    data, _, _ = trained
    safetensors.save_file({"conv1.weight": np.array([1, np.nan, np.inf], np.float32)}, tmp_path / "w.safetensors")
    code, said = command(*_train(data, tmp_path, "bad", "--init-from", tmp_path / "w.safetensors"))
    assert code == 2 and "w.safetensors: conv1.weight has 2 values that are not finite" in said.err
    assert not (tmp_path / "bad").exists()


def test_settings_that_do_nothing_are_reported():
    config = configs.Config(model="resnet18", batch=32, steps=20, thaw_lr=0.1, plateau_factor=0.5, trim_top=0.01)
    said = "\n".join(experiment.remarks(experiment.assemble(config, keys.root(0), landmarks.scheme(5), 100)))
    assert "`thaw_lr` does nothing without `freeze`" in said and "`plateau_factor` does nothing under" in said
    assert (
        "the warm-up takes half of the run, 10 steps" in said and "`trim_top` 0.01 of 32 " in said and "0.03125" in said
    )
