"""SLEAP: a .slp project, which is HDF5, by the optional package h5py. Only of projects made of image files.

Instances that a person placed are read; predicted ones are counted. A point without coordinates is not labelled, one
that is not visible is. Frames of videos and images embedded in the project (.pkg.slp) are not read: each is rejected.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.io import files
from pipelines.sources.formats import objects, plain
from pipelines.sources.formats.objects import Found
from pipelines.sources.tables import Table

NAME = "sleap"
SUFFIX, IMAGES, BOXED = ".slp", "images", False
parts = plain.parts
MISSING = "a SLEAP project, which needs the package h5py (pip install h5py)"
_LARGEST = 1 << 31  # bytes of a table
_CENTRED = 1.1  # format from which (0, 0) is the centre of the first pixel, before it its corner
_FIELDS = {
    "frames": ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end"),
    "instances": ("instance_id", "instance_type", "skeleton", "track", "point_id_start", "point_id_end"),
    "points": ("x", "y"),
}


class _Project(NamedTuple):
    frames: np.ndarray
    instances: np.ndarray
    points: np.ndarray  # f64[points, 2]
    videos: list[Any]
    tracks: list[Any]
    meta: Any
    version: float


def available() -> bool:
    """Return whether such projects can be read here."""
    return importlib.util.find_spec("h5py") is not None


def recognises(path: Path) -> bool:
    """Return whether this is a file of that ending."""
    return path.suffix.lower() == SUFFIX and path.is_file()


likely = recognises


def read(path: Path, part: str, images: Path | None = None, num_points: int | None = None) -> Table:
    """Return the instances by name. Raises ValueError where h5py is not installed, the file is no project, or none of its
    frames is an image file."""
    if not available():
        raise ValueError(f"{path}: {MISSING}")
    project, found = _opened(path), Found(path.name, "a SLEAP project", "an instance has one of each")
    skeletons = _skeletons(project.meta, path)
    for frame in project.frames:
        image, fault = _image(project.videos, int(frame["video"]), int(frame["frame_idx"]))
        placed = project.instances[int(frame["instance_id_start"]) : int(frame["instance_id_end"])]
        if fault:
            found.reject(image, None, fault)
        for instance in () if fault else placed:
            _add(instance, image, project, skeletons, int(frame["frame_id"]), found)
    usual = found.only_usual()
    listed = next((names for kind, names in skeletons if kind == usual), [])
    folders = [path.parent, path.parent / IMAGES]
    return found.table(path, images, folders, listed=listed, forms=objects.FAR, files=[path])


def _opened(path: Path) -> _Project:
    """Return the tables of a project. Raises ValueError where it is none."""
    import h5py  # pyright: ignore[reportMissingImports]

    try:
        with h5py.File(path, "r") as file:
            tables = {name: _rows(file, name, fields) for name, fields in _FIELDS.items()}
            videos, tracks = (
                [_json(text, path) for text in _rows(file, f"{name}_json")] for name in ("videos", "tracks")
            )
            meta = file["metadata"].attrs
            version, text = float(meta.get("format_id", 1.0)), meta["json"]
    except Exception as error:  # HDF5 has a dozen kinds, and files are anyone's
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: not a SLEAP project that can be read ({type(error).__name__}: {reason!r})") from None
    xy = np.stack([tables["points"]["x"], tables["points"]["y"]], -1).astype(np.float64).reshape(-1, 2)
    return _Project(tables["frames"], tables["instances"], xy, videos, tracks, _json(text, path), version)


def _rows(file: Any, name: str, fields: Sequence[str] = ()) -> np.ndarray:
    """The rows of a table. Raises ValueError where it is too large or lacks a field."""
    table = file[name]
    if table.size * table.dtype.itemsize > _LARGEST:
        raise ValueError(f"{name} is too large")
    rows = table[:]
    if gone := [field for field in fields if field not in (rows.dtype.names or ())]:
        raise ValueError(f"{name} has no {gone[0]}")
    return rows


def _json(text: Any, path: Path) -> Any:
    data = text if isinstance(text, bytes | str) else np.asarray(text).tobytes().rstrip(b"\0")
    return files.parse_json(data, path)


def _skeletons(meta: Any, path: Path) -> list[tuple[str, list[str]]]:
    """(kind, names of its points in their order) of each skeleton. Raises ValueError where the project does not say them."""
    try:
        nodes = [str(node["name"]) for node in meta["nodes"]]
        found = [[nodes[_index(node["id"])] for node in one["nodes"]] for one in meta["skeletons"]]
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"{path}: the skeletons of this project cannot be read") from None
    return [(f"skeleton {i}", names) for i, names in enumerate(found)]


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(value)
    return value


def _image(videos: list[Any], video: int, frame: int) -> tuple[str, str]:
    """(path of the image of a frame, why it is not read)."""
    about = videos[video] if 0 <= video < len(videos) and isinstance(videos[video], dict) else {}
    backend = found if isinstance(found := about.get("backend"), dict) else {}
    names, name = backend.get("filenames"), str(backend.get("filename", about.get("filename", "")))
    if isinstance(names, list):
        known = 0 <= frame < len(names) and isinstance(names[frame], str)
        return (objects.image_path(names[frame]), "") if known else ("", f"unknown image: {frame} of video {video}")
    if name == ".":
        return "", f"embedded image: frame {frame} of video {video}; write the images of a .pkg.slp to files first"
    return "", f"frame of a video: {frame} of {name[-80:]!r}; write the frames to image files first"


def _add(
    instance: np.void, image: str, project: _Project, skeletons: list[tuple[str, list[str]]], frame: int, found: Found
) -> None:
    """Add an instance."""
    if int(instance["instance_type"]) != 0:
        found.passed["predicted instance"] += 1
        return
    which = int(instance["skeleton"])
    kind, names = skeletons[which] if 0 <= which < len(skeletons) else ("", [])
    points = project.points[int(instance["point_id_start"]) : int(instance["point_id_end"])]
    if len(points) != len(names):
        return found.reject(image, None, f"wrong number of points: {len(points)}, its skeleton has {len(names)}")
    if project.version < _CENTRED:
        points = points - 0.5
    track = int(instance["track"])
    named = project.tracks[track] if 0 <= track < len(project.tracks) else None
    key = str(named[1]) if isinstance(named, list) and len(named) > 1 else str(int(instance["instance_id"]))
    labelled = [(name, xy) for name, xy in zip(names, points.tolist(), strict=True) if not any(v != v for v in xy)]
    found.add(labelled, image, key=key, entry=frame, kind=kind)
