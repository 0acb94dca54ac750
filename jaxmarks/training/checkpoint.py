"""Checkpoints by orbax, with digests of state and files that every restore verifies.

checkpoints/00000120/state is orbax's; commit.json beside it is written last, by rename: without it the folder is
unfinished and does not exist as far as a run is concerned. It also counts the run's log files, with the digest of what
they held at that step, and is sealed itself. Kept are step 0, the best, the newest, the one before it, and about ten
anchors over the run.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmarks import processes
from jaxmarks.training import state as states
from jaxmarks.types import State

_NONE = "no checkpoint in {root} can be read: start the run again under another name"
_VERSION = 3  # of commit.json: 1 had no seal, 2 no digests of the logs and of orbax's files
_log = logging.getLogger(__name__)


class Commit(NamedTuple):
    """The record beside a saved state."""

    step: int
    digest: str
    nme: float | None  # of the last validation, if there was one
    offsets: dict[str, int]  # bytes of each log file at this step
    anchor: bool = False  # kept for good, for replays to start at
    digests: dict[str, str] = {}  # sha256 of so many bytes of each log file; an older version's: empty
    files: str = ""  # digest of orbax's files; an older version's: empty


def _folder(root: Path, step: int) -> Path:
    return root / "checkpoints" / f"{step:08d}"


def _seal(fields: dict) -> str:
    """What commit.json says of itself: sha256 of its other fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _commit(path: Path) -> Commit | None:
    """The content of a commit.json; None where it is not what was written."""
    try:
        fields = json.loads(path.read_bytes())
        unsealed = fields["format_version"] == 1 and "seal" not in fields
        if not unsealed and fields.pop("seal") != _seal(fields):
            return None
        found = Commit(**{name: fields[name] for name in Commit._fields if name in fields})
        if not (type(found.step) is int and all(type(n) is int and n >= 0 for n in found.offsets.values())):
            return None
        return found
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _files_digest(state: Path) -> str:
    """sha256 over the names and contents of all files of a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in state.rglob("*") if p.is_file()):
        with open(path, "rb") as file:
            total.update(f"{path.relative_to(state)}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _read_all(root: Path) -> tuple[list[Commit], list[Path]]:
    """(finished checkpoints, oldest first; commit.json files that are damaged)."""
    found = {path: _commit(path) for path in sorted(root.glob("checkpoints/[0-9]*/commit.json"))}
    sound = {path: c for path, c in found.items() if c is not None and path.parent == _folder(root, c.step)}
    return list(sound.values()), [path for path in found if path not in sound]


def commits(root: Path) -> list[Commit]:
    """Return the finished checkpoints of a run folder whose commit.json is sound.

    Args:
        root: the run folder.

    Returns:
        the oldest first.
    """
    return _read_all(root)[0]


def drop_after(root: Path, step: int) -> None:
    """Drop what a run that resumes at a step will make anew: later checkpoints, which were found damaged.

    Args:
        root: the run folder.
        step: where the run resumes.
    """
    for folder in root.glob("checkpoints/[0-9]*"):
        if int(folder.name) > step:
            shutil.rmtree(folder)


def newest_step(root: Path) -> int:
    """Return the step of the newest finished checkpoint.

    Args:
        root: the run folder.

    Returns:
        0 where there is none.
    """
    found = commits(root)
    return found[-1].step if found else 0


def save(
    root: Path,
    state: State,
    nme: float | None,
    offsets: dict[str, int],
    digests: dict[str, str] | None = None,
    *,
    anchor: bool = False,
) -> Commit:
    """Save the state whole or not at all, then drop the checkpoints that are not kept. All processes of a run call it.

    Args:
        root: the run folder.
        state: what is saved, under its step.
        nme: of the validation at this step; None: there was none.
        offsets: bytes of each log file, as `RunLog.commit` gives them; those of the first process count.
        digests: sha256 of each log file, likewise.
        anchor: whether the checkpoint is kept for good.

    Returns:
        what stands beside the saved state.

    Raises:
        OSError: where the disk takes no more.
        ValueError: where processes of a run have different states.
    """
    leaves = states.flatten(state)
    commit = Commit(int(state.step), states.digest(leaves), nme, offsets, anchor, digests or {})
    processes.same(f"the state of step {commit.step}", commit.digest)
    folder = _folder(root, commit.step)
    processes.in_first(lambda: _begin(folder, sum(leaf.nbytes for leaf in leaves.values())))
    try:
        _write(folder, leaves)
        processes.in_first(lambda: _finish(folder, commit))
    except Exception:
        if processes.is_first():
            shutil.rmtree(folder, ignore_errors=True)  # half a checkpoint is of no use, and takes space
        raise
    processes.in_first(lambda: _prune(root))
    return commit


def _begin(folder: Path, size: int) -> None:
    """An empty folder, where several processes that write together will have room: one that has none leaves the others
    waiting."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if processes.count() > 1 and shutil.disk_usage(folder).free < size:
        folder.rmdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _write(folder: Path, leaves: dict[str, np.ndarray]) -> None:
    """The state, by orbax; of several processes all call it, and orbax lets the first write what all have."""
    from orbax.checkpoint import v1 as ocp  # a second: for the commands that need it

    try:
        ocp.save_pytree(folder.absolute() / "state", leaves)
    except Exception as error:  # orbax raises errors of many kinds on a full disk, with the system's number within
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(folder)) from error
        raise


