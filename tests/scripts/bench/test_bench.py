"""The benchmark's own machinery: workers, ratios, names, comparisons; that PyTorch's networks are ours. Nothing is timed."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jax
import numpy as np
import pytest

from jaxmarks import models

ROOT = Path(__file__).parents[3]
BENCH = ROOT / "scripts" / "bench"

FAKE = """
import os, numpy as np
from worker import Side

def three(settings, folder):
    '''A side that answers 3, or what it is told to be wrong by, and says so on standard output.'''
    print("not an answer")
    (folder / "seen.txt").write_text(os.environ.get("GLIBC_TUNABLES", "none"))
    if settings.get("broken"):
        raise ValueError("it is broken\\nin two lines")
    return Side(lambda: print("neither is this"), {"points": np.array(3.0 + settings.get("wrong", 0))})

def says_so(settings, folder):
    return Side(lambda: 7.0, {"points": np.array(3.0)})

def deadly(settings, folder):
    return Side(lambda: os._exit(3), {"points": np.array(3.0)})
"""


@pytest.fixture(scope="module")
def bench():
    """The modules of scripts/bench by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        names = ("worker", "turns", "compare", "rows", "environment", "machine", "measure", "growth", "run")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def fake(monkeypatch, tmp_path) -> Path:
    """A folder for a row; sides of a module `fake` can be asked for."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def row(bench, *peers, needs=""):
    agree = bench.compare.points
    return bench.rows.Row("fake", "fake.three", {}, peers, agree, 10, "things/s", 3, needs=needs)


def measured(bench, fake, *peers, **more) -> list:
    return list(bench.measure.row(row(bench, *peers, **more), fake, {}, [], 2, False))


def test_a_worker_answers_and_what_it_prints_is_no_answer(bench, fake):
    with bench.turns.closing([bench.turns.Worker(Path(sys.executable), "a", "fake.three", {}, fake)]) as (worker,):
        assert worker.output()["points"] == 3
        seconds = bench.turns.take([worker, worker], 4)
        assert seconds.shape == (4, 2) and (seconds >= 0).all()
        assert worker.peak_mb() > 5 or not Path("/proc/self/status").is_file()
    assert "neither is this" in (fake / "a.log").read_text()
    assert (fake / "seen.txt").read_text() == "glibc.malloc.hugetlb=1"


def test_a_turn_may_say_which_seconds_count(bench, fake):
    with bench.turns.closing([bench.turns.Worker(Path(sys.executable), "a", "fake.says_so", {}, fake)]) as (worker,):
        assert worker.turn(3) == 7


def test_large_pages_are_a_peers_own_choice(bench, fake, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    with bench.turns.closing([bench.turns.Worker(Path(sys.executable), "a", "fake.three", {}, fake, False)]):
        assert (fake / "seen.txt").read_text() == "none"


def test_a_worker_that_fails_is_reported_in_a_line(bench, fake):
    with pytest.raises(bench.turns.Failed, match="^a: ValueError: it is broken in two lines$"):
        bench.turns.Worker(Path(sys.executable), "a", "fake.three", {"broken": True}, fake)
    dying = bench.turns.Worker(Path(sys.executable), "a", "fake.deadly", {}, fake)
    with bench.turns.closing([dying]), pytest.raises(bench.turns.Failed, match="^a ended"):
        dying.turn()


def test_rows_say_what_was_measured_and_what_was_not(bench, fake):
    peer = bench.rows.Peer
    right, wrong = peer("right", "fake.three", ours=True), peer("wrong", "fake.three", {"wrong": 1}, ours=True)
    absent, broken = peer("absent", "nowhere.side", ours=True), peer("broken", "fake.three", {"broken": 1}, ours=True)
    found = {r.peer_name: r for r in measured(bench, fake, right, wrong, absent, broken)}
    assert found["right"].ratio > 0 and found["right"].difference == "points 0e+00, relative"
    assert [found[n].failed for n in ("right", "wrong", "absent", "broken")] == [False, True, False, True]
    assert found["wrong"].ratio is None and found["absent"].remark.startswith("no peer")
    lines = {name: bench.run.line(result) for name, result in found.items()}
    assert all(line.startswith("fake ") and "\n" not in line for line in lines.values())
    assert "things/s" in lines["right"] and "not timed" in lines["wrong"]
    (needing,) = measured(bench, fake, right, needs="amx_bf16")
    assert not needing.failed and "no amx_bf16 units here" in needing.remark


def test_ratios_and_exponents_are_numpys(bench, random):
    ours, peer = random.uniform(1, 2, 9), random.uniform(1, 2, 9)
    found = bench.turns.ratio(ours, peer)
    assert found.median == pytest.approx(np.median(peer / ours))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(peer / ours, [0.25, 0.75])))
    assert bench.turns.ratio(np.ones(3), np.full(3, 2.0)).median == 2  # over 1: ours takes less
    assert bench.turns.exponent([1, 10, 100], [3, 30, 300]) == pytest.approx(1)


def test_operations_are_those_that_are_known(bench):
    """1.81 and 4.09 thousand million multiply-adds at 224 px, as published for torchvision's."""
    assert bench.machine.flops("resnet18", 224) / 2e9 == pytest.approx(1.81, abs=0.01)
    assert bench.machine.flops("resnet50", 224) / 2e9 == pytest.approx(4.09, abs=0.01)


