"""Masks: which file belongs to which, what values and colours mean, and what is refused."""

import numpy as np
import pytest
from made_pictures import encoded, noise_u8
from made_seen import kinds
from PIL import Image

from depthwise.data.load import load
from depthwise.data.readers.masks.mask_classes import colour_wheel
from depthwise.errors import DataError

SIZE = (10, 14)
COLOURS = [(128, 64, 128), (0, 0, 192), (0, 0, 0)]


def values(seed, k=3, size=SIZE):
    """Patches of classes, uint8 (H, W)."""
    small = np.random.default_rng(seed).integers(0, k, (5, 7))
    grown = np.repeat(np.repeat(small, 2, 0), 2, 1).astype(np.uint8)
    return np.ascontiguousarray(grown[: size[0], : size[1]])


def make_masks(root, n=6, images="images", masks="labels", mask=values, ending=""):
    for k in range(n):
        image = root / f"{images}/{k}.png"
        label = root / f"{masks}/{k}{ending}.png"
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(encoded(noise_u8(*SIZE, 3, seed=k)))
        made = mask(k)
        label.write_bytes(made if isinstance(made, bytes) else encoded(made))
    return root


def coloured(k):
    return np.array(COLOURS, np.uint8)[values(k)]


def paletted(k):
    image = Image.fromarray(values(k), "L").convert("P")
    image.putpalette([c for colour in [(9, 9, 9), (1, 2, 3), (7, 8, 9)] for c in colour])
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def expected(n=6, change=lambda mask: mask):
    return np.stack([change(values(k)) for k in range(n)])


@pytest.mark.parametrize(
    ("images", "masks", "ending"),
    [
        ("images", "labels", ""),
        ("imgs", "masks", "_mask"),
        ("JPEGImages", "SegmentationClass", ""),
        ("img", "annotations", "_gt"),
    ],
)
def test_usual_folders_pair(tmp_path, images, masks, ending):
    data = load(make_masks(tmp_path, 6, images, masks, ending=ending), cache=False)
    assert data.task == "segmentation" and data.classes == ["0", "1", "2"]
    assert np.array_equal(data.targets, expected())
    assert "no class names" in kinds(data) and "masks of 3 classes" in str(data)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images/{}", "labels/{}"),
        ("{}/images", "{}/masks"),
        ("{}", "{}annot"),
    ],
)
def test_folders_name_the_parts_on_either_side(tmp_path, images, masks):
    for part, n in (("train", 4), ("val", 2), ("test", 3)):
        make_masks(tmp_path, n, images.format(part), masks.format(part))
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [4, 2, 3]


def test_lists_are_the_split(tmp_path):
    make_masks(tmp_path, 7)
    (tmp_path / "train.txt").write_text("0\n2\n4\n")
    (tmp_path / "val.txt").write_text("images/1.png labels/1.png\n")
    (tmp_path / "test.txt").write_text("/data/images/3.png\n5.png\n")
    data = load(tmp_path, cache=False)
    assert [data.indices[p].tolist() for p in ("train", "validation", "test")] == [
        [0, 2, 4],
        [1],
        [3, 5],
    ]
    assert kinds(data)["unlisted picture"][0].where == "images/6.png"


@pytest.mark.parametrize("mask", [values, coloured, paletted])
def test_index_palette_and_colour_masks_say_the_same(tmp_path, mask):
    make_masks(tmp_path, mask=mask)
    lines = [f"{r} {g} {b} {name}" for (r, g, b), name in zip(COLOURS, ["road", "car", "sky"])]
    (tmp_path / "classes.txt").write_text("\n".join(lines))
    data = load(tmp_path, cache=False)
    assert data.classes == ["road", "car", "sky"] and np.array_equal(data.targets, expected())
    assert data.palette.tolist() == [list(colour) for colour in COLOURS]


@pytest.mark.parametrize(
    "text",
    [
        "road\ncar\nVoid\n",
        "0 road\n1 car\n2 Void\n",
        "0: road\n1: car\n2: Void\n",
        "# made by hand\nroad 128 64 128\ncar 0 0 192\nVoid 0 0 0\n",
        "name,r,g,b\nroad,128,64,128\ncar,0,0,192\nVoid,0,0,0\n",
        "road:128,64,128::\ncar:0,0,192::\nVoid:0,0,0::\n",
        "128 64 128\troad\n0 0 192\tcar\n0 0 0\tVoid\n",
    ],
)
def test_all_forms_of_the_list_say_the_same_and_void_is_ignored(tmp_path, text):
    coloured_list = "128" in text
    make_masks(tmp_path, mask=coloured if coloured_list else values)
    (tmp_path / "class_dict.csv").write_text(text)
    data = load(tmp_path, cache=False)
    assert data.classes == ["road", "car"] and data.ignore_index == 255
    assert np.array_equal(data.targets, expected(change=lambda m: np.where(m == 2, 255, m)))


