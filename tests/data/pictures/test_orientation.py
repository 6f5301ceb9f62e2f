"""Pictures that EXIF turns, with boxes and masks on them as stored or as seen."""

import io
import json

import numpy as np
import pytest
from made_pictures import encoded, noise_u8
from made_seen import coco_record, kinds, yolo_line
from PIL import Image, ImageOps

from depthwise.data.load import load
from depthwise.data.pictures.orientation import turned_boxes, turned_values

LYING = (40, 60)  # H, W as stored
BOX = (6, 4, 20, 33)


def exif(turn):
    found = Image.Exif()
    found[0x0112] = turn
    return found


def photo(seed, turn, size=LYING):
    return encoded(noise_u8(*size, 3, seed=seed), "JPEG", exif=exif(turn))


def marked(box=BOX, size=LYING):
    mask = np.zeros(size, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def by_pillow(mask, turn):
    """The mask as Pillow itself turns a picture of this orientation: the referee."""
    buffer = io.BytesIO(encoded(mask, "PNG", exif=exif(turn)))
    return np.asarray(ImageOps.exif_transpose(Image.open(buffer)))


def edges(mask):
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("turn", range(1, 9))
def test_boxes_and_masks_turn_as_pillow_turns_the_picture(turn):
    want = by_pillow(marked(), turn)
    box, size = np.array([BOX], float), np.array([LYING])
    assert turned_boxes(box, size, np.array([turn])).tolist() == [edges(want)]
    assert np.array_equal(turned_values(marked(), turn), want)


def boxed(root, turn, said, box=BOX, n=4, size=LYING):
    """COCO with pictures of this orientation; said: the (H, W) that it promises, or None."""
    (root / "images").mkdir()
    for k in range(n):
        (root / f"images/p{k}.png").write_bytes(photo(k, turn, size))
    record = coco_record({f"p{k}": [("cat", box)] for k in range(n)})
    for image in record["images"]:
        image["height"], image["width"] = said or (0, 0)
    (root / "instances.json").write_text(json.dumps(record))
    return root


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_the_size_that_is_promised_says_which_pixels_the_boxes_are_on(tmp_path, turn):
    data = load(boxed(tmp_path, turn, LYING), cache=False)
    assert data.targets[0][0].tolist() == [edges(by_pillow(marked(), turn))]
    assert kinds(data)["turned boxes"][0].count == 4
    record = json.loads((tmp_path / "instances.json").read_text())
    for image in record["images"]:
        image["height"], image["width"] = LYING[::-1]
    (tmp_path / "instances.json").write_text(json.dumps(record))
    data = load(tmp_path, cache=False)
    assert data.targets[0][0].tolist() == [list(BOX)] and "turned boxes" not in kinds(data)


def test_boxes_that_fit_one_way_only_are_of_that_way(tmp_path):
    data = load(boxed(tmp_path, 6, None, (42, 2, 58, 30)), cache=False)
    want = edges(by_pillow(marked((42, 2, 58, 30)), 6))
    assert data.targets[0][0].tolist() == [want]


@pytest.mark.parametrize(("turn", "said"), [(6, None), (3, LYING), (2, None)])
def test_boxes_that_fit_both_ways_are_told_and_can_be_had_otherwise(tmp_path, turn, said):
    root = boxed(tmp_path, turn, said)
    data = load(root, cache=False)
    assert data.targets[0][0].tolist() == [list(BOX)]
    (told,) = kinds(data)["turned pictures"]
    assert told.count == 4 and "--format coco:stored" in told.detail
    data = load(root, format="coco:stored", cache=False)
    assert data.targets[0][0].tolist() == [edges(by_pillow(marked(), turn))]
    assert "turned pictures" not in kinds(load(root, format="coco:upright", cache=False))


def test_shares_of_yolo_are_of_either(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for k in range(4):
        (tmp_path / f"images/{k}.jpg").write_bytes(photo(k, 6))
        (tmp_path / f"labels/{k}.txt").write_text(yolo_line(0, BOX, LYING))
    assert "yolo:stored" in kinds(load(tmp_path, cache=False))["turned pictures"][0].detail
    data = load(tmp_path, format="yolo:stored", cache=False)
    assert np.allclose(data.targets[0][0], [edges(by_pillow(marked(), 6))], atol=1e-4)


def masked(root, turn, size, n=4):
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for k in range(n):
        (root / f"images/{k}.jpg").write_bytes(photo(k, turn, size))
        (root / f"masks/{k}.png").write_bytes(encoded(marked(size=size)))
    return root


def test_masks_as_large_as_the_stored_picture_turn_with_it(tmp_path):
    data = load(masked(tmp_path, 8, LYING), cache=False)
    assert np.array_equal(data.targets[0], by_pillow(marked(), 8))


def test_square_masks_are_told_and_can_be_had_otherwise(tmp_path):
    root = masked(tmp_path, 8, (40, 40))
    data = load(root, cache=False)
    assert np.array_equal(data.targets[0], marked(size=(40, 40)))
    assert "--format masks:stored" in kinds(data)["turned pictures"][0].detail
    data = load(root, format="masks:stored", cache=False)
    assert np.array_equal(data.targets[0], by_pillow(marked(size=(40, 40)), 8))
