"""Checkpoints: whole or not there, and damage is noticed."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks.training import checkpoint, state
from jaxmarks.types import State

OFFSETS = {"metrics.jsonl": 0}


def _state(step, seed=0):
    random = np.random.RandomState(seed)
    params = {"head": {"kernel": random.randn(40, 30).astype(np.float32), "bias": np.zeros(30, np.float32)}}
    return State(jnp.int32(step), params, {"mean": np.ones(4, np.float32)}, (jnp.int32(step), params), jnp.int32(-1))


def _equal(a, b):
    return state.digest(state.flatten(a)) == state.digest(state.flatten(b))


def test_a_state_returns_bit_for_bit(tmp_path):
    saved = _state(7)
    checkpoint.save(tmp_path, saved, 0.5, {"metrics.jsonl": 12})
    found, commit = checkpoint.restore(tmp_path, _state(0, seed=1))
    assert _equal(found, saved) and jax.tree.structure(found) == jax.tree.structure(saved)
    assert commit.step == 7 and commit.nme == 0.5 and commit.offsets == {"metrics.jsonl": 12}


def test_the_first_the_best_the_newest_and_the_one_before_it_are_kept(tmp_path):
    nmes = {0: None, 10: 0.5, 20: 0.2, 30: 0.4, 40: 0.3, 50: None}
    for step, nme in nmes.items():
        checkpoint.save(tmp_path, _state(step), nme, OFFSETS)
    assert [c.step for c in checkpoint.commits(tmp_path)] == [0, 20, 40, 50]
    assert checkpoint.restore(tmp_path, _state(0), "best")[1].step == 20
    assert checkpoint.restore(tmp_path, _state(0), "newest")[1].step == 50
    assert checkpoint.restore(tmp_path, _state(0), "40")[1].step == 40


def test_one_flipped_bit_anywhere_is_noticed_and_the_one_before_is_used(tmp_path, caplog):
    checkpoint.save(tmp_path, _state(10), None, OFFSETS)
    checkpoint.save(tmp_path, _state(20, seed=2), None, OFFSETS)
    files = [p for p in (tmp_path / "checkpoints" / "00000020" / "state").rglob("*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 4
    largest.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        _, commit = checkpoint.restore(tmp_path, _state(0))
    assert commit.step == 10
    assert "step 20 cannot be used" in caplog.text


def test_a_folder_without_its_commit_does_not_exist_and_is_swept(tmp_path):
    checkpoint.save(tmp_path, _state(10), None, OFFSETS)
    checkpoint.save(tmp_path, _state(20), None, OFFSETS)
    (tmp_path / "checkpoints" / "00000020" / "commit.json").unlink()
    assert checkpoint.restore(tmp_path, _state(0))[1].step == 10
    checkpoint.save(tmp_path, _state(20), None, OFFSETS)
    assert [c.step for c in checkpoint.commits(tmp_path)] == [10, 20]


def test_what_cannot_be_restored_is_said(tmp_path):
    assert checkpoint.restore(tmp_path, _state(0)) is None
    with pytest.raises(ValueError, match="has no checkpoint yet"):
        checkpoint.require(tmp_path, _state(0), "best")
    checkpoint.save(tmp_path, _state(10), None, OFFSETS)
    with pytest.raises(ValueError, match="choose best, newest or one of 10"):
        checkpoint.restore(tmp_path, _state(0), "99")
    other = _state(0)._replace(stats={"variance": np.ones(4, np.float32)})
    with pytest.raises(ValueError, match="of another network, optimiser or version: 2 of its leaves differ"):
        checkpoint.restore(tmp_path, other)


def test_the_digest_is_of_names_types_shapes_and_bytes():
    leaves = {"a": np.arange(6, dtype=np.float32), "b": np.zeros((), np.int32)}
    same = dict(reversed(leaves.items()))
    others = [
        {**leaves, "a": leaves["a"].reshape(2, 3)},
        {**leaves, "a": leaves["a"].view(np.int32)},
        {**leaves, "a": np.nextafter(leaves["a"], 9)},
        {"a": leaves["a"], "c": leaves["b"]},
    ]
    assert state.digest(leaves) == state.digest(same)
    assert state.digest({**leaves, "a": leaves["a"].astype(">f4")}) == state.digest(leaves)
    assert len({state.digest(o) for o in [leaves, *others]}) == 5
