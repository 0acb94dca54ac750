"""Label Studio: an export as the tool makes it, what is rejected, and the way back."""

import json

import numpy as np
import pytest

from pipelines.sources.formats import labelstudio
from tests.pipelines.sources.formats import tools
from tests.pipelines.sources.formats.test_formats import held, put, reasons, rejection, table_at

SIZE = {"original_width": 800, "original_height": 501, "image_rotation": 0, "to_name": "img"}


def point(name, x, y, key="p", **more):
    value = {"x": x, "y": y, "width": 0.6666666666666666, "keypointlabels": name if isinstance(name, list) else [name]}
    return {**SIZE, "id": key, "from_name": "kp", "type": "keypointlabels", "origin": "manual", "value": value, **more}


def rectangle(key, x=10, y=20, width=50, height=40, **more):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["Bird"]}
    return {**SIZE, "id": key, "from_name": "box", "type": "rectanglelabels", "value": value, **more}


def task(*results, image="/data/upload/3/0ab3c4d5-a.png", key="annotations", **more):
    annotation = {"id": 1001, "completed_by": 1, "result": list(results), "was_cancelled": False, "ground_truth": False}
    return {
        "id": 1,
        key: [{**annotation, **more}],
        "file_upload": "x",
        "drafts": [],
        "data": {"note": "x", "image": image},
    }


ALONE = task(
    point("Hello", 49.6, 52.340425531914896, "a"), point("World", 47.733333333333334, 100, "b"), rectangle("r")
)
PAIR = task(
    point("World", 1, 2, "a", parentID="r1"),
    point("Hello", 3, 4, "b"),
    rectangle("r1", 0, 0, 12.4, 10),
    rectangle("r/2", 25, 25, 50, 50),
    {"from_id": "b", "to_id": "r/2", "type": "relation", "direction": "right"},
    {
        **SIZE,
        "id": "m",
        "type": "polygonlabels",
        "from_name": "p",
        "value": {"points": [[1, 2]], "polygonlabels": ["x"]},
    },
    image="/data/local-files/?d=sub/b%20c.png",
)


def file_of(root, tasks, name="export.json"):
    put(root, "images/a.png", "images/sub/b c.png", "evil.png")
    (root / name).write_text(json.dumps(tasks))
    return root / name


def test_per_cent_become_pixels_and_points_hang_on_their_rectangles(tmp_path):
    table = table_at(file_of(tmp_path, [{**ALONE, "data": {"image": "a.png"}}, PAIR]), boxes="")
    assert list(table.points) == ["Hello", "World"] and table.root == tmp_path / "images"
    wanted = {
        "a.png": [[396.8, 52.340425531914896 * 5.01], [47.733333333333334 * 8, 501]],
        "sub/b c.png#r-2": [[24, 4 * 5.01], None],
        "sub/b c.png#r1": [None, [8, 2 * 5.01]],
    }
    found = held(table)
    assert list(found) == list(wanted)
    for name, points in wanted.items():
        assert [p is None for p in found[name]] == [p is None for p in points]
        assert np.array_equal([p for p in found[name] if p], np.float32([p for p in points if p]))
    assert table.boxes is not None
    assert table.boxes.tolist() == [[80, 100.2, 400, 200.4], [200, 125.25, 400, 250.5], [0, 0, 99.2, 50.1]]
    assert table.sizes is not None and table.sizes.tolist() == [[800, 501]] * 3
    assert len(table.notes) == 1 and "1 'polygonlabels'" in table.notes[0]


def test_uploaded_files_have_a_prefix_or_have_lost_it(tmp_path):
    assert table_at(file_of(tmp_path, [ALONE])).images == ["a.png"]
    put(tmp_path, "images/0ab3c4d5-a.png")
    assert table_at(tmp_path / "export.json").images == ["0ab3c4d5-a.png"]


@pytest.mark.parametrize(
    ("address", "image"),
    [
        ("a.png", "a.png"),
        ("s3://bucket/far/away/sub/b%20c.png", "sub/b c.png"),
        ("https://x.org/images/a.png?token=1", "images/a.png"),
        ("/data/local-files/?d=home%2Fme%2Fsub%2Fb%20c.png", "sub/b c.png"),
        ("C:\\me\\sub\\b c.png", "sub/b c.png"),
        ("gs://b/a.png", "a.png"),
    ],
)
def test_addresses_of_images(tmp_path, address, image):
    assert table_at(file_of(tmp_path, [task(point("x", 1, 2), image=address)])).images == [image]


