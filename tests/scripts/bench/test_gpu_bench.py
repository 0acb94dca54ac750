"""The benchmark for a GPU, on what is here: the script itself at toy sizes, its budget, and what becomes of a row that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[3] / "scripts" / "bench"


@pytest.fixture
def bench(monkeypatch):
    """The modules gpu, gpu_rows and gpu_checks, as the script has them."""
    monkeypatch.syspath_prepend(str(BENCH))
    import gpu
    import gpu_checks
    import gpu_rows

    return gpu, gpu_rows, gpu_checks


def started(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BENCH / "gpu.py"), *map(str, arguments)]
    known = {**os.environ, "PYTHONPATH": str(BENCH.parents[1])}
    return subprocess.run(command, capture_output=True, text=True, env=known, timeout=900)


def test_without_a_gpu_it_is_rejected_in_one_line(tmp_path):
    said = started("--out", tmp_path / "gpu.json")
    assert said.returncode == 2 and said.stderr.startswith("error: no GPU here: ") and said.stderr.count("\n") == 1
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.slow
def test_the_script_itself_runs_at_toy_sizes(tmp_path):
    """Every check and every kind of row, and a report that says what it is of."""
    said = started("--on-cpu", "--minutes", 60, "--out", tmp_path / "gpu.json")
    assert said.returncode == 0, said.stdout + said.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["on_cpu"] and report["device"] and report["versions"]["jax"] and not report["left_out"]
    names = " ".join(c["name"] for c in report["checks"])
    for part in ("convolution", "product", "ResNet18's points", "vmapped and looped", "audit: ", "taken again"):
        assert part in names
    assert all(c["ok"] and c["value"] <= c["bound"] for c in report["checks"])
    kinds = ["train", "rendering", "train from files", "train", "predict", "train, torch.compile"]
    assert [r["name"].partition(" resnet18 32 px ")[0] for r in report["rows"]] == kinds
    assert all(r["ours"] > 0 for r in report["rows"])
    trained = [r for r in report["rows"] if r["name"].startswith("train resnet18")]
    assert all(r["ours_memory_mb"] > 0 for r in trained)
    if report["torch"]:
        assert all(r["peer"] > 0 and r["ratio"] > 0 for r in trained)


def clock(*times: float):
    """The seconds that are left, at each question in turn."""
    told = iter(times)
    return lambda: next(told)


def test_a_row_begins_only_where_the_longest_of_its_kind_would_have_fitted(bench):
    gpu, rows, _ = bench
    a, b, other = (
        rows.Row(name, kind, 40, lambda left: {"outcome": f"{left:.0f} left"})
        for name, kind in (("a batch 1", "train"), ("b batch 1", "train"), ("c batch 1", "predict"))
    )
    assert gpu.fits(a, {}, 40) and not gpu.fits(a, {}, 39)
    assert gpu.fits(a, {"train": 5}, 5) and not gpu.fits(a, {"train": 90}, 89)
    # a: 100 left, takes 70; b: 30 left is too little; of another kind, none was measured: its guess of 40 is too much
    assert list(gpu.measured([a, b, other], clock(100, 30, 30, 30))) == [
        ("a batch 1", {"outcome": "100 left"}),
        ("b batch 1", {}),
        ("c batch 1", {}),
    ]
    # a quick row lets the next of its kind begin below the guess
    assert all(values for _, values in gpu.measured([a, b], clock(45, 35, 35, 30)))


def test_memory_that_is_too_small_is_a_rows_outcome_and_the_next_is_measured(bench):
    gpu, rows, _ = bench

    def small(left):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 90 bytes\nand more")

    def odd(left):
        raise ValueError("no such thing\nbecause of that")

    found = list(
        gpu.measured(
            [
                rows.Row("x batch 1024", "train", 1, small),
                rows.Row("y batch 2", "train", 1, odd),
                rows.Row(
                    "z batch 2", "train", 1, lambda left: {"ours": 3.0, "peer": None, "ratio": None, "outcome": ""}
                ),
            ],
            lambda: 100.0,
        )
    )
    assert [values["outcome"] for _, values in found] == ["out of memory at batch 1024", "no such thing", ""]
    assert gpu.line(*found[0]).endswith("out of memory at batch 1024") and " 3 " in gpu.line(*found[2])


class FakePeer:
    """Answers in turn."""

    def __init__(self, *answers):
        self._answers = iter(answers)

    def ask(self, seconds=0.0, **job):
        return next(self._answers)


def test_both_sides_take_turns_and_a_peer_that_fails_is_reported(bench):
    _, rows, _ = bench
    job = {"batch": 64}
    row = rows.beside(lambda n: None, FakePeer({}, *[{"seconds": 1.0}] * 3, {"bytes": 2e6}), job, 3, 100)
    assert row["rounds"] == 3 and row["peer"] == 50 * 64 and row["ratio"] > 1 and row["peer_memory_mb"] == 2
    assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
    for answers in ([{"error": "CUDA out of memory. Tried"}], [{}, {"seconds": 1.0}, {"error": "CUDA out of memory"}]):
        row = rows.beside(lambda n: None, FakePeer(*answers), job, 3, 100)
        assert row["outcome"] == "PyTorch: out of memory at batch 64" and row["peer"] is None and row["ours"] > 0


def test_every_row_of_a_card_is_planned_once_and_names_its_batch(bench):
    gpu, rows, _ = bench
    names = [r.name for r in rows.planned(FakePeer(), Path("out"), False)]
    assert len(set(names)) == len(names) and all(gpu.batch_of(n) in (1, 32, 64, 256, 1024) for n in names)
    for network in ("resnet18", "resnet50"):
        for size in (128, 224):
            for batch in (64, 256, 1024):
                assert all(f"train {network} {size} px {p} batch {batch}" in names for p in ("float32", "bfloat16"))


def test_products_of_fewer_bits_and_a_check_that_raises_fail(bench):
    _, _, checks = bench
    exact = np.random.RandomState(0).normal(size=(64, 64))
    rounded = (exact.astype(np.float32).view(np.uint32) & 0xFFFFE000).view(np.float32)  # TF32's 10 bits
    assert checks.apart(exact.astype(np.float32), exact) < 1e-6 < 1e-5 < checks.apart(rounded, exact)

    def broken():
        yield checks.check("first", 0, 1, "px")
        raise RuntimeError("no kernel\nhere")

    first, second = checks.run(broken, "rendering")
    assert first["ok"] and not second["ok"] and second["name"] == "rendering: no kernel"
    assert not checks.check("x", np.nan, 1, "px")["ok"]
