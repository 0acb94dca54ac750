"""Overview page of a data set: its contents, rejected files, and possible faults."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from jaxmarks import words
from pipelines.example import Example, Source
from pipelines.images import decode
from pipelines.packing.report import kind
from pipelines.reports import html, sheets
from pipelines.shapes import outliers
from pipelines.sources import tables

_LABELS = 20_000  # read at most, evenly taken
_EXAMPLES, _OUTLIERS = 24, 50  # images shown
_FAR = 3.0  # robust standard deviations, from which a shape is an outlier
_GROUPS, _MEMBERS = 12, 8  # groups of near-duplicates shown, and images of each
_ROWS, _THUMBNAILS = 40, 12  # rejected files of each kind shown, and images among them
_SIDE = 440  # pixels of an image: shown at half of that or less, and whole when clicked
_AMBER = (255, 190, 40)
_GREY = (128, 128, 128)


class Facts(NamedTuple):
    """Facts of a data set whose records were all read."""

    title: str  # what the page is about, e.g. the data set's path
    source: Source  # the accepted records
    listed: int  # records listed, rejected ones too
    rejected: list[tables.Rejected]  # file, line, reason ("kind: detail")
    thumbnails: dict[str, np.ndarray]  # of rejected files that still give pixels: u8[h, w, 3] by file
    sizes: np.ndarray  # i64[n, 2] width, height
    spread: np.ndarray  # f64[n]: sqrt of the area of the labels' box over sqrt of the image's area; NaN: unlabelled
    groups: np.ndarray  # i64[n] as duplicates.groups gives
    lines: list[int | None] | None  # of each accepted record in its table
    card: tuple[str, str, str] | None = None  # of `card_section`; None: the set has no card


def page(facts: Facts, *, seed: int = 0) -> str:
    """One HTML page that needs no other file: the same facts and seed give the same text.

    Images are read from facts.source for what is shown, labels of at most 20,000 records, evenly taken; a record that
    cannot be read is left out. Raises OSError where the source does.
    """
    lead = f"{len(facts.source):,} of {facts.listed:,} records accepted, {len(facts.rejected):,} rejected."
    labels = _labels(facts.source)
    sections = [
        _headline(facts),
        _examples(facts, seed),
        _shape(labels, facts.source.point_names),
        _oddest(facts, labels),
        _histograms(facts),
        _duplicates(facts),
        _rejected(facts),
        *([facts.card] if facts.card else []),
    ]
    return html.page("sections.html", title=facts.title, lead=lead, sections=sections)


Section = tuple[str, str, str]  # heading, what it shows, markup


class _Labels(NamedTuple):
    index: np.ndarray  # i64[n]: of which records
    points: np.ndarray  # f32[n, points, 2]
    mask: np.ndarray  # bool[n, points]


def _read(source: Source, index: int) -> Example | None:
    try:
        return source[index]
    except decode.DecodeError:
        return None  # it was there when the facts were gathered


def _labels(source: Source) -> _Labels:
    count = len(source) if source.labelled else 0
    index = np.linspace(0, max(count - 1, 0), min(count, _LABELS)).astype(int)
    points = np.zeros((len(index), source.num_points, 2), np.float32)
    mask = np.zeros((len(index), source.num_points), bool)
    for row, i in enumerate(index):
        if (example := _read(source, int(i))) is not None:
            points[row], mask[row] = example.points, example.mask
    return _Labels(index, points, mask)


def _headline(facts: Facts) -> Section:
    count, many = len(facts.source), np.unique(facts.groups, return_counts=True)[1]
    many = many[many > 1]
    numbers = [
        (f"{count:,}", "accepted", False),
        (f"{len(facts.rejected):,}", "rejected", bool(facts.rejected)),
        (f"{facts.source.num_points:,}" if facts.source.labelled else "none", "points labelled", False),
    ]
    if count:
        short = facts.sizes.min(1)
        numbers.append((f"{np.median(short):.0f} px", f"median short side ({short.min()} to {short.max()})", False))
    numbers.append((f"{many.sum():,}", f"images in {words.counted(len(many), 'group')} of near-duplicates", False))
    kinds = Counter(kind(r.reason) for r in facts.rejected)
    rows = [(reason, f"{n:,}") for reason, n in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]
    return (
        "Numbers",
        "",
        html.pieces.tiles(numbers) + (html.pieces.table(["why rejected", "records"], rows) if rows else ""),
    )


def _examples(facts: Facts, seed: int) -> Section:
    count = len(facts.source)
    shown = np.sort(np.random.RandomState(seed).choice(count, min(_EXAMPLES, count), replace=False)) if count else []
    about = "Taken at random. Green: the label. Amber: the box, where there is one."
    if not facts.source.labelled:
        about = "Taken at random; nothing is labelled."
    return "Random examples", about, html.pieces.grid(_figures(facts, shown, {}))


def _figures(facts: Facts, indices: np.ndarray | list, remarks: dict[int, str], *, close: bool = False) -> list:
    """(image, name, remark) of records for html.grid."""
    figures = []
    for i in map(int, indices):
        if (tile := _tile(facts.source, i, close)) is not None:
            line = facts.lines[i] if facts.lines else None
            where = f"line {line} of its table" if line else ""
            figures.append((tile, facts.source.names[i], ", ".join(filter(None, [remarks.get(i, ""), where]))))
    return figures


def _tile(source: Source, index: int, close: bool) -> np.ndarray | None:
    """A record's image u8[h, w, 3] with its label and box, _SIDE pixels long; close: what is around its label."""
    if (example := _read(source, index)) is None:
        return None
    try:
        image = decode.pixels(example.image)
    except decode.DecodeError:
        return None
    shrunk = image.shape[1] / (example.size[0] if example.size else image.shape[1])  # labels are the image's
    seen = example.mask & np.isfinite(example.points).all(1)
    points = (example.points[seen] + 0.5) * shrunk
    box = None if example.box is None else example.box * shrunk
    corner, extent = np.zeros(2), np.array(image.shape[1::-1], np.float64)
    if close and len(points):
        corner, extent = _around(points, float(extent.max()))
    scale = _SIDE / extent.max()
    tile = _cut(image, corner, extent, scale)
    if box is not None:
        x, y = (int(v) for v in (box[:2] - corner) * scale)
        right, bottom = (int(v) for v in (box[:2] + box[2:] - corner) * scale)
        cv2.rectangle(tile, (x, y), (right, bottom), _AMBER, 1)
    return sheets.draw_points(tile, (points - corner) * scale - 0.5)


