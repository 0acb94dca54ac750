"""Rows of the table: tasks, sides, and the comparison of their outputs."""

if __name__ == "__main__":
    raise SystemExit("rows.py is a part of run.py, and does nothing by itself")

import json
from collections.abc import Callable
from typing import NamedTuple

import compare

DATA = "out/bench"  # where images and tables are made, once


class Peer(NamedTuple):
    """A side to be measured beside ours. huge_pages: large pages for large buffers, a setting of the C library."""

    name: str
    side: str
    settings: dict = {}
    huge_pages: bool = True
    ours: bool = False  # it runs in our environment


class Row(NamedTuple):
    """Something that both do. count: of `unit` in the work, so that speeds are per second; 0: seconds are reported.

    times: how often a turn does the work. Less than a fifth of a second would measure how long a core takes to wake.
    """

    name: str
    side: str
    settings: dict
    peers: tuple[Peer, ...]
    agree: Callable[[compare.Output, compare.Output], compare.Difference]
    count: int
    unit: str
    rounds: int = 15
    times: int = 1
    quick_rounds: int = 5  # 0: not among the quick rows
    needs: str = ""  # a flag of the processor without which the row makes no sense
    flops: tuple[str, int, int] | None = None  # network, size, passes forward that an image is worth


_NETWORKS = (("resnet18", 96), ("resnet50", 128))
_POINTS = 68


def _train(name: str, size: int, half: bool) -> Row:
    settings = {"model": name, "size": size, "batch": 32, "points": _POINTS}
    peer = {"model": name, "points": _POINTS, "bf16": half}
    best = Peer(f"PyTorch, channels_last{', autocast' if half else ''}", "torch_network.train", {**peer, "best": True})
    plain = Peer("PyTorch, plain", "torch_network.train", {**peer, "best": False}, huge_pages=False)
    return Row(
        f"train-{name}-{size}-{'bf16' if half else 'f32'}",
        "ours_network.train",
        {**settings, "precision": "bfloat16" if half else "float32"},
        (best,) if half else (plain, best),
        compare.training_in_half if half else compare.training,
        count=32,
        unit="images/s",
        rounds=10,
        quick_rounds=2 if name == "resnet18" and not half else 0,
        needs="amx_bf16" if half else "",
        flops=(name, size, 3),
    )


def _infer(name: str, size: int, batch: int) -> Row:
    settings = {"model": name, "size": size, "batch": batch, "points": _POINTS}
    plain = Peer("PyTorch, plain", "torch_network.infer", {**settings, "best": False}, huge_pages=False)
    best = Peer("PyTorch, fused, channels_last", "torch_network.infer", {**settings, "best": True})
    return Row(
        f"infer-{name}-{size}-batch{batch}",
        "ours_network.infer",
        settings,
        (plain, best),
        compare.points,
        count=batch,
        unit="images/s",
        times=2 if batch > 1 else 16,
        quick_rounds=3 if name == "resnet18" and batch > 1 else 0,
        flops=(name, size, 1),
    )


def _views(count: int) -> Row:
    settings = {"model": "resnet18", "size": 96, "count": count, "data": f"{DATA}/images"}
    return Row(
        "views-8",
        "ours_network.views",
        {**settings, "tta": "standard"},
        (Peer("PyTorch loop, fused, channels_last", "torch_network.views", settings),),
        compare.views,
        count=count,
        unit="images/s",
        rounds=7,
        quick_rounds=0,
    )


_ALL = [
    {"geometry": {"rotation": [-45, 45], "scale": [0.9, 1.1], "shift_x": [-0.1, 0.1], "shift_y": [-0.1, 0.1]}},
    {"geometry": {"crop": [0.8, 1.0]}},
    {"colour": {"brightness": [-0.3, 0.3], "contrast": [0.7, 1.3]}},
    {"blur": {"variance": [0.548, 1.6635]}},
]


