"""Flags and ends of a command in several processes, on JAX's distributed runtime."""

import argparse
import os
import sys
from typing import Any

_NAMES = ("coordinator", "processes", "process", "lost_after")
LOST_AFTER = 100  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a command in several processes, for `start`."""
    group = parser.add_argument_group("processes", "recognised without flags under Slurm's srun and Open MPI's mpirun")
    group.add_argument("--coordinator", default="", metavar="HOST:PORT", help="where process 0 listens")
    group.add_argument("--processes", type=int, default=0, metavar="N", help="number of processes")
    group.add_argument("--process", type=int, default=-1, metavar="I", help="which of them this is, from 0")
    group.add_argument(
        "--lost-after",
        type=int,
        default=LOST_AFTER,
        metavar="SECONDS",
        help="without a sign of life of a process, after which the others end (default: %(default)s)",
    )


def start(flags: dict[str, Any]) -> bool:
    """Join the processes of this command, whose flags are taken out of `flags`; return whether this is the first.

    To be called before anything is put on a device. Raises ValueError where the processes do not find each other.
    """
    coordinator, count, index, lost_after = (flags.pop(name) for name in _NAMES)
    from jaxmarks import processes  # JAX, which a command line is read without

    processes.start(coordinator, count, index, lost_after=lost_after)
    return processes.is_first()


def part_of(text: str) -> tuple[int, int]:
    """Return (I, N) of I/N, a part of a job for commands that run apart; (0, 1), all of it, of an empty text. Raises ValueError
    for others."""
    try:
        number, of = map(int, text.split("/")) if text else (0, 1)
    except ValueError:
        number, of = -1, 0
    if not 0 <= number < of:
        raise ValueError(f"`part` {text}: expected I/N with 0 <= I < N, such as 0/4")
    return number, of


def leave(code: int) -> None:
    """End this process at once if it is one of several: the others, which wait for it, see that it is gone."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
