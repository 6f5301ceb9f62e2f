"""What all four formats of boxes have in common."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_pictures import noise_u8
from made_seen import MAKERS, SIZE, kinds, make_voc, picture, some_items

from depthwise.data.load import load
from depthwise.errors import DataError

every_format = pytest.mark.parametrize("form", MAKERS)


def read(form, root, items, **options):
    return load(MAKERS[form](root, items), cache=False, **options)


@st.composite
def drawn_items(draw):
    """Some pictures with whole-pixel boxes inside, at least one box of each class."""
    height, width = SIZE

    def box():
        x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
        return x1, y1, x2, y2

    items = {
        f"p{k}": [(draw(st.sampled_from(["cat", "dog"])), box()) for _ in range(n)]
        for k, n in enumerate(draw(st.lists(st.integers(0, 3), min_size=3, max_size=5)))
    }
    items["p0"] = [("cat", box()), ("dog", box())]
    return items


@given(drawn_items())
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_same_boxes_come_out_of_every_format(tmp_path_factory, items):
    for form in MAKERS:
        data = read(form, tmp_path_factory.mktemp(form), items)
        assert data.classes == ["cat", "dog"] and data.task == "detection"
        for i, boxes in enumerate(items.values()):
            found, labels = data.targets[i]
            assert np.allclose(found, [box for _, box in boxes] or np.zeros((0, 4)), atol=1e-3)
            assert [data.classes[k] for k in labels] == [label for label, _ in boxes]


@every_format
def test_a_picture_with_nothing_in_it_is_an_item(tmp_path, form):
    data = read(form, tmp_path, some_items())
    assert len(data.inputs) == len(data.targets) == 6 and data.targets.counts.tolist()[1] == 0
    assert "boxes in 2 classes" in str(data) and "task    detection" in str(data)


@every_format
def test_boxes_are_scaled_with_their_picture(tmp_path, form):
    data = read(form, tmp_path, some_items(), image_size=(20, 120))  # half as tall, twice as wide
    assert data.targets[0][0].tolist() == [[4, 1.5, 40, 15], [10, 0.5, 18, 16.5]]
    assert data.sizes.tolist() == [[40, 60]] * 6


@every_format
def test_flat_boxes_and_boxes_outside_are_left_out_and_those_over_the_edge_clipped(tmp_path, form):
    items = some_items()
    items["p2"] = [
        ("cat", (5, 5, 5, 9)),  # flat
        ("dog", (70, 5, 80, 9)),  # outside
        ("cat", (50, 30, 66, 50)),  # over two edges
        ("dog", (10, 10, 20, 20)),
    ]
    data = read(form, tmp_path, items)
    found = kinds(data)
    assert data.targets[2][0].tolist() == [[50, 30, 60, 40], [10, 10, 20, 20]]
    assert found["box of no area"][0].detail == "left out"
    assert "[70, 5, 80, 9]" in found["box outside the image"][0].where.replace(".0", "")
    assert found["box over the edge"][0].detail == "clipped" and "p2" in str(
        found["box over the edge"]
    )


@every_format
@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "wide", ""])
def test_coordinates_that_are_no_numbers_are_refused_by_file(tmp_path, form, value):
    root = MAKERS[form](tmp_path, some_items())
    name = {"voc": "Annotations/p0.xml", "coco": "instances.json", "yolo": "labels/p0.txt"}
    path = root / name.get(form, "boxes.csv")
    text = path.read_text()
    old, new = {
        "voc": ("<xmax>20<", f"<xmax>{value}<"),
        "coco": ("[2, 3, 18, 27]", f'[2, 3, "{value}", 27]'),
        "yolo": (text.split()[1:2][0] if form == "yolo" else "", value or "''"),
        "csv": (",20,", f",{value},"),
    }[form]
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=path.name):
        load(root, cache=False, format=None if form != "yolo" else "yolo")


@every_format
def test_a_broken_picture_is_left_out_with_its_boxes(tmp_path, form):
    root = MAKERS[form](tmp_path, some_items())
    next(root.rglob("p0.png")).write_bytes(picture(0)[:40])
    data = load(root, cache=False)
    assert len(data.targets) == 5 and data.targets[0][0].shape == (0, 4)
    assert "p0.png" in kinds(data)["unreadable picture"][0].where


@every_format
def test_mostly_broken_pictures_are_fatal(tmp_path, form):
    root = MAKERS[form](tmp_path, some_items())
    for k in range(4):
        next(root.rglob(f"p{k}.png")).write_bytes(picture(k)[:40])
    with pytest.raises(DataError, match="4 of 6 pictures cannot be read"):
        load(root, cache=False)


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_a_picture_of_another_size_than_its_annotation_says_is_left_out(tmp_path, form):
    root = MAKERS[form](tmp_path, some_items())
    next(root.rglob("p3.png")).write_bytes(picture(3, (41, 60)))
    data = load(root, cache=False, image_size=(40, 60))
    assert len(data.inputs) == 5 and len(data.sizes) == 5
    assert "says 40 x 60" in kinds(data)["lying size"][0].where
    assert data.targets[3][0].tolist() == [[6, 3, 24, 30], [5, 5, 9, 33]]  # that of p4
    assert np.array_equal(data.inputs[3], noise_u8(*SIZE, 3, seed=4).transpose(2, 0, 1))


def test_annotations_of_other_pictures_throughout_are_fatal(tmp_path):
    root = make_voc(tmp_path, some_items(), size=(400, 600))
    with pytest.raises(DataError, match="6 of 6 pictures are not of the size"):
        load(root, cache=False)


@every_format
def test_no_usable_box_at_all_is_refused(tmp_path, form):
    items = {f"p{k}": [("cat", (5, 5, 5, 5))] for k in range(4)}
    with pytest.raises(DataError, match="no box that is usable"):
        read(form, tmp_path, items)


@pytest.mark.parametrize("form", ["voc", "csv"])
def test_two_spellings_of_one_class_are_refused_with_both_places(tmp_path, form):
    items = some_items()
    items["p4"] = [("Cat", (1, 2, 8, 9))]
    with pytest.raises(DataError, match=r"'Cat' and 'cat'.*p"):
        read(form, tmp_path, items)


@every_format
def test_rare_classes_are_in_every_part_of_a_split_drawn_here(tmp_path, form):
    items = {f"p{k}": [("cat", (1, 2, 30, 30 - k % 9))] for k in range(24)}
    for k in (3, 9, 17):
        items[f"p{k}"].append(("dog", (4, 5, 20, 21)))
    counts = read(form, tmp_path, items).counts()
    assert all(counts[part][1] == 1 for part in counts)
    assert sum(counts[part][0] for part in counts) == 24


def test_folders_name_the_parts(tmp_path):
    from made_seen import voc_xml

    for part, first in (("train", 0), ("valid", 4), ("test", 8)):
        (tmp_path / part).mkdir()
        for k in range(first, first + 4):
            (tmp_path / part / f"p{k}.png").write_bytes(picture(k))
            xml = voc_xml(f"p{k}", [("cat", (1, 2, 9, 9)), ("dog", (3, 4, 9, 9))])
            (tmp_path / part / f"p{k}.xml").write_text(xml)
    data = load(tmp_path, cache=False)
    assert data.split_origin == "split from the data"
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [4, 4, 4]
