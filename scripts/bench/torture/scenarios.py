"""Small commands that visit every place that writes: what each starts from, and what it leaves."""

if __name__ == "__main__":
    raise SystemExit("scenarios.py is a part of run.py, and does nothing by itself")

import fnmatch
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from writes import AFTER, Fault

_TRAIN = "--model resnet18 --size 32 --batch 4 --steps 6 --val-every 3 --log-every 1 --workers 1 --val-fraction 0.5"
_SAVED = "jaxmarks/training/checkpoint.py:_write:temporary.rename"
_SHARD = "pipelines/packing/shards.py:writing:temporary.rename"
_SEAL = "pipelines/packing/seal.py:write:files.write_sealed"


class Scenario(NamedTuple):
    """A command.

    Its name; the script; its flags; what it needs of what others left; what it leaves for others; `edit`: changes to what it
    needs; `killed`: where the same command was killed before; `edit_after`: changes after that; `draws`: faults that are drawn
    for it, where each is dear; 0: one for each place that has none yet.
    """

    name: str
    script: str
    flags: str
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    edit: Callable[[Path], None] | None = None
    killed: Fault | None = None
    edit_after: Callable[[Path], None] | None = None
    draws: int = 0


def damaged_rows(folder: Path) -> None:
    """Cut one image of a contest folder in half, and let a label be no number."""
    path = sorted((folder / "set/train/images").iterdir())[0]
    path.write_bytes(path.read_bytes()[:300])
    table = folder / "set/train/landmarks.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].rpartition("\t")[0] + "\tnan"
    table.write_text("\n".join(lines) + "\n")


def weights(folder: Path) -> None:
    """Write sampling weights of a contest folder."""
    names = sorted(p.name for p in (folder / "set/train/images").iterdir())
    (folder / "weights.csv").write_text("file_name,weight\n" + "".join(f"{n},2\n" for n in names))


def boxes(folder: Path) -> None:
    """Write a file of bounding boxes for a contest folder."""
    names = sorted(p.name for p in (folder / "set/train/images").iterdir())
    (folder / "boxes.csv").write_text("file_name,x,y,width,height\n" + "".join(f"{n},1,1,90,90\n" for n in names))


