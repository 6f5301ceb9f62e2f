"""Boxes in tables: names of columns, and what rows say."""

import pytest
from made_seen import kinds, make_csv, picture, pictures, some_items

from depthwise.data.load import load
from depthwise.errors import DataError


@pytest.mark.parametrize(
    "header",
    [
        "filename,xmin,ymin,xmax,ymax,class",
        "image_path,x1,y1,x2,y2,label",
        "Image,X_Min,Y_Min,X_Max,Y_Max,category",
        "file_name,left,top,right,bottom,name",
        "",
    ],
)
def test_usual_names_of_columns_mean_the_same(tmp_path, header):
    data = load(make_csv(tmp_path, some_items(), header), cache=False)
    assert data.targets[0][0].tolist() == [[2, 3, 20, 30], [5, 1, 9, 33]]
    assert data.classes == ["cat", "dog"] and len(data.inputs) == 6


@pytest.mark.parametrize("separator", ",;\t")
def test_sides_instead_of_edges_and_other_separators(tmp_path, separator):
    pictures(tmp_path, some_items())
    rows = [
        ["label", "x", "y", "w", "h", "image"],
        *(["cat", "2", "3", "18", "27", f"p{k}"] for k in range(6)),
    ]
    (tmp_path / "t.csv").write_text("\n".join(separator.join(row) for row in rows))
    assert load(tmp_path, cache=False).targets[5][0].tolist() == [[2, 3, 20, 30]]


def test_width_and_height_beside_edges_are_the_pictures_own(tmp_path):
    pictures(tmp_path, some_items())
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    rows += [f"p{k}.png,{60 if k else 61},40,cat,2,3,20,30" for k in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 5 and "says 40 x 61" in kinds(data)["lying size"][0].where


def test_a_column_says_the_part(tmp_path):
    pictures(tmp_path, some_items())
    rows = ["filename,xmin,ymin,xmax,ymax,class,split"]
    rows += [
        f"p{k}.png,2,3,20,30,cat,{p}"
        for k, p in enumerate(["train", "train", "train", "val", "test", "test"])
    ]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data = load(tmp_path, cache=False)
    assert [data.indices[p].tolist() for p in ("train", "validation", "test")] == [
        [0, 1, 2],
        [3],
        [4, 5],
    ]
    (tmp_path / "t.csv").write_text("\n".join([*rows, "p5.png,2,3,9,9,cat,train"]))
    with pytest.raises(DataError, match=r"p5.png is in two parts"):
        load(tmp_path, cache=False)
    (tmp_path / "t.csv").write_text("\n".join([*rows, "p5.png,2,3,9,9,cat,tset"]))
    with pytest.raises(DataError, match=r"split 'tset'"):
        load(tmp_path, cache=False)


def test_tables_named_after_parts_are_the_split(tmp_path):
    for part, first in (("train", 0), ("test", 4)):
        pictures(tmp_path / part, {f"p{first + k}": [] for k in range(4)})
        rows = ["filename,xmin,ymin,xmax,ymax,class"]
        rows += [f"p{first + k}.png,2,{3 + first},20,30,cat" for k in range(4)]
        (tmp_path / f"{part}_labels.csv").write_text("\n".join(rows))
    data = load(tmp_path, cache=False)
    assert data.test.y.boxes_xyxy[:, 1].tolist() == [7] * 4  # only there boxes begin at 7
    assert len(data.train.y) + len(data.validation.y) == 4


def test_a_picture_in_no_row_is_left_out_and_told(tmp_path):
    make_csv(tmp_path, some_items())
    (tmp_path / "images/extra.png").write_bytes(picture(50))
    (tmp_path / "images/p2.png").unlink()
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 5
    assert "extra.png" in kinds(data)["picture without annotation"][0].where
    assert kinds(data)["annotation without picture"][0].where == "p2.png"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("p0.png,1,2,3,4", "has 5 cells, the first has 6"),
        ("p0.png,1,2,3,4,", "without a class"),
        ("p0.png,1,,3,4,cat", "'' is no coordinate"),
    ],
)
def test_rows_that_are_none_are_refused_with_file_and_line(tmp_path, row, what):
    make_csv(tmp_path, some_items())
    path = tmp_path / "boxes.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(DataError, match=rf"boxes.csv, line 13.*{what}"):
        load(tmp_path, cache=False)


def test_a_table_of_other_things_beside_pictures_is_not_taken_for_boxes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(6):
            (tmp_path / name / f"{k}.png").write_bytes(picture(k + 10 * (name == "b")))
    (tmp_path / "about.csv").write_text("filename,photographer,x\n1.png,Ada,3\n")
    assert load(tmp_path, cache=False).task == "classification"
