"""Pictures and texts that fit, as a person asks for them: choose, fit, predict, measure, export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.catalog import load_model
from depthwise.cli import main
from depthwise.data.load import load
from depthwise.measuring.counting import count
from depthwise.measuring.scorecard import example, measure
from made_captions import told_shapes


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Sixty pictures, and a table of what is said of them."""
    folder = tmp_path_factory.mktemp("data")
    images, captions = told_shapes(60)
    rows = ["image,caption"]
    for i, (image, said) in enumerate(zip(images, captions, strict=True)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i}.png")
        rows += [f"{i}.png,{text}" for text in said]
    (folder / "captions.txt").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def matcher(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("models") / "matcher"
    about = ("--family", "image-text", "--size", "xs", "--epochs", "2", "--set", "threads=1", "-q")
    assert run("fit", data, *about, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def captioner(tmp_path_factory) -> Path:
    """Its captions are cut after three tokens: each is as long as the longest."""
    from depthwise.tasks.captioning.captioner import Captioner

    few = {"tokens": "bytes", "max_tokens": 3, "epochs": 2, "threads": 1, "precision": "float32"}
    model = Captioner(size="xs", **few).fit(*told_shapes(40))
    return model.save(tmp_path_factory.mktemp("models") / "captioner")


def told(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def pictures(data: Path, n: int) -> list[Path]:
    return [data / f"{i}.png" for i in range(n)]


# -- which text, which picture --------------------------------------------------------------------


def test_texts_are_ranked_by_the_cosines_of_the_model(matcher, data, tmp_path, capsys) -> None:
    (tmp_path / "texts.txt").write_text("a red square\na blue disc\n")
    asked = ("--texts", tmp_path / "texts.txt", "--text", "a green bar", "--top", "2", "--json")
    assert run("predict", matcher, *pictures(data, 7), *asked) == 0
    model, texts = load_model(matcher), ["a green bar", "a red square", "a blue disc"]
    cosines = model.encode_images(told_shapes(60)[0][:7]) @ model.encode_texts(texts).T
    for i, entry in enumerate(told(capsys)):
        best = np.argsort(-cosines[i])[:2]
        assert entry["file"].endswith(f"{i}.png") and len(entry["texts"]) == 2
        assert [each["text"] for each in entry["texts"]] == [texts[k] for k in best]
        found = [each["cosine"] for each in entry["texts"]]
        assert np.allclose(found, cosines[i][best], atol=1e-5)


def test_pictures_are_found_by_a_text(matcher, data, capsys) -> None:
    asked = ("--find", "a red square", "--find", "a blue disc", "--json")
    assert run("predict", matcher, *pictures(data, 9), *asked) == 0
    model = load_model(matcher)
    places, _ = model.search(["a red square", "a blue disc"], told_shapes(60)[0][:9], k=5)
    entries = told(capsys)
    assert [entry["text"] for entry in entries] == ["a red square", "a blue disc"]
    for entry, row in zip(entries, places.tolist(), strict=True):
        names = [Path(each["file"]).name for each in entry["pictures"]]
        assert names == [f"{place}.png" for place in row]


def test_a_picture_that_is_none_is_told_and_the_rest_found(matcher, data, tmp_path, capsys) -> None:
    (tmp_path / "no.png").write_text("no picture")
    files = (tmp_path / "no.png", data / "0.png", tmp_path / "none.png")
    assert run("predict", matcher, *files, "--find", "a red square") == 1
    shown = capsys.readouterr()
    assert shown.err.count("error: ") == 2 and "no.png" in shown.err and "none.png" in shown.err
    assert [line.split()[0].endswith("0.png") for line in shown.out.splitlines()[1:]] == [True]
    assert run("predict", matcher, tmp_path / "no.png", "--text", "a bar") == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((), "give texts by --text TEXT or --texts FILE"),
        (("--find", "a bar", "--text", "a disc"), "Give one kind"),
        (("--texts", "nowhere.txt"), "--texts nowhere.txt cannot be read"),
        (("--draw", "x.png"), "--draw needs a model of boxes or areas"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_line(matcher, data, asked, words, capsys) -> None:
    assert run("predict", matcher, data / "0.png", *asked) == 2
    shown = capsys.readouterr().err
    assert words in shown and len(shown.splitlines()) == 1


def test_only_a_model_of_both_finds_pictures(captioner, data, capsys) -> None:
    assert run("predict", captioner, data / "0.png", "--find", "a bar") == 2
    assert (
        "--find needs a model of pictures and texts; this is captioner" in capsys.readouterr().err
    )


# -- measured, exported, shrunk, chosen -----------------------------------------------------------


def test_recall_is_the_score_of_a_matcher(matcher, data) -> None:
    fitted = json.loads((matcher / "fit.json").read_text())["result"]
    parts = load(data)
    wanted = load_model(matcher).assess(*parts.test)
    assert fitted["unit"] == "R@10" and fitted["value"] == pytest.approx(wanted["value"])
    assert fitted["details"]["text_to_image"] == wanted["text_to_image"]
    card = measure(load_model(matcher), parts, seconds=0.2, flexibility=False)
    assert card.accuracy and card.accuracy.value == pytest.approx(wanted["value"])
    assert "recall at 10" in str(card) and "an answer" not in str(card)


def test_the_latency_of_a_caption_is_that_of_all_its_tokens(captioner) -> None:
    """Referees: three tokens a caption by four beams, of which each but the first goes through the
    writer alone; and the products of an image and a token, each counted by itself."""
    model, sample = load_model(captioner), example((3, 20, 20), "uint8")
    first = count(model.network_, sample)
    whole = count(model.answering(model.network_), sample)
    blocks = [op for op in first.operations if "writer.blocks" in op.layer and op.macs]
    again = [op for op in whole.operations if "writer.blocks" in op.layer and op.macs]
    remembered = [op for op in blocks if op.layer.endswith(("across.keys", "across.values"))]
    assert len(again) - len(remembered) == 3 * (len(blocks) - len(remembered))
    card = measure(model, device="server-cpu-2-core", flexibility=False)
    assert card.latency and card.hardware_cost
    assert card.latency.source.startswith("a caption of 3 tokens, the longest, by 4 beams; ")
    assert "a caption of 3 tokens" in str(card)
    assert card.hardware_cost.details["macs"] == whole.macs > first.macs
    assert card.hardware_cost.details["peak_memory_bytes"] >= first.weight_bytes


@pytest.mark.parametrize("name", ["captioner", "matcher"])
def test_the_part_that_sees_is_exported_for_any_batch(name, request, tmp_path, capsys) -> None:
    onnx = pytest.importorskip("onnxruntime", reason='needs pip install "depthwise[export]"')
    model = load_model(request.getfixturevalue(name))
    assert run("export", request.getfixturevalue(name), "--out", tmp_path) == 0
    session = onnx.InferenceSession(tmp_path / "model.onnx")
    images = told_shapes(5, seed=3)[0]
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    if name == "matcher":
        assert np.allclose(found, model.encode_images(images), atol=1e-4)
        return
    seen = model.predict(images, beams=1)
    first = [model.tokenizer_.decode([int(row.argmax())]) for row in found]
    assert all(text.startswith(token.strip()) for text, token in zip(seen, first, strict=True))


@pytest.mark.parametrize("name", ["captioner", "matcher"])
def test_what_cannot_be_shrunk_says_what_to_do(name, request, data, tmp_path, capsys) -> None:
    limits = ("--max-size-mb", "0.1", "--out", tmp_path / "small")
    assert run("shrink", request.getfixturevalue(name), "--data", data, *limits) == 2
    assert "Fit a smaller size of it: xs, s, m, lite." in capsys.readouterr().err


def test_choose_ranks_the_sizes_of_matchers_by_recall(data, tmp_path, capsys) -> None:
    few = ("--train-minutes", "0.05", "--max-size-mb", "3", "--quiet")
    out = tmp_path / "out"
    assert run("choose", data, "--task", "retrieval", *few, "--out", out, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["task"] == "retrieval" and record["test"]["unit"] == "R@10"
    assert {c["name"] for c in record["candidates"]} == {
        f"image-text-{size}" for size in ("xs", "s", "m", "lite")
    }
    dropped = {c["name"] for c in record["candidates"] if c["status"] == "dropped"}
    assert "image-text-lite" in dropped and record["winner"] not in dropped
    assert "recall at 10" in (out / "report.html").read_text()
