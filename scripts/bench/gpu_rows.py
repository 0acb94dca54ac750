"""Timed rows of gpu.py: ours in this process, PyTorch's in another, in turn, with all data on the device."""

if __name__ == "__main__":
    raise SystemExit("gpu_rows.py is a part of gpu.py, and does nothing by itself")

import functools
import json
import statistics
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from made import POINTS, image_source

from jaxmarks import backend, experiment, keys, landmarks, models
from jaxmarks.config import Config
from jaxmarks.training import loop, sharding
from jaxmarks.types import Batch
from pipelines import loader
from pipelines.images import placement

SHARE = 0.45  # of the card's memory that either side may take, so that they can take turns
ROUND = 0.3  # seconds of a turn, about
JPEGS = 256


def clocked(action: Callable[[], object]) -> float:
    """Seconds that it took."""
    return timeit.timeit(action, number=1)


class Shape(NamedTuple):
    """What is trained or asked, as both sides understand it."""

    network: str
    size: int
    precision: str
    batch: int

    def described(self) -> str:
        """For a table."""
        return f"{self.network} {self.size} px {self.precision} batch {self.batch}"


class Row(NamedTuple):
    """A row that is planned: run(left) -> its values, within about `left` seconds; cost: the seconds it takes, by a guess."""

    name: str
    kind: str
    cost: float
    run: Callable[[float], dict]


class Peer:
    """PyTorch in a process of its own, which is begun anew after it ended; without PyTorch, `why` says so."""

    def __init__(self, device: str):
        self._device, self._process, self.version, self.why = device, None, None, ""

    def ask(self, seconds: float = 120, **job) -> dict:
        """The answer to a job; {"error": one line} without one within so many seconds."""
        if self._process is None and not self.why:
            self._begin()
        process = self._process
        if process is None:
            return {"error": self.why}
        assert process.stdin is not None and process.stdout is not None
        late = threading.Timer(max(seconds, 1), process.kill)
        late.start()
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        late.cancel()
        if not line:
            self.close()
        return json.loads(line) if line else {"error": f"ended, or took more than {seconds:.0f} s"}

    def _begin(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("gpu_torch.py")), str(SHARE)]
        process = subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        self._process, said = process, json.loads(process.stdout.readline() or "{}")
        self.version = said.get("version")
        if not said:
            self.why = "no PyTorch here"
        elif said["device"] != self._device:
            self.why = "PyTorch here knows no GPU"
        if self.why:
            self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Training:
    """Our training step, rendering within it, compiled for a batch that lies on the device."""

    def __init__(self, shape: Shape):
        name, size, precision, count = shape
        self.config = Config(model=name, size=size, precision=precision, batch=count, steps=10**6)
        mesh = sharding.mesh(jax.devices()[:1])
        self.plan = experiment.assemble(self.config, keys.root(0), landmarks.scheme(POINTS), 10**6, mesh)
        self.batch = self.plan.split(synthetic(self.config))
        self.state = self.plan.initial_state()
        step = self.plan.training_step()
        self.take = step.lower(self.state, self.batch).compile()  # pyright: ignore[reportFunctionMemberAccess]
        self.run(3)

    def run(self, steps: int) -> None:
        """So many steps, until they are done."""
        for _ in range(steps):
            self.state, record = self.take(self.state, self.batch)
        jax.block_until_ready(record)

    def memory(self) -> float:
        """MB that the step holds at its most, by its compiler: arguments, results that take no argument's place, and the rest."""
        m = self.take.memory_analysis()
        held = m.argument_size_in_bytes + m.output_size_in_bytes - m.alias_size_in_bytes + m.temp_size_in_bytes
        return held / 1e6


@functools.lru_cache(1)
def training(shape: Shape) -> Training:
    """The last one is kept: rows of one shape stand side by side."""
    return Training(shape)