def test_classes_after_an_ignored_one_move_up(tmp_path):
    make_masks(tmp_path)
    (tmp_path / "classes.txt").write_text("road\nUnlabelled\nsky\n")
    data = load(tmp_path, cache=False)
    assert data.classes == ["road", "sky"]
    assert np.array_equal(data.targets, np.array([0, 255, 1], np.uint8)[expected()])


def test_255_is_ignored_unless_it_is_all_there_is_beside_0(tmp_path):
    make_masks(tmp_path / "a", mask=lambda k: np.where(values(k) == 2, 255, values(k)).astype("u1"))
    data = load(tmp_path / "a", cache=False)
    assert data.classes == ["0", "1"] and set(np.unique(data.targets)) == {0, 1, 255}
    make_masks(tmp_path / "b", mask=lambda k: (values(k, 2) * 255).astype("u1"))
    data = load(tmp_path / "b", cache=False)
    assert data.classes == ["background", "foreground"] and data.targets.max() == 1


def test_masks_follow_their_picture_by_nearest_neighbour(tmp_path):
    data = load(make_masks(tmp_path), cache=False, image_size=(5, 7))
    assert np.array_equal(data.targets, expected()[:, ::2, ::2])  # patches of 2 x 2 halved
    assert data.sizes.tolist() == [[10, 14]] * 6


def test_a_mask_of_another_size_is_refused_by_name_and_sizes(tmp_path):
    make_masks(tmp_path)
    (tmp_path / "labels/3.png").write_bytes(encoded(values(3, size=(9, 14))))
    with pytest.raises(DataError, match=r"labels/3.png is 9 x 14 pixels, its picture 10 x 14"):
        load(tmp_path, cache=False)


def test_a_value_without_a_class_is_refused_by_name_even_in_one_pixel(tmp_path):
    make_masks(tmp_path)
    (tmp_path / "classes.txt").write_text("road\ncar\nsky\n")
    odd = values(4)
    odd[3, 3] = 77
    (tmp_path / "labels/4.png").write_bytes(encoded(odd))
    with pytest.raises(
        DataError, match=r"labels/4.png holds the value 77.*classes.txt knows 0 to 2"
    ):
        load(tmp_path, cache=False, image_size=(5, 7))  # which shrinking passes over


def test_a_colour_without_a_class_is_refused_by_name(tmp_path):
    make_masks(tmp_path, mask=coloured)
    (tmp_path / "classes.txt").write_text("128 64 128 road\n0 0 192 car\n")
    with pytest.raises(DataError, match=r"labels/\d.png holds the colour 0 0 0"):
        load(tmp_path, cache=False)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"labels/\d.png is in colours, but nothing says"):
        load(tmp_path, cache=False)


def test_jpeg_and_deep_masks_are_refused(tmp_path):
    make_masks(tmp_path)
    (tmp_path / "labels/1.png").write_bytes(encoded(values(1), "JPEG"))
    with pytest.raises(DataError, match=r"labels/1.png is a JPEG"):
        load(tmp_path, cache=False)
    (tmp_path / "labels/1.png").write_bytes(encoded(values(1).astype(np.uint16) * 300))
    with pytest.raises(DataError, match=r"labels/1.png holds the value 600"):
        load(tmp_path, cache=False)


def test_lonely_and_broken_ones_are_left_out_and_told(tmp_path):
    make_masks(tmp_path, 9)
    (tmp_path / "labels/1.png").unlink()
    (tmp_path / "images/2.png").unlink()
    (tmp_path / "images/3.png").write_bytes(b"no")
    whole = (tmp_path / "labels/4.png").read_bytes()
    (tmp_path / "labels/4.png").write_bytes(whole[: len(whole) // 2])
    data = load(tmp_path, cache=False)
    found = kinds(data)
    assert found["picture without mask"][0].where == "images/1.png"
    assert found["mask without picture"][0].where == "labels/2.png"
    assert found["unreadable picture"][0].where == "images/3.png"
    assert found["unreadable mask"][0].where == "labels/4.png"
    assert np.array_equal(data.targets, expected(9)[[0, 5, 6, 7, 8]])
    assert np.array_equal(data.inputs[1], noise_u8(*SIZE, 3, seed=5).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("road\nroad\n", "names class 'road' twice"),
        ("road\nRoad\n", "two names for one class"),
        ("300 road\n1 car\n", "must differ and be 0 to 255"),
        ("1 2 3 road\ncar\n", "some classes have a colour"),
        ("1 2 3 road\n1 2 3 car\n", "colours of the classes must differ"),
        ("", "names no classes"),
        ("void\nunlabelled\nignore\n", "hold no class"),
    ],
)
def test_lists_that_make_no_sense_are_refused(tmp_path, text, what):
    make_masks(tmp_path)
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=what):
        load(tmp_path, cache=False)