def _around(points: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Corner and extent f64[2] of a square about points f64[points, 2]; at most twice the image's longest side."""
    low, high = points.min(0), points.max(0)
    side = float(np.clip(1.4 * (high - low).max(), 0.1 * longest, 2 * longest))
    middle = (low + high) / 2 if (high - low).max() < 2 * longest else np.median(points, 0)
    return middle - side / 2, np.full(2, side)


def _cut(image: np.ndarray, corner: np.ndarray, extent: np.ndarray, scale: float) -> np.ndarray:
    """The part of an image from `corner` on, `scale` times as large, grey where the image is not."""
    low = np.clip(np.floor(corner), 0, image.shape[1::-1]).astype(int)
    high = np.clip(np.ceil(corner + extent), 0, image.shape[1::-1]).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    width, height = (max(1, round(float(v))) for v in extent * scale)
    tile = np.full((height, width, 3), _GREY, np.uint8)
    if not part.size:
        return tile
    new = np.maximum(np.rint((high - low) * scale), 1).astype(int)
    part = cv2.resize(part, (int(new[0]), int(new[1])), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    at = np.rint((low - corner) * scale).astype(int)
    start = np.maximum(at, 0)
    shown = part[start[1] - at[1] :, start[0] - at[0] :][: height - start[1], : width - start[0]]
    tile[start[1] : start[1] + shown.shape[0], start[0] : start[0] + shown.shape[1]] = shown
    return tile


def _shape(labels: _Labels, names: Sequence[str]) -> Section:
    heading = "Mean shape"
    try:
        mean, covariance = outliers.spread(labels.points, labels.mask)
    except ValueError:
        return heading, "There are no labels to take it from.", ""
    about = "Objects without place, size and turn; each ellipse is one standard deviation, and holds the pose as well."
    return heading, about, html.shape(mean, covariance, names)


def _oddest(facts: Facts, labels: _Labels) -> Section:
    heading = "Shape outliers"
    scores = outliers.scores(labels.points, labels.mask)
    order = np.argsort(-scores, kind="stable")[:_OUTLIERS]
    if not (scores > 0).any():
        return heading, f"Nothing can be said: it takes {outliers.MIN_FACES} labelled faces or more.", ""
    order = order[scores[order] >= _FAR]
    about = (
        f"{words.counted(int((scores >= _FAR).sum()), 'label')} of {len(scores):,} lie {_FAR:g} robust standard deviations of"
        " the set (the number below an image) or more from the shapes of the others; farthest first, at most"
        f" {_OUTLIERS}. Turned heads are outliers, too; a good shape in the wrong place is not."
    )
    remarks = {int(labels.index[i]): f"{scores[i]:.1f}" for i in order}
    return heading, about, html.pieces.grid(_figures(facts, labels.index[order], remarks, close=True), 150)


def _histograms(facts: Facts) -> Section:
    plots = []
    if len(facts.sizes):
        plots.append(html.histogram(facts.sizes.min(1).astype(float), "short side, pixels", "images"))
    if len(spread := facts.spread[np.isfinite(facts.spread)]):
        plots.append(html.histogram(spread, "side of the labels' box over the image's", "images", 2))
    about = "How large the images are, and how much of them the object fills." if plots else "Nothing was accepted."
    return "Sizes", about, html.pieces.plots(plots)


def _duplicates(facts: Facts) -> Section:
    first, which, counts = np.unique(facts.groups, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    largest = several[np.argsort(-counts[several], kind="stable")][:_GROUPS]
    if not len(several):
        return "Near-duplicates", "No near-duplicates.", ""
    rows = []
    for group in largest:
        members = np.flatnonzero(which == group)
        figures = _figures(facts, members[:_MEMBERS], {})
        rows.append((words.counted(len(members), "image"), html.pieces.grid(figures, 110)))
    sizes = ", ".join(f"{n:,} of {size} images" for size, n in sorted(Counter(counts[several].tolist()).items())[:12])
    shown = f"The {_GROUPS} largest, up" if len(several) > _GROUPS else "Up"
    about = (
        f"{counts[several].sum():,} images in {words.counted(len(several), 'group')} ({sizes}). They are nearly identical,"
        f" or objects of one image, and belong on one side of a split. {shown} to {_MEMBERS} images of each:"
    )
    return "Near-duplicates", about, html.pieces.groups(rows)


def _rejected(facts: Facts) -> Section:
    kinds: dict[str, list[tables.Rejected]] = {}
    for record in facts.rejected:
        kinds.setdefault(kind(record.reason), []).append(record)
    parts = []
    for reason, records in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        more = f" (the first {_ROWS})" if len(records) > _ROWS else ""
        pictured = [r.file for r in records[:_ROWS] if r.file in facts.thumbnails][:_THUMBNAILS]
        rows = [_row(record, facts.thumbnails if record.file in pictured else {}) for record in records[:_ROWS]]
        table = html.pieces.table(["file", "line", "reason", ""], rows)
        parts.append((f"{reason}: {len(records):,}{more}", table))
    about = f"{len(facts.rejected):,} records cannot be used." if facts.rejected else "Every record could be used."
    return "Rejected", about, html.pieces.groups(parts)


def _row(record: tables.Rejected, thumbnails: dict[str, np.ndarray]) -> list[str]:
    image = thumbnails.get(record.file)
    seen = "" if image is None else html.pieces.img(sheets.fitted(image, 144), record.file)
    return [record.file, str(record.line or ""), record.reason, seen]
