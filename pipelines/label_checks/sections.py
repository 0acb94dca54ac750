"""Every check of the labels of a split, from its section of report.json."""

from collections.abc import Mapping
from typing import Any

from jaxmarks import landmarks
from pipelines.example import Source
from pipelines.images import cut_off, jpeg_scans, orientation, unused
from pipelines.io import schema
from pipelines.label_checks import (
    conflicts,
    copied_labels,
    label_counts,
    label_positions,
    label_remarks,
    lattice_labels,
    shape_faults,
)
from pipelines.sources.tables import label_of

_COPIED = ("copied_labels", "partly_copied_labels", "placed_labels")
_SHAPES = ("exchanged_labels", "labels_from_below", "reordered_labels")
MARKS = (
    "turned",
    "flat",
    "damaged",
    *unused.KINDS,
)  # of single images, known once each was opened; report.json has MARK_files
Remark = tuple[str, list[str]]  # a line, and every image that it tells of

# Sets that were packed before one of these was counted have none of it.
FORMS = {
    "turned": (schema.Whole(0, 1 << 50), None), "conflicts": ([conflicts.FORM], None),
    "labels": (label_counts.FORM, None), "norm": ([schema.Whole(0, 1 << 20)], None), "lattice": (lattice_labels.FORM, None),
    **dict.fromkeys((*(f"{mark}_files" for mark in MARKS), "label_positions", *_SHAPES, *_COPIED), ([str], None)),
}  # fmt: skip


def found(source: Source, index: Any, sizes: Any, groups: list[int]) -> dict[str, Any]:
    """The checks that read all labels of a split together, as sections of report.json.

    index: i64[n], its accepted records. sizes: i64[n, 2], width and height of their images. groups: what near-duplicates
    share.
    """
    scheme = label_counts.default(source)[1]
    shapes = shape_faults.find(source, index, scheme)
    copied, lattice = copied_labels.find(source, index, groups), lattice_labels.find(source, index)
    return {
        "norm": list(scheme.norm or ()),
        **dict(zip(_COPIED, copied, strict=True)),
        "label_positions": _positions(source, index, sizes),
        "lattice": None if lattice is None else lattice._asdict(),
        **dict(zip(_SHAPES, shapes, strict=True)),
    }


def marks_of(about: dict[str, Any]) -> dict[str, list[str]]:
    """The images of each of MARKS, from the section of a split in report.json."""
    return {mark: about.get(f"{mark}_files") or [] for mark in MARKS}


def of_files(marks: Mapping[str, list[str]]) -> dict[str, list[Remark]]:
    """What is told of files whose images are not what they seem, or not used whole. marks: the images of each of MARKS that
    was found."""
    flat, damaged = marks.get("flat", []), marks.get("damaged", [])
    return {
        "cut off": [(line, flat) for line in cut_off.describe(flat)],
        "damaged": [(line, damaged) for line in jpeg_scans.describe(damaged)],
        "unused": unused.describe(marks),
    }


def _positions(source: Source, index: Any, sizes: Any) -> list[str]:
    """Remarks on where the labels of all images together lie; nothing of drawn faces, which are made by intent."""
    if not source.labelled or source.specification is not None:
        return []
    positions = label_positions.Positions(source.num_points)
    for at, size in zip(index, sizes, strict=True):
        positions.add(source.names[int(at)], *label_of(source, int(at)), size)
    return positions.describe()


def remarks(about: dict[str, Any]) -> dict[str, list[Remark]]:
    """What each check found, by its name: nothing in most.

    about: the section of a split in report.json, of a form of FORMS.
    """
    scheme = landmarks.scheme(about["num_points"])
    if (norm := about.get("norm")) is not None:  # of the data set's own scheme
        scheme = scheme._replace(norm=tuple(norm) if len(norm) == 2 else None)
    labels, marks = about.get("labels"), marks_of(about)
    turned = marks["turned"]
    pairs = [conflicts.Pair(**pair) for pair in about.get("conflicts") or []]
    copied = copied_labels.Copied(*(about.get(key) or [] for key in _COPIED))
    lattice = lattice_labels.Lattice(**about["lattice"]) if about.get("lattice") else None
    shapes = shape_faults.Faults(*(about.get(key) or [] for key in _SHAPES))
    return {
        "positions": [(line, []) for line in about.get("label_positions") or []],
        "counts": label_remarks.with_names(label_counts.from_data(labels), scheme) if labels else [],
        "orientation": [(line, turned) for line in orientation.describe(about.get("turned") or 0, about["accepted"])],
        **of_files(marks),
        "contradictions": [(line, [str(pair) for pair in pairs]) for line in conflicts.describe(pairs)],
        "copies": list(zip(copied_labels.describe(copied), filter(None, copied), strict=True)),
        "lattice": [(line, lattice.images if lattice else []) for line in lattice_labels.describe(lattice)],
        "shapes": list(zip(shape_faults.describe(shapes), filter(None, shapes), strict=True)),
    }