def _render(name: str, augment: str, peers: tuple[Peer, ...]) -> Row:
    settings = {"size": 128, "batch": 64, "points": 971}
    by_hand = Peer("OpenCV by hand, one thread", "data_peers.opencv")
    given = tuple(p._replace(settings={**settings, **p.settings}) for p in (by_hand, *peers))
    return Row(
        f"render-{name}",
        "ours_data.render",
        {**settings, "augment": augment},
        given,
        _rendered,
        count=64,
        unit="images/s",
        times=10,
        rounds=15,
        quick_rounds=2 if name == "one-of-five" else 0,
    )


def _rendered(ours: compare.Output, peer: compare.Output) -> compare.Difference:
    """By hand the records are ours and pixels can be compared; no other library takes them."""
    return (compare.rendering if "records" in peer else compare.drawn_apart)(ours, peer)


def _load(name: str, packed: int, count: int, store: str = "none") -> Row:
    settings = {"data": f"{DATA}/images", "count": count, "size": 128, "batch": 32}
    peers = (
        Peer("DataLoader, a process a core", "data_peers.load", {**settings, "best": False}, huge_pages=False),
        Peer("DataLoader, reduced decoding", "data_peers.load", {**settings, "best": True}),
    )
    return Row(
        f"load-{name}",
        "ours_data.load",
        {**settings, "packed": packed, "store": store},
        peers,
        compare.loading,
        count=count,
        unit="images/s",
        rounds=9,
        quick_rounds=2 if name == "raw" else 0,
    )


def _filling(count: int) -> Row:
    settings = {"data": f"{DATA}/images", "count": count, "size": 128, "batch": 32, "packed": 0}
    without = Peer("ours, nothing kept", "ours_data.load", {**settings, "store": "none"}, ours=True)
    return Row(
        "load-filling",
        "ours_data.load",
        {**settings, "store": "new host"},
        (without,),
        compare.loading,
        count,
        "images/s",
        rounds=9,
        quick_rounds=0,
    )


def _labels(rows: int) -> Row:
    peers = (Peer("pandas", "data_peers.by_pandas", huge_pages=False), Peer("polars", "data_peers.by_polars"))
    settings = {"folder": DATA, "rows": rows}
    return Row("labels", "ours_data.labels", settings, peers, compare.labels, rows, "rows/s", rounds=5, quick_rounds=0)


def _first_step() -> Row:
    flags = ["--data", "drawn:64:68", "--model", "resnet50", "--size", "128", "--batch", "32", "--steps", "1"]
    cold = Peer("ours, nothing compiled before", "ours_data.first_step", {"cold": True, "flags": flags}, ours=True)
    settings = {"cold": False, "flags": flags}
    return Row("first-step", "ours_data.first_step", settings, (cold,), compare.digests, 0, "s", 2, quick_rounds=0)


def table(quick: bool) -> list[Row]:
    """All rows, or the quick ones on smaller sets."""
    count, lines = (192, 4_000) if quick else (960, 40_000)
    one_of = Peer("albumentations, a process a core", "data_peers.albumentations", {"one_of": True})
    chain = (
        one_of._replace(settings={"one_of": False}),
        Peer("kornia", "data_peers.kornia"),
        Peer("augmax, jit", "data_peers.augmax"),
    )
    rows = [
        *(_train(name, size, half) for name, size in _NETWORKS for half in (False, True)),
        *(_infer(name, size, batch) for name, size in _NETWORKS for batch in (32, 1)),
        _views(192),
        _render("one-of-five", "recipe", (one_of,)),
        _render("chain", json.dumps(_ALL), chain),
        _load("raw", 0, count),
        _load("packed", -1, count),
        _load("packed-160", 160, count),
        _load("host", 0, count, "host"),
        _load("disk", 0, count, "disk"),
        _filling(count),
        _labels(lines),
        _first_step(),
    ]
    return [row for row in rows if row.quick_rounds or not quick]
