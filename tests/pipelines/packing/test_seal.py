"""A packed set is under one seal: what was changed is not accepted, what is hostile runs nothing and writes nowhere else."""

import json
import random
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import open as opening
from pipelines.inference import overlays
from pipelines.io import files
from pipelines.packing import cache, card, dataset, pack, record_table, report, seal
from pipelines.reports import packed as page
from tests.pipelines.packing.test_pack import photograph, quiet, some
from tests.pipelines.sources.formats.test_contest import contest_folder

FACES = {"train": 5, "test": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A whole set: two shards to train on, one to test, with near-duplicates and points asked."""
    root = tmp_path_factory.mktemp("made")
    train = some("train", FACES["train"])
    train["sub/a b.jpg"] = train.pop("train04.jpg")
    train["train03.jpg"] = train["train02.jpg"]
    asked = {f"test{i:02d}.jpg": [2, i % 3] for i in range(FACES["test"])}
    data = contest_folder(root / "data", {n: v for n, v in train.items() if "/" not in n}, some("test", 3), asked)
    parts = {part: opening.open_any(str(data), part) for part in ("train", "test")}
    before, pack.ROWS = pack.ROWS, 2
    try:
        job = pack.plan(root / "set", parts)
        pack.write(job, 2, quiet)
        pack.merge(job)
    finally:
        pack.ROWS = before
    return root / "set"


@pytest.fixture
def own(made, tmp_path) -> Path:
    """A copy of the set, to be changed."""
    return shutil.copytree(made, tmp_path / "set")


def content(folder: Path) -> list:
    """All that the readers of a set give of it, and the lines that prepare.py prints."""
    sealed, found = seal.read(folder), []
    for part in sealed.parts:
        for name in sealed.shards(part):
            seal.check(folder, sealed, name)
        source = dataset.Packed(folder, part)
        asked = [a.tolist() for a in source.asked] if source.asked else None
        found += [part, list(source.names), list(source.groups), source.identity, source.labelled, asked]
        found += [
            (e.image, e.points.tolist(), e.mask.tolist(), e.box) for e in map(source.__getitem__, range(len(source)))
        ]
    return [*found, report.text(report.read(folder / seal.REPORT, sealed.parts))]


def rejection(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:
        content(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


def test_the_seal_covers_every_file_and_is_written_last(made):
    sealed = seal.read(made)
    assert set(sealed.files) == {p.name for p in made.iterdir()} - {seal.INFO, card.NAME}
    assert sealed.parts == ["train", "test"] and sealed.records == {"train": [2, 2], "test": [2, 1]}
    assert max(made.iterdir(), key=lambda p: p.stat().st_mtime_ns).name == seal.INFO


@pytest.mark.parametrize("name", sorted({"jaxmarks-train.array_record-00001-of-00002", "train.csv", "test.csv",
                                         "features.json", "dataset_info.json", "report.json", "report.txt"}))  # fmt: skip
def test_a_byte_changed_in_any_file_is_reported_by_its_name(own, name):
    whole = (own / name).read_bytes()
    (own / name).write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert name in rejection(own)
    (own / name).unlink()
    assert name in rejection(own) or "not complete" in rejection(own)


def mutants(text: str, rng: random.Random):
    """Damaged forms of the text of a metadata file, each unlike it."""
    values = [None, 0, -1, 1.5, 10**20, "", "x", "\ud800", "../../x", [], [[]], {}, True, 1e308]
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    while True:
        kind, at = rng.randrange(5), rng.randrange(len(text))
        other = text
        if kind == 0:
            other = text[:at] + rng.choice('x0,"{}[]\n\0é-') + text[at + rng.randrange(2) :]
        elif kind == 1:
            other = text[:at] + text[rng.randrange(at, len(text)) :]
        elif kind == 2:
            other = text[:at] + text[rng.randrange(len(text)) :][:20] + text[at:]
        elif kind == 3:
            other = text[:at] + rng.choice(["[" * 100_000, "9" * 5000, "\ufeff", '"' * 9]) + text[at:]
        elif text.startswith("{"):
            data, places[:] = json.loads(text), []
            walk(data)
            node, key = rng.choice(places)
            how = rng.randrange(3)
            if how == 0:
                del node[key]
            else:
                node[key] = rng.choice(values) if how == 1 else [node[key]]
            other = json.dumps(data)
        if other != text:
            yield other


def sealed_again(folder: Path) -> None:
    """Has a changed set a seal that fits, as who means harm would write it."""
    data = files.read_json(folder / seal.INFO)
    data.pop("digest", None)
    for name, about in data.get("files", {}).items():
        if (folder / name).is_file():
            about.update(bytes=(folder / name).stat().st_size, sha256=files.digest(folder / name).hex())
    files.write_sealed(folder / seal.INFO, data)


def try_mutants(own: Path, made: Path, count: int, seed: int) -> dict[str, int]:
    """Damages each file of the set in turn; how often that was told, and how often the content stayed."""
    rng, outcomes, due = random.Random(seed), {"told": 0, "equal": 0, "hostile": 0}, content(made)
    names = sorted(p.name for p in made.iterdir())
    texts = {n: (made / n).read_text() for n in names if "array_record" not in n}
    feeds = {n: mutants(text, rng) for n, text in texts.items()}
    for number in range(count):
        name = names[number % len(names)]
        whole = (made / name).read_bytes()
        if name in feeds:
            (own / name).write_bytes(next(feeds[name]).encode("utf-8", "surrogatepass"))
        else:
            at = rng.randrange(len(whole) - 8)
            damage = rng.choice([whole[:at], whole[:at] + rng.randbytes(8) + whole[at + 8 :], whole + b"\0", b""])
            (own / name).write_bytes(damage)
        if number % 3 == 2 and name != seal.INFO:
            sealed_again(own)  # what the seal does not tell must be told by what is read, or be harmless
            outcomes["hostile"] += 1
        try:
            found = content(own)
        except ValueError as error:  # also UnicodeDecodeError and the like: one line for who called
            assert "\n" not in str(error) and str(own) in str(error), (name, number, error)
            outcomes["told"] += 1
        else:
            assert number % 3 == 2 or found == due, (name, number)
            outcomes["equal"] += 1
        (own / name).write_bytes(whole)
        shutil.copyfile(made / seal.INFO, own / seal.INFO)
    return outcomes


def test_damaged_metadata_is_reported_in_one_line(own, made):
    assert try_mutants(own, made, 120, seed=0)["told"] > 60


@pytest.mark.slow
def test_of_many_mutations_of_every_file_none_is_accepted_ends_in_a_traceback_or_takes_memory(own, made):
    content(made)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = try_mutants(own, made, 2000, seed=1)
    assert outcomes["told"] > 1200 and sum(outcomes.values()) - outcomes["hostile"] == 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


CASES = Path(__file__).parents[4] / "shared" / "cases" / "hostile"


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json", "jaxmarks.json", "report.json", "test.csv"])
@pytest.mark.parametrize("again", [False, True], ids=["", "sealed"])
def test_real_damage_is_reported_whichever_file_it_is_put_in_for(own, name, again):
    found = sorted(CASES.glob("packmeta-*"))
    if not found:
        pytest.skip("no folder of damaged files beside the project")
    for case in found:
        whole = (own / name).read_bytes()
        (own / name).write_bytes(case.read_bytes())
        if again and name != seal.INFO:
            sealed_again(own)
        if not again or name not in ("features.json", "dataset_info.json"):  # these two are TFDS's alone
            rejection(own)
        (own / name).write_bytes(whole)


PAYLOAD = "import pathlib\npathlib.Path({mark!r}).write_text('it ran')\nclass Text: pass\n"


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_a_class_that_features_name_is_never_imported(own, tmp_path, monkeypatch, key):
    mark = tmp_path / "mark"
    (own / "payload.py").write_text(PAYLOAD.format(mark=str(mark)))
    monkeypatch.syspath_prepend(str(own))
    monkeypatch.chdir(own)
    kind = '"pythonClassName": "tensorflow_datasets.core.features.text_feature.Text"'
    text = (own / seal.FEATURES).read_text()
    assert kind in text
    (own / seal.FEATURES).write_text(text.replace(kind, f'"{key}": "payload.Text"'))
    sealed_again(own)
    assert "payload.Text" in rejection(own) and seal.FEATURES in rejection(own)
    assert "payload.Text" in str(pytest.raises(ValueError, cache.training_set, str(own)).value)
    assert not mark.exists()


def test_tfds_is_not_imported_to_read_a_set(made):
    import subprocess
    import sys

    code = "import sys; from pipelines.packing import cache; s = cache.training_set(sys.argv[1]); s[0]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True).stdout
    assert "array_record" in loaded and "tensorflow_datasets" not in loaded.split()


def table(folder: Path, change) -> None:
    """Changes the rows of train.csv, the header first, and seals the set again."""
    lines = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join(change(lines)) + "\n")
    sealed_again(folder)


ROWS = {
    "../../x.jpg": "x.jpg", "/abs.jpg": "abs.jpg", "a/../../b.jpg": "b.jpg", "": "names no file", "a\\b.jpg": "names no file",
    "train01.jpg": "comes twice", "n" * 300: "names no file",
}  # fmt: skip


@pytest.mark.parametrize(("name", "told"), ROWS.items())
def test_a_name_that_leads_elsewhere_is_rejected_with_its_line(own, name, told):
    table(own, lambda lines: [lines[0], f"{name}{lines[1][len('train00.jpg') :]}", *lines[2:]])
    message = rejection(own)
    assert told in message and "train.csv:" in message


FIELDS = {"width": (1, "0"), "height": (2, "1e9"), "sha256": (3, "zz"), "line": (5, "-2"), "spread": (6, "nan"),
          "asked": (7, "1 x")}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_packing_does_not_write_is_rejected_by_name_and_line(own, field):
    place, value = FIELDS[field]

    def change(lines):
        row = lines[2].split(",")
        row[place] = value
        return [*lines[:2], ",".join(row), *lines[3:]]

    table(own, change)
    assert f"train.csv:3: {field}: " in rejection(own)


def test_asked_points_of_some_records_only_or_beyond_the_set_are_rejected(own):
    table(own, lambda lines: [*lines[:2], f"{lines[2]}0 1", *lines[3:]])
    assert "train.csv:3: points are asked of some records only" in rejection(own)
    table(own, lambda lines: [lines[0], f"{lines[1]}0 7", *lines[2:]])
    assert "train.csv:2: asks for a point" in rejection(own)


@pytest.mark.parametrize("points", [0, 2, 4, 10**5])
def test_another_number_of_points_is_reported(own, points):
    data = files.read_json(own / seal.INFO)
    data["layout"]["num_points"] = points
    files.write_json(own / seal.INFO, data)
    sealed_again(own)
    rejection(own)


@pytest.mark.parametrize("mirror", [[0], [0, 0, 1, 2, 3], [1, 2, 3, 4, 0]])
def test_a_mirror_that_is_no_permutation_of_its_own_inverse_is_rejected(own, mirror):
    data = files.read_sealed(own / seal.INFO)
    assert data["mirror"] == []
    files.write_sealed(own / seal.INFO, {**data, "mirror": mirror})
    assert "mirror: expected a permutation" in rejection(own)
    files.write_sealed(own / seal.INFO, {key: value for key, value in data.items() if key != "mirror"})
    assert not seal.read(own).mirror


def test_a_set_of_the_version_without_a_seal_is_reported_to_be_packed_again(own):
    data = {k: v for k, v in files.read_json(own / seal.INFO).items() if k not in ("files", "digest")}
    files.write_json(own / seal.INFO, data)
    assert "earlier version" in rejection(own) and "pack it again" in rejection(own)


def test_the_page_of_a_hostile_report_is_rejected_in_one_line(own):
    data = files.read_json(own / seal.REPORT)
    del data["parts"]["test"]["short_side"]["50%"]
    files.write_json(own / seal.REPORT, data)
    sealed_again(own)
    with pytest.raises(ValueError, match="short_side: '50%' is missing"):
        page.write(own, "title", {})


def test_overlays_are_written_below_their_folder_only(tmp_path):
    for name in ("../a.jpg", "/tmp/a.jpg", "b/../../a.jpg"):
        with pytest.raises(ValueError, match="a.jpg"):
            overlays.paths(tmp_path, ["fine.jpg", name])


def test_a_table_is_read_as_it_was_written(tmp_path):
    records = [record_table.Record("a,b.jpg", 3, 4, bytes(32), "g\n\"", "7", "0.1250", "0 1"),
               record_table.Record("ü/c.png", 5, 6, bytes(range(32)), "", "", "", "1")]  # fmt: skip
    record_table.write(tmp_path, "train", records)
    assert record_table.read(tmp_path, "train", 2) == records


def test_damage_of_a_cached_set_is_reported_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    data = contest_folder(tmp_path / "data", {f"{i}.jpg": (photograph(i), np.ones((3, 2))) for i in range(3)})
    first = cache.training_set(str(data))
    (first._folder / "train.csv").write_text("x")
    with pytest.raises(ValueError, match=f"train.csv: .*: delete {first._folder}"):
        cache.training_set(str(data))
    shutil.rmtree(first._folder)
    assert cache.training_set(str(data)).identity == first.identity


def test_notes_of_a_set_half_packed_that_are_damaged_are_made_again(tmp_path, made):
    parts = {"train": opening.open_any(str(made.parent / "data"))}
    job = pack.plan(tmp_path / "set", parts)
    pack.write(job, 1, quiet)
    note = next((job.out / "notes").iterdir())
    for text in ("", "{", '{"format_version": 1}', note.read_text().replace('"bytes"', '"b"')):
        note.write_text(text)
        pack.write(job, 1, quiet)
    assert pack.merge(job)["accepted"] == len(parts["train"])


def test_a_shard_of_compressed_records_is_rejected_before_they_are_unpacked(own):
    from array_record.python import array_record_module as records

    path = own / seal.shard_name("train", 0, 2)
    writer = records.ArrayRecordWriter(str(path), "group_size:1,zstd")
    for _ in range(2):
        writer.write(bytes(1 << 26))
    writer.close()
    sealed_again(own)
    assert path.stat().st_size < 1 << 20 and "compressed" in rejection(own)


def test_prepare_holds_the_shards_of_a_packed_set_against_the_seal(own, command):
    code, said = command("prepare", "--data", own)
    assert code == 0 and f"all {len(seal.read(own).files)} files are as they were packed" in said.out
    path = own / seal.shard_name("test", 0, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # in the filling, which no record has
    code, said = command("prepare", "--data", own)
    assert code == 2 and f"{path}: changed since the set was packed" in said.err