def synthetic(config: Config) -> Batch:
    """Noise on canvases of the side that the loader gives, points in the middle."""
    side, random = placement.canvas_side(config.size, config.canvas), np.random.RandomState(0)
    margin = (side - config.size) / 2
    fit = np.tile(np.array([[1, 0, -margin], [0, 1, -margin]], np.float32), (config.batch, 1, 1))
    return Batch(
        image=random.randint(0, 256, (config.batch, side, side, 3), np.uint8),
        points=random.uniform(0.2, 0.8, (config.batch, POINTS, 2)).astype(np.float32) * config.size,
        mask=np.ones((config.batch, POINTS), bool),
        frame=fit.astype(np.float64),
        index=np.arange(config.batch, dtype=np.int32),
        draw=keys.draws(0, config.batch, config.batch).astype(np.int32),
        fit=fit,
        extent=np.tile(np.array([0, 0, side - 1, side - 1], np.float32), (config.batch, 1)),
        diagonal=np.full(config.batch, side * np.sqrt(2), np.float32),
    )


def beside(ours: Callable[[int], object], peer: Peer, job: dict, rounds: int, left: float) -> dict:
    """Both in turn: images a second, medians of rounds, and how many times as fast ours is, with the rounds' extremes."""
    ends, batch = time.monotonic() + left, job["batch"]
    said = peer.ask(left, do="ready", **job)
    theirs = None if "error" in said else functools.partial(peer.ask, do="round")
    steps = max(1, min(50, round(ROUND / clocked(lambda: ours(1)))))
    times: list[tuple[float, float]] = []
    while len(times) < rounds and (not times or time.monotonic() < ends):
        mine = clocked(lambda: ours(steps))
        said = said if theirs is None else theirs(max(ends - time.monotonic(), 10), steps=steps)
        if "error" in said:
            theirs = None
        times.append((mine, said.get("seconds", np.nan)))
    rates = [steps * batch / float(np.median(side)) for side in zip(*times, strict=True)]
    ratios = [b / a for a, b in times]
    row = {"unit": "images/s", "ours": rates[0], "peer": None, "ratio": None, "spread": None, "rounds": len(times)}
    if theirs is None:
        return {**row, "outcome": f"PyTorch: {outcome_of(said['error'], batch)}"}
    memory = peer.ask(10, do="memory").get("bytes")
    spread = [min(ratios), max(ratios)]
    found = {"peer": rates[1], "ratio": statistics.median(ratios), "spread": spread}
    return {**row, **found, "outcome": "", "peer_memory_mb": memory and memory / 1e6}


def train_row(shape: Shape, compiled: bool, peer: Peer, rounds: int, left: float) -> dict:
    """Training steps: ours renders its batch, the peer's lies there rendered."""
    began, ours = time.monotonic(), training(shape)
    job = {"kind": "training", "points": POINTS, "compiled": compiled, **shape._asdict()}
    row = beside(ours.run, peer, job, rounds, left - (time.monotonic() - began))
    return {**row, "ours_memory_mb": ours.memory()}


def render_row(shape: Shape, rounds: int, left: float) -> dict:
    """The training step's rendering alone, and the share of the step that it takes."""
    ours = training(shape)
    render = ours.plan.render()
    jax.block_until_ready(render(ours.batch))
    alone = statistics.median(clocked(lambda: jax.block_until_ready(render(ours.batch))) for _ in range(5 * rounds))
    step = statistics.median(clocked(lambda: ours.run(3)) for _ in range(rounds)) / 3
    rates = {"ours": shape.batch / alone, "peer": None, "ratio": None}
    return {**rates, "unit": "images/s", "share_of_step": alone / step, "outcome": f"{alone / step:.1%} of the step"}


