"""Labels that no reader takes are an error that names file and line, never unlabelled data."""

import numpy as np
import pytest
from made_pictures import encoded, noise_u8
from made_seen import kinds, make_coco, make_csv, make_voc, make_yolo, some_items, yolo_line

from depthwise.cli import main
from depthwise.data.load import load
from depthwise.errors import DataError


def side_by_side(root, n=8, folder="images"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for k in range(n):
        (root / folder / f"{k}.png").write_bytes(encoded(noise_u8(8, 9, seed=k)))
    return root


ODD = {
    "labels/3.txt": ("\n\nx=3 y=4 w=5\n", "labels/3.txt, line 3: 'x=3 y=4 w=5'"),
    "images/3.txt": ("a cat, seen from the left\n", "images/3.txt, line 1: 'a cat"),
    "annotations/3.xml": ("<thing><a/></thing>\n", "annotations/3.xml, line 1: '<thing>"),
    "marks/3.json": ('{"what": 1}\n', 'marks/3.json, line 1: \'{"what": 1}'),
    "seen.csv": ("look at 3.png, it is odd\n", "seen.csv, line 1: 'look at 3"),
    "seen.txt": ("\n".join(f"{k} ? {k}" for k in range(8)), "seen.txt, line 1: '0 [?] 0'"),
}


@pytest.mark.parametrize("file", ODD)
def test_labels_of_no_known_kind_are_told_with_file_and_line(tmp_path, file):
    side_by_side(tmp_path)
    content, said = ODD[file]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=f"labels seen but not read: {said}"):
        load(tmp_path, cache=False)
    data = load(tmp_path, labelled=False, cache=False)
    assert len(data.labels) == 8 and data.task == "unlabelled"


def test_the_command_line_ends_with_2_unless_anomaly_was_asked_for(tmp_path, capsys):
    side_by_side(tmp_path)
    (tmp_path / "seen.csv").write_text("look at 3.png, it is odd\n")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path)])
    assert ended.value.code == 2 and "labels seen but not read" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path), "--task", "anomaly"])
    assert ended.value.code in (0, None)


def test_what_are_no_labels_does_not_stand_in_the_way(tmp_path):
    side_by_side(tmp_path, folder="")
    (tmp_path / "README.txt").write_text("Eight pictures, made in 2024.\n")
    (tmp_path / "train.txt").write_text("0.png\n1.png\n2\n")
    assert load(tmp_path, cache=False).task == "unlabelled"


def test_in_class_folders_notes_may_lie_beside_pictures_but_not_annotations(tmp_path):
    side_by_side(tmp_path, folder="cam1")
    side_by_side(tmp_path, folder="cam2")
    (tmp_path / "cam1/3.txt").write_text("a cat\n")
    assert load(tmp_path, cache=False).classes == ["cam1", "cam2"]
    (tmp_path / "cam1/3.json").write_text('{"what": 1}\n')
    with pytest.raises(DataError, match=r"labels seen but not read: cam1/3\.json, line 1"):
        load(tmp_path, cache=False)


def test_label_files_that_are_all_empty_say_that_the_export_lost_its_boxes(tmp_path):
    side_by_side(tmp_path)
    (tmp_path / "labels").mkdir()
    for k in range(8):
        (tmp_path / f"labels/{k}.txt").touch()
    with pytest.raises(DataError, match=r"all 8 label files are empty .*rotated"):
        load(tmp_path, cache=False)
    empty = {name: [] for name in some_items()}
    for make in (make_voc, make_coco):
        with pytest.raises(DataError, match=r"all 6 annotations are without a box"):
            load(make(tmp_path / make.__name__, empty), cache=False)


def test_one_odd_label_file_of_many_is_an_error_about_that_file(tmp_path):
    make_yolo(tmp_path, some_items(20))
    (tmp_path / "labels/p0.txt").write_text("cat at the left\n")
    with pytest.raises(DataError, match=r"labels/p0\.txt, line 1 .*'cat at the left'"):
        load(tmp_path, cache=False)


@pytest.mark.parametrize(
    "written",
    [
        lambda line: line.replace("0 ", "0.0 ", 1).replace("1 ", "1.0 ", 1),
        lambda line: line.replace(" ", ","),
        lambda line: line.replace(" ", ", "),
        lambda line: line.replace(" ", ";"),
        lambda line: ("cat" if line[0] == "0" else "dog") + line[1:],
        lambda line: "\n" + line.replace("\n", "\r\n"),
    ],
)
def test_yolo_as_people_write_it(tmp_path, written):
    items = some_items()
    want = load(make_yolo(tmp_path / "plain", items), cache=False)
    make_yolo(tmp_path / "odd", items)
    for name, boxes in items.items():
        lines = [written(yolo_line(("cat", "dog").index(c), box)) for c, box in boxes]
        (tmp_path / f"odd/labels/{name}.txt").write_bytes(("\ufeff" + "".join(lines)).encode())
    found = load(tmp_path / "odd", cache=False)
    assert found.classes == want.classes
    assert np.array_equal(found.targets.labels, want.targets.labels)
    assert np.allclose(found.targets.boxes_xyxy, want.targets.boxes_xyxy)
    (tmp_path / "odd/data.yaml").unlink()
    assert len(load(tmp_path / "odd", cache=False).classes) == 2


def test_the_line_of_an_error_counts_blank_lines(tmp_path):
    make_yolo(tmp_path, some_items())
    (tmp_path / "labels/p2.txt").write_text("0 .5 .5 .1 .1\n\n\n0 .5 .5 .1\n")
    with pytest.raises(DataError, match=r"labels/p2\.txt, line 4 has 4 numbers"):
        load(tmp_path, cache=False)


@pytest.mark.parametrize("make", [make_voc, make_coco, make_yolo, make_csv])
def test_a_box_that_is_repeated_counts_once_and_is_told(tmp_path, make):
    items = some_items()
    items["p3"] = [*items["p3"], items["p3"][0], ("dog", items["p3"][0][1])]
    data = load(make(tmp_path, items), cache=False)
    assert data.targets.counts.tolist() == [2, 0, 2, 3, 2, 2]
    assert len(kinds(data)["repeated box"]) == 1
