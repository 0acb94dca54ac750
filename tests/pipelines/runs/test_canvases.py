"""The store of a run: the first that there is room for, and the same steps under all of them."""

import jax
import pytest

from jaxmarks import experiment, keys, landmarks
from jaxmarks.config import Config
from jaxmarks.training import sharding
from pipelines import open as opening
from pipelines.example import Subset
from pipelines.io import memory
from pipelines.runs import canvases, run_folder

NEED = 50 * (80 * 80 * 3)
FEW = ("--data", "drawn:60:5", "--model", "resnet18", "--size", "32", "--batch", "8", "--val-every", "8")


def chosen(monkeypatch, tmp_path, store: str, *, host: int, disk: int, device: int | None = None):
    """(kind of store, lines) for 50 canvases of 80 px, with so many bytes free."""
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path))
    monkeypatch.setattr(memory, "free", lambda: host)
    monkeypatch.setattr(canvases, "_disk_free", lambda path: disk)
    monkeypatch.setattr(canvases, "_device_free", lambda asked: (device, "none here"))
    source = opening.open_source("drawn:60:5")
    config = Config(data="drawn:60:5", size=64, batch=8, store=store)
    part = Subset(source, range(50))
    run = run_folder.Run(tmp_path, config, keys.root(0), landmarks.scheme(5), {}, "data")
    plan = experiment.assemble(config, run.key, run.scheme, 50, sharding.mesh(jax.devices()[:1]))
    found = canvases.opened(run, source, part, plan)
    return type(found.store).__name__, found.lines


@pytest.mark.parametrize(
    ("free", "kind"),
    [
        ({"host": 1 << 40, "disk": 1 << 40, "device": 1 << 40}, "Devices"),
        ({"host": 1 << 40, "disk": 1 << 40, "device": NEED}, "Host"),  # half of it is too little
        ({"host": 1 << 40, "disk": 1 << 40}, "Host"),
        ({"host": NEED, "disk": 1 << 40}, "CanvasFile"),
        ({"host": NEED, "disk": NEED}, "Nowhere"),
    ],
)
def test_auto_takes_the_first_that_needs_half_of_what_is_free(monkeypatch, tmp_path, free, kind):
    found, lines = chosen(monkeypatch, tmp_path, "auto", **free)
    assert found == kind and len(lines) == 1 and "80 px" in lines[0]


@pytest.mark.parametrize(
    ("store", "free", "kind", "count"),
    [
        ("host", {"host": 2 * NEED, "disk": 1 << 40}, "Host", 1),  # all of it, where it is asked for
        ("host", {"host": NEED, "disk": 1 << 40}, "CanvasFile", 2),
        ("device", {"host": 1 << 40, "disk": 1 << 40}, "Host", 2),
        ("device", {"host": 9, "disk": 9, "device": 9}, "Nowhere", 4),
        ("disk", {"host": 1 << 40, "disk": NEED}, "Nowhere", 2),
        ("none", {"host": 1 << 40, "disk": 1 << 40}, "Nowhere", 1),
    ],
)
def test_what_does_not_fit_gives_way_to_the_next_with_a_line(monkeypatch, tmp_path, store, free, kind, count):
    found, lines = chosen(monkeypatch, tmp_path, store, **free)
    assert found == kind and len(lines) == count


def test_a_store_that_cannot_be_opened_gives_way(monkeypatch, tmp_path):
    (tmp_path / "canvases").write_text("a file in the place of the folder")
    found, lines = chosen(monkeypatch, tmp_path, "disk", host=1 << 40, disk=1 << 40)
    assert found == "Nowhere" and "`store` disk" in lines[0]


@pytest.mark.slow
@pytest.mark.bits
def test_steps_are_the_same_under_every_store_and_across_a_change_of_it(command, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    digests = set()
    for name, first, second in (("a", "none", "device"), ("b", "disk", "host")):
        at = (*FEW, "--runs", tmp_path, "--name", name, "--schedule", "constant")
        assert command("train", *at, "--steps", 12, "--store", first)[0] == 0
        assert command("train", *at, "--steps", 18, "--store", second)[0] == 0
        digests.add((tmp_path / name / "final.json").read_text())
    assert len(digests) == 1
    assert command("replay", "--run", tmp_path / "b", "--verify", "--step", "10:11")[0] == 0
