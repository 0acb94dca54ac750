"""Supervision of the processes of one command on this machine: output, signals, losses, restarts."""

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import IO, NamedTuple, Protocol

_POLL = 0.1  # seconds


class Tell(Protocol):
    """Where lines go."""

    def __call__(self, line: str, *, error: bool) -> None: ...


class Ended(NamedTuple):
    """How the processes of a command ended."""

    code: int  # exit code of the one that ended first with another than 0; of a signal 128 + its number
    lost: int | None  # which one that was; None where all succeeded
    asked: bool  # a signal to end was passed on


def free_port() -> int:
    """Return a port of this machine at which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(commands: Sequence[Sequence[str]], envs: Sequence[dict[str, str]], grace: float, tell: Tell) -> Ended:
    """Run processes until all have ended.

    Their lines are told with the number of the process before. SIGINT and SIGTERM are passed on to all. Once one ends
    with another code than 0, or by a signal, it is named, and what is left after `grace` seconds is killed.

    Args:
        commands: of each process.
        envs: environment of each.
        grace: seconds that the others have to end by themselves.
        tell: is given each line, and whether it is of an error.

    Returns:
        how they ended.
    """
    started = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        for command, env in zip(commands, envs, strict=True)
    ]
    readers = [
        threading.Thread(target=_passed_on, args=(f"[{n}] ", stream, partial(tell, error=error)), daemon=True)
        for n, process in enumerate(started)
        for stream, error in ((process.stdout, False), (process.stderr, True))
    ]
    for reader in readers:
        reader.start()
    with _signals_to(started) as passed:
        ended = _watched(started, grace, passed, tell)
    for reader in readers:
        reader.join(5)
    return ended


def _passed_on(prefix: str, stream: IO[bytes], tell: Callable[[str], None]) -> None:
    for line in stream:
        with contextlib.suppress(OSError, ValueError):  # whoever read what is printed has read enough
            tell(prefix + line.decode(errors="backslashreplace").rstrip("\n"))


@contextlib.contextmanager
def _signals_to(started: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """Pass SIGINT and SIGTERM on to all processes; those that were."""
    passed: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        passed.append(number)
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    known = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield passed
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)


def _watched(started: Sequence[subprocess.Popen], grace: float, passed: list[int], tell: Tell) -> Ended:
    """Wait for all; the first that fails is named, unless it was asked to end, and the others have `grace` seconds from then
    on."""
    first, since = None, 0.0
    while any(process.poll() is None for process in started):
        failed = [n for n, process in enumerate(started) if process.poll() not in (None, 0)]
        if failed and first is None:
            first, since = failed[0], time.monotonic()
            if not passed:
                ended = how(started[first].returncode)
                tell(f"process {first} {ended}; the others end within {grace:g} s", error=True)
        if first is not None and time.monotonic() - since > grace:
            left = [n for n, process in enumerate(started) if process.poll() is None]
            tell(f"still running and killed: {', '.join(f'process {n}' for n in left)}", error=True)
            for n in left:
                started[n].kill()
            since = time.monotonic()
        time.sleep(_POLL)
    failed = [n for n, process in enumerate(started) if process.returncode]
    lost = first if first is not None else next(iter(failed), None)
    return Ended(0 if lost is None else code(started[lost].returncode), lost, bool(passed))


def code(returned: int) -> int:
    """Return the exit code of a process as a shell has it, 128 + the number of a signal that ended it."""
    return returned if returned >= 0 else 128 - returned


def how(returned: int) -> str:
    """Return words on how a process ended."""
    if returned < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-returned).name}"
    return f"ended with exit code {returned}"
