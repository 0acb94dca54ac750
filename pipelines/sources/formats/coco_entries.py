"""Annotations of a COCO file that can be used, and what is to be said of them before they are."""

from typing import Any, NamedTuple

import numpy as np

from jaxmarks import words


class Entry(NamedTuple):
    """An annotation."""

    annotation: dict[str, Any]
    image: str
    points: np.ndarray  # f32[points, 2], 0 where not labelled
    mask: np.ndarray
    size: tuple[int, int]  # width, height as the file has them; zeros: it does not say
    above: int  # the largest visibility where that is more than 2, else 0
    hidden: int  # points with coordinates that visibility 0 leaves out


def remarks(where: str, entries: list[Entry], count: int, again: list[tuple[Entry, Entry]]) -> list[str]:
    """A line for each: visibilities that COCO does not know, points that visibility leaves out, images under several ids,
    annotations that differ from the one whose id they have. count: of points; again: the first of an id, and another."""
    lines = _above(where, entries) + _hidden(where, entries, count) + _twice(where, entries)
    return lines + _again(where, again)


def _above(where: str, entries: list[Entry]) -> list[str]:
    """A line of the visibilities that COCO does not know; none without such."""
    unusual = [entry for entry in entries if entry.above]
    if not unusual:
        return []
    return [
        f"{where}: visibility other than 0, 1, 2 in {words.counted(len(unusual), 'annotation')}, the first"
        f" {unusual[0].annotation['id']!r:.40} with {unusual[0].above}: taken as labelled"
    ]


def _hidden(where: str, entries: list[Entry], count: int) -> list[str]:
    """A line of the points that have coordinates and are left out by their visibility; none without such."""
    found = [entry for entry in entries if entry.hidden]
    if not found:
        return []
    points, images = sum(entry.hidden for entry in found), len({entry.image for entry in found})
    return [
        f"{where}: {points} of {words.counted(len(entries) * count, 'point')} ({points / len(entries) / count:.0%}), in"
        f" {words.counted(images, 'image')}, the first {found[0].image[:80]!r}, have coordinates but visibility 0, which means"
        " not labelled, and are not used; write visibility 1 (hidden) to train on them"
    ]


def _twice(where: str, entries: list[Entry]) -> list[str]:
    """A line of the image files that stand under several image ids, and how far apart their labels are; none without such."""
    ids: dict[str, dict[Any, list[Entry]]] = {}
    for entry in entries:
        ids.setdefault(entry.image, {}).setdefault(entry.annotation["image_id"], []).append(entry)
    apart = {image: _apart(list(found.values())) for image, found in ids.items() if len(found) > 1}
    if not apart:
        return []
    first = sorted(apart, key=lambda image: -apart[image])
    have = "1 image file has" if len(apart) == 1 else f"{len(apart)} image files have"
    return [
        f"{where}: {have} annotations under several image ids, up to {words.number(apart[first[0]], 2)} px apart:"
        f" {', '.join(image[:80] for image in first[:3])}{', ...' * (len(apart) > 3)}; they are read as several objects of one"
        " image: leave out one id of each"
    ]


def _again(where: str, pairs: list[tuple[Entry, Entry]]) -> list[str]:
    """A line of the annotations that differ from the first of their id, and how far they are from it; none without such."""
    here = [(one, other) for one, other in pairs if one.image == other.image]
    differ = [(one, other) for one, other in here if not _same(one, other)]
    if not (count := len(pairs) - len(here) + len(differ)):
        return []
    far = words.number(max((_distance(*pair) for pair in differ), default=0), 2)
    how = [f"up to {far} px apart"] * bool(differ) + [f"{count - len(differ)} of another image"] * (count > len(differ))
    return [
        f"{where}: the points of {words.counted(count, 'annotation')} differ from those of an earlier one with the same id"
        f" ({', '.join(how)}), and only that one is read; renumber: were files of several labellers joined?"
    ]


def _same(one: Entry, other: Entry) -> bool:
    return np.array_equal(one.points, other.points) and np.array_equal(one.mask, other.mask)


def _apart(of_ids: list[list[Entry]]) -> float:
    """The largest distance in pixels from a label under one id to the nearest under the first."""
    return max(min(_distance(entry, other) for other in of_ids[0]) for some in of_ids[1:] for entry in some)


def _distance(one: Entry, other: Entry) -> float:
    both = one.mask & other.mask
    return float(np.hypot(*(one.points[both] - other.points[both]).T).max(initial=0))
