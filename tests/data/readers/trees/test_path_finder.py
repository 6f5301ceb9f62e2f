"""Which file a name means: the longest common tail decides, and what is missing is missing."""

import json

import pytest
from made_pictures import encoded, noise_u8
from made_seen import coco_record, kinds, voc_xml, yolo_line

from depthwise.data.dataset import PARTS
from depthwise.data.load import load
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.errors import DataError

CAMS = ["cam1/0.png", "cam1/1.png", "cam2/0.png", "cam2/1.png"]


def meant(there, *said, **more):
    found = PathFinder(there).find(Asked(name, "list.csv", **more) for name in said)
    return list(found.values())


@pytest.mark.parametrize(
    ("there", "said", "want"),
    [
        (CAMS, "cam2/0.png", "cam2/0.png"),
        (CAMS, "./cam2/0.png", "cam2/0.png"),
        (CAMS, "C:\\me\\set\\cam2\\0.png", "cam2/0.png"),
        (CAMS, "/home/me/cam1/1.png", "cam1/1.png"),
        (CAMS, "cam1/1", "cam1/1.png"),
        (["a/7.png"], "7.png", "a/7.png"),
        (["a/7.png"], "7", "a/7.png"),
        (["a/7.png"], "7.jpg", None),
        (["a/7.png"], "IMAGES/7.PNG", "a/7.png"),
        (["u\u0308.png"], "\u00fc.png", "u\u0308.png"),
        (["x/7.png", "x/7.png.jpg"], "7.png", "x/7.png"),
        (["set/cam1/0.png", "cam1/0.png"], "set/cam1/0.png", "set/cam1/0.png"),
    ],
)
def test_a_name_means(there, said, want):
    assert meant(there, said) == [want]


def test_several_that_are_equally_good_are_an_error():
    with pytest.raises(DataError, match=r"list.csv: '0.png' may be cam1/0.png or cam2/0.png"):
        meant(CAMS, "0.png")
    with pytest.raises(DataError, match=r"'a/0.png' and list.csv: 'b/0.png' both may be c/0.png"):
        meant(["c/0.png"], "a/0.png", "b/0.png")


def test_a_missing_file_is_never_another_of_its_name():
    there = ["cam1/1.png", "cam2/0.png", "cam2/1.png"]
    assert meant(there, "cam1/0.png", "cam1/1.png") == [None, "cam1/1.png"]
    assert meant(there[1:], "cam1/0.png", "cam2/0.png") == [None, "cam2/0.png"]
    assert meant(["pics/0.png", "pics/1.png"], "images/0.png", "images/1.png", "images/2.png") == [
        *("pics/0.png", "pics/1.png", None)
    ]


def test_the_part_and_the_place_of_the_source_break_ties_but_find_nothing_elsewhere():
    there = ["train/0.png", "train/1.png", "val/0.png", "val/2.png"]
    assert meant(there, "0.png", "1.png", "2.png", part=0) == ["train/0.png", "train/1.png", None]
    asked = [Asked(f"{k}.png", "val/list.csv") for k in range(3)]
    assert [*PathFinder(there).find(asked).values()] == ["val/0.png", None, "val/2.png"]


# -- every reader ---------------------------------------------------------------------------------

BOX = (2, 3, 20, 30)


def pictures(root, names=("cam1/0", "cam1/1", "cam2/0", "cam2/1"), under=""):
    for k, name in enumerate(names):
        path = root / under / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise_u8(40, 60, 3, seed=k)))


def write_voc(root, says):
    pictures(root, [name for name in says if name != "cam1/1"], "JPEGImages")
    for name, label in says.items():
        path = root / "Annotations" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(voc_xml(name[-1], [(label, BOX)]))


def write_coco(root, says):
    pictures(root, [name for name in says if name != "cam1/1"])
    record = coco_record({f"/data/x/{name}": [(label, BOX)] for name, label in says.items()})
    (root / "instances.json").write_text(json.dumps(record))


def write_csv(root, says):
    pictures(root, [name for name in says if name != "cam1/1"])
    rows = [f"D:\\me\\{n.replace('/', chr(92))}.png,2,3,20,30,{label}" for n, label in says.items()]
    (root / "boxes.csv").write_text("\n".join(["filename,xmin,ymin,xmax,ymax,class", *rows]))


@pytest.mark.parametrize("write", [write_voc, write_coco, write_csv])
def test_boxes_stay_with_the_picture_of_their_folder(tmp_path, write):
    write(tmp_path, {"cam1/0": "cat", "cam1/1": "cat", "cam2/0": "dog", "cam2/1": "dog"})
    data = load(tmp_path, cache=False)
    named = {data.item_name(i): int(data.targets[i][1][0]) for i in range(3)}
    assert {name[-10:]: k for name, k in named.items()} == {
        "cam1/0.png": 0,
        "cam2/0.png": 1,
        "cam2/1.png": 1,
    }
    assert len(kinds(data)["annotation without picture"]) == 1


def test_lists_of_yolo_say_which_of_two_pictures_of_a_name(tmp_path):
    pictures(tmp_path, under="images")
    for name in ("cam1/0", "cam1/1", "cam2/0", "cam2/1"):
        path = tmp_path / f"labels/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yolo_line(0, BOX))
    (tmp_path / "train.txt").write_text("/me/images/cam1/0.png\n./images/cam2/1.png\n")
    (tmp_path / "val.txt").write_text("images/cam2/0.png\n")
    (tmp_path / "test.txt").write_text("cam1/1\n")
    data = load(tmp_path, cache=False)
    parts = [[data.item_name(i)[7:] for i in data.indices[p]] for p in PARTS]
    assert parts == [["cam1/0.png", "cam2/1.png"], ["cam2/0.png"], ["cam1/1.png"]]


def test_captions_stay_with_the_picture_of_their_folder(tmp_path):
    pictures(tmp_path)
    (tmp_path / "captions.txt").write_text(
        "".join(f"{c}/{k}.png\tthe {c} saw {k}\n" for c in ("cam2", "cam1") for k in (0, 1))
    )
    data = load(tmp_path, cache=False)
    for i in range(4):
        cam, name = data.item_name(i).split("/")
        assert data.targets[i] == [f"the {cam} saw {name[0]}"]


def test_two_masks_that_may_be_of_one_picture_are_refused(tmp_path):
    pictures(tmp_path, ["0", "1"], "images")
    for name in ("0", "0_mask", "1"):
        path = tmp_path / f"masks/{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(noise_u8(40, 60) % 3))
    with pytest.raises(DataError, match=r"masks/0.png and masks/0_mask.png both may be the mask"):
        load(tmp_path, cache=False)
