"""Pascal VOC: what is particular to XML files and ImageSets, and hostile XML."""

import time

import pytest
from made_seen import kinds, make_voc, picture, some_items, voc_xml

from depthwise.data.load import load
from depthwise.data.readers.trees.xml_tree import parse_xml
from depthwise.errors import DataError

BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<annotation><object><name>&c;</name></object></annotation>"""
THIEF = """<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>"""


def lists(root, **parts):
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    for name, entries in parts.items():
        (folder / f"{name}.txt").write_text("\n".join(entries) + "\n")


def test_image_sets_are_the_split_and_what_is_in_none_is_left_out(tmp_path):
    make_voc(tmp_path, some_items(8))
    lists(tmp_path, train=["p0", "p1", "p2"], val=["p3"], test=["p4", "p5", "gone"])
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [3, 1, 2]
    found = kinds(data)
    assert "gone" in found["missing picture"][0].where
    assert found["unlisted picture"][0].where == "JPEGImages/p6.png, JPEGImages/p7.png"


def test_trainval_trains_where_there_is_no_train_and_is_passed_over_where_there_is(tmp_path):
    make_voc(tmp_path, some_items(9))
    names = [f"p{k}" for k in range(9)]
    lists(tmp_path, trainval=names[:6], test=names[6:])
    data = load(tmp_path, cache=False)
    assert data.indices["test"].tolist() == [6, 7, 8]
    assert len(data.indices["train"]) + len(data.indices["validation"]) == 6
    (tmp_path / "ImageSets/Main/train.txt").write_text("p0\np1\n")
    (tmp_path / "ImageSets/Main/val.txt").write_text("p2\n")
    assert load(tmp_path, cache=False).indices["train"].tolist() == [0, 1]


def test_lists_of_single_classes_are_no_split(tmp_path):
    make_voc(tmp_path, some_items(6))
    lists(tmp_path, train=["p0", "p1"], val=["p2"], test=["p3", "p4", "p5"])
    (tmp_path / "ImageSets/Main/cat_train.txt").write_text("p0  1\np3 -1\n")
    assert len(load(tmp_path, cache=False).inputs) == 6


def test_a_picture_in_two_lists_is_refused(tmp_path):
    make_voc(tmp_path, some_items())
    lists(tmp_path, train=["p0", "p1", "p2"], val=["p3"], test=["p2"])
    with pytest.raises(DataError, match=r"p2.png is in .*t.*txt and in .*t.*txt"):
        load(tmp_path, cache=False)


def test_difficult_boxes_are_marked(tmp_path):
    make_voc(tmp_path, some_items(), extra="<difficult>1</difficult>")
    assert load(tmp_path, cache=False).targets.crowd.all()


def test_pictures_without_xml_and_xml_without_pictures_are_left_out_and_told(tmp_path):
    make_voc(tmp_path, some_items())
    (tmp_path / "Annotations/p4.xml").unlink()
    (tmp_path / "JPEGImages/p5.png").unlink()
    found = kinds(data := load(tmp_path, cache=False))
    assert len(data.inputs) == 4
    assert "p4.png" in found["picture without annotation"][0].where
    assert "p5.xml" in found["annotation without picture"][0].where


def test_the_picture_may_be_called_as_filename_says(tmp_path):
    make_voc(tmp_path, some_items())
    (tmp_path / "Annotations/p0.xml").rename(tmp_path / "Annotations/other.xml")
    assert len(load(tmp_path, cache=False).inputs) == 6


def test_an_outline_of_a_part_is_no_box_of_the_whole(tmp_path):
    make_voc(tmp_path, some_items())
    inner = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    path = tmp_path / "Annotations/p0.xml"
    path.write_text(path.read_text().replace("</object>", inner))
    assert load(tmp_path, cache=False).classes == ["cat", "dog"]


def test_a_size_of_nought_promises_nothing(tmp_path):
    make_voc(tmp_path, some_items(), size=(0, 0))
    assert len(load(tmp_path, cache=False).inputs) == 6


@pytest.mark.parametrize(
    ("xml", "what"),
    [
        (BOMB, "document type"),
        (THIEF, "document type"),
        ("<annotation>" + "<a>" * 100 + "</a>" * 100 + "</annotation>", "nested too deeply"),
        ("<annotation><object>", "no sound XML"),
        (
            "<annotation><object><name>cat</name></object></annotation>",
            "without a name or a bndbox",
        ),
        (voc_xml("p0", [("", (1, 2, 3, 4))]), "without a name"),
    ],
)
def test_hostile_and_broken_xml_is_refused_by_name(tmp_path, xml, what):
    make_voc(tmp_path, some_items())
    (tmp_path / "Annotations/p0.xml").write_text(xml)
    start = time.process_time()
    with pytest.raises(DataError, match=f"p0.xml.*{what}"):
        load(tmp_path, cache=False)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_document_type_does_not_hide_behind_an_encoding(encoding):
    declared = '<?xml version="1.0" encoding="' + encoding.upper() + '"?>'
    with pytest.raises(DataError, match="document type"):
        parse_xml((declared + THIEF).encode(encoding), "x.xml")


def test_endless_xml_is_refused_before_it_fills_the_memory():
    with pytest.raises(DataError, match="larger than"):
        parse_xml(b" " * (9 << 20), "x.xml")
    with pytest.raises(DataError, match="too long"):
        parse_xml(b"<a>" + b"<b/>" * 300_000 + b"</a>", "x.xml")


def test_xml_of_something_else_does_not_make_boxes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(6):
            (tmp_path / name / f"{k}.png").write_bytes(picture(k + 10 * (name == "b")))
    (tmp_path / "about.xml").write_text("<project><name>pets</name></project>")
    assert load(tmp_path, cache=False).task == "classification"
