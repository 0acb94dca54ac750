"""Report of packing, as data for report.json and as text."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Source
from pipelines.io import files, flags, schema
from pipelines.label_checks import conflicts, label_counts, sections, several_objects
from pipelines.sources.boxes import replaced_line
from pipelines.sources.formats import plain
from pipelines.sources.image_folder import ENDINGS
from pipelines.sources.tables import Rejected, Table, table_of

_COUNT = schema.Whole(0, 1 << 50)
_QUANTILES = {f"{percent}%": float for percent in (0, 5, 50, 95, 100)}
_PART = {
    "num_points": schema.Whole(1, 1 << 20), "listed": _COUNT, "accepted": _COUNT, "refused": {str: _COUNT},
    "short_side": _QUANTILES, "long_side": _QUANTILES, "spread": (_QUANTILES, None),
    "near_duplicates": {"groups": _COUNT, "photographs": _COUNT, "largest": [{"photographs": _COUNT, "first": str}]},
    "not_listed": ({"files": _COUNT, "first": [str]}, None),
}  # fmt: skip
_BOXES = ({"given": _COUNT, "replaced": _COUNT}, None)
_REJECTED = {"part": str, "file": str, "line": (_COUNT, None), "reason": str}
_SHARES = (0, 0.05, 0.5, 0.95, 1)  # of the images: at which sizes and spreads are reported
_EXAMPLES = 5
_SAMPLED = 100_000  # files, beside the images of a set in several folders


class Found(NamedTuple):
    """The records of a part: those accepted, as columns, and those rejected."""

    index: np.ndarray  # i64[n]: which listed record
    sizes: np.ndarray  # i64[n, 2]: width, height
    spread: np.ndarray  # f64[n]: side of the labels' box over that of the image; NaN: unlabelled
    prints: list[int | None]
    rejected: list[Rejected]
    labels: label_counts.Counts
    replaced: int  # boxes without area, for which that of the labelled points was taken
    marks: dict[str, list[str]]  # the images of each of sections.MARKS that was found


def kind(reason: str) -> str:
    """Return the kind of a reason: its words before the colon."""
    return reason.split(":")[0]


def line(rejected: Rejected) -> str:
    """A rejected row or image in one line, as it can be printed."""
    name = rejected.file if rejected.file == rejected.file.strip() else repr(rejected.file)
    return files.escaped(f"{name}{f' (line {rejected.line})' if rejected.line else ''}: {rejected.reason}")


def by_kind(rejected: Sequence[Rejected]) -> str:
    """Return the number of rejections by kind, most frequent first."""
    counts = Counter(kind(r.reason) for r in rejected)
    return files.escaped(", ".join(f"{count} {named}" for named, count in counts.most_common()))


def none_usable(where: str, rejected: Sequence[Rejected]) -> str:
    """A line on a set of which nothing can be used."""
    if not rejected:
        return f"{where}: expected records, got none"
    first = line(rejected[0])
    return f"none of the {words.counted(len(rejected), 'record')} of {where} can be used: {by_kind(rejected)}; the first: {first}"


def examples(rejected: Sequence[Rejected]) -> list[str]:
    """A line for each kind of rejection: how many, and the first of them."""
    first: dict[str, Rejected] = {}
    for r in rejected:
        first.setdefault(kind(r.reason), r)
    counts = Counter(kind(r.reason) for r in rejected)
    detail = {
        k: line(r._replace(reason=r.reason.partition(":")[2].strip())).removesuffix(": ") for k, r in first.items()
    }
    return [f"  {count} {files.escaped(named)}; the first {detail[named]}" for named, count in counts.most_common()]


def make(
    sources: dict[str, Source],
    found: dict[str, Found],
    groups: dict[str, np.ndarray],
    pairs: dict[str, list[conflicts.Pair]],
) -> dict[str, Any]:
    """The content of report.json."""
    parts = {part: _part(sources[part], found[part], groups[part], pairs[part]) for part in sources}
    rejected = [{"part": part, **r._asdict()} for part, f in found.items() for r in f.rejected]
    return {"accepted": sum(p["accepted"] for p in parts.values()), "refused": rejected, "parts": parts}


def _part(source: Source, found: Found, groups: np.ndarray, pairs: list[conflicts.Pair]) -> dict[str, Any]:
    table = table_of(source)
    names = [source.names[int(i)] for i in found.index]
    images = [table.images[i] if table and table.images else names[at] for at, i in enumerate(found.index)]
    first = list({(g, image): at for at, (g, image) in enumerate(zip(groups.tolist(), images, strict=True))}.values())
    counts = np.bincount(groups[first], minlength=len(groups))  # two faces of one image are no duplicates
    many = np.flatnonzero(counts > 1)
    largest = many[np.argsort(-counts[many], kind="stable")][:_EXAMPLES]
    spread = found.spread[~np.isnan(found.spread)]
    return {
        "num_points": source.num_points,
        "listed": len(source) + (len(table.rejected) if table else 0),
        "accepted": len(names),
        "refused": dict(sorted(Counter(kind(r.reason) for r in found.rejected).items())),
        "short_side": _shares(found.sizes.min(1)),
        "long_side": _shares(found.sizes.max(1)),
        "spread": _shares(spread) if len(spread) else None,
        "labels": label_counts.to_data(found.labels) if source.labelled else None,
        "turned": len(found.marks.get("turned", [])),
        **{f"{mark}_files": found.marks.get(mark, []) for mark in sections.MARKS},
        "near_duplicates": {
            "groups": len(many),
            "photographs": int(counts[many].sum()),
            "largest": [{"photographs": int(counts[g]), "first": names[g]} for g in largest],
            "shared": several_objects.count(names),
        },
        "conflicts": [pair._asdict() for pair in pairs],
        **sections.found(source, found.index, found.sizes, groups.tolist()),
        "boxes": {"given": len(names) - found.replaced, "replaced": found.replaced} if source.boxed else None,
        "not_listed": not_listed(table) if table else None,
    }


def _shares(values: np.ndarray) -> dict[str, float]:
    shown = np.quantile(values, _SHARES) if len(values) else np.zeros(len(_SHARES))
    return {f"{share:.0%}": round(float(v), 4) for share, v in zip(_SHARES, shown, strict=True)}


def not_listed(table: Table) -> dict[str, Any] | None:
    """Images beside those of the table, in each folder that holds one, that no row names. None where they lie in several
    folders of more than _SAMPLED files."""
    paths = table.images or table.names
    known = {*paths, *(plain.image_of(r.file) for r in table.rejected)}
    labelled = {
        path.removesuffix(".pts") for path in known if path.endswith(".pts")
    }  # a rejected file names its image so
    misnamed = {  # by rows that were rejected for it
        os.path.basename(r.file).removesuffix(".pts").casefold()
        for r in table.rejected
        if kind(r.reason) in ("bad file name", "no image")
    }
    endings = {os.path.splitext(path)[1].lower() for path in paths}.union(ENDINGS)
    folders = sorted({folder for path in paths for folder in _above(path)})
    others, looked = [], 0
    for folder in folders:
        found = _files_in(table.root / folder)
        if (looked := looked + len(found)) > _SAMPLED and len(folders) > 1:
            return None
        for path in (f"{folder}/{name}".lstrip("/") for name in found if not name.startswith(".")):
            stem, ending = os.path.splitext(path)
            named = {os.path.basename(part).casefold() for part in (path, stem)} & misnamed
            if ending.lower() in endings and path not in known and stem not in labelled and not named:
                others.append(path)
    return {"files": len(others), "first": sorted(others)[:_EXAMPLES]}


def not_listed_lines(found: dict[str, Any] | None) -> list[str]:
    """The line of `not_listed`; none where no file is left out."""
    if not found or not found["files"]:
        return []
    named = files.escaped(", ".join(found["first"])) + ", ..." * (found["files"] > len(found["first"]))
    return [f"{words.counted(found['files'], 'file')} that no row names: {named}"]


def _above(path: str) -> list[str]:
    """The folder of an image and those around it, up to the data set's, which is ""."""
    steps = path.split("/")[:-1]
    return ["/".join(steps[:count]) for count in range(len(steps) + 1)]


