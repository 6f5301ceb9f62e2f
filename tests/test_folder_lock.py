"""One run at a time in a folder of results."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from depthwise import folder_lock
from depthwise.errors import InputError
from depthwise.folder_lock import UnlockedFolderWarning, sole_use

HOLD = """
import sys, time
from pathlib import Path
from depthwise.folder_lock import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that has the folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_at_once_and_the_killed_ones_folder_is_free_again(tmp_path):
    other = holder(tmp_path / "out")
    begun = time.monotonic()
    with (
        pytest.raises(InputError, match=r"out is in use by another run"),
        sole_use(tmp_path / "out"),
    ):
        pass
    assert time.monotonic() - begun < 1
    other.send_signal(signal.SIGKILL)
    other.wait()
    with sole_use(tmp_path / "out"):
        (tmp_path / "out" / "result").write_text("x")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result"]


def test_two_runs_of_one_process_do_not_share_a_folder_either(tmp_path):
    with sole_use(tmp_path):
        with pytest.raises(InputError, match="in use"), sole_use(tmp_path):
            pass
        with sole_use(tmp_path / "another"):
            pass
    with sole_use(tmp_path):
        pass


def test_a_folder_that_nothing_came_into_is_gone_again_and_one_that_was_there_stays(tmp_path):
    with sole_use(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    (tmp_path / "empty").mkdir()
    with sole_use(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()


def test_a_file_system_without_locks_is_told_and_used(tmp_path, monkeypatch):
    def no_locks(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock, "_take", no_locks)
    told = pytest.warns(UnlockedFolderWarning, match="cannot be locked .No locks available")
    with told, sole_use(tmp_path / "out"):
        (tmp_path / "out" / "result").write_text("x")
    assert (tmp_path / "out" / "result").exists()


def test_a_file_and_a_place_below_one_are_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    for path, said in (
        (tmp_path / "file", "file is a file"),
        (tmp_path / "file" / "a", "a cannot"),
    ):
        with pytest.raises(InputError, match=said), sole_use(path):
            pass
