"""Comparison of named settings, each trained with several seeds, as a table.

A row of the table is a name and flags of train.py. Runs are known by row and seed; what a run was made with is written
beside it, and a run that was made with the same is taken as it is.
"""

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.io import files
from pipelines.runs import restore

Commands = dict[str, list[str]]  # a script's name and its arguments, in the order of their running
_OWN = ("--data", "--runs", "--name", "--seed")  # flags that the comparison gives itself
_SUCH = '{"name": "l1", "flags": "--loss l1"}'  # a row, for messages
_KINDS = {"name": str, "flags": str, "data": str, "judge": bool, "seeds": int}


class Row(NamedTuple):
    """One setting. In its flags {seed} and {runs} may stand, in its data {out}: see `commands`."""

    name: str
    flags: str  # of train.py
    data: str = ""  # what to train on; empty: what all are judged on
    judge: bool = True  # False: trained only, for others to begin from
    seeds: int = 0  # of this row alone: 1 for what all others begin from; 0: as many as of all

    def has(self, seed: int) -> bool:
        """Return whether the row is to be made with a seed."""
        return not self.seeds or seed < self.seeds


class Result(NamedTuple):
    """What a run came to."""

    nme: float | None  # of the test split; None: not judged
    weight_norm: float | None  # at the end of the training; None: the run did not log it


def read(path: Path) -> list[Row]:
    """The rows of a JSON list of {"name", "flags"} and, where wanted, "data", "judge" and "seeds".

    Raises ValueError in one line for another file, an unknown key, a value of the wrong kind, a name twice.
    """
    try:
        found = files.parse_json(files.read_bytes(path), path)
    except FileNotFoundError:
        raise ValueError(f"`rows` {path}: does not exist") from None
    if not isinstance(found, list) or not found or not all(isinstance(r, dict) for r in found):
        raise ValueError(f"{path}: expected a list of rows such as {_SUCH}")
    return _checked([_row(f"{path}, row {place}", r) for place, r in enumerate(found, 1)], str(path))


def varied(text: str) -> list[Row]:
    """The rows of FLAG=VALUE,VALUE,...: one flag of train.py, each row named after its value."""
    flag, _, values = text.partition("=")
    if not flag or not values:
        raise ValueError(f"`vary` {text}: expected FLAG=VALUE,VALUE,...")
    return _checked([Row(Path(v).stem, f"--{flag} {shlex.quote(v)}") for v in values.split(",")], f"`vary` {text}")


def _row(where: str, data: dict[str, Any]) -> Row:
    if unknown := sorted(set(data) - set(_KINDS)):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; a row has {', '.join(_KINDS)}")
    for key, kind in _KINDS.items():
        if key in data and not isinstance(data[key], kind):
            raise ValueError(
                f"{where}: {key} must be of type {kind.__name__}, got {data[key]!r}; a row is such as {_SUCH}"
            )
    if gone := [key for key in ("name", "flags") if key not in data]:
        raise ValueError(f"{where}: {gone[0]} is missing")
    return Row(**data)


def _checked(rows: list[Row], where: str) -> list[Row]:
    names = [row.name for row in rows]
    for row in rows:
        if not row.name or row.name.startswith(".") or any(c in row.name for c in "/\\,"):
            raise ValueError(f"{where}: {row.name!r} is not a plain name, and runs are named after it")
        if names.count(row.name) > 1:
            raise ValueError(f"{where}: two rows are named {row.name}")
        try:
            check_flags(shlex.split(row.flags))
        except ValueError as error:
            raise ValueError(f"{where}: row {row.name}: {error}") from None
    return rows


def check_flags(flags: Sequence[str]) -> None:
    """Raise ValueError where one of train.py's flags is the comparison's to give."""
    if own := [flag for flag in flags if flag.partition("=")[0] in _OWN]:
        raise ValueError(f"{own[0]} is given by the comparison itself")


def chosen(rows: Sequence[Row], only: str) -> list[Row]:
    """The rows of these names, NAME,NAME,..., in their own order; all of them where none is named."""
    names = [name for name in only.split(",") if name]
    if unknown := [name for name in names if name not in {row.name for row in rows}]:
        raise ValueError(f"`only` {unknown[0]}: no such row; there are {', '.join(row.name for row in rows)}")
    return [row for row in rows if not names or row.name in names]


def data_of(row: Row, data: str, out: Path) -> str:
    """What a row is trained on."""
    return row.data.replace("{out}", str(out)) or data


