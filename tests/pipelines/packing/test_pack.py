"""A packed set: the same bytes whoever packs it, whole or not there, and what was put in comes out."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import affine
from pipelines import example
from pipelines import open as opening
from pipelines.example import Example, Source
from pipelines.images import decode, headers, placement
from pipelines.io import files
from pipelines.packing import dataset, inspection, pack, seal, shards
from pipelines.sources.tables import Images, Table
from tests.pipelines.images.test_decode import blob, centroid
from tests.pipelines.sources.formats.test_contest import contest_folder

ROOT = Path(__file__).parents[3]
POINTS = np.array([[-22, 1308], [3, 4], [20, 7]])


def photograph(index: int, width: int = 60, height: int = 48) -> bytes:
    """A JPEG that is like no other."""
    coarse = np.random.RandomState(index).randint(0, 256, (6, 8, 3)).astype(np.uint8)
    return decode.encode_jpeg(np.kron(coarse, np.ones((height // 6, width // 7, 1), np.uint8))[:height, :width])


def some(part: str, count: int, broken: tuple[int, ...] = ()) -> dict:
    return {
        f"{part}{i:02d}.jpg": (b"no image" if i in broken else photograph(i, 60 + i, 48), POINTS + i)
        for i in range(count)
    }


def folder(root: Path, count: int = 7, broken: tuple[int, ...] = ()) -> Path:
    asked = {f"test{i:02d}.jpg": [2, i % 3] for i in (2, 0, 3, 1)}
    return contest_folder(root, some("train", count, broken), some("test", 4), asked)


def parts_of(data: Path | str) -> dict[str, example.Source]:
    return {part: opening.open_any(str(data), part) for part in opening.parts(str(data))}


def quiet(done: int, detail: str) -> None:
    pass


def packed(out: Path, parts: dict, *, size: int = 0, workers: int = 2, mine=(0, 1), merge: bool = True) -> pack.Job:
    job = pack.plan(out, parts, size)
    pack.check_space(job)
    pack.write(job, workers, quiet, mine)
    if merge:
        pack.merge(job)
    return job


def content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def rejection(function, *arguments) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(pack, "ROWS", 3)


@pytest.fixture
def data(tmp_path) -> Path:
    return folder(tmp_path / "data")


@pytest.fixture
def known(tmp_path, data) -> dict[str, bytes]:
    """What one machine makes of the data."""
    packed(tmp_path / "known", parts_of(data))
    return content(tmp_path / "known")


def test_what_was_put_in_comes_out(tmp_path, data, known):
    raw = parts_of(data)
    assert sum("array_record" in name for name in known) == 5 and not any(n.startswith(".") for n in known)
    for part, source in raw.items():
        found = dataset.Packed(tmp_path / "known", part)
        assert list(found.names) == source.names and found.num_points == 3 and found.labelled
        assert found.identity == example.identity(source) == example.identity(found)
        for i in range(len(source)):
            assert found[i].image == source[i].image and found[i].size is None and found[i].box is None
            assert np.array_equal(found[i].points, source[i].points) and found[i].mask.all()
    assert dataset.parts(tmp_path / "known") == ["train", "test"]
    test = dataset.Packed(tmp_path / "known", "test")
    assert test.names == [f"test{i:02d}.jpg" for i in (2, 0, 3, 1)]
    assert [a.tolist() for a in test.asked] == [[2, 2], [2, 0], [2, 0], [2, 1]]
    assert dataset.Packed(tmp_path / "known", "train").asked is None


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_the_bytes_do_not_depend_on_the_threads(tmp_path, data, known, workers):
    packed(tmp_path / "again", parts_of(data), workers=workers)
    assert content(tmp_path / "again") == known


def prepare(*arguments: object, seed: int = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts/prepare.py"), *map(str, arguments)]
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)}
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_process_place_or_times(tmp_path):
    data = folder(tmp_path / "data", broken=(2,))
    moved = shutil.copytree(data, tmp_path / "else" / "where", copy_function=shutil.copyfile)
    for path in moved.rglob("*"):
        os.utime(path, (10**9, 10**9))
    for seed, place in enumerate((data, moved)):
        done = prepare("--data", place, "--out", tmp_path / f"out{seed}", "--workers", 1 + seed, seed=seed + 1)
        assert done.returncode == 0, done.stderr
        assert "train: 7 listed, 6 accepted, 1 rejected" in done.stdout
    assert content(tmp_path / "out0") == content(tmp_path / "out1")
    assert len(dataset.Packed(tmp_path / "out0", "train")) == 6


@pytest.mark.parametrize("apart", [False, True], ids=["one folder", "copied into one"])
def test_several_machines_make_what_one_makes(tmp_path, data, known, apart):
    for number in (2, 0, 1):
        out = tmp_path / (f"out{number}" if apart else "out")
        packed(out, parts_of(data), mine=(number, 3), merge=False)
        if apart:
            shutil.copytree(out, tmp_path / "out", dirs_exist_ok=True)
    job = pack.plan(tmp_path / "out", parts_of(data))
    pack.merge(job)
    assert content(tmp_path / "out") == known


def test_a_merge_before_the_last_shard_is_there_says_which_is_missing(tmp_path, data):
    job = packed(tmp_path / "out", parts_of(data), mine=(0, 2), merge=False)
    message = rejection(pack.merge, job)
    assert "train.array_record-00001-of-00003 is not written yet (2 of 5 are missing)" in message
    assert not seal.is_whole(tmp_path / "out")


class Interrupt(BaseException):
    """As Ctrl-C."""


@pytest.mark.parametrize("after", range(1, 11))
def test_interrupted_it_resumes_behind_the_last_shard_and_ends_the_same(tmp_path, data, known, after):
    def told(done: int, detail: str) -> None:
        if done == after:
            raise Interrupt

    job = pack.plan(tmp_path / "out", parts_of(data))
    with pytest.raises(Interrupt):
        pack.write(job, 2, told)
    shards = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in job.out.glob("jaxmarks-*")}
    assert len(shards) == sum(end <= after - 1 for end in (3, 6, 7, 10, 11))
    assert not list(job.out.glob(".*.tmp")) and "not complete" in rejection(dataset.Packed, job.out, "train")
    packed(job.out, parts_of(data))
    assert {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in shards} == shards
    assert content(job.out) == known


def killed_everywhere(root: Path) -> None:
    """Packs root/data again and again, killed at each operation on files in turn; run in a process of its own."""
    pack.ROWS = 2
    names = ("rename", "replace", "unlink", "fsync", "symlink", "rmdir", "mkdir")
    whole = {name: getattr(os, name) for name in names}
    packed(root / "known", parts_of(root / "data"))
    due, at, code = content(root / "known"), 0, 9
    while code == 9:
        at, out = at + 1, root / f"out{at}"
        code = _in_child(lambda out=out, at=at: _kill_at(at, whole) or packed(out, parts_of(root / "data")))
        if seal.is_whole(out):
            found = dataset.Packed(out, "train")
            assert [found[i].image for i in range(len(found))] == [photograph(i, 60 + i, 48) for i in range(4)]
        else:
            for use in (lambda out=out: dataset.Packed(out, "train"), lambda out=out: opening.open_source(str(out))):
                told = rejection(use)
                assert "is not complete" in told or "file is missing" in told or "not exist" in told, (at, told)
            assert _in_child(lambda out=out: packed(out, parts_of(root / "data"))) == 0
        left = {n: b for n, b in content(out).items() if not n.startswith("notes/")} if code == 9 else content(out)
        assert {n: b for n, b in left.items() if not n.startswith(".")} == due, at
    assert code == 0 and at > 15, (code, at)


def _kill_at(at: int, whole: dict) -> None:
    left = [at]

    def deadly(name: str):
        def call(*arguments, **options):
            left[0] -= 1
            if not left[0]:
                os._exit(9)
            return whole[name](*arguments, **options)

        return call

    for name in whole:
        setattr(os, name, deadly(name))


def _in_child(function) -> int:
    if not (child := os.fork()):
        try:
            function()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_killed_between_any_two_steps_it_is_whole_or_resumes_and_never_half(tmp_path):
    contest_folder(tmp_path / "data", some("train", 4))
    module = "from tests.pipelines.packing import test_pack; import pathlib"
    script = f"{module}; test_pack.killed_everywhere(pathlib.Path({str(tmp_path)!r}))"
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=known, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def whole_set(tmp_path: Path, data: Path) -> Path:
    packed(tmp_path / "out", parts_of(data))
    return tmp_path / "out"


def test_a_shard_that_is_cut_longer_or_gone_is_reported_when_the_set_is_opened(tmp_path, data):
    out = whole_set(tmp_path, data)
    shard = out / seal.shard_name("train", 1, 3)
    bytes_ = shard.read_bytes()
    for changed in (bytes_[:-1], bytes_ + b"\0", b""):
        shard.write_bytes(changed)
        message = rejection(dataset.Packed, out, "train")
        assert f"{shard}: the shard has {len(changed)} bytes, was written with {len(bytes_)}" in message
    shard.unlink()
    assert f"{shard}: the shard is missing" in rejection(dataset.Packed, out, "train")
    assert len(dataset.Packed(out, "test")) == 4


@pytest.mark.parametrize("before", [0, 3], ids=["first read", "later read"])
def test_a_flipped_bit_anywhere_in_a_shard_is_reported_or_changes_nothing(tmp_path, data, before):
    out = whole_set(tmp_path, data)
    shard, source = out / seal.shard_name("train", 0, 3), parts_of(data)["train"]
    whole, noticed = shard.read_bytes(), 0
    used = [i for i in range(len(whole)) if whole[i]]  # most of a shard is filling
    picture = whole.index(source[1].image)
    for at in [*used[:: len(used) // 60], picture + 300, len(whole) - 3]:
        shard.write_bytes(whole)
        opened = dataset.Packed(out, "train")
        assert len([opened[i] for i in range(before)]) == before
        shard.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            found = opened if before else dataset.Packed(out, "train")
            examples = [found[i] for i in range(3)]
        except ValueError as error:
            assert "\n" not in str(error).strip()
            noticed += 1
            continue
        assert all(np.array_equal(e.points, source[i].points) and e.image == source[i].image
                   for i, e in enumerate(examples)), at  # fmt: skip
    assert noticed > 40


def test_one_packer_at_a_time(tmp_path, data):
    job = pack.plan(tmp_path / "out", parts_of(data))
    with files.locked(job.out / dataset.LOCK, "mine"):
        assert "is being packed by another process" in rejection(pack.write, job, 2, quiet)
        assert not list(job.out.glob("jaxmarks-*"))
    packed(job.out, parts_of(data))


def test_two_processes_that_share_the_work_differently_never_write_the_same_shard_at_once(tmp_path, data):
    job = pack.plan(tmp_path / "out", parts_of(data))
    with files.locked(job.out / dataset.LOCK, "mine", shared=True):  # as one who writes a part
        assert "is being packed by another process" in rejection(pack.write, job, 2, quiet, (0, 1))


def test_nobody_packs_while_another_makes_the_set_whole(tmp_path, data, monkeypatch):
    job, finish, told = packed(tmp_path / "out", parts_of(data), merge=False), dataset.finish, []

    def meanwhile(*arguments):
        monkeypatch.setattr(dataset, "finish", finish)
        finish(*arguments)
        with pytest.raises(ValueError) as caught:
            packed(tmp_path / "out", parts_of(data))
        told.append(str(caught.value))

    monkeypatch.setattr(dataset, "finish", meanwhile)
    pack.merge(job)
    assert "is being packed by another process" in told[0]


def test_another_set_does_not_replace_one_that_is_whole(tmp_path, data, known):
    other = folder(tmp_path / "other", 6)
    for parts, size in ((parts_of(other), 0), (parts_of(data), 40)):
        assert "holds another packed set, or the data was changed" in rejection(
            pack.plan, tmp_path / "known", parts, size
        )
    assert content(tmp_path / "known") == known


def test_of_data_that_was_changed_half_way_nothing_old_is_kept(tmp_path, data, known):
    job = packed(tmp_path / "out", parts_of(data), merge=False)
    (data / "train/images/train00.jpg").write_bytes(photograph(50))
    packed(job.out, parts_of(data))
    found = dataset.Packed(job.out, "train")
    assert found[0].image == photograph(50) and found[1].image == photograph(1, 61)
    assert set(content(job.out)) == set(known)


READING = """
import sys
import tensorflow_datasets as tfds
import numpy as np
for part in ("train", "test"):
    for record in tfds.builder_from_directory(sys.argv[1]).as_data_source(split=part):
        name, image, points = record["file_name"], record["image"], record["points"]
        assert image.dtype == np.uint8 and points.dtype == np.int16 and image.shape[:2] == (record["height"], record["width"])
        name = name.decode() if isinstance(name, bytes) else name
        print(name, *points.ravel().tolist(), *image.shape, int(image.astype(int).sum()))
