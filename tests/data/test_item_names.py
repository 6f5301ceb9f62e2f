"""Items are called by their files and rows, from the reader to the cache and the Dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.data import checks
from depthwise.data.item_names import Names, Rows, compact, of_arrays
from depthwise.data.load import load


@pytest.mark.parametrize(
    "names", [["a.jpg", "", "päth/ü.png", "\udcff.jpg", "漢字"], [], ["only"]], ids=len
)
def test_names_are_kept_whatever_they_hold(names: list[str]) -> None:
    kept = Names.of(names)
    assert [*kept] == names and len(kept) == len(names)
    again = of_arrays(kept.to_arrays())
    assert isinstance(again, Names) and [*again] == names


def test_a_million_names_take_little_more_than_their_letters() -> None:
    kept = Names.of([f"class/{k:07}.jpg" for k in range(10_000)])
    assert kept.text.nbytes + kept.ends.nbytes <= 10_000 * (17 + 8)
    assert kept[9_999] == "class/0009999.jpg"


def test_rows_are_counted_as_in_their_files() -> None:
    rows = Rows(("train.csv", "test.csv"), (2, 1), (3, 2))
    wanted = [f"train.csv, row {n}" for n in (2, 3, 4)] + [f"test.csv, row {n}" for n in (1, 2)]
    assert [*rows] == wanted and [*(of_arrays(rows.to_arrays()) or [])] == wanted
    with pytest.raises(IndexError):
        rows[5]
    assert compact(None) is None and compact(rows) is rows


def _pictures(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for k in range(6):
            image = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / name / f"{k}.png")


def test_pictures_are_called_by_their_files_also_from_the_cache(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path / "cache"))
    _pictures(tmp_path / "data")
    (tmp_path / "data" / "cats" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first, kept = load(tmp_path / "data"), load(tmp_path / "data")
    for data in (first, kept):
        for i in range(len(data.inputs)):
            path = tmp_path / "data" / data.item_name(i)
            assert (np.asarray(Image.open(path)).transpose(2, 0, 1) == data.inputs[i]).all()


def test_rows_are_called_by_their_lines_and_arrays_by_their_places(tmp_path: Path) -> None:
    lines = ["p,q,label", *(f"{k},{k * k},{'xy'[k % 2]}" for k in range(20))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = load(tmp_path / "t.csv", cache=False)
    assert [data.item_name(i) for i in (0, 19)] == ["row 2", "row 21"]
    bare = load(np.random.default_rng(0).random((20, 3)), labels=np.arange(20) % 2)
    assert bare.names is None and bare.item_name(3) == "item 3"


def test_a_split_in_files_names_the_file_and_the_row(tmp_path: Path) -> None:
    for part, n in (("train", 12), ("test", 6)):
        lines = ["p,label", *(f"{k},{'xy'[k % 2]}" for k in range(n))]
        (tmp_path / f"{part}.csv").write_text("\n".join(lines))
    data = load(tmp_path, cache=False)
    assert {data.item_name(int(i)) for i in data.indices["test"]} == {
        f"test.csv, row {n}" for n in range(2, 8)
    }


def test_checks_of_a_dataset_name_its_items_and_columns(tmp_path: Path) -> None:
    lines = ["p,still,label", *(f"{k},7,{'xy'[k % 2]}" for k in [*range(20), 4])]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = load(tmp_path / "t.csv", cache=False)
    told = {problem.kind: problem.where for problem in checks.check(data)}
    assert told["exact duplicate"] == "row 22 = row 6" and told["constant feature"] == "still"
