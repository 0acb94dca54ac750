"""Properties of the backend: the only place that asks for the device, which selects fast forms, never values."""

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable

import jax
from jax.experimental.xla_metadata import set_xla_metadata

# XLA's library for products and sums on a CPU, and its older convolution: with 64 channels the newer one takes half as long
# again (measured with jaxlib 0.10.2). The list replaces XLA's own: without REDUCE, sums over a batch take thirty times as long.
_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"}

_UNITS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")

_FLAG = "--xla_gpu_deterministic_ops=true"


def is_cpu() -> bool:
    """Return whether computations are traced for the CPU.

    There loops run over examples, gathers are stored and convolutions are products.
    """
    return jax.default_backend() == "cpu"


@functools.cache
def instruction_sets() -> tuple[str, ...]:
    """Return the vector and matrix units of this processor as named in /proc/cpuinfo; empty without such a file."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        return ()
    return tuple(name for name in _UNITS if name in flags)


def apart(function: Callable, static_argnames: tuple[str, ...] = ()) -> Callable:
    """Return a function as a call that XLA does not inline on a CPU.

    Its arguments and its result are computed once and stored. Fusion would compute what feeds it, and it, anew for each
    of several readers. Elsewhere the function as it is.

    Args:
        function: of arrays.
        static_argnames: arguments that are no arrays.

    Returns:
        the same function.
    """

    @functools.wraps(function)
    def inner(*arguments):
        with set_xla_metadata(inlineable=None):  # jnp's own calls within it (clip, where) are inlined as ever
            return function(*arguments)

    compiled = jax.jit(inner, static_argnames=static_argnames)

    @functools.wraps(function)
    def call(*arguments):
        if not is_cpu():
            return function(*arguments)
        with set_xla_metadata(inlineable="false"):
            return compiled(*arguments)

    return call


def ask_same_bits() -> None:
    """Ask XLA for the same bits at every run on a GPU. To be called before anything is put on a device."""
    if not same_bits_asked():
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()


def same_bits_asked() -> bool:
    """Return whether a GPU was asked for the same bits at every run."""
    return _FLAG in os.environ.get("XLA_FLAGS", "")


def same_bits() -> bool:
    """Return whether a step taken twice gives the same bits: always on a CPU, on others where it was asked for."""
    return is_cpu() or same_bits_asked()


@functools.cache
def compiler_options() -> dict[str, str]:
    """Return the compiler options of networks for `jax.jit`; empty if this XLA does not know them."""
    if not is_cpu():
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=_OPTIONS).lower().compile()
    except RuntimeError:
        return {}
    return _OPTIONS


@functools.cache
def release_after_compilation() -> None:
    """Have memory that a compilation of a second or more used returned to the system, where the C library is glibc.

    glibc keeps freed memory for the process: for a ResNet50 step 700 MB, which would add to the peak of training.
    """
    with contextlib.suppress(OSError, AttributeError):
        trim = ctypes.CDLL(None).malloc_trim

        def release(event: str, duration_secs: float, **_: str | int) -> None:
            if event.endswith("backend_compile_duration") and duration_secs > 1:
                trim(0)

        jax.monitoring.register_event_duration_secs_listener(release)
