"""Images that end in one colour are told of; bars, studio walls and dark scenes are not."""

import json

import numpy as np
import pytest

from pipelines.images import cut_off, decode
from tests.pipelines.label_checks.test_conflicts import jpeg, texture
from tests.pipelines.sources.formats.test_contest import contest_folder


def grey(image: np.ndarray, start: int, stop: int, level: int = 128) -> np.ndarray:
    image = image.copy()
    image[start:stop] = level
    return image


@pytest.mark.parametrize(
    ("start", "stop", "flat"),
    [(45, 60, True), (30, 60, True), (1, 60, True), (0, 60, True), (46, 60, False), (30, 59, False), (0, 30, False)],
)
def test_a_quarter_of_the_rows_or_more_up_to_the_last(random, start, stop, flat):
    image = random.randint(0, 256, (60, 80, 3)).astype(np.uint8)
    assert cut_off.ends_flat(grey(image, start, stop)) == flat


def test_bars_above_and_below_are_none(random):
    image = random.randint(0, 256, (60, 80, 3)).astype(np.uint8)
    assert not cut_off.ends_flat(grey(grey(image, 0, 15, 0), 45, 60, 0))
    assert cut_off.ends_flat(grey(grey(image, 0, 3, 0), 45, 60, 0))


def test_after_saving_as_jpeg_and_not_in_real_images(random, faces68):
    image = decode.decode(
        (faces68 / "train/images" / sorted(p.name for p in (faces68 / "train/images").iterdir())[0]).read_bytes()
    )
    cut = grey(image, 2 * len(image) // 3, len(image))
    assert cut_off.ends_flat(decode.decode(decode.encode_jpeg(cut, 90)))
    paths = sorted((faces68 / "train" / "images").iterdir())[::30]
    assert not any(cut_off.ends_flat(decode.decode(path.read_bytes())) for path in paths)


@pytest.mark.parametrize("flags", [(), ("--no-cache",)])
def test_prepare_and_train_tell(command, tmp_path, flags):
    face = np.array([[40.0, 40], [80, 40], [60, 60], [45, 80], [75, 80]])
    rows = {f"{i}.jpg": (jpeg(texture(i), 92), face + i) for i in range(8)}
    rows["5.jpg"] = (jpeg(grey(texture(5), 70, len(texture(5))), 92), face + 5)
    data, out = contest_folder(tmp_path / "data", rows), tmp_path / "out"
    code, said = command("train", "--data", data, "--dry-run", "--runs", tmp_path, "--model", "resnet18", *flags)
    assert code == 0 and "1 image ends in one colour" in said.out and "5.jpg" in said.out
    code, said = command("prepare", "--data", data, "--out", out)
    assert code == 0 and "1 image ends in one colour" in said.out
    assert json.loads((out / "report.json").read_text())["parts"]["train"]["flat_files"] == ["5.jpg"]
