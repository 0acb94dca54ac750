"""The data card as a section of the overview page."""

from typing import Any

from pipelines.packing import card
from pipelines.reports import html

_CHECKS = {
    "positions": "where labels lie, of all images together",
    "counts": "unusual labels: unlabelled, outside the crop or the image, placeholders, small, boxes",
    "orientation": "images turned by EXIF",
    "cut off": "images that end in one colour",
    "contradictions": "labels that contradict each other",
    "copies": "labels of another image",
    "lattice": "labels on a lattice",
    "shapes": "left and right exchanged, y counted from below, points in another order",
}


def section(data: dict[str, Any], part: str) -> tuple[str, str, str]:
    """Heading, explanation and markup of a card for one split, which it must hold. data: of `card.read`."""
    about = f"From {card.NAME} beside this page. Fill in its fields there; packing the set again keeps them."
    split = data["splits"][part]
    tables = [
        ("about the data", html.pieces.table(["field", ""], _fields(data["about"]))),
        ("counts", html.pieces.table(["", ""], _counts(data, split))),
        ("checks of the labels", html.pieces.table(["check", "result"], _checks(split["checks"]))),
    ]
    return "Data card", about, html.pieces.groups(tables)


def _fields(about: dict[str, str | None]) -> list[tuple[str, str]]:
    return [(name, value or "not filled in") for name, value in about.items()]


def _counts(data: dict[str, Any], split: dict[str, Any]) -> list[tuple[str, str]]:
    outside = split["outside_crop"]
    return [
        *((name, f"{split[name]:,}") for name in ("listed", "accepted", "rejected")),
        ("images with near-duplicates", f"{split['near_duplicates']:,}"),
        ("points", f"{data['num_points']:,}{'' if split['labelled'] else ', not labelled'}"),
        ("points outside the crop", "" if outside is None else f"{outside:.2%}"),
        ("bounding boxes", "yes" if split["boxes"] else "no"),
        *((f"{side} side in pixels", _range(split[f"{side}_side"])) for side in ("short", "long")),
        ("read from", ", ".join(split["sources"])),
        ("identity", split["identity"]),
    ]


def _range(shares: dict[str, float]) -> str:
    return ", ".join(f"{share}: {value:g}" for share, value in shares.items())


def _checks(checks: dict[str, list[str]] | None) -> list[tuple[str, str]]:
    if checks is None:
        return [("none", "nothing is labelled")]
    return [(_CHECKS.get(name, name), "; ".join(lines) or "nothing found") for name, lines in checks.items()]
