"""Families by name are imported when they are asked for, and so is what only scikit-learn wants."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise import CNN
from depthwise.catalog import FAMILIES, TASKS, Makers, find_family
from depthwise.families.shallow.shallow import LogisticRegression

HEAVY = ("scipy.stats", "sklearn.ensemble", "torch._dynamo", "sympy", "depthwise.families.dbm.dbm")


def modules_after(code: str) -> set[str]:
    """Modules of a fresh process that ran `code`, in full: stand-ins do not count."""
    end = (
        "import sys; print(*[n for n, m in sys.modules.items() if type(m).__name__ != '_StandIn'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{end}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split("\n")[-2].split())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), np.uint8)
    made = CNN(size="xxs", epochs=1, batch_size=6).fit(images, np.arange(12) % 2)
    return made.save(tmp_path_factory.mktemp("made") / "cnn")


@pytest.mark.parametrize("makers", [FAMILIES, TASKS], ids=["families", "tasks"])
def test_every_name_leads_to_the_class_of_that_name(makers: Makers) -> None:
    for name, maker in makers.items():
        assert maker.family == name and find_family(name) is maker


def test_a_name_can_be_added_and_taken_away() -> None:
    makers = Makers({"logistic": "families.shallow.shallow:LogisticRegression"})
    makers["mine"] = LogisticRegression
    assert {**makers} == {"logistic": LogisticRegression, "mine": LogisticRegression}
    del makers["mine"]
    assert list(makers) == ["logistic"] and "mine" not in makers


def test_asking_a_model_at_the_command_line_imports_only_what_that_needs(model: Path) -> None:
    image = str(model / "a.png")
    Image.new("L", (8, 8)).save(image)
    asked = ["predict", str(model), image], ["measure", str(model), "--device", "raspberry-pi-5"]
    code = ["from depthwise.cli import main"]
    code += [
        f"try: main({arguments!r})\nexcept SystemExit as end: assert end.code == 0"
        for arguments in asked
    ]
    assert not modules_after("\n".join(code)) & set(HEAVY)


def test_a_deferred_module_comes_when_something_is_asked_of_it() -> None:
    code = (
        "from depthwise.commands.deferred import defer\n"
        "defer('scipy.stats')\n"
        "import scipy.stats\n"
        "from scipy.stats import norm\n"
        "assert abs(scipy.stats.norm.cdf(0.0) - 0.5) < 1e-12 and norm is scipy.stats.norm\n"
        "import scipy.stats.qmc"
    )
    assert "scipy.stats" in modules_after(code)


def test_pandas_waits_for_the_first_frame_and_what_is_missing_stays_missing() -> None:
    pytest.importorskip("pandas")
    code = (
        "import sys\n"
        "from importlib.util import find_spec\n"
        "from depthwise.commands.deferred import defer\n"
        "defer('pandas'), defer('not_installed_here')\n"
        "import sklearn.base\n"
        "assert find_spec('pandas') and not find_spec('not_installed_here')\n"
        "assert 'pandas.core' not in sys.modules\n"
        "import pandas\n"
        "assert pandas.DataFrame({'a': [1, 2]}).shape == (2, 1)"
    )
    assert "pandas.core" in modules_after(code)


def test_a_captioner_is_built_and_rebuilt_without_torchs_compiler() -> None:
    code = (
        "import torch\n"
        "from depthwise import Captioner\n"
        "from depthwise.tasks.captioning.network import map_shape\n"
        "network = Captioner(size='s').build((3, 40, 56), 50)\n"
        "below = network.backbone.eval()\n"
        "shape = map_shape(below)\n"
        "assert shape[1:] == tuple(below.features(torch.zeros(1, 3, 40, 56))[-1].shape[2:])\n"
        "assert map_shape(below.to('meta')) == shape"
    )
    assert "torch._dynamo" not in modules_after(code)
