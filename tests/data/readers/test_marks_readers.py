"""What annotation tools export: labelme, Label Studio, CVAT, and COCO's outlines."""

import json

import numpy as np
import pytest
from made_marks import ITEMS, cvat, label_studio, labelme, marks, result
from made_seen import SIZE, coco_record, kinds, picture, pictures

from depthwise.data.load import load
from depthwise.data.readers.marks.coco_outlines import unpacked_counts
from depthwise.errors import DataError


def boxes_of(data):
    return {
        data.item_name(i).rpartition("/")[2].split(".")[0]: [
            (data.classes[k], tuple(np.round(box, 3).tolist())) for box, k in zip(*data.targets[i])
        ]
        for i in range(len(data.labels))
    }


def as_floats(items):
    return {
        name: [(c, tuple(map(float, box))) for c, box in found] for name, found in items.items()
    }


def masks_of(items):
    """Squares drawn by hand, larger ones first: cat 1, dog 2."""
    found = np.zeros((len(items), *SIZE), np.uint8)
    for mask, boxes in zip(found, items.values()):
        sized = sorted(boxes, key=lambda b: -(b[1][2] - b[1][0]) * (b[1][3] - b[1][1]))
        for label, (x1, y1, x2, y2) in sized:
            mask[y1:y2, x1:x2] = 1 + (label == "dog")
    return found


# -- labelme --------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
def test_labelme_beside_its_picture_or_with_it_inside(tmp_path, inside, kind):
    data = load(labelme(tmp_path, kind=kind, inside=inside), cache=False)
    assert boxes_of(data) == as_floats(ITEMS)
    assert ("outlines and turned boxes" in kinds(data)) == (kind == "polygon")


def test_outlines_of_labelme_are_masks_where_that_is_asked_for(tmp_path):
    data = load(labelme(tmp_path, kind="polygon"), task="segmentation", cache=False)
    assert data.classes == ["background", "cat", "dog"]
    assert np.array_equal(data.targets, masks_of(ITEMS))


def test_circles_are_round_and_lines_are_left_out_and_told(tmp_path):
    labelme(tmp_path)
    record = json.loads((tmp_path / "p0.json").read_text())
    record["shapes"] = [
        {"label": "cat", "points": [[30, 20], [33, 24]], "shape_type": "circle"},
        {"label": "dog", "points": [[1, 2], [3, 4]], "shape_type": "line"},
    ]
    (tmp_path / "p0.json").write_text(json.dumps(record))
    data = load(tmp_path, cache=False)
    assert boxes_of(data)["p0"] == [("cat", (25, 15, 35, 25))]
    assert "line 'dog'" in kinds(data)["mark without an area"][0].where


def test_flags_of_labelme_are_classes_where_nothing_is_drawn(tmp_path):
    items = {f"p{k}": [] for k in range(12)}
    for k, name in enumerate(items):
        labelme(tmp_path, {name: []}, flags={"good": k % 2 == 0, "bad": k % 2 == 1})
        (tmp_path / f"{name}.png").write_bytes(picture(k))
    data = load(tmp_path, cache=False)
    assert data.task == "classification" and data.classes == ["bad", "good"]
    assert len(data.labels) == 12


# -- Label Studio ---------------------------------------------------------------------------------


@pytest.mark.parametrize("upward", [False, True])
def test_label_studio_in_per_cent_with_prefixed_names(tmp_path, upward):
    data = load(label_studio(tmp_path, upward=upward), cache=False)
    assert boxes_of(data) == as_floats(ITEMS)  # predictions are no labels


def test_boxes_turn_clockwise_about_their_first_corner(tmp_path):
    items = {name: [("cat", (30, 10, 50, 16))] for name in ITEMS}
    data = load(label_studio(tmp_path, items, turn=90), cache=False)
    assert boxes_of(data)["p0"] == [("cat", (24, 10, 30, 30))]


def test_several_annotators_and_cancelled_tasks(tmp_path):
    def change(tasks):
        good = tasks[0]["annotations"][0]
        other = {"was_cancelled": False, "result": [result("cat", (1, 1, 5, 5))]}
        tasks[0]["annotations"] = [{**good, "ground_truth": True}, other]
        tasks[2]["annotations"] = [other, tasks[2]["annotations"][0]]
        tasks[3]["annotations"][0]["was_cancelled"] = True
        return tasks

    data = load(label_studio(tmp_path, change=change), cache=False)
    assert boxes_of(data) == as_floats({n: b for n, b in ITEMS.items() if n != "p3"})
    assert kinds(data)["several annotators"][0].count == 2
    assert "task 3" in kinds(data)["task without annotation"][0].where


def test_json_min_and_choices(tmp_path):
    def least(tasks):
        return [
            {"image": t["data"]["image"], "id": t["id"],
             "label": [{**r["value"], "original_width": 60, "original_height": 40}
                       for r in t["annotations"][0]["result"]]}
            for t in tasks
        ]  # fmt: skip

    data = load(label_studio(tmp_path / "a", change=least), cache=False)
    assert boxes_of(data) == as_floats({n: b for n, b in ITEMS.items() if b})
    items = {f"q{k}": [] for k in range(12)}

    def chosen(tasks):
        for t in tasks:
            value = {"choices": [("good", "bad")[t["id"] % 2]]}
            t["data"]["image"] = f"s3://bucket/images/q{t['id']}.png"
            t["annotations"][0]["result"] = [{"type": "choices", "value": value}]
        return tasks

    data = load(label_studio(tmp_path / "b", items, chosen), cache=False)
    assert data.task == "classification" and data.classes == ["bad", "good"]


