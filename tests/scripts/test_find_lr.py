"""The learning-rate sweep: what it reads from curves whose best rate is known, and the command from end to end."""

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import models
from jaxmarks.training import sweep
from pipelines.images import decode
from pipelines.io import console
from pipelines.reports import plots
from tests.tiny import LINEAR

SMALL = (
    "--data",
    "drawn:24:5",
    "--model",
    "resnet18",
    "--size",
    "32",
    "--batch",
    "4",
    "--workers",
    "2",
    "--val-fraction",
    0.05,
)
SLOPES = np.geomspace(0.01, 1.0, 30)  # of a quadratic: gradient descent on it blows up at rates above EDGE
EDGE = 2.0


def descent(rates, seed=0, unit=1.0):
    """Losses of noisy gradient descent on a quadratic whose stable rates end at EDGE * unit."""
    random, w, losses = np.random.RandomState(seed), np.full(30, 3.0), []
    for rate in np.asarray(rates) / unit:
        losses.append((0.5 * np.sum(SLOPES * w**2) + 0.2) * np.exp(0.1 * random.randn()))
        w -= rate * (SLOPES * w + 0.1 * np.sqrt(SLOPES) * random.randn(30))
    return np.array(losses)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
@pytest.mark.parametrize("steps", [60, 200])
@pytest.mark.parametrize("ends", [(1e-4, 5.0), (1.0, 1e-4)], ids=["up", "down"])
def test_training_at_the_suggested_rate_beats_training_at_rates_far_from_it(unit, steps, ends):
    rates = unit * np.geomspace(*ends, steps)
    for seed in range(3):
        found = sweep.suggested(rates, descent(rates, seed, unit))
        low, high, best = (rate / unit for rate in found)
        assert low < best < high < 2 * EDGE and EDGE / 25 < best < EDGE / 2
        at = [descent(np.full(60, best * factor), seed)[-10:].mean() for factor in (1 / 20, 1, 20)]
        assert at[1] < 0.5 * at[0] and at[1] < 0.01 * at[2]


def test_a_sweep_down_that_blows_up_first_speaks_for_rates_below_the_edge_alone():
    rates = np.geomspace(8.0, 1e-3, 60)
    losses = descent(rates)
    assert losses.max() > 1e3 * losses[0]
    low, high, best = sweep.suggested(rates, losses)
    assert low < best < high < EDGE / 4


def test_one_wild_batch_and_batches_without_labels_change_little():
    rates = np.geomspace(1e-4, 5.0, 200)
    losses = descent(rates)
    wild = losses.copy()
    wild[30] *= 20
    wild[[0, 50, 51, 120]] = 0
    assert np.allclose(np.log(sweep.suggested(rates, wild)), np.log(sweep.suggested(rates, losses)), atol=0.5)