def _files_in(folder: Path) -> list[str]:
    """The names of the files in a folder; none where does not exist."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except OSError:
        return []


def read(path: Path, parts: Sequence[str]) -> dict[str, Any]:
    """Return the content of report.json as `make` gave it for a set of these splits. Raises ValueError, with the place,
    if it has another form."""
    data = files.read_json(path)
    schema.check(data, {"accepted": _COUNT, "refused": [_REJECTED], "parts": dict.fromkeys(parts, _PART)}, str(path))
    for part in parts:  # a set packed before these were counted has none
        for key, form in {**sections.FORMS, "boxes": _BOXES}.items():
            schema.check(data["parts"][part].get(key), form, f"{path}: parts.{part}.{key}")
        shared = data["parts"][part]["near_duplicates"].get("shared")
        schema.check(shared, (several_objects.FORM, None), f"{path}: parts.{part}.near_duplicates.shared")
    return {**data, "parts": {part: data["parts"][part] for part in parts}}


def text(report: dict[str, Any], *, whole: bool = False) -> str:
    """The report for a person who has a command line; whole: with every file that a line tells of, not the first."""
    return flags.named("\n".join(row for part in report["parts"] for row in _lines(part, report, whole)))


def _lines(part: str, report: dict[str, Any], whole: bool) -> list[str]:
    about = report["parts"][part]
    rejected = [r for r in report["refused"] if r["part"] == part]
    rows = [f"{part}: {about['listed']} listed, {about['accepted']} accepted, {len(rejected)} rejected"]
    for reason, count in about["refused"].items():
        rows.append(f"  {count:6d}  {reason}")
        which = [r for r in rejected if kind(r["reason"]) == reason][: None if whole else 3]
        rows += [f"          {line(Rejected(r['file'], r['line'], r['reason']))}" for r in which]
    rows += [f"  {row}" for row in not_listed_lines(about["not_listed"])]
    if (about.get("boxes") or {}).get("replaced"):
        rows.append(f"  {replaced_line(about['boxes']['replaced'], about['accepted'])}")
    rows.append(f"  short side in pixels: {_spelled(about['short_side'], 0)}")
    if about["spread"]:
        rows.append(f"  points' box over the image, by side: {_spelled(about['spread'], 2)}")
    for row, names in (remark for found in sections.remarks(about).values() for remark in found):
        rows += [f"  {row}", *_indented(names, whole)]
    twins = about["near_duplicates"]
    if twins["largest"]:
        kept = " kept on one side of the split;" * (part == "train")
        rows.append(
            f"  near-duplicates: {twins['photographs']} images in {words.counted(twins['groups'], 'group')}"
            f"{',' if kept else ';'}{kept} the largest has {twins['largest'][0]['photographs']}, first"
            f" {twins['largest'][0]['first']}"
        )
    return rows + [f"  {row}" for row in several_objects.describe(twins.get("shared"))]


def outside_crop(about: dict[str, Any]) -> float | None:
    """The share of the labelled points of a split that the default crop does not show; None where there are none."""
    labels = about.get("labels")
    return labels["kinds"]["crop"]["points"] / labels["points"] if labels and labels["points"] else None


def _indented(names: Sequence[str], whole: bool) -> list[str]:
    return [f"          {files.escaped(name)}" for name in names] if whole else []


def _spelled(shares: dict[str, float], decimals: int) -> str:
    low, middle, high = (f"{shares[name]:.{decimals}f}" for name in ("0%", "50%", "100%"))
    return f"{low} to {high}, half below {middle}"
