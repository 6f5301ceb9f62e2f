"""Scratch files by their names: whose they are, and which are leftovers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from depthwise import scratch
from depthwise.checkpoint import write_atomically
from depthwise.errors import InputError


def of_process(path: Path, number: int) -> Path:
    """The scratch file of another process."""
    own = scratch.scratch_beside(path)
    return own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{number}."))


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_writing_removes_what_a_killed_process_left_and_nothing_of_one_that_lives(tmp_path, ended):
    left, living = of_process(tmp_path / "a.json", ended), of_process(tmp_path / "a.json", 1)
    other = tmp_path / ".a.json.12.tmp"
    for path in (left, living, other):
        path.write_text("half")
    write_atomically(tmp_path / "b.json", lambda place: place.write_text("whole"))
    assert {path.name for path in tmp_path.iterdir()} == {living.name, other.name, "b.json"}
    assert (tmp_path / "b.json").read_text() == "whole"


def test_scratch_of_another_machine_stays_until_its_folder_is_ours_alone(tmp_path, ended):
    theirs = tmp_path / f".a.json.00000000-{ended}.scratch"
    theirs.write_text("half")
    scratch.sweep_once(tmp_path)
    assert theirs.exists()
    scratch.sweep(tmp_path)
    assert not theirs.exists()


def test_sweeping_looks_into_best_and_work_and_nowhere_else(tmp_path, ended):
    for name in ("best", "work/features", "another"):
        (tmp_path / name).mkdir(parents=True)
        of_process(tmp_path / name / "a.json", ended).write_text("half")
    scratch.sweep(tmp_path)
    assert [p.parent.name for p in tmp_path.rglob("*") if p.is_file()] == ["another"]


def test_a_scratch_folder_is_gone_afterwards_with_the_empty_folders_made_for_it(tmp_path):
    with scratch.scratch_folder(tmp_path / "a" / "b" / "export") as folder:
        (folder / "file").write_text("half")
        assert folder.is_dir() and folder.parent == tmp_path / "a" / "b"
    assert not any(tmp_path.iterdir())


def test_a_scratch_folder_below_a_file_is_an_error_that_names_the_place(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/sub cannot be written"),
        scratch.scratch_folder(tmp_path / "file" / "sub" / "export"),
    ):
        pass


def test_a_folder_is_removed_whole(tmp_path):
    (tmp_path / "work" / "deep").mkdir(parents=True)
    (tmp_path / "work" / "deep" / "file").write_text("x")
    scratch.remove_whole(tmp_path / "work")
    scratch.remove_whole(tmp_path / "work")  # again, where there is nothing
    assert not any(tmp_path.iterdir())