def test_rows_are_chosen_by_how_their_names_begin(bench, rejected):
    table, axes = bench.run.chosen(None, False)
    names = [r.name for r in (*table, *axes)]
    assert len(set(names)) == len(names)
    assert {n.split("-")[0] for n in names} == {
        "train",
        "infer",
        "views",
        "render",
        "load",
        "labels",
        "first",
        "growth",
    }
    assert [r.name for r in bench.run.chosen(["labels", "views"], False)[0]] == ["views-8", "labels"]
    quick, none = bench.run.chosen(None, True)
    assert not none and {r.name for r in quick} < {r.name for r in table}
    assert "--only speed: no row is called so; there are train-resnet18" in rejected("bench/run", "--only", "speed")
    assert "--rounds must be 1 or more" in rejected("bench/run", "--rounds", 0)
    assert "--out" in rejected("bench/run", "--out", ROOT)


def test_the_command_writes_what_it_prints(bench, fake, command, monkeypatch):
    monkeypatch.setattr(bench.environment, "make", lambda: None)
    monkeypatch.setattr(bench.measure, "limits", lambda folder: {"float32 product, GFLOP/s": 100.0})
    peer = bench.rows.Peer("itself", "fake.three", ours=True)
    monkeypatch.setattr(bench.rows, "table", lambda quick: [row(bench, peer)])
    code, said = command("bench/run", "--only", "fake", "--rounds", 2, "--out", fake / "bench.json")
    assert code == 0, said.err
    told = json.loads((fake / "bench.json").read_text())
    (only,) = told["rows"]
    assert {"name", "ours", "peer", "ratio", "spread", "unit", "peer_name", "difference"} <= only.keys()
    assert only["name"] == "fake" and only["rounds"] == 2 and told["growth"] == []
    assert {"processor", "cores", "flags", "versions", "peers"} <= told["machine"].keys() and "fake " in said.out


@pytest.fixture
def networks(bench, monkeypatch) -> tuple[ModuleType, ModuleType]:
    """(our side, PyTorch's) of the rows of networks."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("ours_network"), importlib.import_module("torch_network")


@pytest.mark.parametrize("name", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def test_pytorchs_network_with_our_weights_is_ours(networks, name, tmp_path):
    ours, theirs = networks
    settings = {"model": name, "size": 32, "batch": 2, "points": 5}
    wanted = ours.infer(settings, tmp_path).output["points"]
    assert np.abs(wanted).max() > 0.05 and np.abs(wanted[0] - wanted[1]).max() > 1e-3
    for best in (False, True):
        found = theirs.infer({**settings, "best": best}, tmp_path).output["points"]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_every_weight_is_handed_over(networks):
    ours, _ = networks
    shapes = jax.eval_shape(lambda key: models.build("resnet18", 5).init(key, 32), jax.random.key(0))
    params, stats = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    named = ours.exported(params, stats)
    assert len(named) == len(jax.tree.leaves((params, stats)))
    assert named["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1) and named["fc.weight"].shape == (10, 512)


@pytest.mark.slow
def test_both_training_steps_have_one_loss_and_one_gradient(networks, bench, tmp_path):
    ours, theirs = networks
    settings = {"model": "resnet18", "size": 32, "batch": 4, "points": 5}
    one = ours.train(settings, tmp_path)
    other = theirs.train({"model": "resnet18", "points": 5, "best": False}, tmp_path)
    told = bench.compare.training(one.output, other.output)
    assert told.within, told.words
    assert not bench.compare.training(one.output, {**other.output, "loss": 1.01 * other.output["loss"]}).within
