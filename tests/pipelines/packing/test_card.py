"""The data card says what the set holds, keeps what a person fills in, and breaks nothing."""

import json
import shutil

import pytest

from pipelines.label_checks import sections
from pipelines.packing import card, dataset, seal
from tests.pipelines.packing.test_pack import some
from tests.pipelines.sources.formats.test_contest import contest_folder


@pytest.fixture
def packed(command, tmp_path):
    """A packed set, its data, and the command that packs it."""
    data, out = (
        contest_folder(
            tmp_path / "data", some("train", 5, (1,)), some("test", 3), {f"test{i:02d}.jpg": [2, i] for i in range(3)}
        ),
        tmp_path / "out",
    )

    def prepare(*more):
        return command("prepare", "--data", data, "--out", out, *more)

    assert prepare()[0] == 0
    return out, prepare


def fill(out, **fields):
    data = json.loads((out / card.NAME).read_text())
    data["about"] |= fields
    (out / card.NAME).write_text(json.dumps(data))


def test_it_says_what_the_report_says(packed):
    out, _ = packed
    about, report = card.read(out), json.loads((out / "report.json").read_text())
    assert about is not None and about["about"] == dict.fromkeys(card.FIELDS)
    assert about["num_points"] == 3 and list(about["splits"]) == ["train", "test"]
    train, part = about["splits"]["train"], report["parts"]["train"]
    assert (train["listed"], train["accepted"], train["rejected"]) == (5, 4, 1)
    assert train["short_side"] == part["short_side"] and train["sources"] == ["landmarks.csv"]
    crop = part["labels"]["kinds"]["crop"]["points"]
    assert train["outside_crop"] == pytest.approx(crop / part["labels"]["points"]) and crop
    assert train["identity"] == seal.read(out).identity["train"]
    assert list(train["checks"]) == list(sections.remarks(part))
    assert any("outside the crop" in line for line in train["checks"]["counts"]) and not train["checks"]["lattice"]


def test_what_is_filled_in_breaks_no_seal_and_is_kept(packed, command):
    out, prepare = packed
    fill(out, licence="CC BY 4.0", citation="we")
    assert dataset.Packed(out, "train") and command("prepare", "--data", out)[0] == 0
    for path in out.iterdir():
        if path.name != card.NAME:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, said = prepare()
    about = card.read(out)
    assert code == 0 and about is not None and "fill in title, source, contact, consent" in said.out
    assert about["about"] == dict.fromkeys(card.FIELDS) | {"licence": "CC BY 4.0", "citation": "we"}


@pytest.mark.parametrize(
    ("text", "said"), [("no JSON", "card.json"), ('{"format_version": 1, "about": {"licence": 3}}', "licence")]
)
def test_what_is_no_card_is_said_before_packing_and_stays(packed, text, said):
    out, prepare = packed
    (out / card.NAME).write_text(text)
    assert len(dataset.Packed(out, "train")) == 4  # which no card can change
    (out / seal.INFO).unlink()
    code, streams = prepare()
    assert code != 0 and said in streams.err and (out / card.NAME).read_text() == text


def test_the_page_shows_it_and_a_set_without_one_has_no_section(packed, command):
    out, _ = packed
    fill(out, licence="<script>alert(1)</script>", source=None)
    assert command("prepare", "--data", out, "--look")[0] == 0
    for name in ("look.html", "look-test.html"):
        page = (out / name).read_text()
        assert "Data card" in page and "&lt;script&gt;alert(1)" in page and "<script>alert" not in page
        assert "points outside the crop" in page and "not filled in" in page and "left and right exchanged" in page
    (out / card.NAME).unlink()
    assert command("prepare", "--data", out, "--look")[0] == 0
    assert "Data card" not in (out / "look.html").read_text()