def test_the_colours_made_up_are_pascal_vocs():
    published = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert [tuple(c) for c in colour_wheel(5).tolist()] == published
    assert tuple(colour_wheel(21)[20].tolist()) == (0, 64, 128)


def test_classes_called_mask_and_no_mask_are_classes(tmp_path):
    for k, name in enumerate(("mask", "no_mask")):
        (tmp_path / name).mkdir()
        for i in range(6):
            (tmp_path / name / f"{i}.png").write_bytes(encoded(noise_u8(9, 9, seed=10 * k + i)))
    assert load(tmp_path, cache=False).task == "classification"


# -- levels, soft edges, 255 ----------------------------------------------------------------------


def levels(of):
    return lambda k: np.array(of, np.uint8)[values(k, len(of))]


def soft(k, steps=256):
    """A bright disc on black whose edge fades over two pixels, in so many levels."""
    y, x = np.mgrid[:60, :80]
    fade = np.clip((20 - np.hypot(y - 30, x - 40 - k)) / 2, 0, 1)
    return (np.rint(fade * (steps - 1)) * 255 / (steps - 1)).astype(np.uint8)


def large(root, mask, n=6):
    """As make_masks, of 60 x 80 pixels."""
    for k in range(n):
        for folder, pixels in (("images", noise_u8(60, 80, 3, seed=k)), ("masks", mask(k))):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{k}.png").write_bytes(encoded(pixels))
    return root


@pytest.mark.parametrize("of", [(0, 127, 254), (0, 128, 255), (0, 85, 170, 255), (10, 200)])
def test_few_levels_are_each_a_class_and_255_is_none_to_ignore(tmp_path, of):
    root = make_masks(tmp_path, mask=levels(of))
    data = load(root, cache=False)
    assert data.classes == [str(value) for value in of]
    assert np.array_equal(data.targets, np.stack([values(k, len(of)) for k in range(6)]))
    assert "--format masks:numbers" in kinds(data)["values of masks"][0].detail
    numbers = load(root, format="masks:numbers", cache=False)
    assert len(numbers.classes) == max(v for v in of if v != 255) + 1


def test_levels_are_named_in_order_by_a_list_of_as_many(tmp_path):
    make_masks(tmp_path, mask=levels((0, 127, 254)))
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    data = load(tmp_path, cache=False)
    assert data.classes == ["sky", "road", "car"] and np.array_equal(data.targets, expected())
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    with pytest.raises(DataError, match=r"holds the value 127, which no class has"):
        load(tmp_path, cache=False)


@pytest.mark.parametrize("steps", [256, 9])
@pytest.mark.parametrize("named", [False, True])
def test_soft_edges_are_cut_in_the_middle_and_told(tmp_path, steps, named):
    root = large(tmp_path, lambda k: soft(k, steps))
    if named:
        (root / "classes.txt").write_text("nothing\ndisc\n")
    data = load(root, cache=False)
    assert data.classes == (["nothing", "disc"] if named else ["background", "foreground"])
    assert np.array_equal(data.targets, np.stack([soft(k, steps) >= 128 for k in range(6)]))
    assert "foreground from 128 on" in kinds(data)["values of masks"][0].detail


def test_grey_pictures_as_masks_are_refused_with_what_to_say(tmp_path):
    root = large(tmp_path, lambda k: noise_u8(60, 80, seed=k))
    with pytest.raises(DataError, match=r"hold 256 values .*--format masks:threshold"):
        load(root, cache=False)
    data = load(root, format="masks:threshold", cache=False)
    assert data.classes == ["background", "foreground"]
    assert np.array_equal(data.targets[0], noise_u8(60, 80, seed=0) >= 128)


def test_numbers_up_to_many_classes_stay_numbers(tmp_path):
    root = large(tmp_path, lambda k: noise_u8(60, 80, seed=k) % 151)
    assert len(load(root, cache=False).classes) == 151


def test_255_among_numbers_is_ignored_told_and_can_be_a_class(tmp_path):
    root = make_masks(tmp_path, mask=levels((0, 1, 255)))
    told = kinds(load(root, cache=False))["values of masks"][0].detail
    assert "255 is neither learnt nor scored; --format masks:levels" in told
    data = load(root, format="masks:levels", cache=False)
    assert data.classes == ["0", "1", "255"] and np.array_equal(data.targets, expected())


def test_masks_of_two_kinds_are_refused_by_name(tmp_path):
    make_masks(tmp_path, mask=lambda k: levels((0, 255) if k == 4 else (0, 1))(k))
    with pytest.raises(DataError, match=r"labels/0.png has the values 0 and 1, labels/4.png 0 and"):
        load(tmp_path, cache=False)