def test_smoothing_is_the_weighted_mean_of_the_logarithms():
    losses = descent(np.full(37, 0.1))
    losses[5] = 0
    weights = np.exp(-20 / 37 * np.abs(np.subtract.outer(np.arange(37), np.arange(37)))) * (losses > 0)
    expected = np.exp(weights @ np.log(np.where(losses > 0, losses, 1)) / weights.sum(1))
    found = sweep.smoothed(losses)
    assert found.dtype == np.float64 and np.allclose(found, expected, rtol=1e-12)
    assert np.allclose(sweep.smoothed(np.full(50, 7.0)), 7.0, rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
def test_noise_alone_suggests_nothing(noise):
    for seed, ends in itertools.product(range(20), ((1e-2, 1e-5), (1e-5, 1.0))):
        losses = 9 * np.exp(noise * np.random.RandomState(seed).randn(200))
        assert sweep.suggested(np.geomspace(*ends, 200), losses) is None


def test_a_rising_loss_or_too_few_steps_suggest_nothing():
    rates = np.geomspace(1e-4, 1.0, 200)
    assert sweep.suggested(rates, np.geomspace(1, 100, 200)) is None
    assert sweep.suggested(rates[:19], np.geomspace(100, 1, 19)) is None
    assert sweep.suggested(rates[:20], np.geomspace(100, 1, 20)) is not None


@pytest.mark.parametrize(
    ("rates", "losses", "told"),
    [
        (np.full(30, 0.1), np.ones(30), "rising or falling"),
        (np.r_[1:16, 14:0:-1], np.ones(29), "rising or falling"),
        (np.arange(30.0), np.ones(30), "above 0"),
        (np.arange(1.0, 31), np.ones(29), "one for each loss"),
        (np.arange(1.0, 31), np.r_[np.ones(29), np.nan], "finite"),
        (np.arange(1.0, 31), np.r_[np.ones(29), -1], "not below 0"),
        (np.arange(1.0, 31), np.zeros(30), "not all 0"),
    ],
)
def test_what_is_no_sweep_is_rejected(rates, losses, told):
    with pytest.raises(ValueError, match=told):
        sweep.suggested(rates, losses)


@pytest.mark.parametrize(
    ("rate", "text"), [(1e-2, "1e-2"), (0.00304, "3e-3"), (1.749e-4, "1.7e-4"), (9.99e-6, "1e-5"), (1, "1e0")]
)
def test_rates_are_written_as_people_do(rate, text):
    assert sweep.short(rate) == text and float(text) == pytest.approx(rate, rel=0.05)


def test_a_plot_depends_on_its_numbers_alone_and_shows_the_range(tmp_path):
    rates = np.geomspace(1e-2, 1e-5, 60)
    losses = descent(rates)
    seen = []
    for name, suggestion in (("a", None), ("b", None), ("c", sweep.Suggestion(1e-4, 1e-3, 5e-4))):
        path = tmp_path / f"{name}.png"
        plots.learning_rate(path, "a $ and a _^", rates, losses, sweep.smoothed(losses), suggestion)
        seen.append(path.read_bytes())
    assert seen[0] == seen[1]
    plain, marked = (decode.decode(data).astype(int) for data in seen[1:])
    assert plain.shape == marked.shape == (810, 1350, 3)
    green = (marked[..., 1] > marked[..., 0] + 10) & (marked[..., 1] > marked[..., 2] + 5)
    columns = np.flatnonzero(green[600])  # a row of pixels that the legend does not reach
    assert 0.28 < np.ptp(columns) / 1350 < 0.34 and not (plain[..., 1] > plain[..., 0] + 10)[600, columns].all()


@pytest.fixture
def linear(monkeypatch):
    """Every network is one matrix, which is quick to compile."""
    monkeypatch.setattr(models, "build", lambda *arguments, **options: LINEAR)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ends", [pytest.param(("1e-2", "1e-4"), marks=pytest.mark.slow), ("1e-4", "1e-2")], ids=["down", "up"]
)
def test_the_command_writes_a_plot_and_its_numbers_and_nothing_else(tmp_path, monkeypatch, command, linear, ends):
    monkeypatch.chdir(tmp_path)
    flags = ("--from", ends[0], "--to", ends[1], "--sweep-steps", 60, "--seed", 3, "--out", "new/lr.png")
    code, said = command("find_lr", *SMALL, *flags)
    assert code == 0, said.err
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == ["new/lr.json", "new/lr.png"]
    assert decode.decode((tmp_path / "new/lr.png").read_bytes()).shape == (810, 1350, 3)
    found = json.loads((tmp_path / "new/lr.json").read_text())
    assert set(found) == {"format_version", "rates", "losses", "smoothed", "suggested", "settings"}
    assert np.allclose(found["rates"], np.geomspace(*map(float, ends), 60), rtol=1e-5)
    assert np.allclose(found["smoothed"], sweep.smoothed(found["losses"]), rtol=1e-12)
    assert {"from": float(ends[0]), "sweep_steps": 60, "seed": 3, "batch": 4}.items() <= found["settings"].items()
    assert not {"lr", "schedule", "steps"} & set(found["settings"])
    suggestion = sweep.suggested(found["rates"], found["losses"])
    assert found["suggested"] == suggestion._asdict()
    assert f"suggested: --lr {sweep.short(suggestion.best)} (range {sweep.short(suggestion.low)} .. " in said.out
    assert said.out.endswith("; plot: new/lr.png, numbers: new/lr.json\n")


