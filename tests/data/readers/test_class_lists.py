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


BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross")


def cub(root: Path, n: int = 8, to_train: int = 5) -> None:
    """CUB's own lists beside the pictures."""
    pictures(root / "images", BIRDS, n)
    names = [f"{bird}/{i}.png" for bird in BIRDS for i in range(n)]
    numbers = range(1, len(names) + 1)
    lists = {
        "images.txt": [f"{k} {name}" for k, name in zip(numbers, names, strict=True)],
        "train_test_split.txt": [f"{k} {int((k - 1) % n < to_train)}" for k in numbers],
        "image_class_labels.txt": [f"{k} {1 + (k - 1) // n}" for k in numbers],
        "bounding_boxes.txt": [f"{k} 1.0 2.0 5.0 6.0" for k in numbers],
        "classes.txt": [f"{k} {bird}" for k, bird in enumerate(BIRDS, 1)],
    }
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines) + "\n")


def test_the_split_of_cub_is_its_own(tmp_path: Path) -> None:
    cub(tmp_path / "CUB_200_2011")
    data = load(tmp_path, cache=False)
    assert data.classes == [*BIRDS] and {p.kind for p in data.problems} == {"few items"}
    tested = {data.item_name(int(i)).rpartition("/")[2] for i in data.indices["test"]}
    assert tested == {"5.png", "6.png", "7.png"} and len(data.indices["test"]) == 6
    assert data.split_origin.startswith("test from the data")


@pytest.mark.parametrize("wrong", ["1 2\n", "no number\n", "", "1 1\n"])
def test_lists_that_do_not_say_every_part_are_no_split(tmp_path: Path, wrong: str) -> None:
    cub(tmp_path)
    (tmp_path / "train_test_split.txt").write_text(wrong)
    data = load(tmp_path, cache=False)
    assert data.split_origin.startswith("seeded split")
    assert any(problem.kind == "not a picture" for problem in data.problems)
