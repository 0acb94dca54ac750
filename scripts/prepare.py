"""Check every row and image of a data set, and pack it: ArrayRecord shards with TFDS metadata.

    python scripts/prepare.py --data PATH --out DIR
    python scripts/prepare.py --data PATH --out DIR --look
    python scripts/prepare.py --data DIR --look
    python scripts/train.py   --data DIR

DIR/report.json and DIR/report.txt list what was rejected, with file and line; --look adds look.html, an overview of the
set; DIR/card.json is a data card with fields to fill in. If interrupted, the same command resumes. Several machines:
--part 0/4 ... --part 3/4 into one folder (or copied into one, with notes/), then --merge.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import words
from jaxmarks.config import MAX_WORKERS, cores
from pipelines.io import console, distributed


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_data("a folder or file of a known format, or drawn:COUNT[:POINTS]", required=True)
    parser.add_argument("--out", help="folder of the packed set; not needed for --look at an existing one")
    parser.add_places()
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        help="reduce short sides (or boxes) to this many pixels and encode again; 0: keep",
    )
    parser.add_argument("--look", action="store_true", help="write DIR/look.html as well")
    parser.add_argument("--part", default="", metavar="I/N", help="write only the shards s with s mod N = I")
    parser.add_argument("--merge", action="store_true", help="complete the set from the parts that were written")
    parser.add_argument("--workers", type=int, default=0, help="decoding threads; 0: the cores (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and stop")
    distributed.add_arguments(parser)
    return parser


console.begin(__name__, arguments)

from jaxmarks import processes
from pipelines import example
from pipelines import open as opening
from pipelines.io.flags import places
from pipelines.packing import card, dataset, inspection, overwrites, pack, report, seal
from pipelines.reports import packed, rejected
from pipelines.sources.tables import Images


def main() -> int:
    flags = arguments().parse_args()
    console.join(vars(flags))
    mine, out = distributed.part_of(flags.part), Path(flags.out) if flags.out else None
    if processes.count() > 1:
        if flags.part or flags.merge:
            raise ValueError(
                "--part and --merge are for commands that run apart: several processes of one share the shards"
            )
        mine = processes.index(), processes.count()
    if flags.size and not 32 <= flags.size <= 4096:
        raise ValueError(f"--size must lie in 32..4096, got {flags.size}")
    if not 0 <= flags.workers <= MAX_WORKERS:
        raise ValueError(f"--workers must lie in 0..{MAX_WORKERS}, got {flags.workers}")
    if dataset.is_packed(opening.local(flags.data)):
        if any(
            (flags.out, flags.pictures, flags.boxes, flags.category, flags.size, flags.part, flags.merge, flags.dry_run)
        ):
            raise ValueError(f"--data {flags.data} is packed already: it takes --look and nothing else")
        verify(Path(flags.data))
        return show(Path(flags.data), flags.data, {}, flags.look)
    if out is None:
        raise ValueError("--out is missing: the folder of the packed set")
    if not dataset.is_packed(out):
        overwrites.check({"--out": [out / seal.INFO]}, inputs=[flags.data, flags.boxes])
    parts = {part: opening.open_any(flags.data, part, once=True, **places(flags)) for part in opening.parts(flags.data)}
    print("\n".join(f"{part}: {opening.described(source)}" for part, source in parts.items()))
    job = pack.plan(out, parts, flags.size)
    print(
        f"{words.counted(pack.total(job, mine), 'record')} in {words.counted(len(job.shards), 'shard')},"
        f" about {pack.check_space(job)} in {out}"
    )
    if flags.dry_run:
        print("".join(f"{line}\n" for source in parts.values() for line in _foreseen(source)), end="")
        return 0
    if not seal.is_whole(out):
        if not flags.merge:
            progress = console.Progress(pack.total(job, mine), "record", brief=True)
            processes.together(lambda: pack.write(job, flags.workers or cores(), progress.show, mine))
            progress.close()
        if flags.part and not flags.merge:
            print(f"part {flags.part} is written; when all are: the same command with --merge in place of --part")
            return 0
        print("comparing near-duplicates, writing tables", flush=True)
        processes.in_first(lambda: pack.merge(job))
    return processes.in_first(lambda: complete(out, flags.data, parts, flags.look)) or 0


def complete(out: Path, data: str, parts: dict[str, example.Source], look: bool) -> int:
    """The end of packing a set, which is whole."""
    pack.tidy(out)
    return show(out, data, parts, look)


def verify(folder: Path) -> None:
    """Hold every file of a packed set against its seal. Raises ValueError, naming the file, for the first that differs."""
    sealed = seal.read(folder)
    names = [name for part in sealed.parts for name in sealed.shards(part)]
    progress = console.Progress(len(names), "shard", brief=True)
    for done, name in enumerate(names, 1):
        seal.check(folder, sealed, name)
        progress.show(done)
    progress.close()
    print(f"{folder}: all {len(sealed.files)} files are as they were packed, by the digests in {seal.INFO}")


def show(out: Path, data: str, parts: dict[str, example.Source], look: bool) -> int:
    """Print the report of the packed set, and where to read on."""
    summary = report.read(out / seal.REPORT, dataset.parts(out))
    print(report.text(summary))
    print(f"{out / 'report.txt'} names every file that was rejected, or whose labels a line counts")
    if (about := card.read(out)) and (fields := card.empty(about)):
        print(f"{out / card.NAME}: fill in {', '.join(fields)}")
    seen = rejected.thumbnails(parts, summary)
    if seen:
        print(f"rejected images: {rejected.sheet(out, seen, summary)}")
    if look:
        console.say("drawing the overview")
        print(f"overview: {', '.join(packed.write(out, data, seen))}")
    console.say(
        f"{out} is complete: {words.counted(summary['accepted'], 'record')}; python scripts/train.py --data {out}"
    )
    return 0


def _foreseen(source: example.Source) -> list[str]:
    """Lines on the rows of a source that are rejected and the images that will be."""
    rows = source.table.rejected if isinstance(source, Images) else []
    lines = [f"{words.counted(len(rows), 'record')} cannot be used:", *report.examples(rows)] if rows else []
    return lines + inspection.foreseen(source)


if __name__ == "__main__":
    console.run(main)
