"""Each line of the tables in docs/data.md: its files are made, and read as the line says."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_marks import cvat, label_studio, labelme, marks
from made_pictures import encoded, make_folder, noise_u8
from made_seen import make_coco, make_csv, make_voc, make_yolo, pictures, some_items
from made_tables import TABLE_MAKERS

from depthwise.data.load import load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
ROWS = re.findall(r"^\| ([^|]+) \| (`[^|]+`) \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)


def parted(root):
    make_folder(root, parts=("train", "test"))


def zipped(root):
    folder = make_folder(root / "unpacked")
    shutil.make_archive(str(root / "pets"), "zip", folder)
    shutil.rmtree(folder)


def archived(root, names=("cat.zip", "dog.tar.xz"), **options):
    folder = make_folder(root / "unpacked", **options)
    for name in names:
        of = name.split(".")[0]
        shutil.make_archive(
            str(root / of), {"zip": "zip", "xz": "xztar"}[name.split(".")[-1]], folder / of
        )
    shutil.rmtree(folder)


def parts_archived(root):
    archived(root, ("train.zip", "test.zip"), parts=("train", "test"))


def some(root, n=12, folder=".", size=(9, 11, 3)):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for k in range(n):
        (root / folder / f"{k}.png").write_bytes(encoded(noise_u8(*size, seed=k)))


def called_by_class(root):
    some(root, folder="train")
    for k in range(12):
        (root / f"train/{k}.png").rename(root / f"train/{('cat', 'dog')[k % 2]}.{k // 2}.png")


def tabled(root, name, header, row, folder="images"):
    some(root, folder=folder)
    rows = [row.format(k=k, c=k % 2) for k in range(12)]
    (root / name).write_text("\n".join([header, *rows] if header else rows))


def with_box_lists(root):
    pictures(root / "images", some_items())
    rows = [f'p{k},60,40,"[2.0, 3.0, 30.0, 30.0]"' for k in range(6)]
    (root / "wheat.csv").write_text("\n".join(["image_id,width,height,bbox", *rows]))


def as_open_images(root):
    pictures(root / "images", some_items())
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf"
    rows = [f"p{k},xclick,/m/0{k % 2},1,0.1,0.5,0.25,0.75,0" for k in range(6)]
    (root / "annotations-bbox.csv").write_text("\n".join([header, *rows]))
    (root / "class-descriptions-boxable.csv").write_text("/m/00,Tortoise\n/m/01,Tree\n")


def with_masks(root):
    some(root, folder="images")
    (root / "masks").mkdir()
    for k in range(12):
        mask = np.arange(99).reshape(9, 11) % 3
        (root / f"masks/{k}.png").write_bytes(encoded(mask.astype(np.uint8)))


def with_frames(root):
    for k in range(8):
        folder = root / ("run", "walk")[k % 2] / f"clip_{k // 2}"
        folder.mkdir(parents=True)
        for f in range(5):
            frame = np.clip(noise_u8(9, 11, 3, seed=k).astype(int) + f, 0, 255)
            (folder / f"frame_{f}.png").write_bytes(encoded(frame.astype(np.uint8)))


def with_captions(root):
    some(root, folder="images")
    lines = [f"{k}.png\tpicture {k} of twelve\n" for k in range(12)]
    (root / "captions.txt").write_text("".join(lines))


MAKERS = {
    "a folder a class": make_folder,
    "the same below a split": parted,
    "a zip of class folders": zipped,
    "the same, as people call their folders": lambda root: make_folder(
        root, parts=("training_set", "test_set")
    ),
    "one archive a class": archived,
    "one archive a part": parts_archived,
    "pictures alone": some,
    "classes in the names": called_by_class,
    "pictures and a table of labels": lambda root: tabled(
        root, "labels.csv", "id,label", "{k},c{c}"
    ),
    "the same, with a number": lambda root: tabled(root, "ages.csv", "id,age", "{k}.png,{k}.5"),
    "a list apart by white space": lambda root: tabled(
        root, "train.txt", None, "images/{k}.png {c}"
    ),
    "Hugging Face's folder, CSV": lambda root: tabled(
        root, "train/metadata.csv", "file_name,label", "{k}.png,c{c}", "train"
    ),
    "Hugging Face's folder, JSON lines": lambda root: tabled(
        root, "train/metadata.jsonl", None, '{{"file_name": "{k}.png", "label": {c}}}', "train"
    ),
    "Pascal VOC": lambda root: make_voc(root, some_items()),
    "COCO": lambda root: make_coco(root, some_items()),
    "labelme": labelme,
    "labelme with the pictures inside": lambda root: labelme(root, inside=True),
    "Label Studio": label_studio,
    "CVAT for images": lambda root: cvat(
        root, "".join(f'<image name="{n}.png">{marks(b)}</image>' for n, b in some_items().items())
    ),
    "YOLO": lambda root: make_yolo(root, some_items()),
    "a table of boxes": lambda root: make_csv(root, some_items()),
    "a table with a box as a list": with_box_lists,
    "Open Images": as_open_images,
    "masks": with_masks,
    "folders of frames": with_frames,
    "captions": with_captions,
    **TABLE_MAKERS,
}


def test_every_line_of_the_page_has_a_maker_and_every_maker_a_line():
    assert [layout for layout, _, _ in ROWS] == [*MAKERS]


@pytest.mark.parametrize(("layout", "files", "task"), ROWS, ids=[row[0] for row in ROWS])
def test_a_layout_is_read_as_its_line_says(tmp_path, layout, files, task):
    MAKERS[layout](tmp_path)
    for name in re.findall(r"`([^`]+)`", files):
        assert (tmp_path / name).is_file()
    assert load(tmp_path, cache=False).task == task
