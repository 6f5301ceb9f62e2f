"""classes.txt and its like give numbers their names, and are left alone where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.data.load import load

PETS = ("cat", "dog", "hen")


def pictures(root: Path, folders: tuple[str, ...], n: int = 6) -> None:
    random = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{i}.png")


@pytest.mark.parametrize(
    "folders, lines",
    [
        (("0", "1", "2"), PETS),
        (("1", "2", "3"), PETS),  # from 1, as the data are
        (("1", "2", "3"), ("1 cat", "2 dog", "3 hen")),
        (("10", "7", "8"), ("7: cat", "8: dog", "10: hen")),
        (("0", "1", "2"), ("0,cat", "1,dog", "2,hen", "3,cow")),
    ],
)
def test_numbers_are_called_by_the_list(tmp_path: Path, folders, lines) -> None:
    pictures(tmp_path, folders)
    (tmp_path / "classes.txt").write_text("\n".join(lines) + "\n")
    data = load(tmp_path, cache=False)
    assert data.classes == [*PETS]
    (told,) = [problem for problem in data.problems if problem.kind == "class names"]
    assert "is cat" in told.detail and told.where == "classes.txt"
    assert not any(problem.kind == "not a picture" for problem in data.problems)
    first = min(folders, key=int)
    of_cats = [i for i in range(len(data.inputs)) if data.item_name(i).startswith(f"{first}/")]
    assert {int(data.labels[i]) for i in of_cats} == {0}


@pytest.mark.parametrize("lines", [PETS, tuple(f"{k} {name}" for k, name in enumerate(PETS, 1))])
def test_a_list_of_the_folders_own_names_says_nothing_new(tmp_path: Path, lines) -> None:
    pictures(tmp_path, PETS)
    (tmp_path / "classes.txt").write_text("\n".join(lines))
    data = load(tmp_path, cache=False)
    assert data.classes == [*PETS] and {p.kind for p in data.problems} == {"few items"}


def test_birds_as_cub_has_them_keep_the_names_of_their_folders(tmp_path: Path) -> None:
    birds = ("001.Black_footed_Albatross", "002.Laysan_Albatross")
    pictures(tmp_path / "images", birds)
    (tmp_path / "classes.txt").write_text("".join(f"{k} {n}\n" for k, n in enumerate(birds, 1)))
    data = load(tmp_path, cache=False)
    assert data.classes == [*birds] and {p.kind for p in data.problems} == {"few items"}


@pytest.mark.parametrize(
    "lines, said",
    [(("cat", "dog"), "no class 2"), (("cat", "dog", "cat"), "twice"), (("\0",), "not used")],
)
def test_a_list_that_does_not_fit_is_told_and_left_alone(tmp_path: Path, lines, said) -> None:
    pictures(tmp_path, ("0", "1", "2"))
    (tmp_path / "classes.txt").write_text("\n".join(lines))
    data = load(tmp_path, cache=False)
    assert data.classes == ["0", "1", "2"]
    assert any(p.kind == "class names" and said in p.detail for p in data.problems)


def test_classes_of_texts_and_of_tables_are_called_too(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    rows = [f"{i % 3}\ta story of {i} words that says {i * i} things" for i in range(30)]
    (tmp_path / "texts" / "all.tsv").write_text("\n".join(rows))
    (tmp_path / "rows").mkdir()
    cells = ["p,q,label", *(f"{i},{i * i % 7},{i % 3}" for i in range(30))]
    (tmp_path / "rows" / "all.csv").write_text("\n".join(cells))
    for folder in ("texts", "rows"):
        (tmp_path / folder / "classes.txt").write_text("\n".join(PETS))
        data = load(tmp_path / folder, cache=False)
        assert data.classes == [*PETS] and data.task in ("text", "classification")
