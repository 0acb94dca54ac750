"""Data card of a packed set, card.json: what the set holds and what its checks found, and fields that a person fills in.

A person edits it, so that the seal does not cover it, nothing is decided by it, and packing keeps what was filled in.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.example import Source
from pipelines.io import files, schema
from pipelines.label_checks import sections
from pipelines.packing import report
from pipelines.sources.tables import table_of

NAME = "card.json"
FIELDS = ("title", "licence", "source", "contact", "consent")  # to fill in; others may be added
_COUNT = schema.Whole(0, 1 << 50)
_SHARES = {str: float}
_SPLIT = {
    "listed": _COUNT, "accepted": _COUNT, "rejected": _COUNT, "labelled": bool, "boxes": bool, "near_duplicates": _COUNT,
    "short_side": _SHARES, "long_side": _SHARES, "spread": (_SHARES, None), "outside_crop": (float, None),
    "checks": ({str: [str]}, None), "sources": [str], "identity": str,
}  # fmt: skip
_FORM = {"about": {str: (str, None)}, "num_points": schema.Whole(1, 1 << 20), "splits": {str: _SPLIT}}


def read(folder: Path) -> dict[str, Any] | None:
    """Return the card of a folder; None where it has none. Raises ValueError, with the place, if it has another form."""
    path = folder / NAME
    if not path.is_file():
        return None
    data = files.read_json(path)
    schema.check(data, _FORM, str(path))
    return data


def write(folder: Path, sources: Mapping[str, Source], summary: dict[str, Any], identity: Mapping[str, str]) -> None:
    """Write the card of a set, and keep what a person filled in. summary: of report.json. identity: of each split. Raises
    ValueError as `read` does."""
    kept = (read(folder) or {"about": {}})["about"]
    splits = {part: _split(sources[part], summary["parts"][part], identity[part]) for part in sources}
    about = {**dict.fromkeys(FIELDS), **kept}
    points = next(iter(sources.values())).num_points
    files.write_json(folder / NAME, {"about": about, "num_points": points, "splits": splits})


def _split(source: Source, about: dict[str, Any], identity: str) -> dict[str, Any]:
    table = table_of(source)
    checks = {name: [line for line, _ in found] for name, found in sections.remarks(about).items()}
    return {
        **{key: about[key] for key in ("listed", "accepted", "short_side", "long_side", "spread")},
        "rejected": sum(about["refused"].values()),
        "labelled": source.labelled,
        "boxes": source.boxed,
        "near_duplicates": about["near_duplicates"]["photographs"],
        "outside_crop": report.outside_crop(about),
        "checks": checks if source.labelled else None,
        "sources": [path.name for path in table.files] if table else [source.specification or ""],
        "identity": identity,
    }


def empty(card: Mapping[str, Any]) -> list[str]:
    """The fields that nobody has filled in."""
    return [name for name in FIELDS if not card["about"].get(name)]
