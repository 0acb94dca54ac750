"""Recognition of formats that are not read, in words for an error message."""

import json
import os
import re
from pathlib import Path
from typing import Any

from jaxmarks import choices, words
from pipelines.sources import dialects

_HEAD = 1 << 14  # bytes that tell what a file is
KNOWN = f"{', '.join(f'{name} ({about})' for name, about in choices.FORMATS.items())}: docs/formats.md"
_BINARY = {
    ".h5": "HDF5", ".hdf5": "HDF5", ".mat": "a MATLAB file (MPII and others)", ".npz": "NumPy's arrays",
    ".npy": "NumPy's arrays", ".pkl": "a pickle", ".pickle": "a pickle", ".parquet": "Parquet", ".tfrecord": "TFRecord",
    ".xlsx": "an Excel workbook", ".xls": "an Excel workbook", ".ods": "a spreadsheet", ".zip": "an archive",
    ".tar": "an archive", ".gz": "an archive", ".tgz": "an archive", ".7z": "an archive", ".rar": "an archive",
    ".yaml": "YAML", ".yml": "YAML", ".ndjson": "JSON lines", ".jsonl": "JSON lines",
    ".mp4": "a video", ".avi": "a video", ".mov": "a video", ".mkv": "a video", ".webm": "a video",
}  # fmt: skip
_ROOTS = {
    "annotations": None,
    "annotation": "Pascal VOC's XML",
    "dataset": "dlib's XML",
}  # the first is CVAT's, and is read


def of_json(data: Any) -> str:
    """Describe parsed JSON that is not COCO keypoints: what is missing, and what it is if known."""
    if (named := _tool(data)) is not None:
        return f"{named}, which is not read: export or convert it; known are {KNOWN}"
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        found, named = (data[key] if isinstance(data.get(key), list) else None for key in ("annotations", "categories"))
        with_points = sum(isinstance(c, dict) and bool(c.get("keypoints")) for c in named or [])
        return (
            f"not a COCO keypoints file: {words.counted(len(data['images']), 'image')},"
            f" {'no list of annotations' if found is None else words.counted(len(found), 'annotation')}, none of them with"
            f" keypoints, and categories: {len(named or [])}, {with_points} with keypoints; expected lists of all three: was it"
            " exported before labelling, or as boxes only?"
        )
    return (
        "not a COCO keypoints file: expected lists of images, of annotations with keypoints and of categories; known are"
        f" {KNOWN}"
    )


def _tool(data: Any) -> str | None:
    """The program whose JSON this is, if it is known and not read."""
    keys = set(data) if isinstance(data, dict) else set()
    if {"shapes", "imagePath"} <= keys:
        return "one file of LabelMe's (give the folder of such files)"
    if "_via_img_metadata" in keys or "_via_settings" in keys:
        return "a project of the VGG Image Annotator"
    if keys and any(isinstance(v, dict) and {"filename", "regions"} <= set(v) for v in data.values()):
        return "the VGG Image Annotator's JSON"
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    if {"annotator", "annotation_id", "lead_time"} & set(first):
        return "Label Studio's JSON_MIN, which does not say what belongs together (export as JSON)"
    if {"image_id", "keypoints"} <= set(first):
        return "a list of COCO results, which are predictions"
    return None


def of_text(path: Path) -> str | None:
    """Describe a text file by its first lines; None if nothing is recognised. Not for the formats that are read."""
    head = beginning(path)
    if (root := _root(head)) is not None:
        return _ROOTS.get(root, "XML")
    lines = [line for line in head.splitlines()[:5] if line.strip()]
    fields = [line.split(",") for line in lines]
    if lines and lines[0].startswith("#filename") or "region_shape_attributes" in head:
        return "VGG Image Annotator's CSV"
    if fields and all(len(f) == 6 and _number(f[1]) and _number(f[2]) and not _number(f[3]) for f in fields):
        return "makesense.ai's CSV of points (label,x,y,image,width,height in a row, no header)"
    blanks = [line.split() for line in lines]
    if blanks and all(len(f) >= 5 and all(map(_number, f)) and f[0].isdigit() for f in blanks):
        return "a list of numbers without names of images, as YOLO's labels are"
    if head.startswith("version") and "n_points" in head:
        return "one .pts file (give the folder of such files)"
    return None


def is_tasks(path: Path) -> bool:
    """Return whether a JSON file is Label Studio's list of tasks, by its beginning."""
    start = beginning(path, 4 * _HEAD).lstrip()
    return start.startswith("[") and re.search(r'"(annotations|completions|predictions)"\s*:', start) is not None


def xml_root(path: Path) -> str | None:
    """The name of the first element of an XML file, empty where none is seen; None for other files."""
    return _root(beginning(path))


def _root(head: str) -> str | None:
    if not head.lstrip().startswith("<"):
        return None
    return next((n for n in re.findall(r"<([A-Za-z][\w:.-]*)", head) if n.lower() != "xml"), "")


def _number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def beginning(path: Path, size: int = _HEAD) -> str:
    """Return the beginning of a file as text."""
    with open(path, "rb") as file:
        data = file.read(size)
    return dialects.text(data)


def of_file(path: Path) -> str | None:
    """Describe a file that no format reads, by its extension or its first bytes; None if unknown."""
    if (named := _BINARY.get(path.suffix.lower())) is not None:
        return named
    return of_text(path)


def of_folder(path: Path) -> str | None:
    """Describe the content of a folder that no format reads, by its files; None if nothing is recognised."""
    names = _names(path)
    first = {os.path.splitext(name)[1].lower(): path / name for name in reversed(names)}
    if {"config.json", "split.json"} <= set(names):
        return "a run's folder"
    if "data.yaml" in names or {"images", "labels"} <= set(names):
        return "a folder as YOLO has it, without kpt_shape in data.yaml"
    if any(n.startswith("CollectedData_") and n.endswith(".h5") for n in names):
        return "a DeepLabCut table in HDF5 alone, without its .csv"
    guesses = (
        of_text(first[ending]) for ending in (".xml", ".csv", ".txt") if ending in first and first[ending].is_file()
    )
    return next((t for t in guesses if t), None) or (_of_json_file(first[".json"]) if ".json" in first else None)


def _of_json_file(path: Path) -> str | None:
    try:
        return _tool(json.loads(path.read_bytes())) if path.stat().st_size < 1 << 26 else None
    except (OSError, ValueError, RecursionError):
        return None


def _names(path: Path, limit: int = 2000) -> list[str]:
    """The first names in a folder, sorted."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry, _ in zip(entries, range(limit), strict=False))
