"""Opening data, and its identity: of the content alone."""

import os

import numpy as np
import pytest

from pipelines import example
from pipelines import open as opening
from pipelines.images.decode import DecodeError
from tests.pipelines.sources.formats.test_contest import picture, small_folder


def known(root) -> str:
    return example.identity(opening.open_source(str(root)))


def test_identity_does_not_depend_on_path_times_or_the_order_of_the_table(tmp_path):
    first, second = small_folder(tmp_path / "a"), small_folder(tmp_path / "deep" / "er")
    table = second / "train/landmarks.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\r\n".join([header, *rows[::-1]]))
    for path in (second / "train/images").iterdir():
        os.utime(path, (0, 0))
    assert known(first) == known(second)


def test_identity_changes_with_a_label_a_byte_or_a_name(tmp_path):
    root = small_folder(tmp_path)
    table, image = root / "train/landmarks.csv", root / "train/images/b.png"
    text, data = table.read_text(), image.read_bytes()
    found = [known(root)]
    table.write_text(text.replace("1.50", "1.51"))
    found.append(known(root))
    table.write_text(text.replace("b.png", "bb.png"))
    image.rename(image.with_name("bb.png"))
    found.append(known(root))
    table.write_text(text)
    for changed in (data[:-1] + b"\0", data + b"\0"):
        image.write_bytes(changed)
        found.append(known(root))
    image.unlink()
    found.append(known(root))
    assert len(set(found)) == 6
    image.write_bytes(data)
    assert known(root) == found[0]


def test_two_images_that_swap_their_labels_are_another_set(tmp_path):
    root = small_folder(tmp_path)
    before = known(root)
    table = root / "train/landmarks.csv"
    table.write_text(table.read_text().replace("a.png", "§").replace("b.png", "a.png").replace("§", "b.png"))
    assert known(root) != before


def test_a_drawn_set_is_known_by_its_specification():
    found = [known("drawn:20:5"), known("drawn:20:68"), known("drawn:21:5"), known("drawn:20:5")]
    assert found[0] == found[3] and len(set(found)) == 3
    assert example.identity(opening.open_source("drawn:20:5", "test")) not in found


def test_a_drawn_set_has_a_test_part_of_its_own_that_asks_for_points():
    train, test = opening.open_source("drawn:20:68"), opening.open_source("drawn:20:68", "test")
    assert (len(train), len(test), train.num_points, train.names[3]) == (20, 16, 68, "train_000003.png")
    assert train.asked is None
    for asked in test.asked:
        assert len(set(asked.tolist())) == 30 and 0 <= asked.min() <= asked.max() < 68
    assert not np.array_equal(train[0].points, test[0].points)


def one_line_rejection(function, *arguments) -> str:
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("https://example.org/faces", "addresses are not read; copy the data here"),
        ("gs://bucket/faces", "addresses are not read"),
        ("/no/such/folder", "does not exist; give a contest folder, "),
        *((f"drawn:{s}", "drawn:COUNT") for s in ("", "x", "1", "0", "-5", "5:", "5:x", "5:5:5", "1e3")),
        ("drawn:10:98", "not 98"),
    ],
)
def test_a_path_that_is_no_data_is_rejected_in_one_line(path, told):
    message = one_line_rejection(opening.open_source, path)
    assert message.startswith(f"`data` {path}: ") and told in message


@pytest.mark.parametrize("path", ["drawn:²", "drawn:٣٣", "drawn:5:²"])
def test_digits_of_other_scripts_are_no_count(path):
    assert one_line_rejection(opening.open_source, path).startswith(f"`data` {path}: ")


def test_a_folder_that_is_no_contest_names_the_file_that_is_missing(tmp_path):
    assert "train/landmarks.csv" in one_line_rejection(opening.open_source, str(tmp_path))
    (small_folder(tmp_path) / "test/test_points.csv").unlink()
    assert "test/test_points.csv: the file is missing" in one_line_rejection(opening.open_source, str(tmp_path), "test")


def test_plain_images_come_by_name_and_without_labels(tmp_path):
    for name in ("b.JPG", "a.png", "c.jpeg"):
        (tmp_path / name).write_bytes(picture(1))
    for name in ("notes.txt", "list.csv"):
        (tmp_path / name).write_text("no image")
    source = opening.open_images(str(tmp_path), 5)
    assert source.names == ["a.png", "b.JPG", "c.jpeg"] and source.num_points == 5
    assert source[1].image == picture(1) and not source[1].mask.any() and source[1].points.shape == (5, 2)


def test_a_folder_without_images_or_no_folder_is_rejected(tmp_path):
    assert "no image there" in one_line_rejection(opening.open_images, str(tmp_path), 5)
    assert "does not exist" in one_line_rejection(opening.open_images, str(tmp_path / "x"), 5)


def test_a_folder_named_like_an_image_is_none(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").mkdir()
    assert opening.open_images(str(tmp_path), 5).names == ["a.png"]


def test_a_missing_image_is_reported_when_it_is_wanted(tmp_path):
    root = small_folder(tmp_path)
    (root / "train/images/b.png").unlink()
    with pytest.raises(DecodeError, match="the image is missing"):
        opening.open_source(str(root))[1]


def test_a_subset_is_in_the_order_given(tmp_path):
    source = opening.open_source(str(small_folder(tmp_path)))
    part = example.Subset(source, [2, 0])
    assert part.names == ["c.png", "a.png"] and len(part) == 2 and part.num_points == 2
    assert np.array_equal(part[0].points, source[2].points)
