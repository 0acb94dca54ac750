"""Processes of one run on JAX's distributed runtime: which one this is, and what all of them agree on.

Everything here is called by all processes in the same order, and waits for the slowest. A run in one process waits for
nobody and sends nothing.
"""

import contextlib
import io
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")

_LOST_AFTER = 100  # seconds without a sign of life, after which a process counts as lost


class LostError(RuntimeError):
    """Another process of the run ended, or failed in a way that it could not tell."""


def start(coordinator: str = "", count: int = 0, index: int = -1, *, lost_after: int = _LOST_AFTER) -> None:
    """Join the processes of a run, if there are several. To be called before anything is put on a device.

    Without arguments the processes are those of the Slurm step or of Open MPI's mpirun that started this one, as JAX
    recognises them.

    Args:
        coordinator: HOST:PORT at which process 0 listens; empty: of the scheduler.
        count: number of processes; 0: of the scheduler.
        index: of this process, from 0; -1: of the scheduler.
        lost_after: seconds without a sign of life, after which a process counts as lost, and the others end.

    Raises:
        ValueError: for arguments that do not fit each other, and where the processes do not find each other.
    """
    if coordinator or count or index >= 0:
        host, _, port = coordinator.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ValueError(f"`coordinator` {coordinator!r}: expected HOST:PORT of process 0, as node0:12345")
        if not 0 <= index < count:
            raise ValueError(f"`process` {index} of `processes` {count}: expected 0 to {max(count - 1, 0)}")
        if count == 1:
            return
        given = {"coordinator_address": coordinator, "num_processes": count, "process_id": index}
    elif scheduled() > 1:
        given = {}
    else:
        return
    try:
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=lost_after)
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise ValueError(
            f"the processes of this run did not find each other at {coordinator or 'the scheduler'}: {first}"
        ) from None


def scheduled() -> int:
    """Return how many processes the scheduler started for this command: of Slurm's srun or of Open MPI's mpirun; else 1."""
    of_srun = all(name in os.environ for name in ("SLURM_STEP_NODELIST", "SLURM_PROCID"))  # not of sbatch's own script
    found = os.environ.get("SLURM_NTASKS" if of_srun else "OMPI_COMM_WORLD_SIZE", "")
    return int(found) if found.isascii() and found.isdigit() else 1


def count() -> int:
    """Return the number of processes of this run."""
    return jax.process_count()


def index() -> int:
    """Return which of them this is, from 0."""
    return jax.process_index()


def is_first() -> bool:
    """Return whether this is the process that writes the files of a run and talks to a person."""
    return jax.process_index() == 0


def gather(data: bytes) -> list[bytes]:
    """Return what each process gave, in their order.

    Args:
        data: of this process, of any length.

    Returns:
        one entry a process.

    Raises:
        LostError: where a process was lost.
    """
    if count() == 1:
        return [data]
    own = np.frombuffer(data, np.uint8)
    lengths = _all(np.array([len(own)], np.int32))[:, 0]
    padded = np.zeros(max(int(lengths.max()), 1), np.uint8)
    padded[: len(own)] = own
    return [row[:length].tobytes() for row, length in zip(_all(padded), lengths.tolist(), strict=True)]


def gather_arrays(arrays: Sequence[np.ndarray] | None) -> list[list[np.ndarray]]:
    """Return the arrays of each process that gave any, in their order.

    Args:
        arrays: of this process, of any shapes; None: it has none.

    Returns:
        a list for each process that gave arrays.

    Raises:
        LostError: where a process was lost.
    """
    if count() == 1:
        return [] if arrays is None else [list(arrays)]
    packed = io.BytesIO()
    if arrays is not None:
        np.savez(packed, *arrays)
    found = [np.load(io.BytesIO(data), allow_pickle=False) for data in gather(packed.getvalue()) if data]
    return [[each[f"arr_{n}"] for n in range(len(each.files))] for each in found]