def one_row_less(folder: Path) -> None:
    """Take the last row from the labels of a contest folder."""
    path = folder / "set/train/landmarks.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def old_files(folder: Path) -> None:
    """Put a file of compiled code and one of canvases into the cache."""
    for name in ("compiled/machine/a-cache", "canvases/a.canvases"):
        (folder / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cache" / name).write_bytes(b"old")


def _formats() -> list[Scenario]:
    ends = {
        "coco": ".json",
        "labelstudio": ".json",
        "wflw": ".txt",
        "deeplabcut": ".csv",
        "plain": ".csv",
        "cvat": ".xml",
    }
    kinds = ("labelstudio", "coco", "wflw", "deeplabcut", "plain", "pts", "cvat", "labelme", "yolo")
    boxed = ("yolo",)
    made = []
    for kind in kinds:
        out = f"{kind}/{'CollectedData_me' if kind == 'deeplabcut' else 'labels'}{ends[kind]}" if kind in ends else kind
        flags = f"--data set --format {kind} --out {out}{' --boxes boxes.csv' if kind in boxed else ''}"
        made.append(
            Scenario(f"convert to {kind}", "convert", flags, ("set",), (kind,), boxes if kind in boxed else None)
        )
    return made


FIRST = [  # in this order: the others start from what they leave
    Scenario("convert", "convert", "--data drawn:40:5 --format contest --out set", (), ("set",)),
    Scenario(
        "convert test",
        "convert",
        "--data drawn:24:5 --part test --format contest --out set",
        ("set",),
        ("set",),
    ),
    Scenario("prepare", "prepare", "--data set --out packed --look --workers 1", ("set",), ("packed",), damaged_rows),
    Scenario(
        "train", "train", f"--data set --name a --save-minutes 0.01 {_TRAIN}", ("set",), ("runs", "cache"), draws=4
    ),
    Scenario("convert to coco", "convert", "--data set --format coco --out coco/labels.json", ("set",), ("coco",)),
]
OTHERS = [
    *(s for s in _formats() if s.name != "convert to coco"),
    Scenario("boxes beside", "convert", "--data set --boxes boxes.csv --format pts --out pts", ("set",), (), boxes),
    Scenario("prepare resumed", "prepare", "--data set --out packed --workers 1", ("set",), (), None,
             Fault(_SEAL, "open", 0, AFTER)),
    Scenario("prepare changed", "prepare", "--data set --out packed --workers 1", ("set",), (), None,
             Fault(_SEAL, "open", 0, AFTER), one_row_less),
    Scenario("train resumed", "train", f"--data set --name b --save-minutes 0.01 {_TRAIN}", ("set", "cache"), (), None,
             Fault(_SAVED, "os.rename", 2, AFTER), draws=2),
    Scenario("train on disk", "train", f"--data set --name c --store disk --weights weights.csv {_TRAIN}", ("set", "cache"), (),
             weights, draws=1),
    Scenario("fork", "train", "--name a --fork f --steps 8", ("set", "cache", "runs"), draws=1),
    Scenario("evaluate", "evaluate", "--run runs/a --data set --out e/out.json --plots e/plots --sheet e/worst.png",
             ("set", "cache", "runs"), draws=1),
    Scenario("predict", "predict", "--run runs/a --data set --images set/test/images --out points.csv --overlays over"
             " --spread spread.csv --photographs images.csv", ("set", "cache", "runs"), draws=3),
    Scenario("submission", "predict", "--run runs/a --data set --out submission.csv", ("set", "cache", "runs"), draws=1),
    Scenario("coco results", "predict", "--run runs/a --data coco/labels.json --pictures set/train/images --format coco"
             " --out found.json", ("set", "cache", "runs", "coco"), draws=1),
    Scenario("rank", "rank", "--run runs/a --out review", ("set", "cache", "runs"), draws=2),
    Scenario("export", "export", "--run runs/a --out net.stablehlo --faces 4", ("set", "cache", "runs"), draws=1),
    Scenario("replay", "replay", "--run runs/a --step 2", ("set", "cache", "runs"), draws=1),
    Scenario("symmetry", "symmetry", "--data drawn:60:5 --out scheme.json --sheet scheme.png"),
    Scenario("augment", "augment", "--data drawn:4:5 --size 32 --count 4 --out sheet.png", draws=1),
    Scenario("find_lr", "find_lr", "--data drawn:24:5 --out lr.png --model resnet18 --size 32 --batch 4 --sweep-steps 20",
             draws=1),
    Scenario("cache", "cache", "--prune 0", ("cache",), (), old_files),
]  # fmt: skip

VOLATILE = ["*/log/*", "*/timing.jsonl", "*/checkpoints/*", "*/versions.json",  "*/faults.txt",
            "cache/compiled/*", "cache/traceback.txt", "cache"]  # fmt: skip
_HALF = ("*.tmp", "*.partial*", "*.lock", "*.metadata*")


def state(folder: Path) -> dict[str, str]:
    """Return the digests of the files in a folder, but for those that a clock or a kill may change, and all that is half
    written, a checkpoint without its commit among it."""
    found = {}
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(at) / name
            shown = str(path.relative_to(folder))
            half = any(fnmatch.fnmatch(name, p) for p in _HALF)
            if path.parent.name == "checkpoints" and path.is_dir() and not (path / "commit.json").is_file():
                half = True
            if half or not any(fnmatch.fnmatch(shown, p) for p in VOLATILE):
                found[shown] = "half-written" if half else _digest(path)
    return found


def _digest(path: Path) -> str:
    if not path.is_file():
        return "a folder"
    data = path.read_bytes()
    if path.name in ("config.json", "cached.json"):  # they name where the data lies, and are sealed
        lines = [line for line in data.splitlines() if b'"digest"' not in line]
        data = re.sub(rb"/[^\"]*/(work|faults)/[^/\"]+", b"", b"".join(lines))
    return hashlib.sha256(data).hexdigest()[:16]


def copied(base: Path, names: tuple[str, ...], folder: Path) -> None:
    """Make a folder anew with some of what another has, links and times kept."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in names:
        if (base / name).exists():
            shutil.copytree(base / name, folder / name, symlinks=True)
