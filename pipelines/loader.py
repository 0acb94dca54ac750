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

from jaxmarks import keys, words
from jaxmarks.config import Config
from jaxmarks.types import Batch
from pipelines.example import Example, Source
from pipelines.images import decode, placement
from pipelines.images import rows as canvas_rows
from pipelines.images.rows import Rows
from pipelines.images.store import Nowhere, Store
from pipelines.io.costs import Costs

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


class _Layout(NamedTuple):
    """All that a canvas depends on beside its image."""

    size: int
    side: int  # of the canvas in pixels
    box_margin: float


_Loaded = tuple[Example, list[placement.Canvas], int]  # with a canvas for each layout, and its index in the source


def _layout(config: Config) -> _Layout:
    return _Layout(config.size, placement.canvas_side(config.size, config.canvas), config.box_margin)


def _load(
    source: Source, index: int, layouts: Iterable[_Layout], faults: Faults, costs: Costs, out: np.ndarray | None = None
) -> tuple[Example, list[placement.Canvas]] | None:
    """Return the example, and its canvas for each layout, or None if it cannot be decoded. out: where the canvas of one
    layout is written."""
    try:
        with costs.of("read"):
            example = source[index]
        with costs.of("decode"):
            return example, [placement.canvas(example, n.size, n.side, n.box_margin, out) for n in layouts]
    except decode.DecodeError as error:
        faults.add(source.names[index], str(error))
        return None


def _place(source: Source, index: int, layout: _Layout, faults: Faults, costs: Costs, rows: Rows, at: int) -> None:
    """Write the example into row `at`; one that cannot be decoded is replaced by the next that can, in canonical order,
    with its own labels."""
    for offset in range(len(source)):
        near = (index + offset) % len(source)
        if (found := _load(source, near, [layout], faults, costs, rows.image[at])) is not None:
            return canvas_rows.describe(rows, at, found[0], found[1][0], near)
    raise ValueError(f"none of the {len(source)} images can be decoded; first: {faults.report()[0]}")


def _batch(rows: Rows, draws: np.ndarray) -> Batch:
    """Rows as a batch. Coordinates cross to float32 here, in input pixels."""
    about = rows.about
    return Batch(
        image=rows.image,
        points=about["points"].astype(np.float32),
        mask=about["mask"].copy(),
        frame=about["frame"].copy(),
        index=about["index"].astype(np.int32),
        draw=draws.astype(np.int32),
        fit=about["fit"].astype(np.float32),
        extent=about["extent"].astype(np.float32),
        diagonal=np.array([math.hypot(*size) for size in about["size"].tolist()], np.float32),
    )


def batches(
    source: Source,
    config: Config,
    key: jax.Array,
    start_step: int = 0,
    *,
    faults: Faults | None = None,
    weights: np.ndarray | None = None,
    store: Store | None = None,
    costs: Costs | None = None,
    ready: Callable[[Batch], Batch] | None = None,
    rows: range | None = None,
) -> Iterator[Batch]:
    """Return endless training batches from a step on, across the ends of epochs.

    Args:
        source: the training split.
        config: the run's; it says how many draws a batch has, how an image is laid out, and how many threads decode.
        key: the run's root key.
        start_step: the first step, from 0.
        faults: where images that cannot be decoded are added; None: they are counted nowhere.
        weights: f64[images], not negative: relative frequency of each image in an epoch; None: once each.
        store: where canvases stay once they were decoded; None: nowhere. It changes no bit of a batch.
        costs: where the seconds of the threads are added, by what they did; None: nowhere.
        ready: applied to each batch in a thread of its own, two batches ahead of the requested one; it puts them on the
            devices. None: batches stay on the host.
        rows: the rows of each batch that are made, of several processes those of this one's devices; None: all.

    Returns:
        an iterator of config.batch draws each, or those of `rows`. An image that cannot be decoded is replaced by the
        next that can, with its own labels.

    Raises:
        ValueError: where the source is empty; from the iterator, where nothing in it can be decoded or `faults` has its
            limit.
        OSError: from the iterator, where an image cannot be read.
    """
    import grain  # half a second: for the commands that read images

    if not len(source):
        raise ValueError("the training split is empty: lower `val_fraction` or add images")
    faults = Faults() if faults is None else faults
    order, layout, kept = keys.ordering(key, len(source), weights), _layout(config), store or Nowhere()
    costs, mine = costs or Costs(), rows or range(config.batch)

    def load(step: int) -> Batch:
        draws = keys.draws(int(step) * config.batch + mine.start, len(mine), len(source))
        indices = np.array([order(int(epoch))[position] for epoch, position in draws])
        made = canvas_rows.empty(len(mine), layout.side, source.num_points)
        with costs.of("keep"):
            there = kept.get(indices, made)
        missing = np.flatnonzero(~there)
        for at in missing:
            _place(source, int(indices[at]), layout, faults, costs, made, int(at))
        canvas_rows.to_input(made, missing)
        with costs.of("keep"):
            for at in missing:
                kept.put(int(indices[at]), made, int(at))
        costs.add_images(len(mine))
        return _batch(made, draws)

    drawn = grain.MapDataset.range(start_step, _FOREVER).map(load)
    ahead = grain.ReadOptions(num_threads=config.threads, prefetch_buffer_size=config.threads + _AHEAD)
    stacked = drawn.to_iter_dataset(ahead)  # a thread makes a batch: the cost of handing over is that of one element
    if ready is None:
        return iter(stacked)

    def place(batch: Batch) -> Batch:
        with costs.of("place"):
            return ready(batch)

    return iter(grain.experimental.ThreadPrefetchIterDataset(stacked.map(place), prefetch_buffer_size=_AHEAD))


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

    faults, costs = Faults() if faults is None else faults, Costs()
    layouts = [_layout(config) for config in configs]
    distinct, size = list(dict.fromkeys(layouts)), configs[0].batch
    options = grain.ReadOptions(num_threads=configs[0].threads, prefetch_buffer_size=4 * size)

    def load(index: int) -> tuple[_Loaded | None]:
        found = _load(source, int(index), distinct, faults, costs)
        return (None if found is None else (*found, int(index)),)

    loaded = grain.MapDataset.range(len(source)).map(load)
    whole = (one for (one,) in loaded.to_iter_dataset(options) if one is not None)
    for some in iter(lambda: list(islice(whole, size)), []):
        made = {layout: _filled(some, at, layout, size) for at, layout in enumerate(distinct)}
        yield [made[layout] for layout in layouts]


def _filled(some: list[_Loaded], which: int, layout: _Layout, size: int) -> tuple[Batch, int]:
    """(batch of `size`, number of real examples) of examples with a canvas for each layout, this one being `which`."""
    rows = canvas_rows.empty(size, layout.side, len(some[0][0].points))
    for at in range(size):
        example, canvases, index = some[at if at < len(some) else 0]
        rows.image[at] = canvases[which].image
        canvas_rows.describe(rows, at, example, canvases[which], index)
    canvas_rows.to_input(rows, np.arange(size))
    rows.about["mask"][len(some) :] = False
    index = rows.about["index"]
    return _batch(rows, np.stack([np.zeros_like(index), index], 1)), len(some)
