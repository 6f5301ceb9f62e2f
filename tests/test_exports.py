"""The front door: every public name can be imported, and importing the package costs nothing."""

from __future__ import annotations

import subprocess
import sys

import depthwise


def test_every_public_name_is_there() -> None:
    for name in depthwise.__all__:
        assert getattr(depthwise, name) is not None
    assert len(set(depthwise.__all__)) == len(depthwise.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(depthwise, "chose")


def test_a_verb_stays_a_function_when_its_package_is_imported() -> None:
    import depthwise.choosing.choose
    import depthwise.measuring.scorecard

    assert callable(depthwise.choose)
    assert callable(depthwise.measure)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, time; t = time.process_time(); import depthwise;"
        "t = time.process_time() - t;"
        "heavy = {'torch', 'numpy', 'sklearn', 'matplotlib', 'rich', 'typer'} & set(sys.modules);"
        "assert not heavy, heavy; assert t < 0.1, t"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