# -- CVAT -----------------------------------------------------------------------------------------


def test_cvat_for_images(tmp_path):
    body = "".join(
        f'<image id="{k}" name="images/{name}.png" width="60" height="40">{marks(boxes)}'
        '<points label="cat" points="1,2"/></image>'
        for k, (name, boxes) in enumerate(ITEMS.items())
    )
    data = load(cvat(tmp_path, body), cache=False)
    assert boxes_of(data) == as_floats(ITEMS)
    assert kinds(data)["mark without an area"][0].count == 6


def test_turned_boxes_of_cvat_are_the_upright_box_round_them_and_told(tmp_path):
    turned = marks([("cat", (20, 10, 40, 14))], 'rotation="90"') + marks(
        [("dog", (20, 10, 30, 20))], 'rotation="45"'
    )
    body = "".join(f'<image name="{name}.png">{turned}</image>' for name in ITEMS)
    data = load(cvat(tmp_path, body), cache=False)
    half = 5 * 2**0.5
    (cat, dog) = boxes_of(data)["p0"]
    assert cat == ("cat", (28, 2, 32, 22))
    assert np.allclose(dog[1], (25 - half, 15 - half, 25 + half, 15 + half), atol=1e-3)
    assert kinds(data)["outlines and turned boxes"][0].count == 6


def test_tracks_of_cvat_are_interpolated_between_key_frames(tmp_path):
    items = {f"frame_{k:06}": [] for k in range(10)}
    track = (
        '<track id="0" label="cat">'
        '<box frame="1" outside="0" keyframe="1" xtl="0" ytl="0" xbr="10" ybr="10"/>'
        '<box frame="5" outside="0" keyframe="1" xtl="8" ytl="4" xbr="18" ybr="14"/>'
        '<box frame="7" outside="1" keyframe="1" xtl="8" ytl="4" xbr="18" ybr="14"/></track>'
    )
    meta = "<meta><task><size>10</size></task></meta>"
    found = boxes_of(load(cvat(tmp_path, meta + track, items), cache=False))
    assert found["frame_000000"] == [] and found["frame_000007"] == []
    assert found["frame_000002"] == [("cat", (2, 1, 12, 11))]
    assert found["frame_000006"] == [("cat", (8, 4, 18, 14))]


def test_polygons_and_tags_of_cvat(tmp_path):
    square = '<polygon label="cat" points="2,3;20,3;20,30;2,30"/>'
    body = "".join(f'<image name="{n}.png" width="60" height="40">{square}</image>' for n in ITEMS)
    data = load(cvat(tmp_path / "a", body), task="segmentation", cache=False)
    want = np.zeros(SIZE, np.uint8)
    want[3:30, 2:20] = 1
    assert np.array_equal(data.targets[0], want)
    items = {f"q{k}": [] for k in range(12)}
    tags = "".join(
        f'<image name="q{k}.png"><tag label="{"ab"[k % 2]}"/></image>' for k in range(12)
    )
    assert load(cvat(tmp_path / "b", tags, items), cache=False).classes == ["a", "b"]


# -- COCO -----------------------------------------------------------------------------------------


def packed(counts):
    """COCO's packed form, written out from its description."""
    text = ""
    for k, count in enumerate(counts):
        value = count - (counts[k - 2] if k > 2 else 0)
        more = True
        while more:
            six = value & 31
            value >>= 5
            more = value != (-1 if six & 16 else 0)
            text += chr(six + 32 * more + 48)
    return text


def runs(box):
    mask = np.zeros(SIZE, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    return np.diff([0, *edges, flat.size]).tolist()


@pytest.mark.parametrize("form", ["polygon", "counts", "packed"])
def test_outlines_of_coco_are_masks_where_that_is_asked_for(tmp_path, form):
    pictures(tmp_path / "images", ITEMS)
    record = coco_record(ITEMS)
    for annotation in record["annotations"]:
        x, y, w, h = annotation["bbox"]
        counts = runs((x, y, x + w, y + h))
        annotation["segmentation"] = {
            "polygon": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            "counts": {"size": [*SIZE], "counts": counts},
            "packed": {"size": [*SIZE], "counts": packed(counts)},
        }[form]
    (tmp_path / "instances.json").write_text(json.dumps(record))
    data = load(tmp_path, task="segmentation", cache=False)
    assert data.classes == ["background", "cat", "dog"]
    assert np.array_equal(data.targets, masks_of(ITEMS))
    boxes = load(tmp_path, cache=False)
    assert boxes.task == "detection" and "--task segmentation" in kinds(boxes)["outlines"][0].detail
    record["annotations"][0]["segmentation"] = {"size": [40, 60], "counts": [3, 4]}
    (tmp_path / "instances.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"run lengths of 7 pixels for a mask of 40 x 60"):
        load(tmp_path, task="segmentation", cache=False)


def test_packed_counts_unpack_to_what_was_packed():
    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(0, 5000, rng.integers(1, 30)).tolist()
        assert unpacked_counts(packed(counts)) == counts
