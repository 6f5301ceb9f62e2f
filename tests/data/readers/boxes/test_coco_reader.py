"""COCO: what is particular to its JSON."""

import json

import pytest
from made_seen import coco_record, kinds, make_coco, pictures, some_items

from depthwise.data.load import load
from depthwise.errors import DataError


def changed(root, change):
    """instances.json with something changed in it."""
    path = root / "instances.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return root


def test_numbers_of_categories_may_have_gaps_and_any_order(tmp_path):
    data = load(make_coco(tmp_path, some_items(), ids=(90, 3)), cache=False)
    assert data.classes == ["dog", "cat"]  # by their numbers
    assert [data.classes[k] for k in data.targets[0][1]] == ["cat", "dog"]


def test_a_crowd_is_marked(tmp_path):
    root = changed(
        make_coco(tmp_path, some_items()), lambda r: r["annotations"][1].update(iscrowd=1)
    )
    assert load(root, cache=False).targets.crowd.tolist()[:3] == [False, True, False]


def test_one_file_a_part_is_the_split(tmp_path):
    for part, first in (("train2017", 0), ("val2017", 4), ("test2017", 6)):
        items = {f"p{k}": boxes for k, (_, boxes) in enumerate(some_items(8).items())}
        chosen = dict(list(items.items())[first : first + (4 if first == 0 else 2)])
        pictures(tmp_path / part, chosen)
        folder = tmp_path / "annotations"
        folder.mkdir(exist_ok=True)
        (folder / f"instances_{part}.json").write_text(json.dumps(coco_record(chosen)))
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [4, 2, 2]


def test_the_same_name_in_two_parts_is_two_pictures(tmp_path):
    for part in ("train", "valid", "test"):
        items = dict(list(some_items().items())[2:5])
        pictures(tmp_path / part, items, (40, 60))
        record = json.dumps(coco_record(items))
        (tmp_path / part / "_annotations.coco.json").write_text(record)
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 9 and "same item in two parts" in kinds(data)


def test_files_that_disagree_on_the_categories_are_refused_by_name(tmp_path):
    pictures(tmp_path, some_items())
    items = list(some_items().items())
    for name, part, classes in (
        ("train.json", items[:4], ("cat", "dog")),
        ("val.json", items[4:], ("dog", "cat")),
    ):
        (tmp_path / name).write_text(json.dumps(coco_record(dict(part), classes)))
    with pytest.raises(DataError, match=r"train.json and val.json disagree.*1: 'cat'"):
        load(tmp_path, cache=False)


def test_a_category_that_only_heads_others_is_no_class(tmp_path):
    def head(record):
        for category in record["categories"]:
            category["supercategory"] = "animals"
        record["categories"].append({"id": 0, "name": "animals", "supercategory": "none"})

    assert load(changed(make_coco(tmp_path, some_items()), head), cache=False).classes == [
        "cat",
        "dog",
    ]


def test_an_annotated_picture_that_is_not_there_is_told(tmp_path):
    make_coco(tmp_path, some_items())
    (tmp_path / "images/p0.png").unlink()
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 5
    assert kinds(data)["annotation without picture"][0].where == "p0.png"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: r["annotations"][0].update(image_id=99), "no image 99"),
        (lambda r: r["annotations"][0].update(image_id=[1]), "no image"),
        (lambda r: r["annotations"][0].update(category_id=2), "no category 2"),
        (lambda r: r["annotations"][0].update(category_id={}), "no category"),
        (lambda r: r["annotations"][0].update(bbox=[1, 2, 3]), "bbox must be"),
        (lambda r: r["annotations"][0].pop("bbox"), "bbox must be"),
        (lambda r: r["annotations"][0].update(bbox=[1, 2, True, 4]), "no coordinate"),
        (lambda r: r["images"][0].update(id=1), "an id of its own"),
        (lambda r: r["images"][0].update(file_name=7), "a file_name"),
        (lambda r: r["categories"][0].update(name="dog"), "same name"),
        (lambda r: r["categories"][0].update(id="1"), "whole number"),
        (lambda r: r.update(images=3), "images is no list"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_file(tmp_path, change, what):
    with pytest.raises(DataError, match=rf"instances.json.*{what}"):
        load(changed(make_coco(tmp_path, some_items()), change), cache=False)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"images": ' + "[" * 200_000, "nested too deeply|no sound JSON"),
        ('{"images": [], "annotations": NaN, "categories": []}', "NaN, which is no number"),
        ('{"images": [], "annotations": [], "categories": [}', "no sound JSON"),
        ('["images", "annotations", "categories"]', "is no record"),
    ],
)
def test_hostile_json_is_refused(tmp_path, text, what):
    make_coco(tmp_path, some_items())
    marks = ' "images" "annotations" "categories"'
    (tmp_path / "instances.json").write_text(text + ("" if "cat" in text else marks))
    with pytest.raises(DataError, match=what):
        load(tmp_path, cache=False)


def test_captions_are_no_boxes(tmp_path):
    pictures(tmp_path, some_items())
    names = sorted(path.name for path in tmp_path.iterdir())
    about = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "caption": f"number {i}"} for i in range(len(names))],
    }
    (tmp_path / "captions.json").write_text(json.dumps(about))
    assert load(tmp_path, cache=False).task == "captions"


def test_a_picture_that_is_listed_twice_is_one_item_with_the_boxes_of_both(tmp_path):
    items = some_items()
    make_coco(tmp_path, items)
    record = coco_record(items)
    record["images"].append({**record["images"][2], "id": 99})
    record["annotations"][0]["image_id"] = 0
    record["annotations"].append(
        {"id": 9, "image_id": 99, "category_id": 1, "bbox": [1, 1, 8, 9], "iscrowd": 0}
    )
    (tmp_path / "instances.json").write_text(json.dumps(record))
    data = load(tmp_path, cache=False)
    assert data.targets.counts.tolist() == [2, 0, 3, 2, 2, 2]
    assert "p2.png" in kinds(data)["picture listed twice"][0].where


def test_boxes_of_coco_as_shares_are_scaled_and_told(tmp_path):
    make_coco(tmp_path, some_items())
    record = coco_record(some_items())
    for annotation in record["annotations"]:
        annotation["bbox"] = [0.1, 0.25, 0.4, 0.5]
    (tmp_path / "instances.json").write_text(json.dumps(record))
    data = load(tmp_path, cache=False)
    assert data.targets[0][0].round(3)[0].tolist() == [6, 10, 30, 30]
    assert "boxes as shares" in kinds(data)