def test_the_form_of_addresses_in_which_most_images_are_found_is_taken(tmp_path):
    put(tmp_path, "images/b.png", "images/c.png")
    tasks = [
        task(point("x", 1, 2), image=name) for name in ("/media/b.png", "a.png", "/media/c.png", "/media/gone.png")
    ]
    assert table_at(file_of(tmp_path, tasks)).images == ["a.png", "b.png", "c.png", "gone.png"]


def test_labels_in_a_result_of_their_own(tmp_path):
    bare = {**SIZE, "id": "a", "type": "keypoint", "value": {"x": 1, "y": 2, "width": 1}}
    named = {**bare, "type": "labels", "value": {**bare["value"], "labels": ["eye"]}}
    assert held(table_at(file_of(tmp_path, [task(bare, named)]))) == {"a.png": [[8, np.float32(2 * 5.01)]]}


def test_the_truth_is_read_of_several_annotations_and_none_that_was_skipped(tmp_path):
    made = {"result": [point("x", 1, 2)], "was_cancelled": False}
    several = [{**made, "was_cancelled": True}, made, {**made, "result": [point("x", 50, 2)], "ground_truth": True}]
    table = table_at(file_of(tmp_path, [{**task(), "annotations": several}, {**task(), "annotations": []}]))
    assert held(table)["a.png"][0][0] == 400
    assert (
        "1 'further annotation of a task', 1 'skipped annotation of a task', 1 'task without an annotation'"
        in table.notes[0]
    )


def test_an_annotation_that_was_abandoned_gives_way_to_the_one_with_more_points(tmp_path):
    begun, whole = {"result": [point("x", 1, 2)]}, {"result": [point("x", 50, 2, "a"), point("y", 20, 30, "b")]}
    table = table_at(file_of(tmp_path, [{**task(), "annotations": [begun, whole]}]))
    assert held(table)["a.png"][0][0] == 400 and table.num_points == 2


def test_predictions_are_read_only_where_nothing_is_annotated(tmp_path):
    guess = task(point("x", 1, 2), key="predictions")
    table = table_at(file_of(tmp_path, [guess]))
    assert table.names == ["a.png"] and any("predictions" in n for n in table.notes)
    table = table_at(file_of(tmp_path, [guess, task(point("x", 3, 4), image="sub/b c.png")]))
    assert table.names == ["sub/b c.png"]


GOOD = task(point("x", 1, 2), image="sub/b c.png")


@pytest.mark.parametrize(
    ("bad", "file", "kind"),
    [
        (task(point("x", "1", 2)), "a.png", "not a finite number"),
        (task(point("x", 1, True)), "a.png", "not a finite number"),
        (task(point("x", 1, 10**400)), "a.png", "not a finite number"),
        (task(point("x", 1, float("nan"))), "a.png", "not a finite number"),
        (task(point([], 1, 2)), "a.png", "no name"),
        (task(point(["x", "y"], 1, 2)), "a.png", "no name"),
        (task(point("", 1, 2)), "a.png", "no name"),
        (task(point("x", 1, 2, "a"), point("x", 1, 2, "b")), "a.png", "point twice"),
        (task(point("x", 1, 2, original_width=None)), "a.png", "no size"),
        (task(point("x", 1, 2, original_height=-5)), "a.png", "no size"),
        (task(point("x", 1, 2, image_rotation=90)), "a.png", "turned"),
        (task(point("x", 1, 2), rectangle("r", x="1")), "a.png", "not a box"),
        (task(point("x", 1, 2), rectangle("r", x=None)), "a.png", "not a box"),
        (task(point("x", 1, 2), image="../evil.png"), "../evil.png", "bad file name"),
        (task(point("x", 1, 2), image="sub/b c.png"), "sub/b c.png", "name twice"),
        (task(point("x", 1, 2), image=5), "export.json", "no image"),
        ([1], "export.json", "no image"),
        ("task", "export.json", "no image"),
        ({"data": {"image": ""}, "annotations": []}, "export.json", "no image"),
    ],
)
def test_a_bad_task_is_rejected_and_nothing_else(tmp_path, bad, file, kind):
    text = json.dumps([GOOD, bad]).replace("/data/upload/3/0ab3c4d5-", "")
    put(tmp_path, "images/a.png", "images/sub/b c.png", "evil.png")
    (tmp_path / "export.json").write_text(text)
    table = table_at(tmp_path / "export.json")
    assert reasons(table) == [(file, None, kind)] and table.names == ["sub/b c.png"]


