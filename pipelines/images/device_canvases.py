"""Canvases kept on the devices: uploaded once, then gathered there by index."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxmarks.training import sharding
from jaxmarks.types import Batch
from pipelines.images import rows as canvas_rows
from pipelines.images.rows import Rows


class Devices:
    """A store whose canvases lie whole on each device of a mesh; what is known of them stays in host memory.

    A batch is made on the host as long as one of its canvases is not on the devices. `split` puts it there, and from then
    on its pixels do not travel.

    Args:
        count: examples of the training split.
        side: of a canvas, in pixels.
        num_points: of an example.
        mesh: the devices.
    """

    def __init__(self, count: int, side: int, num_points: int, mesh: Mesh):
        self._mesh = mesh
        self._about, self._known = np.empty(count, canvas_rows.about(num_points)), np.zeros(count, bool)
        self._there = np.zeros(count, bool)  # which canvases are on the devices, by example
        self._canvases = sharding.replicate(mesh, jnp.zeros((count, side, side, 3), jnp.uint8))
        whole = NamedSharding(mesh, jax.sharding.PartitionSpec())
        self._write = jax.jit(_write, donate_argnums=0, out_shardings=whole)
        self._read = jax.jit(_read, out_shardings=NamedSharding(mesh, sharding.DATA))

    def get(self, indices: np.ndarray, rows: Rows) -> np.ndarray:
        """All or none: the rows without their canvases, where all of these are on the devices; bool[n]."""
        all_there = bool(self._known[indices].all() and self._there[self._about["index"][indices]].all())
        if all_there:
            rows.about[:] = self._about[indices]
        return np.full(len(indices), all_there)

    def put(self, index: int, rows: Rows, at: int) -> None:
        """Keep what is known of row `at`; its canvas goes to the devices with its batch."""
        self._about[index] = rows.about[at]
        self._known[index] = True

    def split(self, batch: Batch) -> Batch:
        """Return a batch on the devices, each with its share.

        Args:
            batch: on the host; one whose canvases are on the devices has none of its own.

        Returns:
            the batch, its leading axes split.
        """
        if not self._there[batch.index].all():
            placed = sharding.split(self._mesh, batch)
            self._canvases = self._write(self._canvases, placed.index, placed.image)
            self._there[batch.index] = True
            return placed
        rest = sharding.split(self._mesh, batch._replace(image=batch.index))
        return rest._replace(image=self._read(self._canvases, rest.index))


def _write(canvases: jax.Array, index: jax.Array, image: jax.Array) -> jax.Array:
    return canvases.at[index].set(image)


def _read(canvases: jax.Array, index: jax.Array) -> jax.Array:
    return canvases[index]
