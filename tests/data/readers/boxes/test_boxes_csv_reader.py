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


# -- lists, shares, Open Images -------------------------------------------------------------------

SIZE_HW = (40, 60)
FOUR = [(2, 3, 20, 30), (30, 10, 25, 28), (5, 1, 50, 12)]  # left, top, width, height


def with_rows(root, header, rows, n=3):
    (root / "images").mkdir(parents=True)
    for k in range(n):
        (root / f"images/p{k}.png").write_bytes(picture(k))
    (root / "boxes.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def test_a_box_may_be_a_list_in_one_cell(tmp_path):
    rows = [f'p{k},60,40,"[{a}.0, {b}, {c}, {d}]",cat' for k, (a, b, c, d) in enumerate(FOUR)]
    data = load(with_rows(tmp_path, "image_id,width,height,bbox,label", rows), cache=False)
    assert data.targets.boxes_xyxy.tolist() == [
        [a, b, a + c, b + d] for a, b, c, d in FOUR
    ]  # the second list can be no edges: its right would be left of its left
    assert "--format" not in kinds(data)["boxes as lists"][0].detail


def test_lists_that_reach_beyond_the_picture_as_sides_are_edges(tmp_path):
    edges = [(10, 10, 55, 38), (2, 2, 30, 30), (20, 4, 50, 30)]
    rows = [f'p{k}.png,"({a} {b} {c} {d})"' for k, (a, b, c, d) in enumerate(edges)]
    data = load(with_rows(tmp_path, "image,bbox", rows), cache=False)
    assert data.targets.boxes_xyxy.tolist() == [list(map(float, four)) for four in edges]


def test_lists_that_may_be_both_are_told_and_can_be_had_otherwise(tmp_path):
    rows = [f'p{k}.png,"[2, 3, 20, 30]"' for k in range(3)]
    root = with_rows(tmp_path, "image,bbox", rows)
    data = load(root, cache=False)
    assert data.targets[0][0].tolist() == [[2, 3, 22, 33]]
    assert "--format boxes:edges" in kinds(data)["boxes as lists"][0].detail
    assert load(root, format="boxes:edges", cache=False).targets[0][0].tolist() == [[2, 3, 20, 30]]
    assert load(root, format="boxes:sides", cache=False).targets[0][0].tolist() == [[2, 3, 22, 33]]


def test_a_list_that_has_not_four_numbers_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"boxes.csv, line 2: '\[1, 2, 3\]' is no list of four"):
        load(with_rows(tmp_path, "image,bbox", ['p0.png,"[1, 2, 3]"']), cache=False)


def test_boxes_as_shares_are_scaled_and_told(tmp_path):
    rows = [f"p{k}.png,0.1,0.25,0.5,0.75,cat" for k in range(3)]
    data = load(with_rows(tmp_path, "filename,xmin,ymin,xmax,ymax,class", rows), cache=False)
    assert data.targets[0][0].round(3).tolist() == [[6, 10, 30, 30]]
    assert "shares" in kinds(data)["boxes as shares"][0].detail


def test_boxes_of_noughts_and_ones_are_told_and_can_be_had_as_shares(tmp_path):
    rows = [f"p{k}.png,0,0,1,1,cat" for k in range(3)]
    root = with_rows(tmp_path, "filename,xmin,ymin,xmax,ymax,class", rows)
    told = kinds(load(root, cache=False))["boxes as shares"][0].detail
    assert "pixels; --format boxes:shares" in told
    data = load(root, format="boxes:shares", cache=False)
    assert data.targets[0][0].tolist() == [[0, 0, 60, 40]]


def test_open_images_names_its_classes_in_a_list_of_their_own(tmp_path):
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"
    rows = [f"p{k},xclick,/m/01,1,0.1,0.5,0.25,0.75,0,{int(k == 2)}" for k in range(3)]
    root = with_rows(tmp_path, header, [*rows, "p1,xclick,/m/02,1,0,1,0,1,0,0"])
    (root / "class-descriptions-boxable.csv").write_text("/m/02,Tree\n/m/01,Tortoise\n")
    data = load(root, cache=False)
    assert data.classes == ["Tortoise", "Tree"]
    assert data.targets[1][0].round(3).tolist() == [[6, 10, 30, 30], [0, 0, 60, 40]]
    assert data.targets.crowd.tolist() == [False, False, False, True]
