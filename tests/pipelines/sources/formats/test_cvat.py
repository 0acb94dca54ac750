"""CVAT for images: a file as the tool exports it, what is rejected, and the way back."""

import pytest

from pipelines import open as opening
from pipelines.sources.formats import cvat
from tests.pipelines.sources.formats import tools
from tests.pipelines.sources.formats.test_formats import held, put, reasons, rejection, table_at

LABELS = """
    <label><name>bird</name><type>skeleton</type><attributes></attributes><svg>&lt;line x1="1"/&gt;</svg></label>
    <label><name>tail</name><type>points</type><attributes><attribute><name>blur</name></attribute></attributes>
      <parent>bird</parent></label>
    <label><name>beak</name><type>points</type><attributes></attributes><parent>bird</parent></label>
    <label><name>eye</name><type>points</type><attributes></attributes><parent>bird</parent></label>
    <label><name>egg</name><type>skeleton</type><attributes></attributes></label>
    <label><name>tip</name><type>points</type><attributes></attributes><parent>egg</parent></label>
    <label><name>place</name><type>rectangle</type><attributes></attributes></label>"""
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id><name>birds</name><size>3</size><mode>annotation</mode>
      <labels>{}
      </labels>
    </task>
    <dumped>2026-01-02 11:38:28.799808+03:00</dumped>
  </meta>
"""
BIRDS = """
  <image id="0" name="a.png" width="50" height="40">
    <skeleton label="bird" source="manual" z_order="0">
      <points label="beak" source="manual" outside="0" occluded="1" points="12.25,7.10"><attribute name="blur">no</attribute>
      </points>
      <points label="tail" source="manual" outside="1" occluded="0" points="3.00,4.00"></points>
      <points label="eye" source="manual" outside="0" occluded="0" points="-1.50,39.99"></points>
    </skeleton>
    <box label="place" source="manual" occluded="0" xtl="7.33" ytl="0.92" xbr="49.52" ybr="28.94" z_order="4"></box>
    <polygon label="place" points="1,2;3,4;5,6" occluded="0" z_order="1"></polygon>
    <tag label="good" source="manual"></tag>
  </image>
  <image id="1" name="sub/b.png" width="50" height="40">
    <skeleton label="bird" source="manual" group_id="3">
      <points label="eye" outside="0" occluded="0" points="1,2"></points>
      <points label="beak" outside="0" occluded="0" points="3,4"></points>
      <points label="tail" outside="0" occluded="0" points="5,6"></points>
    </skeleton>
    <skeleton label="bird" source="manual" group_id="8">
      <points label="tail" outside="0" occluded="0" points="7,8"></points>
    </skeleton>
    <box label="place" xtl="1" ytl="1" xbr="4" ybr="5" group_id="8"></box>
    <box label="place" xtl="0" ytl="0" xbr="9" ybr="9" group_id="3"></box>
    <box label="place" xtl="2" ytl="2" xbr="9" ybr="9"></box>
    <box label="place" xtl="2" ytl="2" xbr="9" ybr="9" rotation="30.00"></box>
  </image>
"""
WHEELS = """
  <image id="0" name="a.png" width="50" height="40">
    <points label="left" points="1.5,2" occluded="0" z_order="0"></points>
    <points label="right" points="3,4" occluded="1" z_order="0"></points>
  </image>
  <image id="1" name="b.png" width="50" height="40">
    <points label="right" points="9,9" group_id="2"></points>
    <points label="left" points="7,8" group_id="5"></points>
    <points label="left" points="5,6" group_id="2"></points>
  </image>
