"""A sitting may end at any instant: the next goes on as if there had been one."""

import dataclasses
import itertools
import json
import time
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxmarks import backend, experiment, keys, landmarks
from jaxmarks.config import Config
from jaxmarks.evaluation import summary
from jaxmarks.training import checkpoint, log, loop, session, sharding, state
from tests.tiny import CONFIG, LINEAR, batch_of

STEPS = 12
SETTINGS = Config(**{**CONFIG.__dict__, "steps": STEPS, "log_every": 4, "val_every": 3, "batch": 8})


@pytest.fixture(scope="module")
def machinery():
    """(plan, compiled step): compiled once for all tests."""
    plan = experiment.assemble(
        SETTINGS, keys.root(0), landmarks.scheme(5), 100, sharding.mesh(jax.devices()[:1])
    )._replace(model=LINEAR)
    return plan, plan.training_step()


def _batches(start):
    n = start
    while True:
        yield batch_of(n)
        n += 1


def _sit(root, machinery, stop_after=10**9, crash_after=10**9, spoil=None):
    """One sitting; returns the last state, or None after a crash."""
    plan, take = machinery
    template = plan.initial_state()
    found = checkpoint.restore(root, template)
    now, commit = found or (template, None)
    taken = 0

    def batches():
        nonlocal taken
        for batch in _batches(int(now.step)):
            taken += 1
            if spoil is not None and taken == spoil:
                batch.points[:] = np.nan
            yield batch

    def judge(s, rows, first):
        assert first == (int(s.step) - 1) // 3 * 3 and len(rows) == int(s.step) - first
        return summary.Judged({"nme": 1.0 / (1 + int(s.step) % 7)}, {})  # its best neither first nor last

    last = now
    events = session.train(root, plan, now, commit, take, batches(), judge, lambda: taken >= stop_after)
    for event in events:
        last = event.state
        if event.step >= crash_after:
            return None
    return last


def _files(root):
    return [(root / name).read_bytes() for name in ("metrics.jsonl", "examples.bin")]


def _digest(s):
    return state.digest(state.flatten(s))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, machinery):
    root = tmp_path_factory.mktemp("unbroken")
    return root, _sit(root, machinery)


@pytest.mark.parametrize("stop_after", [1, 3, 4, 7, 11])
def test_stopped_and_gone_on_it_ends_the_same(tmp_path, machinery, unbroken, stop_after):
    first = _sit(tmp_path, machinery, stop_after=stop_after)
    assert int(first.step) == stop_after
    assert _digest(_sit(tmp_path, machinery)) == _digest(unbroken[1])
    assert _files(tmp_path) == _files(unbroken[0])


@pytest.mark.parametrize("begin", [0, 2, 11])
def test_stopped_while_its_first_step_compiles_a_session_does_not_validate(tmp_path, machinery, unbroken, begin):
    every = 1 if begin == 0 else 3  # the next step is due for validation
    plan = machinery[0]._replace(config=dataclasses.replace(SETTINGS, val_every=every))
    last = _sit(tmp_path, machinery, stop_after=begin) if begin else None
    events = session.train(
        tmp_path, plan, last or plan.initial_state(), checkpoint.commits(tmp_path)[-1] if begin else None,
        machinery[1], _batches(begin), lambda *_: pytest.fail("validated"), iter([False, *[True] * 9]).__next__,
    )  # fmt: skip
    assert not list(events) and checkpoint.commits(tmp_path)[-1].step == begin
    if begin:
        assert _digest(_sit(tmp_path, machinery)) == _digest(unbroken[1])
        assert _files(tmp_path) == _files(unbroken[0])


class _Counted(NamedTuple):
    step: jax.Array


class _Loss(NamedTuple):
    loss: jax.Array


@pytest.mark.parametrize("cpu", [True, False])
def test_stopped_while_a_step_runs_the_steps_after_it_are_not_dispatched_already(monkeypatch, cpu):
    monkeypatch.setattr(backend, "is_cpu", lambda: cpu)

    @jax.jit
    def take(now, slow):
        return _Counted(now.step + 1), _Loss(jax.lax.fori_loop(0, 40, lambda _, x: jax.numpy.tanh(x @ x), slow).sum())

    first, slow = _Counted(jax.numpy.int32(0)), jax.numpy.ones((300, 300))
    jax.block_until_ready(take(first, slow))
    began = time.perf_counter()
    jax.block_until_ready(take(first, slow))
    each, began = time.perf_counter() - began, time.perf_counter()
    batches: Any = itertools.repeat(slow)
    [block] = loop.blocks(take, first, batches, (60,), 60, lambda: time.perf_counter() - began > 3 * each)  # type: ignore
    assert 1 <= len(block.record.loss) < 30  # 4 or 5 on a quiet machine


@pytest.mark.parametrize("crash_after", [3, 4, 8, 9])
def test_killed_and_gone_on_it_ends_the_same(tmp_path, machinery, unbroken, crash_after):
    assert _sit(tmp_path, machinery, crash_after=crash_after) is None
    assert _digest(_sit(tmp_path, machinery)) == _digest(unbroken[1])
    assert _files(tmp_path) == _files(unbroken[0])


def test_the_log_has_its_lines_once_and_in_order(unbroken):
    lines = [json.loads(line) for line in (unbroken[0] / "metrics.jsonl").read_text().splitlines()]
    assert [(n["step"], n["split"]) for n in lines] == [
        (3, "val"), (4, "train"), (6, "val"), (8, "train"), (9, "val"), (12, "train"), (12, "val"),
    ]  # fmt: skip
    rows = log.read_examples(unbroken[0], 8)
    assert len(rows) == STEPS
    assert lines[1]["loss"] == pytest.approx(rows["loss"][:4].mean(), rel=1e-6)
    assert lines[3]["nme"] == pytest.approx(rows["nme"][4:8].mean(), rel=1e-6)


def test_the_best_validation_is_kept(unbroken, machinery):
    _, commit = checkpoint.restore(unbroken[0], machinery[0].initial_state(), "best")
    assert commit.step == 6


def test_the_examples_file_holds_each_loss(unbroken, machinery):
    plan, take = machinery
    _, record = take(plan.initial_state(), batch_of(0))
    row = log.read_examples(unbroken[0], 8)[0]
    np.testing.assert_array_equal(row["each"], record.each)
    assert row["checksum"] == record.checksum and row["kept"].all()


def test_a_loss_that_is_not_finite_ends_with_the_command_that_replays_it(tmp_path, machinery):
    with pytest.raises(session.NotFiniteError, match=r"step 5 gave a loss that is not finite; .*replay.py .* --step 5"):
        _sit(tmp_path, machinery, spoil=6)
    kept = checkpoint.commits(tmp_path)
    assert max(c.step for c in kept) <= 5