def test_a_name_that_few_objects_have_is_no_point_of_the_set(tmp_path):
    put(tmp_path, *(f"images/{i}.png" for i in range(40)))
    tasks = [
        task(point("eye" if i else "eey", 1, 2, "a"), point("nose", 1, 2, "b"), image=f"{i}.png") for i in range(40)
    ]
    table = table_at(file_of(tmp_path, tasks))
    assert list(table.points) == ["eye", "nose"] and reasons(table) == [("0.png", None, "unknown point")]
    assert "'eey'" in table.rejected[0].reason


@pytest.mark.parametrize(
    "text",
    ['[{"annotations": [', '[{"annotations": 1}]', '[{"predictions": ' + "[" * 99999, "[" + '{"annotations":{}},' * 9],
)
def test_what_is_no_such_file_is_reported_in_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    message = rejection(tmp_path / "x.json")
    assert message.startswith(f"{tmp_path / 'x.json'}:") and len(message) < 500


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("names", [[], ["tail", 'a"b', "é"]])
def test_what_is_written_is_read_again(tmp_path, boxed, names):
    table = tools.again("labelstudio", tmp_path / "new.json", boxed, names)
    assert (table.boxes is None) is not boxed


def test_names_with_signs_in_them_are_addresses_again(tmp_path):
    put(tmp_path, "50% é&x?.png")
    row = tools.rows(True)[0]._replace(name="50% é&x?.png")
    labelstudio.write(tmp_path / "x.json", [row], 3)
    assert table_at(tmp_path / "x.json").names == ["50% é&x?.png"]


CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="object"/>
</RectangleLabels><KeyPointLabels name="label" toName="image"><Label value="point_0" model_index="0"/>
<Label value="point_1" model_index="1"/><Label value="point_2" model_index="2"/></KeyPointLabels></View>"""


def test_the_tools_own_converter_reads_what_is_written(tmp_path):
    converter = pytest.importorskip("label_studio_sdk.converter.converter")
    labelstudio.write(tmp_path / "x.json", tools.rows(True), 3)
    tasks = json.loads((tmp_path / "x.json").read_text().replace('"predictions"', '"annotations"'))
    tasks = [{**t, "id": n, "annotations": [{**t["annotations"][0], "id": n}]} for n, t in enumerate(tasks)]
    (tmp_path / "x.json").write_text(json.dumps(tasks))
    tool = converter.Converter(CONFIG, str(tmp_path), download_resources=False)
    tool.convert_to_yolo(str(tmp_path / "x.json"), str(tmp_path / "yolo"), is_dir=False)
    lines = [line.split() for f in sorted((tmp_path / "yolo/labels").iterdir()) for line in f.read_text().splitlines()]
    assert len(lines) == 4
    for line, row in zip(lines, tools.rows(True), strict=True):
        found = np.array([float(v) for v in line[5:]]).reshape(3, -1)[:, :2]
        assert np.allclose((found * (50, 40))[row.mask], row.points[row.mask], atol=1e-4), row.name
        x, y, w, h = (float(v) for v in line[1:5])
        assert row.box is not None and np.allclose(row.box, [50 * (x - w / 2), 40 * (y - h / 2), 50 * w, 40 * h])


def test_drafts_predictions_and_annotations_without_a_region_are_counted(tmp_path):
    empty = {"result": [], "was_cancelled": False}
    draft, guess = {"id": 1, "result": [point("x", 1, 2)]}, {"id": 2, "result": [point("x", 3, 4)]}
    tasks = [
        {**ALONE, "drafts": [draft, draft], "predictions": [guess]},
        {**PAIR, "annotations": [empty], "drafts": [draft]},
        {**PAIR, "annotations": [{**empty, "was_cancelled": True}]},
    ]
    table = table_at(file_of(tmp_path, tasks))
    assert table.names == ["a.png"]
    for said in (
        "3 'draft of a task'",
        "1 'prediction of a task'",
        "1 'annotation without a region'",
        "1 'skipped annotation of a task'",
        "1 'task without an annotation'",
    ):
        assert said in table.notes[-1]


def test_predictions_that_are_read_are_not_counted_as_left_out(tmp_path):
    notes = table_at(file_of(tmp_path, [task(point("x", 1, 2), key="predictions")])).notes
    assert not any("of a task" in note for note in notes)
