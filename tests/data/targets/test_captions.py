"""Captions: which picture they are of, which part it is in, what is refused, and their table."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_pictures import encoded, noise_u8
from made_seen import kinds

from depthwise.data.load import load
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.errors import DataError, InputError

N = 8
lists_of_captions = st.lists(st.lists(st.text(st.characters(exclude_categories=())), max_size=4))


def pictures(root, n=N, folder="images"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for k in range(n):
        (root / folder / f"p{k}.png").write_bytes(encoded(noise_u8(9, 11, 3, seed=k)))
    return root


def token_file(root, n=N, each=2, name="captions.txt"):
    lines = [f"p{k}.png#{c}\tA dog {c} , of {k} .\n" for k in range(n) for c in range(each)]
    (root / name).write_text("".join(lines), encoding="utf-8")
    return root


def of_picture(data, k):
    """The captions of picture p{k}, found by its pixels."""
    pixels = np.moveaxis(noise_u8(9, 11, 3, seed=k), -1, 0)
    (place,) = [i for i, image in enumerate(data.inputs) if np.array_equal(image, pixels)]
    return data.targets[place]


def told(data, kind):
    """How many of this kind were found."""
    return sum(problem.count for problem in kinds(data)[kind])


# -- the table ------------------------------------------------------------------------------------


@given(lists_of_captions)
def test_a_table_gives_back_its_lists_whatever_they_hold(lists):
    """Other scripts, emoji and lone surrogates too."""
    table = CaptionTable.from_lists(lists)
    assert [table[i] for i in range(len(table))] == lists
    again = CaptionTable.of_arrays(table.to_arrays())
    assert again.texts == table.texts and again.tobytes() == table.tobytes()
    assert table.counts.tolist() == [len(captions) for captions in lists]
    assert [lists[i] for i in range(len(lists)) if lists[i]] == [
        [table.texts[m] for m in np.flatnonzero(table.items == i)] for i in np.unique(table.items)
    ]


def test_taking_images_takes_their_captions():
    table = CaptionTable.from_lists([["a"], [], ["b", "c"], ["d"]])
    assert [table.take([3, 2])[i] for i in range(2)] == [["d"], ["b", "c"]]
    assert table.take(np.array([True, False, True, False])).texts == ("a", "b", "c")
    assert table[-1] == ["d"]
    with pytest.raises(IndexError):
        table[4]


def test_tables_that_differ_have_other_bytes():
    lists = [[["ab"], ["c"]], [["a"], ["bc"]], [["ab", "c"], []], [["ab"], ["d"]]]
    assert len({CaptionTable.from_lists(each).tobytes() for each in lists}) == 4


@pytest.mark.parametrize(
    ("y", "told"),
    [
        ("a dog", "y must be a caption, or a list"),
        (["a", "b"], r"y has captions of 2 images, but there are 3"),
        ([["a"], [], ["b"]], r"y\[1\] has no caption \(1 such"),
        ([["a"], ["b", " \n"], ["c"]], r"y\[1\] has an empty caption"),
        ([["a"], ["b"], 3], r"y\[2\] must be a caption"),
        ([["a"], [b"b"], ["c"]], r"y\[1\] must be captions .str.; got bytes"),
    ],
)
def test_captions_that_cannot_be_learnt_from_are_named(y, told):
    with pytest.raises(InputError, match=told):
        CaptionTable.of(y, 3)


def test_one_caption_an_image_needs_no_list():
    assert CaptionTable.of(np.array(["a", "b c"]), 2)[1] == ["b c"]


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["images", ".", "deep/down"])
def test_flickr8k_token_files_are_read(tmp_path, folder):
    data = load(token_file(pictures(tmp_path, folder=folder)), cache=False)
    assert data.task == "captions" and not data.problems
    assert of_picture(data, 3) == ["A dog 0 , of 3 .", "A dog 1 , of 3 ."]
    assert "with 16 captions" in data.summary()


@pytest.mark.parametrize("separator", [",", "|", "\t", ";"])
def test_tables_are_read(tmp_path, separator):
    rows = [separator.join(["image", " caption"])]
    rows += [f"p{k}.png{separator}Dog number {k}, barking" for k in range(N)]
    rows[1] = f'p0.png{separator}"Said, she"'
    (pictures(tmp_path) / "captions.txt").write_text("\n".join(rows))
    data = load(tmp_path, cache=False)
    assert of_picture(data, 0) == ["Said, she"]
    assert of_picture(data, 5) == ["Dog number 5, barking"]  # its comma need not be quoted


def test_coco_json_is_read_with_its_parts(tmp_path):
    for part, chosen in (("train2017", range(4)), ("val2017", range(4, 6)), ("test", range(6, 8))):
        images = [{"id": k, "file_name": f"p{k}.png"} for k in chosen]
        said = [{"id": 9 * k, "image_id": k, "caption": f"dog {k}\ud800"} for k in chosen]
        record = {"images": images, "annotations": said}
        (tmp_path / f"captions_{part}.json").write_text(json.dumps(record))
    data = load(pictures(tmp_path), cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [4, 2, 2]
    assert of_picture(data, 4) == ["dog 4\ud800"] and data.validation.y[0] == ["dog 4\ud800"]


@pytest.mark.parametrize("names", ["{}.txt", "Flickr_8k.{}Images.txt"])
def test_lists_of_the_split_are_kept(tmp_path, names):
    token_file(pictures(tmp_path))
    words = ("train", "val" if names == "{}.txt" else "dev", "test")
    for word, chosen in zip(words, (range(5), [5], [6])):
        (tmp_path / names.format(word)).write_text("".join(f"p{k}.png\n" for k in chosen))
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [5, 1, 1]
    assert data.test.y[0] == ["A dog 0 , of 6 .", "A dog 1 , of 6 ."]
    assert told(data, "unlisted picture") == 1


def test_what_lacks_its_other_half_is_told(tmp_path):
    pictures(token_file(tmp_path, n=N + 2), n=N)
    with (tmp_path / "captions.txt").open("a") as file:
        file.write("p0.png#2\t  \n")
    pictures(tmp_path, n=1, folder="more")
    (tmp_path / "more" / "p0.png").rename(tmp_path / "more" / "lonely.png")
    (tmp_path / "more" / "lonely.png").write_bytes(encoded(noise_u8(9, 11, 3, seed=99)))
    data = load(tmp_path, cache=False)
    assert told(data, "caption without picture") == 2
    assert told(data, "picture without caption") == 1
    assert told(data, "empty caption") == 1
    assert len(data.inputs) == N and of_picture(data, 0) == ["A dog 0 , of 0 .", "A dog 1 , of 0 ."]


def test_other_scripts_and_emoji_come_through(tmp_path):
    said = ["一只狗在跑", "собака 🐕 bègàie", "كلب"]
    lines = [f"p{k}.png#0\t{said[k % 3]}" for k in range(N)]
    (pictures(tmp_path) / "captions.txt").write_text("\n".join(lines), encoding="utf-8")
    data = load(tmp_path, cache=False)
    assert [of_picture(data, k) for k in range(3)] == [[text] for text in said]


def test_the_cache_gives_the_same_captions(tmp_path):
    token_file(pictures(tmp_path))
    first, again = load(tmp_path), load(tmp_path)
    assert first.fingerprint == again.fingerprint == load(tmp_path, cache=False).fingerprint
    assert first.targets.texts == again.targets.texts


def test_another_size_leaves_the_captions(tmp_path):
    data = load(token_file(pictures(tmp_path)), cache=False, image_size=(20, 20))
    assert data.inputs.shape[2:] == (20, 20) and len(data.targets) == N


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"p0.png#0\tA dog\np1.png#0 no tab\n", "captions.txt, line 2: .* has no tab"),
        (b"p0.png#0\tcaf\xe9\n", "captions.txt is not UTF-8 text"),
        (b"image,caption\np0.png\n", "captions.txt, line 2: 1 cells where the header has 2"),
        (b"q0.png#0\tA dog\n", "none of the captions has its picture"),
        (b'image,caption\np0.png,"' + b"x" * 200_000 + b'"\n', "captions.txt, line"),
    ],
)
def test_broken_files_are_refused_by_name_and_line(tmp_path, text, told):
    (pictures(tmp_path) / "captions.txt").write_bytes(text)
    with pytest.raises(DataError, match=told):
        load(tmp_path, cache=False)


@pytest.mark.parametrize(
    "record",
    [
        {"images": [], "annotations": {"caption": 1}},
        {"images": [{"id": [1], "file_name": "p0.png"}], "annotations": [{"caption": "a"}]},
        {"images": [{"id": 1, "file_name": "p0.png"}], "annotations": [{"caption": 3}]},
    ],
)
def test_broken_json_is_refused_by_name(tmp_path, record):
    (pictures(tmp_path) / "captions.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"captions\.json"):
        load(tmp_path, cache=False)


def test_asking_for_captions_where_there_are_none_is_told(tmp_path):
    with pytest.raises(DataError, match=r"expected pictures and captions\.txt"):
        load(pictures(tmp_path), cache=False, task="captions")


def test_captions_can_be_left_aside(tmp_path):
    data = load(token_file(pictures(tmp_path)), cache=False, labelled=False)
    assert data.task == "unlabelled" and data.targets is None


def test_a_part_of_flickr8k_is_read(real, tmp_path):
    with zipfile.ZipFile(real("flickr8k-112.zip")) as file:
        for name in ("captions.txt", "train.txt", "val.txt", "test.txt"):
            file.extract(name, tmp_path)
        for part in ("train", "val", "test"):
            for line in file.read(f"{part}.txt").decode().split()[:12]:
                file.extract(f"images/{line}", tmp_path)
    data = load(tmp_path, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [12, 12, 12]
    assert set(data.targets.counts.tolist()) == {5}
    assert told(data, "caption without picture") == 8000 - 36
