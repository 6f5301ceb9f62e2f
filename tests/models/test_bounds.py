"""Model files that promise more than they hold are refused before anything of it is built."""

from __future__ import annotations

import gzip
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from depthwise import load
from depthwise.errors import ModelFileError
from depthwise.models.bounds import no_more_parts_than, require_in_proportion

WRITTEN = Path(__file__).parents[1] / "written_before" / "0.1"
SECONDS = 2.0  # of processor time; what follows was seconds to hours, or all memory, before

AMPLIFIED: list[tuple[str, tuple[Any, ...], Any]] = [
    ("dnn", ("settings", "hidden"), [8] * 200_000),
    ("dnn", ("settings", "hidden"), [8] * 9_000),
    ("dnn", ("network", "n_classes"), 10**12),
    ("dnn", ("input_shape",), [10**6, 10**6]),
    ("cnn", ("network", "input_shape"), [1, 10**6, 10**6]),
    ("cnn", ("input_shape",), [1] * 100_000),
    ("dbm", ("settings", "mean_field_steps"), 10**9),
    ("dbm", ("settings", "hidden"), [4] * 200_000),
    ("dsn", ("settings", "n_modules"), 10**9),
    ("captioner", ("settings", "max_tokens"), 10**9),
    ("captioner", ("network", "backbone", "input_shape"), [3, 20, 2 * 10**10]),
    ("video", ("network", "backbone", "input_shape"), [1, 8, 80]),
    ("linear", ("n_features_in",), 4e300),
    ("linear", ("n_features_in",), 5),
]


def amplified(name: str, path: tuple[Any, ...], value: Any, into: Path) -> Path:
    """A model of an earlier version with another number at this path of its description."""
    into.mkdir()
    for file in (WRITTEN / name / "model").iterdir():
        if file.suffix == ".gz":
            (into / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        else:
            shutil.copy(file, into)
    about = json.loads((into / "model.json").read_text())
    inner = about
    for key in path[:-1]:
        inner = inner[key]
    assert path[-1] in inner
    inner[path[-1]] = value
    (into / "model.json").write_text(json.dumps(about))
    return into


@pytest.mark.parametrize(("name", "path", "value"), AMPLIFIED)
def test_a_number_out_of_proportion_is_refused_at_once(name, path, value, tmp_path):
    folder = amplified(name, path, value, tmp_path / "model")
    begun = time.process_time()
    with pytest.raises(ModelFileError, match=r"model\.json does not describe the weights"):
        load(folder)
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize("shape", [[], [0], [-1, 8], [1.5], ["8"], [True], [8] * 6, [1 << 27]])
def test_an_input_shape_is_one_to_five_sides_and_no_larger_than_a_picture(shape):
    about = {"network": {}, "settings": {}, "input_shape": shape}
    with pytest.raises(ValueError, match="an input"):
        require_in_proportion(about, {})


def test_a_list_may_be_as_long_as_the_longest_side_of_a_tensor():
    about = {"network": {"tokens": ["a"] * 20_000}, "settings": {}, "input_shape": [4]}
    about["n_features_in"] = 4
    require_in_proportion(about, {"embedding": torch.zeros(20_000, 1)})
    with pytest.raises(ValueError, match="20,000 entries"):
        require_in_proportion(about, {"embedding": torch.zeros(10, 1)})


def test_parts_are_counted_while_a_network_is_built_and_no_longer():
    tensors = {str(k): torch.zeros(1) for k in range(4)}
    with no_more_parts_than(tensors):
        nn.Sequential(*[nn.Linear(2, 2) for _ in range(100)])
    refused = pytest.raises(ValueError, match="more than 1,080 parts for 4 tensors")
    with refused, no_more_parts_than(tensors):
        nn.Sequential(*[nn.Linear(2, 2) for _ in range(1000)])
    nn.Sequential(*[nn.Linear(2, 2) for _ in range(1000)])
