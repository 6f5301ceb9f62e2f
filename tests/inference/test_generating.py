"""On a family (made_ink.Ink) that shows negatives and counts ink, so that all can be told by
hand: the score of an item is the sum of its pixels / 255."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from depthwise.data.load import load
from depthwise.errors import InputError
from depthwise.families.shallow.shallow import LogisticRegression
from depthwise.inference import drawing, generating, writing
from made_ink import Ink


@pytest.fixture(scope="module")
def ink(digits):
    return Ink(epochs=1).fit(digits[0][:200], digits[1][:200])


@pytest.fixture(scope="module")
def blind(digits):
    return Ink(epochs=1).fit(digits[0][:200])


@pytest.fixture
def picture(tmp_path, digits):
    Image.fromarray(digits[2][0, 0]).save(tmp_path / "a.png")
    return tmp_path / "a.png"


TABLE = "length,colour,kind\n" + "\n".join(
    f"{k / 100},{'red' if k % 3 else 'blue'},{'a' if k % 2 else 'b'}" for k in range(90)
)


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    data = load(tmp_path / "t.csv", label="kind", cache=False)
    return Ink(epochs=1).fit(data)


# -- asking ------------------------------------------------------------------------------------


def test_the_score_of_an_item_is_its_ink_and_strange_is_above_the_threshold(blind, digits, picture):
    (told,) = generating.verdicts(blind, [str(picture)])
    assert told.score == pytest.approx(digits[2][0].sum() / 255, rel=1e-5)
    assert told.strange == (told.score > blind.threshold_)
    assert told.to_dict() == {
        "file": str(picture), "anomaly_score": told.score, "threshold": blind.threshold_,
        "strange": told.strange,
    }  # fmt: skip


def test_a_score_that_is_no_number_is_strange_and_sound_json():
    told = generating.Verdict("a", 3, float("nan"), 1.0)
    assert told.strange and json.loads(json.dumps(told.to_dict(), allow_nan=False))["row"] == 3
    assert generating.Verdict("a", 3, 5.0, None).strange is None


def test_a_reconstruction_stands_beside_its_item_with_their_difference(blind, digits, picture):
    (seen,) = generating.reconstructions(blind, [str(picture)])
    assert np.array_equal(seen.item, digits[2][0])
    assert np.array_equal(seen.reconstruction, 255 - digits[2][0])
    gap = digits[2][0].astype(float) - (255.0 - digits[2][0])
    assert seen.difference == pytest.approx(np.sqrt((gap**2).mean()))


def test_a_bad_file_stands_in_its_place_among_the_good(blind, picture):
    told = list(generating.verdicts(blind, [str(picture), "none.png", str(picture)]))
    assert [isinstance(entry, InputError) for entry in told] == [False, True, False]


def test_a_family_that_cannot_is_told_which_can(digits):
    model = LogisticRegression().fit(digits[0][:60], digits[1][:60])
    for words in ("sample", "reconstruct", "score anomalies"):
        with pytest.raises(InputError, match=r"a logistic cannot .*Fit a family that can: .*rbm"):
            generating.generative(model, words)


def test_labels_are_given_in_turn_as_the_models_own(ink):
    assert generating.parse_labels(ink, "3", 4).tolist() == [3, 3, 3, 3]
    labels = generating.parse_labels(ink, "0, 1,2", 7)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0] and labels.dtype == ink.classes_.dtype
    assert generating.parse_labels(ink, None, 4) is None


def test_a_class_name_with_a_comma_is_one_class(digits):
    names = np.array(["a,b", "c"])[digits[1][:60] % 2]
    model = Ink(epochs=1).fit(digits[0][:60], names)
    assert generating.parse_labels(model, "a,b", 2).tolist() == ["a,b", "a,b"]


@pytest.mark.parametrize("text, said", [("12", "'12' is not among"), ("1,,2", "''"), ("", "''")])
def test_unknown_labels_are_named(ink, text, said):
    with pytest.raises(InputError, match=f"--labels.*{said}"):
        generating.parse_labels(ink, text, 8)


def test_labels_of_a_model_without_and_more_labels_than_items_are_refused(ink, blind):
    with pytest.raises(InputError, match="fitted with labels"):
        generating.parse_labels(blind, "1", 8)
    with pytest.raises(InputError, match="names 3 classes, but -n is 2"):
        generating.parse_labels(ink, "1,2,3", 2)


def test_samples_are_the_librarys_and_blocks_do_not_repeat(ink, monkeypatch):
    labels = np.arange(7) % 3
    whole = generating.sampled(ink, 7, labels, seed=5)
    assert np.array_equal(whole, ink.sample(7, labels=labels, random_state=5))
    monkeypatch.setattr(generating, "BLOCK", 3)
    parts = generating.sampled(ink, 7, None, seed=5)
    assert len(parts) == 7 and not np.array_equal(parts[:3], parts[3:6])
    assert np.array_equal(parts[:3], ink.sample(3, random_state=5))


@pytest.mark.parametrize("n, seed", [(0, None), (-5, None), (10**9, None), (3, -1), (3, 2**32)])
def test_impossible_counts_and_seeds_are_refused(n, seed):
    with pytest.raises(InputError, match=r"-n must be|--seed must be"):
        generating.require_count(n, seed)


# -- placing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, said",
    [
        ("x.gif", "must end in .png, .npy, .npz, .csv"),
        ("x", "must end in"),
        ("folder", "must end in"),
        ("folder.png", "is a folder"),
        ("thesis.png", "exists. Delete it"),
        ("rows.csv", "exists. Delete it"),
        ("thesis.png/x.png", "cannot be written"),
    ],
)
def test_a_place_that_is_wrong_is_refused_before_anything_is_made(ink, tmp_path, name, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "thesis.png").write_text("years of work")
    (tmp_path / "rows.csv").write_text("1,2")
    with pytest.raises(InputError, match=said):
        writing.require_out(str(tmp_path / name), ink)


def test_a_picture_that_depthwise_drew_may_be_drawn_again(ink, tmp_path):
    (tmp_path / "a.png").write_bytes(drawing.png(np.zeros((2, 2, 1), np.uint8)))
    assert writing.require_out(str(tmp_path / "a.png"), ink) == tmp_path / "a.png"


@pytest.mark.parametrize("name", ["a.png", "folder"])
def test_rows_are_no_pictures(table, tmp_path, name):
    with pytest.raises(InputError, match="needs a model of images"):
        writing.require_out(str(tmp_path / name), table, folder=True)


def test_a_picture_too_large_to_be_seen_is_refused_with_another_way(tmp_path):
    with pytest.raises(InputError, match=r"pixels, which is too large.*npy"):
        writing.require_room(200_000, (1, 28, 28), tmp_path / "a.png")
    writing.require_room(200_000, (1, 28, 28), tmp_path / "a.npy")
    writing.require_room(10_000, (1, 28, 28), tmp_path / "a.png")


def test_arrays_hold_the_items_and_the_labels_that_were_asked_for(ink, tmp_path):
    items, labels = ink.sample(5, labels=np.arange(5)), np.arange(5)
    for name in ("a.npy", "a.npz"):
        writing.write_samples(tmp_path / name, items, ink, labels)
    assert np.array_equal(np.load(tmp_path / "a.npy"), items)
    with np.load(tmp_path / "a.npz") as held:
        assert np.array_equal(held["x"], items) and np.array_equal(held["y"], labels)


def test_samples_of_several_classes_have_a_column_each(ink, tmp_path):
    labels = np.resize([4, 7, 1], 12)
    items = ink.sample(12, labels=labels)
    writing.write_samples(tmp_path / "a.png", items, ink, labels)
    shown = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.array_equal(shown, drawing.grid(items, 3)[:, :, 0])


def test_a_table_is_written_in_the_columns_that_it_was_read_with(table, tmp_path):
    items = table.sample(9, labels=np.array(["a", "b", "a"] * 3))
    writing.write_samples(tmp_path / "s.csv", items, table, np.array(["a", "b", "a"] * 3))
    rows = list(csv.reader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert rows[0] == ["length", "colour", "kind"] and [r[2] for r in rows[1:4]] == ["a", "b", "a"]
    for row, item in zip(rows[1:], items):  # features: length, colour=blue, colour=red
        assert float(row[0]) == pytest.approx(item[0], rel=1e-6)
        assert row[1] == ("red" if item[2] > item[1] else "blue")


def test_a_table_that_was_written_can_be_asked_about(table, tmp_path):
    writing.write_samples(tmp_path / "s.csv", table.sample(6), table, None)
    told = list(generating.verdicts(table, [str(tmp_path / "s.csv")]))
    assert [entry.row for entry in told] == [0, 1, 2, 3, 4, 5]


def test_rows_of_an_array_model_are_numbers_under_made_up_names(tmp_path):
    model = Ink(epochs=1).fit(np.random.default_rng(0).random((40, 3)))
    writing.write_samples(tmp_path / "s.csv", np.array([[0.5, 0.25, 1]]), model, None)
    assert (tmp_path / "s.csv").read_text() == "x1,x2,x3\n0.5,0.25,1\n"
    assert len(list(generating.verdicts(model, [str(tmp_path / "s.csv")]))) == 1


def test_reconstructions_become_a_picture_a_folder_or_rows(blind, tmp_path, digits):
    np.save(tmp_path / "few.npy", digits[2][:3])
    (tmp_path / "other").mkdir()
    Image.fromarray(digits[2][9, 0]).save(tmp_path / "other" / "few.png")
    Image.fromarray(digits[2][8, 0]).save(tmp_path / "few.png")
    files = [tmp_path / "few.npy", tmp_path / "few.png", tmp_path / "other" / "few.png"]
    seen = list(generating.reconstructions(blind, [str(file) for file in files]))
    items = digits[2][[0, 1, 2, 8, 9]]
    writing.write_reconstructions(tmp_path / "all.png", seen, blind)
    shown = np.asarray(Image.open(tmp_path / "all.png"))
    assert np.array_equal(shown, drawing.paired(items, 255 - items)[:, :, 0])
    writing.write_reconstructions(tmp_path / "all.npy", seen, blind)
    assert np.array_equal(np.load(tmp_path / "all.npy"), 255 - items)
    writing.write_reconstructions(tmp_path / "all", seen, blind)
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == ["few-0.png", "few-1.png", "few-2.png", "few-copy2.png", "few.png"]
    one = np.asarray(Image.open(tmp_path / "all" / "few-copy2.png"))
    assert np.array_equal(one, drawing.paired(items[4:], 255 - items[4:])[:, :, 0])


def test_a_foreign_file_in_the_folder_is_left_and_nothing_is_written(blind, tmp_path, picture):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_text("years of work")
    Image.open(picture).save(tmp_path / "b.png")
    seen = list(generating.reconstructions(blind, [str(picture), str(tmp_path / "b.png")]))
    with pytest.raises(InputError, match=r"b\.png exists"):
        writing.write_reconstructions(tmp_path / "out", seen, blind)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]
