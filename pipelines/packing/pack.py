"""Packing of a data set: check every row and image, write shards one by one, and complete the set at the end.

A shard is done when its note lies in notes/; what was interrupted goes on behind the last one that is done.
Shards are contiguous ranges of listed records and each is written alone, so several machines can share the work.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmarks import words
from pipelines.example import Source
from pipelines.images import duplicates
from pipelines.io import files
from pipelines.label_checks import conflicts, label_counts
from pipelines.packing import card, dataset, inspection, record_table, report, seal, shards
from pipelines.packing.dataset import Layout
from pipelines.sources.tables import Rejected, table_of

ROWS = 2048  # listed records of a shard
Progress = Callable[[int, str], None]  # records done, a detail


class Shard(NamedTuple):
    """Some listed records of a part: start .. stop - 1."""

    part: str
    number: int
    of: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The file it is written to."""
        return seal.shard_name(self.part, self.number, self.of)


class Job(NamedTuple):
    """Data set to pack, and where to."""

    out: Path
    sources: dict[str, Source]
    layout: Layout
    plan: str  # digest of tables, names, sizes of the images and layout
    bytes: int  # of all images, as they lie there now
    shards: list[Shard]


def plan(out: Path, sources: dict[str, Source], working_size: int = 0) -> Job:
    """The job of packing some parts of a data set into `out`. No image is opened. Raises ValueError where the parts
    do not fit together, or `out` holds another set."""
    counts = {source.num_points for source in sources.values()}
    if len(counts) > 1:
        raise ValueError(f"the parts have {' and '.join(map(str, sorted(counts)))} points: expected one number")
    named = {tuple(source.point_names) for source in sources.values() if source.point_names}
    if len(named) > 1:
        listed = " and ".join(words.listed(names, 5) for names in sorted(named))
        raise ValueError(f"the splits name their points differently, or in another order: {listed}; write them alike")
    tables = [table_of(source) for source in sources.values()]
    whole = all(table is not None and (table.whole or table.label is None) for table in tables)
    boxes = any(table is not None and table.boxes is not None for table in tables)
    layout = Layout(counts.pop(), whole, boxes, working_size)
    digest, size = _plan_digest(sources, layout)
    shards = [
        Shard(part, number, of, number * ROWS, min(len(source), (number + 1) * ROWS))
        for part, source in sources.items()
        for of in [-(-len(source) // ROWS)]
        for number in range(of)
    ]
    job = Job(out, sources, layout, digest, size, shards)
    for part, table in zip(sources, tables, strict=True):
        if not len(sources[part]):
            raise ValueError(report.none_usable(str(table.root if table else part), table.rejected if table else []))
    others = sorted(p.name for p in out.iterdir() if p.name[0] != "." and p.name != card.NAME) if out.is_dir() else []
    if others and not dataset.is_packed(out):
        raise ValueError(f"{out} holds other files ({others[0]}); take a new folder")
    if seal.is_whole(out) and seal.read(out).plan != digest:
        raise ValueError(f"{out} holds another packed set, or the data was changed since; take another folder")
    card.read(out)  # says now what is wrong with it, not once all is written
    return job


def _plan_digest(sources: dict[str, Source], layout: Layout) -> tuple[str, int]:
    total, size = hashlib.sha256(repr((layout, ROWS, seal.VERSION)).encode()), 0
    for part, source in sources.items():
        total.update(f"{part} {len(source)}".encode())
        if (table := table_of(source)) is None:
            total.update((source.specification or source.identity or "").encode())
            continue
        total.update(os.fsencode(table.category))
        total.update(f"mirror {list(table.mirror)}\n".encode() if table.mirror else b"")
        for path in table.files:
            total.update(files.digest(path))
        for name in table.images or table.names:
            found = files.size(table.root / name)
            total.update(f"{name}\0{found}\n".encode())
            size += max(found, 0)
    return total.hexdigest(), size


def check_space(job: Job) -> str:
    """Return the space that the packed set will take, in words. Raises ValueError if the disk has less."""
    need = int((job.bytes if not job.layout.working_size else 0) * 1.01) + sum(
        len(s) * (job.layout.num_points * (4 if job.layout.whole else 8) + 200) for s in job.sources.values()
    )
    there = next(folder for folder in (job.out.absolute(), *job.out.absolute().parents) if folder.is_dir())
    done = sum(path.stat().st_size for path in job.out.glob(f"{dataset.NAME}-*"))
    if need - done > (free := shutil.disk_usage(there).free):
        raise ValueError(
            f"{job.out}: packing takes about {words.size(need)} and the disk has {words.size(free)} free; choose another disk"
        )
    return words.size(need)


def write(job: Job, workers: int, progress: Progress, mine: tuple[int, int] = (0, 1)) -> None:
    """Write the shards s with s mod n = i, for (i, n) = mine, that are not done yet.

    Raises ValueError while another process writes the same ones.
    """
    number, of = mine
    with _locked(job, shared=of > 1):
        _discard_foreign(job)
        shards, done = [s for i, s in enumerate(job.shards) if i % of == number], 0
        rejected = sum(len(table.rejected) for source in job.sources.values() if (table := table_of(source)))
        for shard in shards:
            if _note(job, shard) is None:
                for count, bad in _write_shard(job, shard, workers):
                    progress(done + count, f"rejected {rejected + bad}")
            done += shard.stop - shard.start
            rejected += len((_note(job, shard) or {})["refused"])
        progress(done, f"rejected {rejected}")


def _locked(job: Job, *, shared: bool) -> AbstractContextManager[None]:
    """Several may write parts at once, one alone writes all, and one alone makes the whole."""
    message = f"{job.out} is being packed by another process; wait for it, or take another folder"
    return files.locked(job.out / dataset.LOCK, message, shared=shared)


def total(job: Job, mine: tuple[int, int] = (0, 1)) -> int:
    """Return the number of records that `write` goes through."""
    return sum(s.stop - s.start for i, s in enumerate(job.shards) if i % mine[1] == mine[0])


def _notes(job: Job) -> Path:
    return job.out / dataset.NOTES


def _note(job: Job, shard: Shard) -> dict[str, Any] | None:
    """Return the note of a completed shard; None if the shard is not complete, or its note is damaged: it is written
    again."""
    path = job.out / shard.name
    found = _read_note(_notes(job) / f"{shard.name}.json")
    whole = found["plan"] == job.plan and found["bytes"] == files.size(path)
    return found if whole and "labels" in found and isinstance(found.get("marks"), dict) else None


def _read_note(path: Path) -> dict[str, Any]:
    """A note; one of no plan where no sound one exists."""
    try:
        return files.read_sealed(path)
    except (ValueError, FileNotFoundError):
        return {"plan": None, "bytes": -1}


def _discard_foreign(job: Job) -> None:
    """Take away notes and shards of another plan: the data was changed since they were written."""
    for note in sorted(_notes(job).glob("*.json")) if _notes(job).is_dir() else []:
        if _read_note(note)["plan"] != job.plan:
            (job.out / note.name.removesuffix(".json")).unlink(missing_ok=True)
            note.unlink()


def _write_shard(job: Job, shard: Shard, workers: int) -> Iterator[tuple[int, int]]:
    """Write one shard, then its note; yield (records inspected, rejected) on the way."""
    source, encode = job.sources[shard.part], dataset.Encoder(job.layout)
    accepted, rejected, labelled, marks = [], [], [], {}
    with shards.writing(job.out / shard.name) as writer:
        for seen in inspection.over(source, shard.start, shard.stop, workers, job.layout.working_size):
            if seen.example is None:
                rejected.append([seen.index, seen.reason])
            else:
                writer.write(encode(source.names[seen.index], seen.example, seen.size))
                accepted.append([seen.index, seen.digest.hex(), *seen.size, seen.spread, seen.fingerprint])
                labelled.append((source.names[seen.index], seen.example._replace(image=b""), seen.size))
                inspection.add(marks, source.names[seen.index], seen)
            yield len(accepted) + len(rejected), len(rejected)
    path = job.out / shard.name
    counts = label_counts.count_all(labelled, *label_counts.default(source))
    about = {"plan": job.plan, "bytes": path.stat().st_size, "sha256": files.digest(path).hex()}
    note = {
        **about,
        "accepted": accepted,
        "refused": rejected,
        "labels": label_counts.to_data(counts),
        "marks": marks,
    }
    files.write_sealed(_notes(job) / f"{shard.name}.json", note)


def merge(job: Job) -> dict[str, Any]:
    """Complete the set from all shards, and return its report. Raises ValueError if a shard is missing, or while
    another process writes one."""
    missing = [shard.name for shard in job.shards if _note(job, shard) is None]
    if missing:
        raise ValueError(
            f"{job.out}: {missing[0]} is not written yet ({len(missing)} of {len(job.shards)} are missing)"
        )
    with _locked(job, shared=False):
        return _merge(job)


def _merge(job: Job) -> dict[str, Any]:
    found = {part: _gather(job, part) for part in job.sources}
    if not all(len(f.prints) for f in found.values()):
        rejected = next(f.rejected for f in found.values() if not len(f.prints))
        raise ValueError(report.none_usable(str(job.out), rejected))
    groups = {part: _near_duplicates(job.sources[part], f) for part, f in found.items()}
    pairs = {part: conflicts.find(job.sources[part], f.index, groups[part].tolist()) for part, f in found.items()}
    identity = {part: record_table.write(job.out, part, _records(job, part, groups[part])) for part in job.sources}
    summary = report.make(job.sources, found, groups, pairs)
    files.write_json(job.out / "report.json", summary)
    with files.whole(job.out / "report.txt") as file:
        file.write((report.text(summary, whole=True) + "\n").encode())
    card.write(job.out, job.sources, summary, identity)
    labelled = {part: source.labelled for part, source in job.sources.items()}
    notes = {shard: note for shard in job.shards if (note := _note(job, shard))}
    written = {
        part: [(len(n["accepted"]), n["bytes"]) for s, n in notes.items() if s.part == part] for part in job.sources
    }
    digests = {shard.name: note["sha256"] for shard, note in notes.items()}
    replaced = {part: f.replaced for part, f in found.items()}
    about = {"plan": job.plan, "identity": identity, "labelled": labelled, "boxes_replaced": replaced}
    about["point_names"] = list(next((s.point_names for s in job.sources.values() if s.point_names), ()))
    about["mirror"] = list(next((s.mirror for s in job.sources.values() if s.mirror), ()))
    dataset.finish(job.out, job.layout, written, about, digests)
    _clear(job.out)
    return summary


def tidy(folder: Path) -> None:
    """Take away what packing a set, now whole, left there when it was killed at its end. Leaves it where that cannot be: the
    folder can be read only, or another process packs."""
    left = [name for name in (dataset.NOTES, dataset.LOCK) if (folder / name).exists()]
    with suppress(OSError, ValueError):
        if left:
            with files.locked(folder / dataset.LOCK, ""):
                _clear(folder)


def _clear(folder: Path) -> None:
    """Remove what only a set in the making has, temporary files of killed processes too."""
    for left in [folder / dataset.NOTES, *folder.glob(".*.tmp"), *folder.glob(".metadata*")]:
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _near_duplicates(source: Source, found: report.Found) -> np.ndarray:
    return duplicates.confirmed(found.prints, lambda at: inspection.small(source, int(found.index[at])))


def _gather(job: Job, part: str) -> report.Found:
    table = table_of(job.sources[part])
    rejected = list(table.rejected) if table else []
    rows, counts, marks = [], [], {}
    for shard in (s for s in job.shards if s.part == part):
        note = _note(job, shard) or {}
        counts.append(label_counts.from_data(note["labels"]))
        for mark, named in note["marks"].items():
            marks.setdefault(mark, []).extend(named)
        names = job.sources[part].names
        rejected += [
            table.rejection(i, why) if table else Rejected(names[int(i)], None, why) for i, why in note["refused"]
        ]
        rows += [(i, w, h, np.nan if spread is None else spread, seen) for i, _, w, h, spread, seen in note["accepted"]]
    rejected.sort(key=lambda r: (r.line or 0, r.file))
    index, width, height, spread, prints = zip(*rows, strict=True) if rows else ((),) * 5
    replaced = 0 if table is None or table.replaced is None else int(table.replaced[np.array(index, int)].sum())
    return report.Found(
        np.array(index, int),
        np.array([width, height]).T,
        np.array(spread),
        list(prints),
        rejected,
        label_counts.added(counts),
        replaced,
        marks,
    )


def _records(job: Job, part: str, groups: np.ndarray) -> Iterator[record_table.Record]:
    source, at = job.sources[part], 0
    asked = source.asked
    table = table_of(source)
    sizes = np.bincount(groups, minlength=len(groups))
    first: list[str] = []
    for shard in (s for s in job.shards if s.part == part):
        for index, digest, width, height, spread, _ in (_note(job, shard) or {})["accepted"]:
            name = source.names[int(index)]
            first.append(name)
            group = first[groups[at]] if sizes[groups[at]] > 1 else ""
            shown_asked = " ".join(map(str, asked[index])) if asked is not None else ""
            line = str((table.line(index) if table else None) or "")
            shown = "" if spread is None else f"{spread:.4f}"
            yield record_table.Record(name, width, height, bytes.fromhex(digest), group, line, shown, shown_asked)
            at += 1