def share(length: int) -> range:
    """Return the part of a list that is this process's: one stretch each, as long as the others' or one longer.

    Args:
        length: of the list.

    Returns:
        its indices.
    """
    return range(length * index() // count(), length * (index() + 1) // count())


def on_this_host() -> int:
    """Return how many of the processes run on this process's host."""
    names = gather(socket.gethostname().encode())
    return names.count(names[index()])


def agree(code: int) -> int:
    """Return the largest of a number that each process gives.

    Args:
        code: of this process, 0 or more.

    Returns:
        the same number in all processes.

    Raises:
        LostError: where a process was lost.
    """
    return code if count() == 1 else int(_all(np.array([code], np.int32)).max())


def _all(array: np.ndarray) -> np.ndarray:
    """[processes, ...] of an array of one shape in all of them."""
    try:
        return np.asarray(multihost_utils.process_allgather(array))
    except jax.errors.JaxRuntimeError as error:
        raise LostError(str(error).strip().partition("\n")[0][:200]) from error


def together(function: Callable[[], T]) -> T:
    """Return what a function gives, once it succeeded in every process; where it fails in one, all fail.

    Args:
        function: may raise ValueError and OSError.

    Returns:
        its result in this process.

    Raises:
        ValueError: of this process as it is, or naming the process that failed.
        OSError: of this process.
        LostError: where a process was lost.
    """
    result, failed = None, None
    try:
        result = function()
    except (ValueError, OSError) as error:
        failed = error
    lines = gather(b"" if failed is None else (" ".join(str(failed).split()) or type(failed).__name__).encode())
    if failed is not None:
        raise failed
    for number, line in enumerate(lines):
        if line:
            raise ValueError(f"process {number} of {count()}: {line.decode()}")
    return result  # type: ignore[return-value]  # it succeeded


def in_first(function: Callable[[], T]) -> T | None:
    """Return as `together` what a function gives that only the first process calls; None in the others.

    Args:
        function: may raise ValueError and OSError.

    Returns:
        its result in the first process, None in the others.

    Raises:
        ValueError: as `together`.
        OSError: as `together`.
        LostError: as `together`.
    """
    return together(lambda: function() if is_first() else None)


def first_then(function: Callable[[], T]) -> T:
    """Return what a function gives, called in the first process before the others: what it writes, they find.

    Args:
        function: may raise ValueError and OSError.

    Returns:
        its result in this process.

    Raises:
        ValueError: as `together`.
        OSError: as `together`.
        LostError: as `together`.
    """
    own = in_first(function)
    return together(lambda: own if is_first() else function())  # type: ignore[return-value]


@contextlib.contextmanager
def held(make: Callable[[], contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    """Hold a context in the first process, as long as all are within.

    Args:
        make: gives the context; may raise ValueError and OSError, likewise its entering.

    Yields:
        once, while the first process holds it.

    Raises:
        ValueError: as `together`.
        OSError: as `together`.
        LostError: as `together`.
    """
    with contextlib.ExitStack() as stack:
        in_first(lambda: stack.enter_context(make()))
        yield


def gather_lines(lines: Sequence[str]) -> list[str]:
    """Return the lines of all processes, each once, sorted.

    Args:
        lines: of this process, without ends of lines in them.

    Returns:
        the same lines in all processes.

    Raises:
        LostError: where a process was lost.
    """
    if count() == 1:
        return list(lines)
    found = gather("\n".join(lines).encode(errors="surrogateescape"))
    return sorted({line for each in found for line in each.decode(errors="surrogateescape").split("\n") if line})


def same(what: str, digest: str) -> None:
    """Raise ValueError unless all processes give the same digest.

    Args:
        what: names the thing that it is of, for the message.
        digest: of this process.

    Raises:
        ValueError: naming the processes that differ from the first.
    """
    found = gather(digest.encode())
    if other := [str(n) for n, each in enumerate(found) if each != found[0]]:
        raise ValueError(f"{what} of process {', '.join(other)} is not that of process 0: give all of them the same")