"""


def file_of(root, images, labels=LABELS, name="annotations.xml"):
    put(root, "images/a.png", "images/b.png", "images/sub/b.png", "evil.png")
    (root / name).write_text(f"{HEAD.format(labels)}{images}</annotations>\n")
    return root / name


def test_skeletons_by_the_names_of_their_points(tmp_path):
    table = table_at(file_of(tmp_path, BIRDS))
    assert list(table.points) == ["tail", "beak", "eye"]  # as the label lists them
    assert held(table) == {
        "a.png": [None, [12.25, 7.099999904632568], [-1.5, 39.9900016784668]],
        "sub/b.png#3": [[5, 6], [3, 4], [1, 2]],
        "sub/b.png#8": [[7, 8], None, None],
    }
    assert table.boxes is not None and table.root == tmp_path / "images" and not table.rejected
    assert table.boxes.tolist() == [[7.33, 0.92, 42.19, 28.02], [0, 0, 9, 9], [1, 1, 3, 4]]
    assert table.sizes is not None and table.sizes.tolist() == [[50, 40]] * 3
    [note] = table.notes
    assert all(f"1 {kind!r}" in note for kind in ("box of no object", "polygon", "tag", "turned box"))
    assert "tail" in opening.described(opening.open_source(str(tmp_path / "annotations.xml")))


def test_single_points_belong_together_by_their_group(tmp_path):
    labels = "<label><name>right</name></label><label><name>left</name></label>"
    table = table_at(file_of(tmp_path, WHEELS, labels))
    assert list(table.points) == ["right", "left"] and table.boxes is None
    assert held(table) == {"a.png": [[3, 4], [1.5, 2]], "b.png#2": [[9, 9], [5, 6]], "b.png#5": [None, [7, 8]]}


def test_the_usual_skeleton_is_read(tmp_path):
    eggs = '<image id="3" name="b.png" width="50" height="40"><skeleton label="egg"><points label="tip" points="1,2"/>'
    table = table_at(file_of(tmp_path, f"{BIRDS}{eggs}</skeleton></image>"))
    assert reasons(table) == [("b.png", 46, "other class")] and len(table.names) == 3


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ('<skeleton label="bird"><points label="nose" points="1,2"/></skeleton>', "unknown point"),
        ('<skeleton label="bird"><points label="eye" points="1"/></skeleton>', "not a point"),
        ('<skeleton label="bird"><points label="eye" points="1,nan"/></skeleton>', "not a point"),
        ('<skeleton label="bird"><points label="eye" points="1,1e99"/></skeleton>', "not a point"),
        ('<skeleton label="bird"><points label="eye"/></skeleton>', "not a point"),
        ('<skeleton label="bird"><points points="1,2"/></skeleton>', "no name"),
        ('<skeleton label="bird"/>', "no labelled point"),
        ('<skeleton label="bird"><points label="eye" points="1,2" outside="1"/></skeleton>', "no labelled point"),
        (
            '<skeleton label="bird"><points label="eye" points="1,2"/><points label="eye" points="1,2"/></skeleton>',
            "point twice",
        ),
        ('<skeleton label="bird"><points label="eye" points="1,2"/></skeleton><box xtl="1" ytl="x"/>', "not a box"),
        ('<points label="eye" points="1,2;3,4;5,6"/>', "no names"),
    ],
)
def test_a_bad_object_is_rejected_with_its_line_and_nothing_else(tmp_path, shape, kind):
    table = table_at(file_of(tmp_path, f'{BIRDS}\n<image id="9" name="b.png" width="50" height="40">{shape}</image>'))
    assert reasons(table) == [("b.png", 47, kind)] and table.names == ["a.png", "sub/b.png#3", "sub/b.png#8"]


@pytest.mark.parametrize("name", ["../evil.png", "/etc/passwd", "..\\evil.png", "a#1", "x/../../evil.png", ""])
def test_a_name_that_leads_elsewhere_is_rejected(tmp_path, name):
    bad = f'<image name="{name}"><skeleton label="bird"><points label="eye" points="1,2"/></skeleton></image>'
    table = table_at(file_of(tmp_path, BIRDS + bad))
    assert [kind for *_, kind in reasons(table)] == ["bad file name"] and len(table.names) == 3


def test_an_image_that_stands_twice_is_read_once(tmp_path):
    table = table_at(file_of(tmp_path, BIRDS + BIRDS.replace("12.25", "13")))
    assert [kind for *_, kind in reasons(table)] == ["name twice"] * 3 and held(table)["a.png"][1][0] == 12.25


def test_images_of_a_project_lie_below_their_subset(tmp_path):
    path = file_of(
        tmp_path, BIRDS.replace('id="0"', 'id="0" subset="Train"').replace('id="1"', 'id="1" subset="Train"')
    )
    put(tmp_path, "images/Train/a.png", "images/Train/sub/b.png")
    assert table_at(path).names[0] == "Train/a.png"


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{BOMB}]><annotations>&i;</annotations>", "entities"),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><image name="&x;"/></annotations>',
            "entities",
        ),
        ("<annotations><image name='a.png'>", ":1: not XML"),
        ("<annotations>&nbsp;</annotations>", "not XML"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "not XML"),
        ("<annotations/>", "no object"),
        ("<annotations>" + "<a>" * 200000, "not XML"),
        ('<annotations><track id="0" label="x"><points frame="0"/></track></annotations>', "CVAT for video"),
        ('<annotations><track id="0"><skeleton><points label="a"/></skeleton></track></annotations>', "CVAT for video"),
    ],
)
def test_what_is_no_such_file_is_reported_in_one_line(tmp_path, text, said):
    (tmp_path / "x.xml").write_text(text)
    message = rejection(tmp_path / "x.xml")
    assert message.startswith(f"{tmp_path / 'x.xml'}:") and said in message and len(message) < 500


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_other_encodings_are_read(tmp_path, encoding):
    path = file_of(tmp_path, BIRDS.replace("beak", "bék"), LABELS.replace("beak", "bék"))
    text = path.read_text().replace("utf-8", encoding.removesuffix("-sig"))
    path.write_bytes(text.encode(encoding))
    assert list(table_at(path).points) == ["tail", "bék", "eye"]


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("names", [[], ["tail", 'a<"b', "eye"]])
def test_what_is_written_is_read_again(tmp_path, boxed, names):
    assert tools.again("cvat", tmp_path / "new.xml", boxed, names).boxes is None or boxed


def test_a_record_without_the_size_of_its_image_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="size"):
        cvat.write(tmp_path / "x.xml", [tools.rows(False)[0]._replace(size=(0, 0))], 3)
    assert not list(tmp_path.iterdir())


def test_subsets_are_one_set_and_counted(tmp_path):
    of = BIRDS.replace('id="0" name="a.png"', 'id="0" name="a.png" subset="Validation"')
    [note] = [note for note in table_at(file_of(tmp_path, of)).notes if "subsets" in note]
    assert "all 2 images (1 of no subset, 1 of 'Validation') are read as one set" in note
    whole = of.replace('id="1" name=', 'id="1" subset="Validation" name=')
    assert not any("subsets" in note for note in table_at(file_of(tmp_path, whole)).notes)


def test_objects_without_a_box_are_told_apart_from_boxes_without_area(tmp_path):
    turned = BIRDS.replace('ybr="5" group_id="8"', 'ybr="5" group_id="8" rotation="9"')
    turned = turned.replace(
        '<points label="tail" outside="0" occluded="0" points="7,8">',
        '<points label="eye" points="9,9"/>\n<points label="tail" points="7,8">',
    )
    table = opening.open_table(str(file_of(tmp_path, turned)), "train")
    assert table.replaced is not None and table.replaced.tolist() == [False, False, True]
    assert "annotations.xml: 1 of 3 records have no bounding box" in table.notes
    flat = turned.replace('xtl="0" ytl="0" xbr="9" ybr="9"', 'xtl="0" ytl="0" xbr="0" ybr="9"')
    notes = opening.open_table(str(file_of(tmp_path, flat)), "train").notes
    assert "annotations.xml: 1 of 3 records have no bounding box; 1 have one without area" in notes
