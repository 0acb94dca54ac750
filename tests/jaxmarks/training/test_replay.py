"""Steps taken again are the steps that were taken, bit for bit, and a log that was changed is told."""

import numpy as np
import pytest

from jaxmarks.training import checkpoint, log, replay
from tests.jaxmarks.training.test_session import SETTINGS, _batches, _sit, machinery  # noqa: F401  a fixture

pytestmark = pytest.mark.bits

STEPS = 12


@pytest.fixture(scope="module")
def run(machinery, tmp_path_factory):  # noqa: F811
    root = tmp_path_factory.mktemp("run")
    _sit(root, machinery)
    return root


def again(root, machinery, first, last, logged=None):  # noqa: F811
    plan, take = machinery
    state = checkpoint.anchor_before(root, plan.template(), first)
    logged = log.read_examples(root, SETTINGS.batch) if logged is None else logged
    return list(replay.replayed(take, plan.place(state), _batches(int(state.step)), logged, first, last))


@pytest.mark.parametrize(("first", "last"), [(0, 0), (3, 7), (11, 11), (0, 11)])
def test_any_step_or_range_is_bit_for_bit_what_was_logged(run, machinery, first, last):  # noqa: F811
    found = again(run, machinery, first, last)
    assert [r.step for r in found] == list(range(first, last + 1)) and not any(r.differ for r in found)


@pytest.mark.parametrize("name", ["loss", "nme", "grad_norm", "lr", "checksum", "each", "kept"])
def test_one_changed_bit_of_the_log_is_reported_with_its_step_and_field(run, machinery, name):  # noqa: F811
    logged = log.read_examples(run, SETTINGS.batch)
    place = logged.dtype.fields[name][1] + 5 * logged.dtype.itemsize
    data = bytearray(logged.tobytes())
    data[place] ^= 1
    found = again(run, machinery, 4, 6, np.frombuffer(bytes(data), logged.dtype))
    assert [(r.step, r.differ) for r in found] == [(4, []), (5, [name]), (6, [])]


def test_a_replay_starts_at_the_nearest_checkpoint_that_is_sound(run, machinery, tmp_path):  # noqa: F811
    plan, _ = machinery
    steps = [c.step for c in checkpoint.commits(run)]
    assert steps[0] == 0 and len(steps) >= 3
    template = plan.template()
    for asked in range(STEPS + 1):
        found = checkpoint.anchor_before(run, template, asked)
        assert int(found.step) == max(s for s in steps if s <= asked)


def test_anchors_stay_when_others_go(tmp_path, machinery):  # noqa: F811
    plan, _ = machinery
    state = plan.initial_state()
    for step in range(0, 100, 10):
        now = state._replace(step=np.int32(step))
        checkpoint.save(tmp_path, now, None, {}, anchor=step % 40 == 0)
    assert [c.step for c in checkpoint.commits(tmp_path)] == [0, 40, 80, 90]
    assert [c.anchor for c in checkpoint.commits(tmp_path)] == [True, True, True, False]
