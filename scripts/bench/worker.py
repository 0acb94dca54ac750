"""Worker process of one side of a benchmark row, started by `turns.Worker`.

Lines of JSON in, a line of JSON out for each, or {"error": line}:
    {"side": "module.function", "name": NAME, "settings": {...}, "folder": PATH}   first: sets up, {"ready": true}
    {"turn": n}   does the row's work n times, {"seconds": s} of one
    "peak"        {"peak_mb": m}, the most memory of this process and of those it started
It ends with its input. A side is a function (settings, folder) -> Side in a module beside this one.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__" and "--help" in sys.argv:
    raise SystemExit("worker.py is started by run.py, and does nothing by itself")

import numpy as np


class Side(NamedTuple):
    """A side, set up: its work once, and the arrays by which it is compared with another side.

    A float that `turn` returns is the seconds that count, where they are not all that it took.
    """

    turn: Callable[[], object]
    output: dict[str, np.ndarray]


def save(folder: Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    """Leave arrays in a row's folder, for another side or to be compared."""
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)


def load(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of `save`."""
    with np.load(folder / f"{name}.npz") as found:
        return dict(found)


def begin(request: dict) -> Side:
    """The side that a first line asks for, its output written to FOLDER/NAME.npz."""
    module, _, function = request["side"].rpartition(".")
    folder = Path(request["folder"])
    side = getattr(importlib.import_module(module), function)(request["settings"], folder)
    save(folder, request["name"], side.output)
    return side


def answer(side: Side, question: str | dict[str, int]) -> dict:
    """Return the answer to a line after the first."""
    if isinstance(question, str):
        return {"peak_mb": peak(os.getpid())}
    times, began = question["turn"], time.perf_counter()
    found = [side.turn() for _ in range(times)]
    own = [seconds for seconds in found if isinstance(seconds, float)]
    return {"seconds": (sum(own) if own else time.perf_counter() - began) / times}


def peak(process: int) -> float:
    """MB: the largest resident memory of a process and of its living children, added up; 0 where /proc has none."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
        return int(status.split("VmHWM:")[1].split()[0]) / 1e3 + sum(peak(int(child)) for child in children)
    except (OSError, IndexError):
        return 0.0


def main() -> None:
    """Answer until the input ends. What libraries print goes to the log, not among the answers."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    side = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if side is None:
                side, found = begin(request), {"ready": True}
            else:
                found = answer(side, request)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(found), file=answers)


if __name__ == "__main__":
    sys.modules["worker"] = sys.modules["__main__"]  # sides import Side from here
    main()