@pytest.mark.slow
def test_the_batches_and_the_first_weights_are_those_of_a_training(tmp_path, monkeypatch, command, linear):
    monkeypatch.chdir(tmp_path)
    rates = ("--from", "1e-9", "--to", "2e-9", "--sweep-steps", 20)
    command("find_lr", *SMALL, "--seed", 7, *rates, "--out", "lr.png")
    training = ("--steps", 20, "--lr", "1e-9", "--warmup", 0, "--schedule", "constant", "--log-every", 1)
    assert command("train", *SMALL, "--seed", 7, *training)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "runs/run/metrics.jsonl").read_text().splitlines()]
    trained = [line["loss"] for line in lines if line["split"] == "train"]
    assert len(set(trained)) == 20
    assert np.allclose(json.loads((tmp_path / "lr.json").read_text())["losses"], trained, rtol=1e-5)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_sweep_there(tmp_path, monkeypatch, command):
    def apply(params, stats, image, train):
        points, stats = LINEAR.apply(params, stats, image, train)
        return points / (jnp.max(jnp.abs(params["head"]["kernel"])) < 1), stats

    monkeypatch.setattr(models, "build", lambda *arguments, **options: LINEAR._replace(apply=apply))
    sweeping = ("--from", "1e-4", "--to", "10", "--sweep-steps", 60, "--log-every", 7, "--out", tmp_path / "lr.png")
    code, said = command("find_lr", *SMALL, *sweeping)
    found = json.loads((tmp_path / "lr.json").read_text())
    assert code == 0 and 20 < len(found["rates"]) == len(found["losses"]) < 60 and np.isfinite(found["losses"]).all()
    assert f"the loss was not finite after rate {sweep.short(found['rates'][-1])}; the sweep ended there" in said.out
    assert decode.decode((tmp_path / "lr.png").read_bytes()).shape == (810, 1350, 3)


@pytest.mark.slow
def test_a_flat_sweep_says_so_and_is_plotted(tmp_path, command, linear):
    rates = ("--from", "1e-9", "--to", "2e-9", "--sweep-steps", 20)
    code, said = command("find_lr", *SMALL, *rates, "--out", tmp_path / "lr.png")
    assert code == 0 and "no rate can be suggested" in said.out and (tmp_path / "lr.png").is_file()
    assert json.loads((tmp_path / "lr.json").read_text())["suggested"] is None


@pytest.mark.slow
@pytest.mark.parametrize("last", [9, 30])
def test_stopped_on_the_way_it_writes_nothing_and_after_the_last_step_all(tmp_path, monkeypatch, command, linear, last):
    seen = []
    show = console.Progress.show
    monkeypatch.setattr(
        console.Progress, "show", lambda self, done, *told: (seen.append(done), show(self, done, *told))
    )

    class Stopping:
        exit_code = 143

        def __call__(self):
            return bool(seen) and seen[-1] >= last

    monkeypatch.setattr(console, "Stop", Stopping)
    sweeping = ("--sweep-steps", 30, "--log-every", 3, "--out", tmp_path / "lr.png")
    code, said = command("find_lr", *SMALL, *sweeping)
    assert code == (0 if last == 30 else 143) and (tmp_path / "lr.json").is_file() == (last == 30)
    assert ("step 9 of 30; nothing was written" in said.out) == (last < 30) and bool(list(tmp_path.iterdir())) == (
        last == 30
    )


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--from", "1e-3", "--to", "1e-3"], "--from and --to must lie in 1e-9..10, a factor of 2"),
        (["--from=-1e-3"], "--from and --to must lie in 1e-9..10"),
        (["--to", "nan"], "--from and --to must lie in 1e-9..10"),
        (["--sweep-steps", "19"], "--sweep-steps must lie in 20..100000, got 19"),
        (["--lr", "1e-3"], "--lr means nothing to a sweep"),
        (["--plateau-factor", "0.8"], "--plateau-factor means nothing"),
        (["--steps", "100"], "--steps means nothing"),
        (["--out", "lr.json"], "name a .png file"),
        (["--model", "vgg"], "--model 'vgg' is not known"),
        (["--val-fraction", "0.9", "--data", "drawn:2:7"], "drawn with"),
    ],
)
def test_what_cannot_be_swept_is_rejected_in_one_line(tmp_path, monkeypatch, rejected, flags, told):
    monkeypatch.chdir(tmp_path)
    assert told in rejected("find_lr", "--out", "lr.png", *flags)
    assert not list(tmp_path.iterdir())


def test_help_has_an_example_to_paste(command):
    code, said = command("find_lr", "--help")
    assert code == 0 and "    python scripts/find_lr.py --" in said.out
