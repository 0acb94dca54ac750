"""Batches by grain: random access by draw, decoding threads, canvases and frames.

The stream is a function of the step: nothing of an iterator is saved, and draw g is the same image under the same
key whatever the batch size, threads, devices or restarts.
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import jax
import numpy as np

from jaxmarks import affine, keys, words
from jaxmarks.config import Config
from jaxmarks.types import Batch
from pipelines.example import Source
from pipelines.images import decode

_FOREVER = 2**40
_AHEAD = 2  # batches that are on the devices before they are asked for


class Faults:
    """Images that could not be decoded, with reasons, from all threads.

    Args:
        limit: at most so many.
    """

    def __init__(self, limit: int = 1 << 62):
        self._lock, self._found, self._limit = threading.Lock(), {}, limit

    def __len__(self) -> int:
        return len(self._found)

    def add(self, name: str, reason: str) -> None:
        """Add an image; the same one again counts once.

        Args:
            name: of its file.
            reason: why it could not be decoded.

        Raises:
            ValueError: beyond the limit.
        """
        with self._lock:
            self._found[name] = reason
            if (count := len(self._found)) > self._limit:
                raise ValueError(
                    f"{words.counted(count, 'image')} could not be decoded, `max_faults` is {self._limit}; last: {name}: {reason}"
                )

    def describe(self) -> str:
        """Return the count for a line of progress; empty if there are none."""
        return f"  undecodable {len(self)}" if self._found else ""

    def report(self) -> list[str]:
        """Return one line an image, by name."""
        with self._lock:
            return [f"{name}: {reason}" for name, reason in sorted(self._found.items())]


class _Row(NamedTuple):
    canvas: decode.Canvas
    points: np.ndarray
    mask: np.ndarray
    index: int


class _Layout(NamedTuple):
    """All that a canvas depends on beside its image."""

    size: int
    canvas: float
    box_margin: float


def _layout(config: Config) -> _Layout:
    return _Layout(config.size, config.canvas, config.box_margin)


def _load(source: Source, index: int, layouts: Iterable[_Layout], faults: Faults) -> list[_Row] | None:
    """Return the example on a canvas of each layout, or None if it cannot be decoded."""
    try:
        example = source[index]
        canvases = [decode.canvas(example, n.size, decode.canvas_side(n.size, n.canvas), n.box_margin) for n in layouts]
    except decode.DecodeError as error:
        faults.add(source.names[index], str(error))
        return None
    return [_Row(c, affine.apply(c.frame, example.points), example.mask, index) for c in canvases]


def _load_or_next(source: Source, index: int, config: Config, faults: Faults) -> _Row:
    """Return the example on its canvas; one that cannot be decoded is replaced by the next that can, in canonical
    order, with its own labels."""
    for offset in range(len(source)):
        if (rows := _load(source, (index + offset) % len(source), [_layout(config)], faults)) is not None:
            return rows[0]
    raise ValueError(f"none of the {len(source)} images can be decoded; first: {faults.report()[0]}")


def _stack(rows: list[_Row], draws: np.ndarray) -> Batch:
    """Rows as a batch. Coordinates cross to float32 here, in input pixels."""
    return Batch(
        image=np.stack([r.canvas.image for r in rows]),
        points=np.stack([r.points for r in rows]).astype(np.float32),
        mask=np.stack([r.mask for r in rows]),
        frame=np.stack([r.canvas.frame for r in rows]),
        index=np.array([r.index for r in rows], np.int32),
        draw=draws.astype(np.int32),
        fit=np.stack([r.canvas.fit for r in rows]).astype(np.float32),
        extent=np.stack([r.canvas.extent for r in rows]).astype(np.float32),
        diagonal=np.array([math.hypot(*r.canvas.size) for r in rows], np.float32),
    )


def batches(
    source: Source,
    config: Config,
    key: jax.Array,
    start_step: int = 0,
    *,
    faults: Faults | None = None,
    weights: np.ndarray | None = None,
    ready: Callable[[Batch], Batch] | None = None,
) -> Iterator[Batch]:
    """Return endless training batches from a step on, across the ends of epochs.

    Args:
        source: the training split.
        config: the run's; it says how many draws a batch has, how an image is laid out, and how many threads decode.
        key: the run's root key.
        start_step: the first step, from 0.
        faults: where images that cannot be decoded are added; None: they are counted nowhere.
        weights: f64[images], not negative: relative frequency of each image in an epoch; None: once each.
        ready: applied to each batch in a thread of its own, two batches ahead of the requested one; it puts them on the
            devices. None: batches stay on the host.

    Returns:
        an iterator of config.batch draws each. An image that cannot be decoded is replaced by the next that can, with
        its own labels.

    Raises:
        ValueError: where the source is empty; from the iterator, where nothing in it can be decoded or `faults` has its
            limit.
        OSError: from the iterator, where an image cannot be read.
    """
    import grain  # half a second: for the commands that read images

    if not len(source):
        raise ValueError("the training split is empty: lower `val_fraction` or add images")
    faults = Faults() if faults is None else faults
    order = keys.ordering(key, len(source), weights)

    def load(step: int) -> Batch:
        draws = keys.draws(int(step) * config.batch, config.batch, len(source))
        rows = [_load_or_next(source, int(order(int(e))[position]), config, faults) for e, position in draws]
        return _stack(rows, draws)

    drawn = grain.MapDataset.range(start_step, _FOREVER).map(load)
    ahead = grain.ReadOptions(num_threads=config.workers, prefetch_buffer_size=config.workers + _AHEAD)
    stacked = drawn.to_iter_dataset(ahead)  # a thread makes a batch: the cost of handing over is that of one element
    if ready is None:
        return iter(stacked)
    return iter(grain.experimental.ThreadPrefetchIterDataset(stacked.map(ready), prefetch_buffer_size=_AHEAD))


def ordered(source: Source, config: Config, *, faults: Faults | None = None) -> Iterator[tuple[Batch, int]]:
    """Return every decodable example once, in order, in batches.

    The last batch is filled by repeating its first example with an empty mask.

    Args:
        source: the data set.
        config: as `batches` takes it.
        faults: where images that cannot be decoded, which are left out, are added; None: nowhere.

    Returns:
        an iterator of (batch, number of real examples).

    Raises:
        OSError: from the iterator, where an image cannot be read.
    """
    return (batch for (batch,) in together(source, [config], faults=faults))


def together(
    source: Source, configs: Sequence[Config], *, faults: Faults | None = None
) -> Iterator[list[tuple[Batch, int]]]:
    """Yield every decodable example once, as `ordered` does, in a batch for each of several configurations.

    Each image is read once; configurations of one layout share its canvas and the batch.

    Args:
        source: the data set.
        configs: one or more, which differ in how they lay out an image only.
        faults: where images that cannot be decoded, which are left out, are added; None: nowhere.

    Yields:
        for each configuration (batch, number of real examples).

    Raises:
        OSError: where an image cannot be read.
    """
    import grain

    faults, layouts = Faults() if faults is None else faults, [_layout(config) for config in configs]
    distinct, size = list(dict.fromkeys(layouts)), configs[0].batch
    options = grain.ReadOptions(num_threads=configs[0].workers, prefetch_buffer_size=4 * size)
    loaded = grain.MapDataset.range(len(source)).map(lambda i: (_load(source, int(i), distinct, faults),))
    whole = (rows for (rows,) in loaded.to_iter_dataset(options) if rows is not None)
    for some in iter(lambda: list(islice(whole, size)), []):
        made = {
            layout: _filled(list(rows), size) for layout, rows in zip(distinct, zip(*some, strict=True), strict=True)
        }
        yield [made[layout] for layout in layouts]


def _filled(rows: list[_Row], size: int) -> tuple[Batch, int]:
    empty = rows[0]._replace(mask=np.zeros_like(rows[0].mask))
    positions = np.array([[0, r.index] for r in rows] + [[0, empty.index]] * (size - len(rows)))
    return _stack(rows + [empty] * (size - len(rows)), positions), len(rows)