def commands(row: Row, seed: int, common: Sequence[str], data: str, out: Path, views: str) -> Commands:
    """How a run of a row is made: the arguments of train.py and, where the row is judged, of evaluate.py.

    The row's flags come after the common ones, and so win. In them {seed} is the run's and {runs} where runs lie, so
    that a row can begin from what another came to: {runs}/NAME-{seed}.
    """
    runs = out / "runs"
    named = [f.replace("{seed}", str(seed)).replace("{runs}", str(runs)) for f in shlex.split(row.flags)]
    own = ["--data", data_of(row, data, out), "--runs", str(runs), "--name", f"{row.name}-{seed}", "--seed", str(seed)]
    train: Commands = {"train": [*common, *named, *own]}
    if not row.judge:
        return train
    run = runs / f"{row.name}-{seed}"
    return {**train, "evaluate": ["--run", str(run), "--data", data, "--tta", views, "--out", str(run / "test.json")]}


def note(run: Path, made: Commands) -> None:
    """Write down that a run is complete, and what it was made with."""
    files.write_json(run / "compared.json", {"commands": made})


def result(run: Path, made: Commands) -> Result | None:
    """What a run came to that is complete and was made with just these commands, else None."""
    if not (run / "compared.json").is_file() or files.read_json(run / "compared.json")["commands"] != made:
        return None
    lines = restore.metrics(run)
    last = [line for line in lines if line["split"] == "train"][-1:]
    nme = files.read_json(run / "test.json")["nme"] if "evaluate" in made else None
    return Result(nme, last[0].get("weight_norm") if last else None)


def student(freedom: int) -> float:
    """Within plus and minus this lie 95 % of Student's t of so many degrees of freedom."""
    angle = np.linspace(0, np.pi / 2, 100_001)  # t = sqrt(freedom) tan(angle) has the density cos(angle)^(freedom - 1)
    density = np.cos(angle) ** (freedom - 1)
    area = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(freedom) * math.tan(np.interp(0.95 * area[-1], area, angle))


def paired(ours: Mapping[int, float], first: Mapping[int, float]) -> dict[str, float | None]:
    """The mean of ours - first over the seeds that both have, and half the width of its 95 % interval by Student's t
    (None below two seeds)."""
    differences = [ours[seed] - first[seed] for seed in sorted(ours.keys() & first.keys())]
    if not differences:
        return {"mean": None, "half": None}
    count = len(differences)
    half = student(count - 1) * statistics.stdev(differences) / math.sqrt(count) if count > 1 else None
    return {"mean": statistics.mean(differences), "half": half}


def summary(rows: Sequence[Row], found: Mapping[str, Mapping[int, Result]]) -> list[dict[str, Any]]:
    """The numbers of the table, a row each that was judged: {name, flags, data, seeds, nme, mean, spread, difference,
    weight_norm}. found: of a row's name and a seed. The difference is to the first of them, whose own is None."""
    numbers, first = [], None
    for row in rows:
        runs = dict(sorted(found.get(row.name, {}).items()))
        nme = {seed: r.nme for seed, r in runs.items() if r.nme is not None}
        if not nme:
            continue
        norms = [r.weight_norm for r in runs.values() if r.weight_norm is not None]
        numbers.append(
            {
                **{"name": row.name, "flags": row.flags, "data": row.data},
                **{"seeds": list(nme), "nme": list(nme.values()), "mean": statistics.mean(nme.values())},
                "spread": statistics.stdev(nme.values()) if len(nme) > 1 else None,
                "difference": None if first is None else paired(nme, first),
                "weight_norm": statistics.mean(norms) if norms else None,
            }
        )
        first = first or nme
    return numbers


def table(numbers: Sequence[dict[str, Any]]) -> list[str]:
    """The numbers of `summary` as lines of Markdown."""
    heads = ["", "test NME, mean", "spread", "each", f"less {numbers[0]['name']}", "norm of the weights", "flags"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for n in numbers:
        flags = f"--data {n['data']} {n['flags']}".strip() if n["data"] else n["flags"]
        cells = [n["name"], f"{n['mean']:.4f}", _shown(n["spread"]), ", ".join(f"{v:.4f}" for v in n["nme"])]
        cells += [_difference(n["difference"]), _shown(n["weight_norm"], 2), f"`{flags}`" if flags else ""]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return lines


def _shown(value: float | None, decimals: int = 4) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _difference(found: dict[str, float | None] | None) -> str:
    if found is None or found["mean"] is None:
        return ""
    return f"{found['mean']:+.4f}" + ("" if found["half"] is None else f" ± {found['half']:.4f}")
