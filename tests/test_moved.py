"""Old names of modules lead to the new ones, with a warning; the table names what is there."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest

import depthwise
from depthwise.moved import MOVED, MOVED_NAMES, OldNames, install, new_home


@pytest.mark.parametrize("new", sorted({new for new in MOVED.values() if new}))
def test_what_the_table_names_is_there(new: str) -> None:
    assert find_spec(f"depthwise.{new}") is not None


def test_no_name_leads_to_another_old_name() -> None:
    assert not set(MOVED.values()) & set(MOVED)


ONE_BY_ONE = [(old, name) for old, names in MOVED_NAMES.items() for name in names]


@pytest.mark.parametrize(("old", "name"), ONE_BY_ONE)
def test_a_name_that_moved_alone_is_the_same_object_and_warns(old: str, name: str) -> None:
    module, new_name = new_home(old, name)
    is_now = f"{old} is now {module}" if name == new_name else f"{name} is now {module}.{new_name}"
    with pytest.warns(DeprecationWarning, match=is_now) as caught:
        found = getattr(import_module(f"depthwise.{old}"), name)
    assert found is getattr(import_module(module), new_name)
    assert len(caught) == 1


def test_a_module_whose_names_moved_refuses_those_it_never_had() -> None:
    for old in MOVED_NAMES:
        with pytest.raises(AttributeError, match="has no attribute 'never_there'"):
            _ = import_module(f"depthwise.{old}").never_there


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("depthwise.modelfile", "read_model"),  # from the root into a room
        ("depthwise.ship.boxes_drawn", "draw_boxes"),  # from a room that is gone
        ("depthwise.families.dnn", "DNN"),  # a module then, a package now
        ("depthwise.measuring.devices", "Device"),
        ("depthwise.measuring.devices", "find"),  # its new home's own names moved on
        ("depthwise.tasks.detection_scores", "Detections"),
    ],
)
def test_an_old_import_gives_the_same_object_and_warns(old: str, name: str) -> None:
    if not hasattr(sys.modules.get(old), "__path__"):
        sys.modules.pop(old, None)  # so that it is looked for, whatever other tests did
    with pytest.warns(DeprecationWarning, match=f"{old} is now depthwise") as caught:
        found = getattr(import_module(old), name)
    module, new_name = new_home(old.removeprefix("depthwise."), name)
    assert found is getattr(import_module(module), new_name)
    assert len(caught) == 1


def test_the_warning_names_the_line_that_imports() -> None:
    code = (
        "import warnings; warnings.simplefilter('always')\nfrom depthwise.modelfile import FORMAT"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("<string>:2: DeprecationWarning")


def test_a_pickle_of_an_old_name_is_read() -> None:
    with pytest.warns(DeprecationWarning, match=r"depthwise\.tasks\.faces is now"):
        found = pickle.loads(b"cdepthwise.tasks.faces\nFaceRecognizer\n.")
    assert found is depthwise.FaceRecognizer


def test_a_file_of_a_package_is_never_taken_for_an_old_name() -> None:
    from depthwise.training import loop

    assert loop.__name__ == "depthwise.training.loop"
    assert not hasattr(import_module("depthwise.training"), "nothing_of_the_kind")


def test_the_finder_is_installed_once() -> None:
    install()
    assert sys.meta_path.count(OldNames) == 1
