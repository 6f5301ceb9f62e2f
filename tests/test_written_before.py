"""What earlier versions wrote is read by this one, and says the same: saved models of every entry
of the catalogue, and a results folder of `choose`.

`written_before/VERSION/` was written once, by that version (written_before/write.py says how and
what); nothing in it is ever written again. Not one entry had to be left out for its size: the two
with large tables by a hash (text, sentences) are kept with only the rows that their items use.

Answers agree to 1e-5 of the largest among them: sums of some hundred float32 in another order, as
other processors take them, differ by about 1e-6 of their size, and a few layers add up. Pixels of
reconstructions may round to their neighbour. What computes in whole numbers (int8) may round a
value at the edge of a step to the next one, 1/127 of its range, layer by layer.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import depthwise
from depthwise.catalog import FAMILIES, TASKS
from depthwise.choosing.choice import finished, refuse_strangers
from depthwise.cli import main
from depthwise.errors import InputError
from depthwise.reporting.choice_page import write_report
from every_model import EXAMPLES, of_classes

pytestmark = pytest.mark.numerical

WRITTEN = Path(__file__).parent / "written_before"
FOLDERS = sorted(path.parent for path in WRITTEN.glob("*/*/answers.npz"))
CHOICES = sorted(path.parent for path in WRITTEN.glob("*/*/choice.json"))
ROUNDING = 1e-5  # of the largest answer
OTHER_ROUNDING = {"cnn-int8": 0.05}  # by folder
NEEDS = {"text-encoder": "tokenizers", "cnn-onnx": "onnxruntime", "boosting-table": "pandas",
         "tabular-table": "pandas"}  # fmt: skip
NEWER: dict[str, str] = {}  # entries that the last version written did not have: since when


def named(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


@pytest.fixture(params=FOLDERS, ids=named)
def folder(request: pytest.FixtureRequest) -> Path:
    needed = NEEDS.get(request.param.name)
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    return Path(request.param)


def unpacked(folder: Path, into: Path) -> Path:
    """The saved model, its .gz files as `save` wrote them."""
    into.mkdir()
    for path in (folder / "model").iterdir():
        if path.suffix == ".gz":
            (into / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copy(path, into)
    return into


def asked(folder: Path) -> Any:
    """Items as they were given: an array, a list of texts or pairs, or a data frame."""
    if (folder / "asked.json").exists():
        import pandas

        return pandas.DataFrame(json.loads((folder / "asked.json").read_text()))
    items = np.load(folder / "asked.npz")["items"]
    return items.tolist() if items.dtype.kind == "U" else items


def agree(now: np.ndarray, before: np.ndarray, rounding: float) -> None:
    assert now.shape == before.shape
    assert now.dtype.kind == before.dtype.kind
    if before.dtype == np.uint8:
        np.testing.assert_allclose(now.astype(int), before.astype(int), atol=1)
    elif before.dtype.kind == "f":
        largest = float(np.abs(before).max(initial=0))
        np.testing.assert_allclose(now, before, rtol=0, atol=rounding * largest)
    else:
        assert now.tolist() == before.tolist()


def test_a_model_of_an_earlier_version_answers_as_it_did(folder: Path, tmp_path: Path) -> None:
    model = depthwise.load(unpacked(folder, tmp_path / "model"))
    answers = EXAMPLES[folder.name].answers if folder.name in EXAMPLES else of_classes
    said, rounding = np.load(folder / "answers.npz"), OTHER_ROUNDING.get(folder.name, ROUNDING)
    told = answers(model, asked(folder))
    assert set(told) >= set(said.files)
    for method in said.files:
        agree(np.asarray(told[method]), said[method], rounding)


def test_a_model_of_an_earlier_version_has_the_settings_it_had(
    folder: Path, tmp_path: Path
) -> None:
    """A setting that is new since then has its default."""
    model = depthwise.load(unpacked(folder, tmp_path / "model"))
    about = json.loads((folder / "model" / "model.json").read_text())
    settings = json.loads(json.dumps(model.get_params()))
    assert {name: settings[name] for name in about["settings"]} == about["settings"]
    assert model.family == about["family"]
    assert model.history_ == about["history"]


def test_a_model_of_an_earlier_version_is_saved_as_it_was(folder: Path, tmp_path: Path) -> None:
    """Its weights and what describes them, byte for byte."""
    source = unpacked(folder, tmp_path / "model")
    depthwise.load(source).save(tmp_path / "again")
    before, now = (
        json.loads((path / "model.json").read_text()) for path in (source, tmp_path / "again")
    )
    assert now["weights_sha256"] == before["weights_sha256"]
    for key in ("family", "network", "shrunk", "classes", "columns", "input_shape", "input_dtype"):
        assert now[key] == before[key], key


def test_what_made_a_model_smaller_is_still_known() -> None:
    kinds = {
        edit["kind"]
        for folder in FOLDERS
        for edit in json.loads((folder / "model" / "model.json").read_text())["shrunk"]
    }
    assert kinds == {"widths", "low-rank", "weights-int8", "folded", "int8", "exits"}


def test_every_entry_of_the_catalogue_was_written() -> None:
    assert {folder.name for folder in FOLDERS} >= {*FAMILIES, *TASKS} - set(NEWER)


# -- the results of choose ------------------------------------------------------------------------


@pytest.fixture(params=CHOICES, ids=named)
def chosen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy: what was written is not to change."""
    return Path(shutil.copytree(request.param, tmp_path / "choice"))


def record_of(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "choice.json").read_text(encoding="utf-8"))
    return record


def test_a_choice_of_an_earlier_version_is_read_and_not_made_again(chosen: Path) -> None:
    record = record_of(chosen)
    choice = finished(chosen, record["request"])
    assert choice is not None and choice.winner is not None
    assert choice.record == record
    assert choice.scorecard is not None and choice.scorecard.accuracy is not None
    assert choice.scorecard.accuracy.value == record["test"]["value"]
    assert str(choice).startswith(f"ship {record['winner']}")


def test_a_choice_of_an_earlier_version_is_not_overwritten_by_another(chosen: Path) -> None:
    assert finished(chosen, {**record_of(chosen)["request"], "seed": 77}) is None
    with pytest.raises(InputError, match="another choice"):
        refuse_strangers(chosen)


def test_a_report_is_made_of_the_record_of_an_earlier_version(chosen: Path) -> None:
    write_report(record_of(chosen), chosen / "report.html")
    page = (chosen / "report.html").read_text(encoding="utf-8")
    assert record_of(chosen)["winner"] in page


def test_the_winner_of_an_earlier_version_predicts_at_the_command_line(
    chosen: Path, digits: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [tmp_path / f"{i}.png" for i in range(12)]
    for image, path in zip(digits[2], pictures):
        Image.fromarray(image[0]).save(path)
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(chosen / "best"), *map(str, pictures), "--json"])
    assert not ended.value.code
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = depthwise.load(chosen / "best").predict(digits[2][:12])
    assert [line["class"] for line in told] == [str(label) for label in expected]
    assert np.mean(expected.astype(int) == digits[3][:12]) > 0.7
