"""Table from fields to flags: messages below scripts/ name fields in backquotes, a command line shows its flags."""

import dataclasses
import re
from typing import Any, TypedDict

from jaxmarks import config

TABLE = {f.name: config.flag(f.name) for f in dataclasses.fields(config.Config)}
_OTHERS = """against at_once checkpoint coordinator copy_pictures fork format groups images merge name no_cache
no_near_duplicates only out part process processes recipe refine rows run runs sizes step traceback tta vary view_weights"""
TABLE |= {name: config.flag(name) for name in _OTHERS.split()}


class Places(TypedDict):
    """Where a data set's images, boxes and objects are, beside its path: fields of `Config`."""

    pictures: str
    boxes: str
    category: str


def places(given: Any) -> Places:
    """Return the places that a configuration or a command line gives."""
    return Places(pictures=given.pictures, boxes=given.boxes, category=given.category)


def named(message: str) -> str:
    """Return a message with flags in place of the fields that it names: `trim_top` is --trim-top."""
    return re.sub(r"`(\w+)`", lambda found: TABLE.get(found[1], found[0]), message)