def _finish(folder: Path, commit: Commit) -> None:
    temporary = folder / "commit.json.tmp"
    with open(temporary, "w") as file:
        fields = {"format_version": _VERSION, **commit._replace(files=_files_digest(folder / "state"))._asdict()}
        json.dump({**fields, "seal": _seal(fields)}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / "commit.json")


def _alone(ocp) -> contextlib.AbstractContextManager:
    """The context of orbax in which this process waits for no other: states are whole in each."""
    if processes.count() == 1:
        return contextlib.nullcontext()
    own = {"primary_host": processes.index(), "active_processes": {processes.index()}}
    return ocp.Context(multiprocessing_options=ocp.options.MultiprocessingOptions(**own))


def best(found: list[Commit]) -> Commit | None:
    """Return the checkpoint with the lowest validation NME, the earlier of equals.

    Args:
        found: of `commits`.

    Returns:
        None before the first validation.
    """
    judged = [c for c in found if c.nme is not None and np.isfinite(c.nme)]
    return min(judged, key=lambda c: (c.nme, c.step)) if judged else None


def _prune(root: Path) -> None:
    found = commits(root)
    kept = {0, *(c.step for c in found[-2:]), *(c.step for c in found if c.anchor)}
    if (top := best(found)) is not None:
        kept.add(top.step)
    finished = {_folder(root, c.step) for c in found if c.step in kept}
    for folder in root.glob("checkpoints/[0-9]*"):
        if folder not in finished:
            shutil.rmtree(folder)


def _read(root: Path, commit: Commit, template: State) -> State:
    from orbax.checkpoint import v1 as ocp

    saved = _folder(root, commit.step).absolute() / "state"
    if commit.files and _files_digest(saved) != commit.files:  # orbax never sees what was damaged
        raise ValueError("its files are not what was saved: the digest differs")
    with _alone(ocp):
        leaves = {k: np.asarray(v) for k, v in ocp.load_pytree(saved).items()}
    if states.digest(leaves) != commit.digest:
        raise ValueError("its content is not what was saved: the digest differs")
    return states.unflatten(template, leaves)


def restore(root: Path, template: State, which: str = "newest") -> tuple[State, Commit] | None:
    """Return a saved state, verified.

    A damaged one is passed over with a warning, for the newest sound one before it.

    Args:
        root: the run folder.
        template: the shapes of the state, as `Experiment.template` gives them.
        which: `best`, `newest` or the number of a step, as text.

    Returns:
        the state on the host, and what stands beside it; None where there is no checkpoint.

    Raises:
        ValueError: for a step that is not there, where no checkpoint is sound, and where a sound one is of another
            network or optimizer.
    """
    found, damaged = _read_all(root)
    for path in damaged:
        _log.warning("checkpoint %s cannot be used: its commit.json is damaged; trying the one before", path.parent)
    if not found and not damaged:
        return None
    if not found:
        raise ValueError(_NONE.format(root=root))
    for commit in _candidates(found, which):
        try:
            return _read(root, commit, template), commit
        except states.OtherNetworkError as error:  # it is sound
            raise ValueError(f"{root}: {error}") from None
        except Exception as error:  # orbax raises errors of many kinds on damaged files
            _log.warning("checkpoint of step %d cannot be used: %s; trying the one before", commit.step, _line(error))
    raise ValueError(_NONE.format(root=root))


def anchor_before(root: Path, template: State, step: int) -> State:
    """Return the state of the newest sound checkpoint of a step or before it.

    Args:
        root: the run folder.
        template: the shapes of the state.
        step: a number of steps.

    Returns:
        the state on the host.

    Raises:
        ValueError: where there is none.
    """
    steps = [c.step for c in commits(root) if c.step <= step]
    for at in reversed(steps):
        try:
            found = restore(root, template, str(at))
        except ValueError:  # damaged, and said so
            continue
        if found is not None:
            return found[0]
    raise ValueError(f"no checkpoint in {root} of step {step} or before it can be read")


def require(root: Path, template: State, which: str) -> tuple[State, Commit]:
    """Return as `restore`, for a run that must have a checkpoint.

    Args:
        root: the run folder.
        template: the shapes of the state.
        which: `best`, `newest` or the number of a step, as text.

    Returns:
        the state on the host, and what stands beside it.

    Raises:
        ValueError: as `restore`, and where there is no checkpoint.
    """
    found = restore(root, template, which)
    if found is None:
        raise ValueError(f"{root} has no checkpoint yet: train it first")
    return found


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _candidates(found: list[Commit], which: str) -> list[Commit]:
    newest_first = found[::-1]
    if which == "newest":
        return newest_first
    chosen = (best(found) or found[-1]) if which == "best" else next((c for c in found if str(c.step) == which), None)
    if chosen is None:
        steps = ", ".join(str(c.step) for c in found)
        raise ValueError(f"there is no checkpoint {which!r}: choose best, newest or one of {steps}")
    return [chosen, *(c for c in newest_first if c.step < chosen.step)] if which == "best" else [chosen]
