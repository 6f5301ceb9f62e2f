"""Choosing how to compute by running it, and checkpoints that are whole or absent."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from depthwise import compute as computing
from depthwise.checkpoint import read_state, write_atomically, write_state
from depthwise.compute import Compute, cached_choice, fastest, free_cores, resolve_device
from depthwise.errors import InputError, ModelFileError

PLAIN, BRAIN = Compute(), Compute(precision="bfloat16")


def takes(seconds: dict[str, float]):
    return lambda compute: time.sleep(seconds[compute.precision])


def test_the_fastest_way_wins() -> None:
    assert fastest(takes({"float32": 0.02, "bfloat16": 0.002}), [PLAIN, BRAIN]) == BRAIN
    assert fastest(takes({"float32": 0.002, "bfloat16": 0.02}), [PLAIN, BRAIN]) == PLAIN


def test_the_plain_way_stays_unless_clearly_beaten() -> None:
    slightly = {"float32": 0.0200, "bfloat16": 0.0195}
    assert fastest(takes(slightly), [PLAIN, BRAIN], advantage=1.5) == PLAIN


def test_what_is_far_behind_at_first_is_not_run_again() -> None:
    runs: list[str] = []

    def run(compute: Compute) -> None:
        runs.append(compute.precision)
        time.sleep(0.1 if compute == BRAIN else 0.002)

    assert fastest(run, [PLAIN, BRAIN]) == PLAIN
    assert runs.count("bfloat16") == 1


def test_only_one_round_counts_once_the_time_is_over() -> None:
    runs: list[str] = []

    def run(compute: Compute) -> None:
        runs.append(compute.precision)
        time.sleep(0.02)

    assert fastest(run, [PLAIN, BRAIN], seconds=0.01) == PLAIN
    assert len(runs) == 4  # to warm up, and once each


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the variables are oneDNN's for x86")
def test_bfloat16_is_not_tried_where_the_processor_lacks_it() -> None:
    ask = "from depthwise.compute import has_bfloat16; print(has_bfloat16())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]


def test_threads_hold_inside_and_are_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), Compute(threads=before + 1).active():
        assert torch.get_num_threads() == before + 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_a_choice_is_measured_once_a_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path))
    measured: list[int] = []

    def measure() -> Compute:
        measured.append(1)
        return BRAIN

    assert [cached_choice("a network", measure) for _ in range(3)] == [BRAIN] * 3
    assert measured == [1]
    for path in (tmp_path / "compute").iterdir():
        path.write_text("damaged")
    assert cached_choice("a network", measure) == BRAIN
    assert measured == [1, 1]


def test_what_there_was_no_time_to_measure_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path))
    assert cached_choice("a network", lambda: None, otherwise=BRAIN) == BRAIN
    assert cached_choice("a network", lambda: PLAIN, otherwise=BRAIN) == PLAIN


def test_a_cache_that_cannot_be_written_only_means_measuring_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path / "file"))
    assert cached_choice("key", lambda: BRAIN) == BRAIN


def test_a_busy_machine_gets_one_thread_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computing, "free_cores", lambda: 1)
    two = Compute(threads=2)
    chosen = computing.with_threads("key", two, lambda ways: pytest.fail("tried"))
    assert chosen.threads == 1


def test_there_is_always_a_core() -> None:
    assert free_cores() >= 1


def test_devices_are_checked() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(InputError, match="'gpu9'"):
        resolve_device("gpu9")


def test_channels_last_is_a_memory_order_not_another_answer() -> None:
    network = nn.Conv2d(3, 5, 3)
    images = torch.randn(2, 3, 7, 9)
    expected = network(images)
    way = Compute(channels_last=True)
    got = way.place(network)(way.place_batch(images))
    assert way.place_batch(images).is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(got, expected, atol=1e-6)


# -- checkpoints ----------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.builds(lambda n, seed: torch.arange(n) * seed, st.integers(0, 4), st.integers(0, 9))
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True) | st.integers(0, 9), inner)
    ),
    max_leaves=8,
)


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True), trees, max_size=4))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, state: dict
) -> None:
    path = tmp_path_factory.mktemp("states") / "state"
    write_state(path, state)
    assert same(read_state(path), state)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_way(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("states") / "state"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="Delete it"):
        read_state(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_scrap(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_atomically(path, lambda scratch: scratch.write_text(json.dumps(1)))

    def half_way(scratch: Path) -> None:
        scratch.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        write_atomically(path, half_way)
    assert path.read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]
