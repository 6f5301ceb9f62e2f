"""Boxes and areas as a person asks for them: fit, predict, draw, count, measure, export."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.cli import main
from made_captions import told_shapes
from made_shapes import CLASSES as SHAPES
from made_shapes import shapes
from made_squares import CLASSES, squares

SIDES = ("xmin", "ymin", "xmax", "ymax")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def enlarged(pixels: np.ndarray) -> np.ndarray:
    """(C, H, W) or (H, W), twice as high and wide."""
    return pixels.repeat(2, axis=-1).repeat(2, axis=-2)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory) -> Path:
    """Pictures of 96 x 128 pixels and a table of their boxes."""
    folder = tmp_path_factory.mktemp("boxes")
    images, table = squares(80, seed=0)
    rows = [",".join(("image", *SIDES, "class"))]
    for i, image in enumerate(images):
        name = f"{i:03d}.png"
        Image.fromarray(enlarged(image).transpose(1, 2, 0)).save(folder / name)
        for box, label in zip(*table[i], strict=True):
            rows.append(",".join((name, *(f"{2 * side:g}" for side in box), CLASSES[label])))
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory, boxes) -> Path:
    folder = tmp_path_factory.mktemp("models") / "detector"
    rest = ("--size", "xs", "--epochs", "12", "--set", "threads=1", "--out", folder, "-q")
    assert run("fit", boxes, "--image-size", "48x64", "--family", "detector", *rest) == 0
    return folder


@pytest.fixture(scope="module")
def areas(tmp_path_factory) -> Path:
    """Pictures of 68 x 84 pixels and their masks."""
    folder = tmp_path_factory.mktemp("areas")
    for place in ("images", "masks"):
        (folder / place).mkdir()
    images, masks = shapes(40)
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(enlarged(image).transpose(1, 2, 0)).save(folder / "images" / f"{i}.png")
        Image.fromarray(enlarged(mask)).save(folder / "masks" / f"{i}.png")
    (folder / "classes.txt").write_text("\n".join(SHAPES) + "\n")
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, areas) -> Path:
    folder = tmp_path_factory.mktemp("models") / "segmenter"
    rest = ("--size", "xs", "--epochs", "10", "--set", "threads=1", "--out", folder, "-q")
    assert run("fit", areas, "--image-size", "34x42", "--family", "segmenter", *rest) == 0
    return folder


def told(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_boxes_are_told_in_the_pixels_of_the_picture(detector, boxes, capsys) -> None:
    _, table = squares(80, seed=0)
    some = [i for i in range(80) if len(table[i][1]) == 1][:8]
    assert run("predict", detector, *(boxes / f"{i:03d}.png" for i in some), "--json") == 0
    near = 0
    for answer, i in zip(told(capsys), some, strict=True):
        truth = 2 * table[i][0][0]
        found = [np.abs(np.array(each["box"]) - truth).max() for each in answer["boxes"]]
        near += bool(found) and min(found) < 12  # of sides of 20 to 40 pixels
    assert near >= 5


def test_objects_are_counted(detector, boxes, capsys) -> None:
    assert run("predict", detector, boxes / "000.png", "--count", "--json") == 0
    (answer,) = told(capsys)
    assert set(answer["counts"]) == set(CLASSES)
    assert all(isinstance(number, int) for number in answer["counts"].values())


def test_a_counter_tells_numbers_and_draws_what_it_counted(boxes, tmp_path, capsys) -> None:
    model, rest = (
        tmp_path / "counter",
        ("--size", "xs", "--epochs", "1", "--set", "threads=1", "-q"),
    )
    about = ("--image-size", "48x64", "--family", "counter", "--json")
    assert run("fit", boxes, *about, *rest, "--out", model) == 0
    error = json.loads(capsys.readouterr().out)["negative_mae"]
    assert error["value"] <= 0 and set(error["details"]["per_class"]) == {*CLASSES}
    assert run("predict", model, boxes / "000.png", "--json") == 0
    assert set(told(capsys)[0]["counts"]) == set(CLASSES)
    assert run("predict", model, boxes / "000.png", "--draw", tmp_path / "seen.png") == 0
    assert Image.open(tmp_path / "seen.png").size == (128, 96)


def test_boxes_are_drawn_at_the_pictures_own_size(detector, boxes, tmp_path, capsys) -> None:
    out = tmp_path / "drawn.png"
    assert run("predict", detector, boxes / "001.png", "--draw", out) == 0
    assert Image.open(out).size == (128, 96)
    several = tmp_path / "several"
    assert run("predict", detector, boxes / "001.png", boxes / "002.png", "--draw", several) == 0
    assert sorted(path.name for path in several.iterdir()) == ["001.png", "002.png"]


def test_a_picture_of_nothing_has_no_boxes_and_is_no_error(detector, tmp_path, capsys) -> None:
    Image.new("RGB", (128, 96)).save(tmp_path / "black.png")
    assert run("predict", detector, tmp_path / "black.png") == 0
    assert "nothing" in capsys.readouterr().out


def test_areas_are_told_drawn_and_kept_as_masks(segmenter, areas, tmp_path, capsys) -> None:
    picture, masks = areas / "images" / "3.png", tmp_path / "masks.png"
    assert run("predict", segmenter, picture, "--json", "--masks", masks) == 0
    (answer,) = told(capsys)
    assert sum(answer["shares"].values()) == pytest.approx(1)
    mask = np.asarray(Image.open(masks))
    truth = np.asarray(Image.open(areas / "masks" / "3.png"))
    assert mask.shape == truth.shape
    counted = truth != 255
    assert (mask == truth)[counted].mean() > 0.8
    assert run("predict", segmenter, picture, "--draw", tmp_path / "over.png") == 0
    assert Image.open(tmp_path / "over.png").size[1] >= 68


def test_measure_and_export_know_the_models(detector, boxes, segmenter, tmp_path, capsys) -> None:
    for model, unit in ((detector, "AP50"), (segmenter, "mIoU")):
        assert run("measure", model, "--json") == 0
        assert json.loads(capsys.readouterr().out)["latency"]["value"] > 0
        fitted = json.loads((model / "fit.json").read_text())["result"]
        assert fitted["unit"] == unit and 0 < fitted["value"] <= 1
        out = tmp_path / f"{unit}.onnx"
        assert run("export", model, "--to", "onnx", "--out", out) == 0
        capsys.readouterr()


def test_a_caption_is_written_for_each_picture(tmp_path, capsys) -> None:
    images, captions = told_shapes(60)
    (tmp_path / "data").mkdir()
    rows = ["image,caption"]
    for i, (image, said) in enumerate(zip(images, captions, strict=True)):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "data" / f"{i}.png")
        rows += [f"{i}.png,{text}" for text in said]
    (tmp_path / "data" / "captions.txt").write_text("\n".join(rows) + "\n")
    about = ("--family", "captioner", "--size", "xs", "--epochs", "2", "--set", "threads=1", "-q")
    assert run("fit", tmp_path / "data", *about, "--out", tmp_path / "model", "--json") == 0
    assert json.loads(capsys.readouterr().out)["bleu_4"]["unit"] == "BLEU-4"
    pictures = [tmp_path / "data" / f"{i}.png" for i in range(2)]
    assert run("predict", tmp_path / "model", *pictures, "--json") == 0
    assert [set(entry) for entry in told(capsys)] == [{"file", "caption"}] * 2
    assert run("predict", tmp_path / "model", pictures[0], "--draw", "x.png") == 2
    assert "--draw needs a model of boxes or areas" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--draw", "boxes.jpg"), "--draw must end in .png"),
        (("--masks", "m.png"), "--masks needs a model of areas"),
        (("--count", "--draw", "d.png"), "Give one of them"),
    ],
)
def test_what_cannot_be_drawn_is_said_first(detector, boxes, arguments, words, capsys) -> None:
    assert run("predict", detector, boxes / "000.png", *arguments) == 2
    assert words in capsys.readouterr().err


def test_a_classifier_has_nothing_to_draw(tmp_path, digits, capsys) -> None:
    np.savez(tmp_path / "few.npz", x=digits[0][:100], y=digits[1][:100])
    about = ("--family", "logistic", "--out", tmp_path / "model", "-q")
    assert run("fit", tmp_path / "few.npz", *about) == 0
    Image.fromarray(digits[2][0][0]).save(tmp_path / "a.png")
    assert run("predict", tmp_path / "model", tmp_path / "a.png", "--draw", "x.png") == 2
    assert "--draw needs a model of boxes or areas" in capsys.readouterr().err


def test_choose_says_what_the_data_are_for(areas, tmp_path, capsys) -> None:
    out, few = tmp_path / "out", ("--train-minutes", "0.15", "--max-size-mb", "1")
    assert run("choose", areas, "--image-size", "34x42", *few, "--out", out, "--json") == 0
    shown = capsys.readouterr()
    assert "pictures with masks" in shown.err
    record = json.loads(shown.out)
    assert record["task"] == "segmentation" and record["test"]["unit"] == "mIoU"
    assert record["winner"].startswith("segmenter")
    assert base64.b64decode(record["pictures"]["answers"]).startswith(b"\x89PNG")
    assert "test pictures, and what it says of them" in (out / "report.html").read_text()
