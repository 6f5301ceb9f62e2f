"""YOLO: lines of text, names of classes, and where labels lie."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_seen import kinds, make_yolo, picture, some_items, yolo_line

from depthwise.data.load import load
from depthwise.data.readers.boxes.yolo_names import names_in_yaml
from depthwise.errors import DataError

FORMS = {
    "flow": lambda names: "names: [" + ", ".join(f'"{n}"' for n in names) + "]\n",
    "single quotes": lambda names: "names: [" + ",".join(f"'{n}'" for n in names) + "]\n",
    "block": lambda names: "names:\n" + "".join(f"  - '{n}'\n" for n in names),
    "flat block": lambda names: "names:\n" + "".join(f"- {n}\n" for n in names),
    "numbered": lambda names: "names:\n" + "".join(f"  {k}: {n}\n" for k, n in enumerate(names)),
    "flow numbered": lambda names: (
        "names: {" + ", ".join(f"{k}: {n}" for k, n in enumerate(names)) + "}\n"
    ),
}
words = st.lists(
    st.from_regex(r"[A-Za-zäöß][A-Za-z0-9äöß_/-]{0,8}( [A-Za-z0-9]{1,5})?", fullmatch=True),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(words)
@settings(max_examples=60, deadline=None)
def test_all_usual_forms_of_names_say_the_same(names):
    for form in FORMS.values():
        text = f"path: ../data  # where\ntrain: images/train\n{form(names)}nc: {len(names)}\n"
        assert names_in_yaml(text, "data.yaml") == names


@pytest.mark.parametrize(
    "names",
    [
        *("names: cat, dog", "names: &anchor [a]", "names: [a, [b]]", "names:\n  1: a\n  0: b"),
        *("names: {1: a}", "names:\n  a\n", "names: [a", "names: |\n  a\n", "names: ['a]"),
    ],
)
def test_forms_that_are_not_understood_are_refused_and_not_guessed(names):
    with pytest.raises(DataError, match=r"data.yaml: names is written as"):
        names_in_yaml(names + "\n", "data.yaml")


def test_a_count_that_is_not_that_of_the_names_is_refused(tmp_path):
    make_yolo(tmp_path, some_items(), names="nc: 3\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"data.yaml says nc: 3 but has 2 names"):
        load(tmp_path, cache=False)


def test_lists_of_classes_that_disagree_are_refused_with_both_files(tmp_path):
    make_yolo(tmp_path, some_items())
    (tmp_path / "classes.txt").write_text("cat\nhen\n")
    with pytest.raises(DataError, match=r"classes.txt and data.yaml disagree.*'dog'|'hen'"):
        load(tmp_path, cache=False)


def test_without_a_list_classes_are_called_by_their_numbers(tmp_path):
    data = load(make_yolo(tmp_path, some_items(), names=""), cache=False)
    assert data.classes == ["0", "1"] and "no class names" in kinds(data)


def test_a_picture_without_a_label_file_has_nothing_in_it(tmp_path):
    make_yolo(tmp_path, some_items())
    (tmp_path / "labels/p3.txt").unlink()
    (tmp_path / "labels/stray.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    data = load(tmp_path, cache=False)
    assert data.targets.counts.tolist() == [2, 0, 2, 0, 2, 2]
    assert "stray.txt" in kinds(data)["annotation without picture"][0].where


@pytest.mark.parametrize("layout", ["{part}/images/{k}", "images/{part}/{k}", "{part}/{k}"])
def test_folders_of_the_parts_on_either_side(tmp_path, layout):
    for k, part in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 2):
        image = tmp_path / (layout.format(part=part, k=k) + ".png")
        label = tmp_path / (layout.replace("images", "labels").format(part=part, k=k) + ".txt")
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(picture(k))
        label.write_text(yolo_line(k % 2, (1, 2, 30, 20)))
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [5, 2, 2]
    assert data.targets.counts.tolist() == [1] * 9


def test_an_outline_counts_as_the_box_round_it_and_a_confidence_is_passed_over(tmp_path):
    make_yolo(tmp_path, some_items())
    (tmp_path / "labels/p0.txt").write_text("0 0.1 0.2 0.5 0.1 0.4 0.6\n1 0.5 0.5 0.2 0.4 0.9\n")
    found = load(tmp_path, cache=False).targets[0][0]  # on 60 x 40 pixels
    assert found.round(3).tolist() == [[6, 4, 30, 24], [24, 12, 36, 28]]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("2 0.5 0.5 0.1 0.1", "no class '2'; classes are 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "no class '-1'"),
        ("1.5 0.5 0.5 0.1 0.1", "no class '1.5'"),
        ("9" * 5000 + " 0.5 0.5 0.1 0.1", "no class '9999"),
        ("0 0.5 0.5 0.1", "has 4 numbers"),
        ("0 12 30 8 9", "no shares of the picture"),
        ("0 0.5 nan 0.1 0.1", "no coordinate"),
        ("0 0,5 0,5 0,1 0,1", "no coordinate"),
    ],
)
def test_lines_that_are_none_are_refused_with_file_and_line(tmp_path, line, what):
    make_yolo(tmp_path, some_items())
    path = tmp_path / "labels/p4.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"labels/p4.txt, line 3.*{what}"):
        load(tmp_path, cache=False)


def test_text_beside_pictures_is_not_taken_for_boxes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(6):
            (tmp_path / name / f"{k}.png").write_bytes(picture(k + 10 * (name == "b")))
            (tmp_path / name / f"{k}.txt").write_text("a small cat, seen from the left\n")
    assert load(tmp_path, cache=False).task == "classification"


def with_lines(root, lines, yaml="names: [cat, dog]\n"):
    make_yolo(root, some_items(), names=yaml)
    for k in range(6):
        (root / f"labels/p{k}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


BOX = "0 0.5 0.5 0.2 0.4"  # on 60 x 40 pixels: 24, 12, 36, 28


@pytest.mark.parametrize(
    ("points", "yaml"),
    [
        ("0.45 0.4 0.9 0.9 0.0 0.0", "kpt_shape: [3, 2]\nnames: [cat, dog]\n"),
        ("0.45 0.4 2 0.9 0.9 1", "names: [cat, dog]\nkpt_shape: [2, 3]\n"),
        ("0.45 0.4 2 0.9 0.9 1", "names: [cat, dog]\n"),
        ("0.45 0.4 0.55 0.6", "names: [cat, dog]\n"),
        ("0.45 0.4 0.55 0.6 0 0", "names: [cat, dog]\n"),
    ],
)
def test_keypoints_come_after_the_box(tmp_path, points, yaml):
    data = load(with_lines(tmp_path, [f"{BOX} {points}"], yaml), cache=False)
    assert data.targets[0][0].round(3).tolist() == [[24, 12, 36, 28]]
    assert "keypoints" in kinds(data)["lines longer than a box"][0].detail


def test_where_both_fit_it_is_told_and_the_other_reading_can_be_had(tmp_path):
    with_lines(tmp_path, [f"{BOX} 0.45 0.4 0.55 0.6"])
    told = kinds(load(tmp_path, cache=False))["lines longer than a box"][0].detail
    assert "keypoints" in told and "--format yolo:outlines" in told
    data = load(tmp_path, format="yolo:outlines", cache=False)
    assert data.targets[0][0].round(3).tolist() == [[12, 16, 33, 24]]
    assert "--format" not in kinds(data)["lines longer than a box"][0].detail


def test_outlines_of_four_points_are_no_box_and_two_points(tmp_path):
    data = load(with_lines(tmp_path, ["0 0.1 0.1 0.3 0.1 0.3 0.2 0.1 0.2"]), cache=False)
    assert data.targets[0][0].round(3).tolist() == [[6, 4, 18, 8]]
    assert "outlines" in kinds(data)["lines longer than a box"][0].detail


def test_lines_that_kpt_shape_does_not_fit_are_refused(tmp_path):
    with_lines(tmp_path, [f"{BOX} .4 .4 .5 .5"], "kpt_shape: [3, 2]\nnames: [cat, dog]\n")
    with pytest.raises(DataError, match=r"p0.txt, line 1 has 9 numbers; kpt_shape .3, 2. makes 11"):
        load(tmp_path, cache=False)


def test_a_reading_that_a_format_does_not_have_is_refused(tmp_path):
    with pytest.raises(DataError.__base__, match=r"'levels' has no meaning; after yolo: use outl"):
        load(tmp_path, format="yolo:levels")