def data_row(shape: Shape, root: Path, count: int, steps: int, left: float) -> dict:
    """Training from JPEGs of 500 px by the real loader and loop: how long it waits; the peer is the step without a loader."""
    ours, source = training(shape), image_source(root, count)
    feed = loader.batches(source, ours.config, ours.plan.key, ready=ours.plan.split)
    at, every = int(ours.state.step), max(steps // 4, 1)
    start = every * -(-at // every)  # blocks end at its multiples; what comes before, and one more, warm up
    ends = start + every + steps
    blocks = list(loop.blocks(ours.take, ours.state, feed, (every,), ends, lambda: False))
    ours.state = blocks[-1].state
    timed = [b for b in blocks if b.first >= start + every]
    seconds, waited = sum(b.seconds for b in timed), sum(b.waited for b in timed)
    rate = sum(len(b.record.loss) for b in timed) * shape.batch / seconds
    alone = 5 * shape.batch / clocked(lambda: ours.run(5))
    values = {"ours": rate, "peer": alone, "ratio": rate / alone, "unit": "images/s", "waited": waited / seconds}
    return {**values, "outcome": f"waits {waited / seconds:.0%}; the other is the step without a loader"}


def predict_row(shape: Shape, peer: Peer, rounds: int, left: float) -> dict:
    """Predictions with batch norm folded into the convolutions, of images that lie on the device."""
    began, model = time.monotonic(), models.build(shape.network, POINTS, precision=shape.precision)
    weights = jax.jit(model.init, static_argnums=1)(keys.root(0), shape.size)
    image = np.random.RandomState(0).uniform(0, 255, (shape.batch, shape.size, shape.size, 3)).astype(np.float32)
    folded, pixels = model.fold(*weights), jax.device_put(image)
    run = jax.jit(model.predict, compiler_options=backend.compiler_options()).lower(folded, pixels).compile()
    ours = lambda steps: jax.block_until_ready([run(folded, pixels) for _ in range(steps)])  # noqa: E731
    ours(3)
    job = {"kind": "prediction", "points": POINTS, **shape._asdict()}
    return beside(ours, peer, job, rounds, left - (time.monotonic() - began))


def outcome_of(error: str, batch: int) -> str:
    """An error as a row's outcome: on one line, and where memory was too small by its batch."""
    small = any(sign in error.lower() for sign in ("resource_exhausted", "out of memory"))
    return f"out of memory at batch {batch}" if small else error.strip().partition("\n")[0][:120]


def planned(peer: Peer, folder: Path, toy: bool) -> list[Row]:
    """All rows, the most important ones first."""
    rounds = 1 if toy else 5
    name, size, batch = ("resnet18", 32, 8) if toy else ("resnet50", 128, 256)
    main = Shape(name, size, "bfloat16", batch)

    def trains(shape: Shape, compiled: bool = False) -> Row:
        kind = "train, torch.compile" if compiled else "train"
        run = functools.partial(train_row, shape, compiled, peer, rounds)
        return Row(f"{kind} {shape.described()}", kind, 90 if compiled else 40, run)

    def predicts(shape: Shape) -> Row:
        return Row(f"predict {shape.described()}", "predict", 15, functools.partial(predict_row, shape, peer, rounds))

    files = functools.partial(data_row, main, folder / "gpu_images", 2 * batch if toy else JPEGS, 4 if toy else 20)
    rows = [
        trains(main),
        Row(f"rendering {main.described()}", "rendering", 15, functools.partial(render_row, main, rounds)),
        Row(f"train from files {main.described()}", "files", 30, files),
        trains(main._replace(precision="float32")),
        *(predicts(main._replace(precision="float32", batch=b)) for b in ((batch,) if toy else (256, 1, 32))),
    ]
    if toy:
        return [*rows, trains(main, True)]
    first = [main, main._replace(precision="float32")]
    more = [main._replace(size=224), Shape("resnet18", 128, "bfloat16", 256), main._replace(batch=1024)]
    more += [main._replace(batch=64), main._replace(precision="tf32"), Shape("resnet18", 224, "bfloat16", 256)]
    grid = [
        Shape(n, s, p, b)
        for b in (256, 64, 1024)
        for n in ("resnet50", "resnet18")
        for s in (128, 224)
        for p in ("bfloat16", "float32")
    ]
    rest = [trains(s) for s in dict.fromkeys([*more, *grid]) if s not in first]
    return [*rows, rest[0], trains(main, True), *rest[1:]]
