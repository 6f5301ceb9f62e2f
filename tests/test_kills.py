"""A few kills at file events of `fit` and `inspect`; the script that makes them has the others
(`benchmarks/robust/kills.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "robust" / "kills.py"


@pytest.mark.timeout(900)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each run begins by a fork")
@pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not here")
def test_a_command_killed_at_a_file_event_ends_with_the_same_bytes_when_repeated() -> None:
    command = [sys.executable, str(SCRIPT), "fit-dnn", "inspect"]
    done = subprocess.run([*command, "--every", "30"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == last[2] and int(last[0]) > 2  # "4 of 4 kills: ..."
