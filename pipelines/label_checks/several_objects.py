"""Images that have several records."""

from collections import Counter
from collections.abc import Sequence

from pipelines.io import schema
from pipelines.sources.formats import plain

_COUNT = schema.Whole(0, 1 << 50)
FORM = {"images": _COUNT, "records": _COUNT}


def count(names: Sequence[str]) -> dict[str, int]:
    """How many images have several records, and how many records these are."""
    counts = [count for count in Counter(map(plain.image_of, names)).values() if count > 1]
    return {"images": len(counts), "records": sum(counts)}


def describe(found: dict[str, int] | None) -> list[str]:
    """The line of `count`; none where no image has several records."""
    if not found or not found["images"]:
        return []
    have = "1 image has" if found["images"] == 1 else f"{found['images']} images have"
    return [f"{have} several records, {found['records']} in all, kept on one side of a split"]
