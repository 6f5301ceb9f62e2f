"""The shared real sets of boxes, masks, clips and faces, against what their README counts."""

from functools import cache

import numpy as np

from depthwise.data import load as front
from depthwise.data.targets.box_table import BoxTable


@cache
def load(path, **options):
    """Once for all tests of this file."""
    return front(path, cache=False, **options)


def test_blood_cells_are_read_as_counted(real):
    data = load(real("bccd.zip"))
    boxes = data.targets
    assert data.task == "detection" and isinstance(boxes, BoxTable)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [205, 87, 72]
    assert dict(zip(data.classes, boxes.class_counts(3).tolist())) == {
        "Platelets": 361, "RBC": 4_155 - 2, "WBC": 372,
    }  # fmt: skip
    assert len(boxes.labels) == 4_888 - 2
    assert (boxes.counts.min(), boxes.counts.max()) == (1, 30)
    flat = [p for p in data.problems if p.kind == "box of no area"]
    assert ["BloodImage_00338" in flat[0].where, "BloodImage_00343" in flat[1].where] == [True] * 2
    assert data.input_shape == (3, 240, 320) and (data.sizes == [480, 640]).all()


def test_blood_cells_lie_where_their_file_says(real):
    import xml.etree.ElementTree as ET
    import zipfile

    data = load(real("bccd.zip"))
    with zipfile.ZipFile(real("bccd.zip")) as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".xml"))
        root = ET.fromstring(archive.read(names[7]))
    said = [[float(e.text) / 2 for e in box] for box in root.iter("bndbox")]  # 640 became 320
    assert np.allclose(data.targets[7][0], said)


def test_street_scenes_are_read_as_counted(real):
    data = load(real("camvid-240.zip"))
    assert data.task == "segmentation" and data.ignore_index == 255
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [367, 101, 233]
    assert len(data.classes) == 11 and "Unlabelled" not in data.classes
    shares = np.bincount(np.asarray(data.targets).reshape(-1), minlength=256) / data.targets.size
    published = [15.7, 24.1, 1.0, 29.5, 6.7, 11.2, 1.1, 1.4, 4.6, 0.6, 0.5]
    assert np.allclose(100 * shares[:11], published, atol=0.06)
    assert abs(100 * shares[255] - 3.6) < 0.06
    assert data.inputs.shape == (701, 3, 180, 240) and data.targets.shape == (701, 180, 240)


def test_fight_clips_are_read_as_counted(real):
    data = load(real("fight-clips.zip"))
    assert data.task == "video" and data.inputs.shape == (300, 16, 3, 60, 80)
    assert data.classes == ["fight", "noFight"] and np.bincount(data.labels).tolist() == [150, 150]
    assert data.counts()["test"].tolist() == [38, 37] and len(data.indices["test"]) == 75


def test_frames_of_fight_clips_are_cut_where_the_strips_are_joined(real):
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(real("fight-clips.zip")) as archive:
        strip = np.asarray(Image.open(io.BytesIO(archive.read("clips/fi001.jpg"))))
    data = load(real("fight-clips.zip"))
    assert np.array_equal(data.inputs[0, 3], strip[180:240].transpose(2, 0, 1))
    few = load(real("fight-clips.zip"), frames=4)  # of 0..15: 0, 5, 10, 15
    assert np.array_equal(few.inputs[0], data.inputs[0, [0, 5, 10, 15]])


def test_no_source_video_is_on_two_sides_of_the_split(real):
    import zipfile

    with zipfile.ZipFile(real("fight-clips.zip")) as archive:
        rows = archive.read("clips.tsv").decode().splitlines()[1:]
    sources = np.array([row.split("\t")[3] for row in rows])
    data = load(real("fight-clips.zip"))
    parts = [set(sources[data.indices[p]]) for p in ("train", "validation", "test")]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_faces_and_their_pairs_are_read_as_published(real):
    data = load(real("lfw-64.zip"))
    pairs = data.pairs
    assert data.task == "faces" and data.inputs.shape == (13_233, 1, 64, 64)
    assert len(data.classes) == 5_749 and (np.bincount(data.labels) >= 2).sum() == 1_680
    assert pairs.n_folds == 10
    for k in range(10):
        assert (pairs.fold(k).same.sum(), (~pairs.fold(k).same).sum()) == (300, 300)
    assert (pairs.same == (data.labels[pairs.left] == data.labels[pairs.right])).all()


def test_people_of_one_fold_are_in_no_other_and_in_one_part_only(real):
    data = load(real("lfw-64.zip"))
    folds = [set(data.pairs.people(data.labels, k).tolist()) for k in range(10)]
    assert sum(map(len, folds)) == len(set().union(*folds))
    people = [set(data.labels[data.indices[p]].tolist()) for p in ("train", "validation", "test")]
    assert people[2] == folds[9] and people[1] == folds[8]
    assert not people[0] & (people[1] | people[2])


def test_the_first_pair_is_the_one_that_the_list_names(real):
    data = load(real("lfw-64.zip"))  # Abel_Pacheco 1 4: his pictures, in the order of their names
    his = np.flatnonzero(data.labels == data.classes.index("Abel_Pacheco"))
    assert (data.pairs.left[0], data.pairs.right[0]) == (his[0], his[3])