assert "tensorflow" not in sys.modules and "pipelines" not in sys.modules
"""


def test_tfds_reads_it_without_us_and_without_tensorflow(tmp_path, data, known):
    command = [sys.executable, "-c", READING, str(tmp_path / "known")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    for line, (source, i) in zip(lines, ((s, i) for s in parts_of(data).values() for i in range(len(s))), strict=True):
        image = decode.decode(source[i].image)
        assert line[0] == source.names[i] and [int(v) for v in line[1:7]] == source[i].points.ravel().tolist()
        assert tuple(map(int, line[7:10])) == image.shape and abs(int(line[10]) / image.sum() - 1) < 0.01


def encoded(image, kind: str, **options) -> bytes:
    from tests.pipelines.images.test_decode import encoded

    return encoded(image, kind, **options)


def test_tfds_shows_every_image_as_the_points_lie_on_it(tmp_path):
    from PIL import Image
    from tensorflow_datasets import builder_from_directory

    image = decode.decode(photograph(1))
    odd = {  # not what docs/data.md says of TFDS: it does not turn by EXIF, and shows alpha
        "grey.jpg": encoded(Image.fromarray(image).convert("L"), "JPEG"),
        "cmyk.jpg": encoded(Image.fromarray(image).convert("CMYK"), "JPEG"),
        "palette.png": encoded(Image.fromarray(image).quantize(32), "PNG"),
    }
    data = contest_folder(tmp_path / "data", {name: (file, POINTS) for name, file in odd.items()})
    packed(tmp_path / "out", parts_of(data))
    wrong = []
    for record in builder_from_directory(tmp_path / "out").as_data_source(split="train"):
        name = record["file_name"].decode()
        shown = decode.decode(odd[name])
        if record["image"].shape != shown.shape or np.abs(record["image"].astype(int) - shown).mean() > 4:
            wrong.append((name, record["image"].shape, shown.shape))
    assert not wrong


def test_grain_reads_the_shards(tmp_path, data, known):
    import grain
    from tensorflow_datasets import builder_from_directory

    source = parts_of(data)["train"]
    paths = sorted(str(p) for p in (tmp_path / "known").glob("jaxmarks-train*"))
    records = grain.sources.ArrayRecordDataSource(paths)
    features = builder_from_directory(tmp_path / "known").info.features
    assert len(records) == len(source) == 7
    for i in range(7):
        assert source[i].image in records[i]
        assert np.array_equal(features.deserialize_example_np(records[i])["points"], source[i].points)


class Blobs(Source):
    """One image with a spot at each of the points in turn."""

    labelled, num_points = True, 1
    width, height = 400, 301
    spots = ((200.3, 150.4), (60.7, 250.2), (310.1, 33.9))

    def __init__(self, box: np.ndarray | None = None, kind=decode.encode_png):
        self.boxed = box is not None
        self.names, self._box, self._kind = ["a.png", "b.png", "c.png"], box, kind

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Example:
        picture = self._kind(blob(self.width, self.height, *self.spots[index], 9.0))
        return Example(picture, np.array([self.spots[index]]), np.ones(1, bool), self._box)


@pytest.mark.parametrize("working", [64, 150, 301, 500])
@pytest.mark.parametrize("kind", [decode.encode_png, lambda image: decode.encode_jpeg(image, 98)], ids=["png", "jpeg"])
@pytest.mark.parametrize("box", [None, np.array([10.0, 20.0, 330, 250])], ids=["whole", "box"])
def test_of_a_reduced_set_the_points_are_still_those_of_the_image(working, kind, box):
    size = 64
    for index in range(3):
        seen = inspection.look(Blobs(box, kind), index, working)
        example = seen.example
        assert example.size == seen.size == (400, 301) and example.points.tolist() == [list(Blobs.spots[index])]
        stored = decode.decode(example.image).shape
        scale = min(1, working / (301 if box is None else 330))
        assert abs(stored[0] - 301 * scale) <= 0.5 and abs(stored[1] - 400 * scale) <= 0.5
        canvas = placement.canvas(example, size, 2 * size, 0.1)
        spot = np.where(canvas.image < 10, 0, canvas.image)  # JPEG's noise far away has long arms
        found = affine.apply(canvas.fit, centroid(spot)[None])[0]
        said = affine.apply(canvas.frame, np.array([Blobs.spots[index]]))[0]
        assert np.abs(found - said).max() < 0.1
        plain = placement.canvas(Blobs(box)[index], size, 2 * size, 0.1)  # the frame is the image's, reduced or not
        moved = affine.apply(plain.frame, np.array([Blobs.spots[index]]))[0] - said
        assert np.abs(moved).max() < 1.0 if box is None else np.abs(moved).max() < 1e-9


def test_a_reduced_set_is_packed_and_read(tmp_path, data):
    packed(tmp_path / "out", parts_of(data), size=40)
    found = dataset.Packed(tmp_path / "out", "train")
    for i in range(len(found)):
        one = found[i]
        assert one.size == (60 + i, 48) == decode.image_size(one)
        assert headers.header_size(one.image) == (round((60 + i) * 40 / 48), 40)
        assert np.array_equal(one.points, POINTS + i)
    assert found.identity != example.identity(parts_of(data)["train"])


def table_of(root: Path, points: np.ndarray, mask: np.ndarray, **options) -> Images:
    """A source of three images whose labels may lack points."""
    root.mkdir()
    for i in range(3):
        (root / f"{i}.jpg").write_bytes(photograph(i))
    names = [f"{i}.jpg" for i in range(3)]
    return Images(Table(root, "t", points.shape[1], names, [0] * 3, lambda i: (points[i], mask[i]), **options))


@pytest.mark.parametrize("whole", [True, False])
def test_points_that_are_not_labelled_stay_so(tmp_path, whole):
    points = np.random.RandomState(0).randint(-99, 3000, (3, 5, 2)).astype(float) + (0 if whole else 0.25)
    mask = np.random.RandomState(1).rand(3, 5) < 0.6
    mask[2] = False
    source = table_of(tmp_path / "pictures", points, mask, whole=whole)
    packed(tmp_path / "out", {"train": source})
    found = dataset.Packed(tmp_path / "out", "train")
    for i in range(3):
        assert np.array_equal(found[i].mask, mask[i]) and np.array_equal(found[i].points[mask[i]], points[i][mask[i]])
        assert np.array_equal(found[i].points[~mask[i]], np.zeros(((~mask[i]).sum(), 2)))
    assert found.identity == example.identity(source)
    record = shards.parsed(found._data[0], found._layout.kinds())
    stored = np.frombuffer(record["points"], np.int16 if whole else np.float32).reshape(5, 2)
    assert (stored[~mask[0]] == -32768).all() if whole else np.isnan(stored[~mask[0]]).all()


@pytest.mark.parametrize("written", ["-0", "-0.0", "0"])
def test_a_zero_is_a_zero_however_it_is_written(tmp_path, written):
    data = contest_folder(tmp_path / "data", some("train", 3))
    table = data / "train/landmarks.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], "\t".join(["train01.jpg", written, *"12345"]), *lines[3:]]))
    packed(tmp_path / "out", parts_of(data))
    assert dataset.Packed(tmp_path / "out", "train")[1].points[0].tolist() == [0, 1]


def test_boxes_are_kept(tmp_path):
    boxes = np.array([[1.5, 2, 30, 20], [0, 0, 9.25, 8], [1 / 3, 0, 7, 9]])
    source = table_of(tmp_path / "pictures", np.ones((3, 2, 2)), np.ones((3, 2), bool), boxes=boxes)
    packed(tmp_path / "out", {"train": source})
    found = dataset.Packed(tmp_path / "out", "train")
    assert found.boxed and [e.box.tolist() for e in (found[i] for i in range(3))] == boxes.tolist()
    assert found.identity == example.identity(source)


def test_drawn_faces_are_packed_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "ROWS", 8)
    packed(tmp_path / "out", parts_of("drawn:20:5"))
    for part, count in (("train", 20), ("test", 16)):
        found, source = dataset.Packed(tmp_path / "out", part), opening.open_source("drawn:20:5", part)
        assert len(found) == count and (part == "train") == (found.asked is None)
        for i in (0, count - 1):
            assert np.array_equal(decode.decode(found[i].image), source[i].image)
            assert np.array_equal(found[i].points, source[i].points.astype(np.float32))


def test_a_set_without_one_usable_record_is_rejected_in_a_line(tmp_path):
    data = contest_folder(tmp_path / "data", some("train", 4, broken=(0, 1, 2, 3)))
    message = rejection(packed, tmp_path / "out", parts_of(data))
    assert "first: train00.jpg (line 2): not an image that can be decoded" in message
    assert not seal.is_whole(tmp_path / "out")


def test_a_table_with_bad_rows_only_is_rejected_in_a_line(tmp_path):
    data = contest_folder(tmp_path / "data", some("train", 1))
    table = data / "train/landmarks.csv"
    table.write_text(table.read_text().rpartition("\t")[0] + "\n")
    assert "wrong number of fields" in rejection(packed, tmp_path / "out", parts_of(data))
    assert not (tmp_path / "out").exists()


def test_shards_of_which_nothing_is_left_do_no_harm(tmp_path):
    data = contest_folder(tmp_path / "data", some("train", 9, broken=(0, 1, 2, 6, 7, 8)))
    packed(tmp_path / "out", parts_of(data))
    found = dataset.Packed(tmp_path / "out", "train")
    assert list(found.names) == ["train03.jpg", "train04.jpg", "train05.jpg"]
    assert [found[i].image for i in range(3)] == [photograph(i, 60 + i) for i in (3, 4, 5)]
    told = files.read_json(tmp_path / "out/report.json")
    assert [(r["file"], r["line"]) for r in told["refused"]] == [
        (f"train{i:02d}.jpg", i + 2) for i in (0, 1, 2, 6, 7, 8)
    ]


def test_a_disk_that_is_too_small_is_rejected_before_anything_is_written(tmp_path, data, monkeypatch):
    job = pack.plan(tmp_path / "out", parts_of(data))
    free = job.bytes - 1
    monkeypatch.setattr(pack.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, free))
    assert "packing takes about" in rejection(pack.check_space, job) and not job.out.exists()
    monkeypatch.setattr(
        pack.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, 2 * job.bytes + 10_000)
    )
    pack.check_space(job)


def test_parts_that_do_not_fit_together_are_rejected(tmp_path, data):
    parts = parts_of(data)
    other = dataclasses.replace(parts["test"].table, num_points=5)
    assert "3 and 5 points" in rejection(pack.plan, tmp_path / "out", {**parts, "test": Images(other)})


def test_near_duplicates_share_a_group(tmp_path):
    train = some("train", 6)
    train["train05.jpg"] = decode.encode_jpeg(decode.decode(train["train02.jpg"][0]), 60), POINTS
    packed(tmp_path / "out", parts_of(contest_folder(tmp_path / "data", train)))
    groups = list(dataset.Packed(tmp_path / "out", "train").groups)
    assert groups == ["", "", "train02.jpg", "", "", "train02.jpg"]
