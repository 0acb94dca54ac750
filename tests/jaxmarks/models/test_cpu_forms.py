"""The CPU's forms of convolutions against NumPy in float64, and rendering in batches against one image at a time."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarks import augment, backend, keys, transform
from jaxmarks.models import cpu, ops, winograd
from pipelines.io import console

pytestmark = pytest.mark.bits


def taps(x: np.ndarray, stride: int) -> list[np.ndarray]:
    """What the nine taps of a 3x3 window see, padded by 1."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = x.shape[1], x.shape[2]
    return [padded[:, i : i + rows : stride, j : j + columns : stride] for i in range(3) for j in range(3)]


def exact(x: np.ndarray, kernel: np.ndarray, dy: np.ndarray, stride: int = 1) -> tuple[np.ndarray, ...]:
    """(y, dx, dkernel) of a 3x3 convolution in float64; dy None: ones."""
    x, flat, dy = x.astype(np.float64), kernel.reshape(9, *kernel.shape[2:]).astype(np.float64), dy.astype(np.float64)
    seen = taps(x, stride)
    y = sum(tap @ k for tap, k in zip(seen, flat, strict=True))
    dkernel = np.stack([np.tensordot(tap, dy, ((0, 1, 2), (0, 1, 2))) for tap in seen]).reshape(kernel.shape)
    dx = np.zeros((x.shape[0], x.shape[1] + 2, x.shape[2] + 2, x.shape[3]))
    for place, k in enumerate(flat):
        i, j = divmod(place, 3)
        dx[:, i : i + x.shape[1] : stride, j : j + x.shape[2] : stride] += dy @ k.T
    return y, dx[:, 1:-1, 1:-1], dkernel


def compared(conv, x, kernel, dy, stride: int = 1) -> list[float]:
    """The largest differences of (y, dx, dkernel) from float64, over the largest values."""
    y, back = jax.vjp(jax.jit(conv), x, kernel)
    found = (y, *back(jnp.asarray(dy, y.dtype)))
    wanted = exact(np.asarray(x, np.float32), np.asarray(kernel), dy, stride)
    return [
        float(np.abs(np.asarray(f, np.float64) - w).max() / np.abs(w).max()) for f, w in zip(found, wanted, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("rows, columns", [(8, 8), (7, 5), (4, 6), (3, 3), (1, 2)])
def test_winograd_is_the_convolution_in_float64(random, rows, columns):
    x = random.normal(size=(2, rows, columns, 6)).astype(np.float32)
    kernel = random.normal(size=(3, 3, 6, 4)).astype(np.float32)
    dy = random.normal(size=(2, rows, columns, 4))
    assert max(compared(winograd.conv, x, kernel, dy)) < 3e-6


def test_winograd_is_taken_where_it_pays(random):
    x = random.normal(size=(8, 8, 8, 128)).astype(np.float32)
    kernel = (random.normal(size=(3, 3, 128, 128)) / 34).astype(np.float32)
    found = [jax.jit(form)(x, kernel) for form in (lambda x, k: ops.CPU.conv(x, k, 1), winograd.conv)]
    assert (found[0] == found[1]).all() and (found[0] != ops.PLAIN.conv(x, kernel, 1)).any()


@pytest.mark.parametrize("channels, stride", [(256, 1), (16, 2), (16, 1)])
def test_a_bfloat16_convolution_sums_in_float32(random, channels, stride):
    """Factors have 8 bits; were the sums rounded so too, the result would be off by 0.4 percent of itself."""
    x = jnp.asarray(random.normal(size=(2, 6, 6, channels)), jnp.bfloat16)
    kernel = random.normal(size=(3, 3, channels, 8)).astype(np.float32)
    kernel = np.asarray(jnp.asarray(kernel, jnp.bfloat16), np.float32)
    side = 6 // stride
    dy = np.asarray(jnp.asarray(random.normal(size=(2, side, side, 8)), jnp.bfloat16), np.float32)
    y, dx, dkernel = compared(lambda x, k: cpu.conv(x, k, stride), x, kernel, dy, stride)
    by_sums = (channels, stride) != (16, 1)  # XLA's own rounds its result
    assert y < (1e-5 if by_sums else 5e-3) and dx < 1e-2 and dkernel < (1e-5 if by_sums else 5e-3)


def test_the_options_in_force_keep_xlas_library_sums():
    """The list replaces XLA's own: without REDUCE, sums over a batch take thirty times as long."""
    (kinds,) = backend.compiler_options().values() or ("LIBRARY_FUSION_TYPE_REDUCE",)
    assert "LIBRARY_FUSION_TYPE_REDUCE" in kinds.split(",")


@pytest.mark.slow
def test_rendering_in_batches_is_rendering_one_by_one(random):
    """Within 0.05 grey levels: coordinates differ by a rounding, over the steepest edge there is."""
    size, side, count = 32, 40, 3
    pictures = random.randint(0, 256, (count, side, side, 3)).astype(np.uint8)
    extent = np.tile(np.float32([0, 0, side - 1, side - 1]), (count, 1))
    draw = lambda key: augment.sample(key, augment.preset("contest"), size)  # noqa: E731
    t = jax.vmap(draw)(jax.random.split(keys.root(1), count))
    which = np.arange(count)[::-1].copy()
    found = jax.jit(lambda t: transform.apply_images(t, jnp.asarray(pictures), jnp.asarray(which), size, extent))(t)
    alone = jax.jit(transform.apply_image, static_argnums=2)
    for n, k in enumerate(which):
        one = alone(jax.tree.map(lambda leaf, n=n: leaf[n], t), pictures[k], size)
        apart = np.abs(np.asarray(found[n]) - np.asarray(one))
        assert (
            apart > 0.05
        ).mean() < 2e-3  # where the edge of what was seen passes through a centre, a rounding decides


def test_a_test_is_no_command_to_be_started_anew(monkeypatch):
    """What is not started as `python FILE` is left alone; and so is a person's own setting."""
    monkeypatch.setattr("os.execve", lambda *_: pytest.fail("started anew"))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    console.large_pages()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    monkeypatch.setattr(sys, "orig_argv", ["python", sys.argv[0]])
    console.large_pages()


@pytest.mark.parametrize(
    ("argv", "started"),
    [("train.py", ["python", "train.py"]), ("jaxmarks train", ["python", "/somewhere/bin/jaxmarks", "train"])],
)
def test_a_command_is_started_anew_with_large_pages(monkeypatch, argv, started):
    asked = []
    monkeypatch.setattr(sys, "argv", [argv, "--steps", "3"])
    monkeypatch.setattr("os.execve", lambda *a: asked.append(a))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "orig_argv", [*started, "--steps", "3"])
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(console.Path, "read_text", lambda _: "always [madvise] never\n")
    console.large_pages()
    if sys.platform == "linux":
        ((path, command, known),) = asked
        assert (path, command) == (sys.executable, sys.orig_argv) and known["GLIBC_TUNABLES"] == console._LARGE_PAGES
