"""Decoding in processes gives exactly what decoding here gives."""

import io
import subprocess

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8

from depthwise.data.load import load
from depthwise.data.pictures import decode as decoding
from depthwise.data.pictures import workers


@pytest.fixture
def apart(monkeypatch):
    """Makes even a few pictures go to two processes, in chunks that do not divide them."""
    monkeypatch.setattr(decoding, "MANY", 2)
    monkeypatch.setattr(decoding, "available_cores", lambda: 2)
    monkeypatch.setattr(workers, "_CHUNK", 5)
    started = []
    start = subprocess.Popen

    def counted(*args, **kwargs):
        started.append(start(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", counted)
    return started


def test_processes_and_threads_agree(tmp_path, apart, monkeypatch):
    make_folder(tmp_path, each=13)
    (tmp_path / "cat" / "4.png").write_bytes(b"no picture")
    spread = load(tmp_path, cache=False)
    assert len(apart) == 2 and all(process.poll() is not None for process in apart)
    monkeypatch.setattr(decoding, "MANY", 10**9)
    here = load(tmp_path, cache=False)
    assert len(apart) == 2
    assert spread.fingerprint == here.fingerprint and spread.problems == here.problems


def test_a_picture_of_another_size_sends_everything_round_again(tmp_path, apart):
    make_folder(tmp_path, each=40, size=(8, 8))
    (tmp_path / "dog" / "39.png").write_bytes(encoded(noise_u8(20, 20, seed=99)))
    data = load(tmp_path, cache=False)
    assert data.input_shape == (1, 8, 8) and len(data.labels) == 80
    assert all(process.poll() is not None for process in apart)


def test_without_processes_it_is_done_here(tmp_path, monkeypatch, apart):
    make_folder(tmp_path, each=13)
    expected = load(tmp_path, cache=False).fingerprint
    for executable in ("/nowhere/python", "/bin/false"):
        monkeypatch.setattr(workers.sys, "executable", executable)
        assert load(tmp_path, cache=False).fingerprint == expected


def test_the_conversation_follows_its_description():
    pictures = [noise_u8(4, 6, seed=k) for k in range(3)]
    files = [encoded(pictures[0]), b"text", encoded(pictures[2])]
    header = np.array([3, 1, 4, 6, 4, 6, 1], "<u4").tobytes()
    lengths = np.array([len(f) for f in files], "<u4").tobytes()
    answers = io.BytesIO()
    workers.serve(io.BytesIO(header + lengths + b"".join(files)), answers)
    line, _, pixels = answers.getvalue().partition(b"\n")
    assert line == b'{"1": "not a picture"}'
    assert np.array_equal(np.frombuffer(pixels, np.uint8).reshape(3, 4, 6)[2], pictures[2])
