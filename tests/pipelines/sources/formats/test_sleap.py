"""SLEAP: a project as its documentation lays it out, with the package h5py, and what is said where that is missing."""

import json

import numpy as np
import pytest

from pipelines.sources.formats import sleap
from tests.pipelines.sources.formats.test_formats import held, put, reasons, rejection, table_at

FRAMES = [
    ("frame_id", "u8"),
    ("video", "u4"),
    ("frame_idx", "u8"),
    ("instance_id_start", "u8"),
    ("instance_id_end", "u8"),
]
INSTANCES = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4"),
    ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8"), ("tracking_score", "f4"),
]  # fmt: skip
POINTS = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
NAN = float("nan")
FILES = {"type": "ImageVideo", "filename": "/home/me/v/a.png", "filenames": ["/home/me/v/a.png", "/home/me/v/b.png"]}
CLIP = {"type": "MediaVideo", "filename": "clips/day.mp4"}
EMBEDDED = {"type": "HDF5Video", "filename": ".", "dataset": "video2/video"}
NODES = [{"name": "tail", "weight": 1.0}, {"name": "head", "weight": 1.0}, {"name": "wing", "weight": 1.0}]
META = {"version": "2.0.0", "nodes": NODES, "skeletons": [{"nodes": [{"id": 1}, {"id": 0}], "links": [], "graph": {}}]}


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py")


def project(root, h5py, version=1.2, videos=(FILES, CLIP, EMBEDDED), name="p.slp", meta=META, drop="", **changed):
    put(root, "v/a.png", "v/b.png")
    tables = {
        "frames": np.array([(0, 0, 1, 0, 3), (1, 0, 0, 3, 4), (2, 1, 7, 4, 5), (3, 2, 0, 5, 6)], FRAMES),
        "instances": np.array([
            (0, 0, 0, 0, 1, -1, 0, 0, 2, 0), (1, 0, 0, 0, -1, -1, 0, 2, 4, 0), (2, 1, 0, 0, -1, -1, 0, 0, 2, 0),
            (3, 0, 1, 0, -1, -1, 0, 4, 6, 0), (4, 0, 2, 0, -1, -1, 0, 0, 2, 0), (5, 0, 3, 0, -1, -1, 0, 0, 2, 0),
        ], INSTANCES),
        "points": np.array([
            (12.25, 7.1, True, True), (NAN, NAN, False, False), (1, 2, False, True), (3, 4, True, True),
            (-5.5, 6, True, True), (7, 8, True, True),
        ], POINTS),
        "videos_json": [np.bytes_(json.dumps({"filename": v["filename"], "backend": v})) for v in videos],
        "tracks_json": [np.bytes_('[0,"x"]'), np.bytes_('[0,"le/ft"]')],
        **changed,
    }  # fmt: skip
    with h5py.File(root / name, "w") as file:
        for key, rows in tables.items():
            if key != drop:
                file.create_dataset(key, data=rows)
        group = file.require_group("metadata")
        group.attrs["format_id"] = version
        group.attrs["json"] = np.bytes_(json.dumps(meta))
    return root / name


def test_instances_that_a_person_placed_on_image_files(tmp_path, h5py):
    table = table_at(project(tmp_path, h5py))
    assert list(table.points) == ["head", "tail"] and table.images == ["v/a.png", "v/b.png", "v/b.png"]
    assert held(table) == {
        "v/a.png": [[-5.5, 6], [7, 8]],
        "v/b.png#1": [[1, 2], [3, 4]],
        "v/b.png#le-ft": [[12.25, np.float32(7.1)], None],
    }
    assert reasons(table) == [("p.slp", None, "frame of a video"), ("p.slp", None, "embedded image")]
    assert "7 of 'clips/day.mp4'" in table.rejected[0].reason and any(
        "1 'predicted instance'" in n for n in table.notes
    )


def test_before_version_1_1_pixels_count_from_their_corner(tmp_path, h5py):
    table = table_at(project(tmp_path, h5py, version=1.0))
    assert held(table)["v/a.png"] == [[-6, 5.5], [6.5, 7.5]]


def test_what_cannot_be_used_is_named(tmp_path, h5py):
    assert "frame of a video" in rejection(project(tmp_path, h5py, videos=(CLIP, CLIP, CLIP)))
    assert "embedded image" in rejection(project(tmp_path, h5py, videos=(EMBEDDED,) * 3))
    assert "`pictures`" in rejection(
        project(tmp_path / "far", h5py, videos=({**FILES, "filenames": ["x", "y"]}, CLIP, CLIP))
    )
    few = project(tmp_path, h5py, points=np.zeros(2, POINTS))
    assert [kind for *_, kind in reasons(table_at(few))][:2] == ["wrong number of points"] * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"frames": np.zeros(3)},
        {"points": np.zeros(3, FRAMES)},
        {"drop": "instances"},
        {"videos_json": [b"{"]},
        {"meta": {"nodes": [], "skeletons": [{"nodes": [{"id": 4}]}]}},
        {"meta": []},
        {"meta": {"nodes": NODES, "skeletons": [{"nodes": [{"id": -1}]}]}},
        {"videos_json": [b"5", b"{}", b'{"backend": 7}']},
        {"version": "new"},
    ],
)
def test_what_is_no_such_project_is_reported_in_one_line(tmp_path, h5py, changed):
    message = rejection(project(tmp_path, h5py, **changed))
    assert message.startswith(f"{tmp_path / 'p.slp'}:") and message.isprintable() and len(message) < 500


def test_damaged_projects_are_read_or_reported_in_one_line(tmp_path, h5py):
    sound = project(tmp_path, h5py).read_bytes()
    for cut in (0, 7, 100, len(sound) // 2, len(sound) - 9):
        (tmp_path / "p.slp").write_bytes(sound[:cut])
        assert "not a SLEAP project" in rejection(tmp_path / "p.slp")
    random = np.random.RandomState(0)
    for _ in range(60):
        data = bytearray(sound)
        data[random.randint(len(data))] ^= 1 << random.randint(8)
        (tmp_path / "p.slp").write_bytes(data)
        try:
            table_at(tmp_path / "p.slp")
        except ValueError as error:
            assert str(error).isprintable()


def test_without_the_package_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "p.slp").write_bytes(b"\x89HDF")
    monkeypatch.setattr(sleap, "available", lambda: False)
    assert "pip install h5py" in rejection(tmp_path / "p.slp")


def test_a_project_that_the_tool_writes(tmp_path, h5py):
    sio = pytest.importorskip("sleap_io")
    put(tmp_path, "v/a.png", "v/b.png")
    video = sio.Video.from_filename([str(tmp_path / "v" / n) for n in ("a.png", "b.png")])
    skeleton = sio.Skeleton(nodes=["head", "tail", "wing"], edges=[("head", "tail")])
    points = [[[1.25, 2], [NAN, NAN], [3, 4]], [[5, 6], [7, 8], [9, 10]]]
    placed = [sio.Instance.from_numpy(np.array(p), skeleton=skeleton) for p in points]
    frames = [sio.LabeledFrame(video=video, frame_idx=i, instances=[one]) for i, one in enumerate(placed)]
    sio.save_slp(sio.Labels(frames), str(tmp_path / "p.slp"))
    table = table_at(tmp_path / "p.slp")
    assert list(table.points) == ["head", "tail", "wing"]
    assert held(table) == {"v/a.png": [[1.25, 2], None, [3, 4]], "v/b.png": [[5, 6], [7, 8], [9, 10]]}
