"""The commands as a person uses them: a run from its first step to the submission, and what they refuse."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas
import pytest

from pipelines import synthetic
from pipelines.images import decode
from tests.commands import SMALL, begin, begun, done, end, photographs, training
from tests.pipelines.sources.formats.test_contest import contest_folder, landmarks, small_folder

SCRIPTS = ("train", "evaluate", "predict", "replay", "find_lr", "compare")


def test_training_says_how_it_ended_what_comes_next_and_which_images_were_of_no_use(trained):
    data, run, said = trained
    assert "a new run of 6 steps" in said and "is finished at step 6" in said
    assert f"\npython scripts/evaluate.py --run {run} --data {data} --out out.json\n" in said
    told = re.search("2 records cannot be used and are left out: (.*)\n", said)
    report = Path(told[1]).read_text()
    assert "train03.jpg (line 5): truncated JPEG: its end is cut off" in report
    assert "train05.jpg (line 7): the image is missing" in report
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_says_so_and_changes_nothing(trained, command):
    data, run, _ = trained
    before = {p: p.read_bytes() for p in run.glob("*.*") if p.is_file()}
    code, said = command("train", *training(data, run.parent))
    assert code == 0 and "is finished at step 6; next:" in said.out
    assert {p: p.read_bytes() for p in run.glob("*.*") if p.is_file()} == before


@pytest.mark.slow
@pytest.mark.bits
def test_verify_takes_steps_again_and_tells_a_log_that_was_changed(trained, tmp_path):
    data, run, _ = trained
    said = done("replay", "--run", run, "--step", "2:5", "--verify", "--out", tmp_path / "sheet.png")
    assert said.count("equal, bit for bit") == 4 and "4 steps verified, 0 different" in said
    assert "step 2: checksum" in said and (tmp_path / "sheet.png").is_file()
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    log = bytearray((copy / "examples.bin").read_bytes())
    log[3 * len(log) // 6] ^= 1  # the loss of step 3
    (copy / "examples.bin").write_bytes(log)
    code, out, err = end(begin("replay", "--run", copy, "--step", 3, "--verify"))
    assert code == 1 and "DIFFERENT in loss (logged:" in out and not err.strip(), err


@pytest.mark.bits
def test_replay_makes_the_very_batch_again_in_another_process(trained, tmp_path):
    _, run, _ = trained
    said = done("replay", "--run", run, "--step", 3, "--out", tmp_path / "sheet.png")
    assert ": equal\n" in said
    sheet = decode.decode((tmp_path / "sheet.png").read_bytes())
    assert sheet.shape == (64 + 16 + 8, 8 * 68 + 4, 3)


@pytest.mark.slow
def test_the_report_has_its_numbers_and_a_row_for_each_image(trained, tmp_path, command):
    data, run, _ = trained
    assert command("evaluate", "--run", run, "--out", tmp_path / "new" / "out.json")[0] == 0
    report = json.loads((tmp_path / "new" / "out.json").read_text())
    assert {"nme", "nme_box", "auc", "failure_rate", "contest_score", "intervals"} <= set(report)
    assert report["count"] == 6 and report["step"] == 6 and 0 <= report["auc"] <= 1 and report["nme"] > 0
    header, *rows = [line.split(",") for line in (tmp_path / "new" / "out.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == [f"test{i:02d}.jpg" for i in (7, 6, 4, 2, 1, 0)]
    for name in ("nme", "contest_score"):
        column = [float(row[header.index(name)]) for row in rows]
        assert np.isclose(np.mean(column), report[name], rtol=1e-4)


def test_a_submission_has_a_row_for_each_image_that_can_be_decoded(trained, tmp_path, command):
    _, run, _ = trained
    options = ("--run", run, "--tta", "none", "--overlays", tmp_path / "seen")
    code, said = command("predict", *options, "--out", tmp_path / "s.csv")
    assert code == 0 and "6 images" in said.out and "2 images could not be used:" in said.out
    header, *rows = [line.split(",") for line in (tmp_path / "s.csv").read_text().splitlines()]
    assert header == ["file_name", "Point_M0_X", "Point_M0_Y", "Point_M1_X", "Point_M1_Y"]
    assert [row[0] for row in rows] == [f"test{i:02d}.jpg" for i in (7, 6, 4, 2, 1, 0)]
    assert all(value == str(int(value)) for row in rows for value in row[1:])
    assert len(list((tmp_path / "seen").iterdir())) == 6


def test_every_point_is_comma_separated_unless_the_layout_of_the_contest_is_asked_for(trained, tmp_path, command):
    data, run, _ = trained
    out, images = tmp_path / "p.csv", ("--images", data / "test/images")
    for flags, separator in {("--all-points",): "\t", images: ","}.items():
        code, _ = command("predict", "--run", run, *flags, "--tta", "none", "--out", out)
        names, points = landmarks(out)
        assert code == 0 and sorted(names) == [f"test{i:02d}.jpg" for i in (0, 1, 2, 4, 6, 7)]
        assert points.shape == (6, 5, 2) and out.read_text().startswith(f"file_name{separator}"), flags
    assert list(pandas.read_csv(out))[:3] == ["file_name", "x_0", "y_0"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_has_an_example_to_paste(command, script):
    code, said = command(script, "--help")
    assert code == 0 and f"    python scripts/{script}.py --" in said.out and "(default: None)" not in said.out


@pytest.mark.parametrize(
    ("script", "flags", "told"),
    [
        ("train", ["--data", "/no/such/folder"], "/no/such/folder"),
        ("train", ["--data", "https://a/b"], "addresses are not read"),
        ("train", ["--batch", "0"], "--batch must lie in 1..65536, got 0"),
        ("train", ["--lr", "nan"], "--lr must lie in"),
        ("train", ["--model", "vgg"], "--model 'vgg' is not known: choose one of"),
        ("train", ["--size", "large"], "--size"),
        ("train", ["--no-such-flag"], "--no-such-flag"),
        ("evaluate", ["--run", "/no/run"], "config.json: missing"),
        ("evaluate", ["--run", "/no/run", "--tta", "all"], "standard"),
        ("predict", ["--run", "/no/run"], "config.json: missing"),
        ("predict", ["--run", "/no/run", "--tta", "all"], "standard"),
        ("predict", ["--run", "/no/run", "--images", "a", "--pictures", "b"], "a folder of images already"),
        ("replay", ["--run", "/no/run", "--step", "0"], "config.json: missing"),
        ("replay", ["--run", "/no/run", "--step", "-1"], "--step must be 0 or more"),
        ("replay", ["--run", "/no/run", "--step", "3:2", "--verify"], "--step must be 0 or more, or FIRST:LAST"),
    ],
)
def test_a_wrong_flag_is_rejected_in_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, rejected, script, flags, told
):
    monkeypatch.chdir(tmp_path)
    out = ["--out", "out.json"] if script in ("evaluate", "predict") else []
    assert told in rejected(script, *flags, *out)
    assert not list(tmp_path.iterdir())


def test_a_bad_table_is_rejected_with_its_line_and_no_run_begins(tmp_path, monkeypatch, rejected):
    monkeypatch.chdir(tmp_path)
    table = small_folder(tmp_path / "data") / "train/landmarks.csv"
    table.write_text("name\tx\nb.png\t1\n")
    assert f"{table}:1: the header has 2" in rejected("train", "--data", tmp_path / "data", *SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_process_that_is_rejected_prints_one_line_and_exits_2():
    code, out, err = end(begin("predict", "--run", "/no/such/run", "--out", "/no/such/out.csv"))
    assert (code, out) == (2, "") and err.startswith("error: /no/such/run is not a run folder") and err.count("\n") == 1


@pytest.mark.parametrize("script", ["evaluate", "predict"])
def test_where_nothing_can_be_decoded_the_error_says_so_and_nothing_is_half_written(trained, tmp_path, command, script):
    data, run, _ = trained
    asked = {"x.jpg": [0]}
    broken = contest_folder(tmp_path / "data", photographs("train", 6), {"x.jpg": (b"", np.zeros((5, 2)))}, asked)
    code, said = command(script, "--run", run, "--data", broken, "--out", tmp_path / "out" / "out.json")
    assert code == 2 and said.err.splitlines()[-1].startswith("error: ") and "decode" in said.err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("limit", ["0", "-1", "nan"])
def test_a_limit_that_is_none_is_rejected(trained, tmp_path, rejected, limit):
    assert "--limit" in rejected("evaluate", "--run", trained[1], "--limit", limit, "--out", tmp_path / "o.json")


def test_the_report_and_its_table_may_not_be_one_file(trained, tmp_path, rejected):
    assert "--out" in rejected("evaluate", "--run", trained[1], "--out", tmp_path / "out.csv")


def test_overlays_never_replace_the_images(trained, tmp_path, rejected):
    picture = decode.encode_png(synthetic.draw(0, num_points=5).image)
    (tmp_path / "a.png").write_bytes(picture)
    flags = ("--images", tmp_path, "--overlays", tmp_path, "--out", tmp_path / "p.csv", "--tta", "none")
    assert "--overlays" in rejected("predict", "--run", trained[1], *flags)
    assert (tmp_path / "a.png").read_bytes() == picture


@pytest.mark.parametrize("flag", ["--out", "--spread", "--photographs", "--overlays"])
@pytest.mark.parametrize("name", ["test/images/test00.jpg", "test/test_points.csv", "test/images"])
def test_nothing_that_is_written_takes_the_place_of_what_is_read(trained, tmp_path, rejected, flag, name):
    data, run, _ = trained
    shutil.copytree(data, copy := tmp_path / "data")
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    there, folder = copy / name, flag == "--overlays"
    fits = there.is_dir() == folder
    told = rejected("predict", "--run", run, "--data", copy, "--out", tmp_path / "p.csv", flag, there)
    odd = "that is part of the data, which would be lost" if fits else f"expected {'a folder' if folder else 'a file'}"
    assert f"{flag} {there}" in told and odd in told
    assert {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()} == before


def test_images_of_folders_below_are_predicted_under_their_paths_and_what_is_passed_over_is_reported(
    trained, tmp_path, command, caplog
):
    data, run, _ = trained
    image = (data / "test/images/test00.jpg").read_bytes()
    for name in ("a/x.jpg", "b/x.jpg", "b/phone.HEIC"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(image)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    flags = ("--run", run, "--out", tmp_path / "p.csv", "--overlays", tmp_path / "in" / "drawn", "--tta", "none")
    for _ in range(2):  # the second time the first one's overlays lie there
        code, said = command("predict", *flags, "--images", tmp_path / "in")
        assert code == 0 and "3 images, step" in said.out and "notes.txt" in caplog.text, said.err
        rows = [line.replace(",", "\t").split("\t") for line in (tmp_path / "p.csv").read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == ["a/x.jpg", "b/phone.HEIC", "b/x.jpg"]
        assert rows[0][1:] == rows[1][1:] == rows[2][1:]
        assert (tmp_path / "in" / "drawn" / "b" / "x.jpg").is_file()
    code, said = command("predict", *flags, "--images", tmp_path / "in" / "b" / "phone.HEIC")
    assert code == 0 and (tmp_path / "p.csv").read_text().splitlines()[1].startswith("phone.HEIC"), said.err


def test_images_without_a_box_are_reported(trained, tmp_path, command, rejected, caplog):
    data, run, _ = trained
    (tmp_path / "b.csv").write_text("file_name,x,y,width,height\ntest00.jpg,10,10,60,60\n")
    flags = ("--run", run, "--images", data / "test/images", "--tta", "none", "--out", tmp_path / "p.csv", "--boxes")
    code, said = command("predict", *flags, tmp_path / "b.csv")
    assert code == 0 and "6 of 7 images" in caplog.text and "1 image, step" in said.out
    (tmp_path / "b.csv").write_text("file_name,x,y,width,height\nother.jpg,10,10,60,60\n")
    assert "it names none of the 7 images of" in rejected("predict", *flags, tmp_path / "b.csv")


@pytest.mark.slow
def test_where_the_data_of_a_run_lies_now_is_said_beside_images(tmp_path, command):
    data = contest_folder(tmp_path / "data", photographs("train", 96))
    run = begun(tmp_path / "run", data=str(data), batch=8, val_fraction=0.5)
    data.rename(tmp_path / "moved")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(decode.encode_png(synthetic.draw(0, num_points=5).image))
    written = ("--out", tmp_path / "p.csv", "--spread", tmp_path / "e.csv")
    flags = ("--run", run, "--images", tmp_path / "pictures", "--tta", "flip", *written)
    code, said = command("predict", *flags)
    assert code == 2 and "--data" in said.err and not (tmp_path / "p.csv").exists()
    code, said = command("predict", *flags, "--data", tmp_path / "moved")
    assert code == 0 and (tmp_path / "e.csv").read_text().startswith("file_name,error_0"), said.err


@pytest.mark.slow
def test_ctrl_c_saves_exits_with_130_and_the_same_command_resumes(tmp_path):
    stopped = []
    for _ in range(2):
        process = begin("train", "--data", "drawn:24:5", "--runs", tmp_path, "--steps", 5000, *SMALL)
        line = next(line for line in process.stderr if line.startswith("step "))
        process.send_signal(signal.SIGINT)
        code, out, err = end(process)
        assert code == 130 and "Traceback" not in err, (line, err)
        stopped.append((out, int(out.split("saved at step ")[1].split(";")[0])))
    assert "a new run of 5000 steps" in stopped[0][0] and f"going on from step {stopped[0][1]} of" in stopped[1][0]
    assert stopped[1][1] > stopped[0][1]
    logged = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in logged if line["split"] == "train"]
    assert steps == list(range(1, stopped[1][1] + 1))
