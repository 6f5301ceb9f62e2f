"""The cache: instant, never stale, never half-written, never needed."""

import os
import time

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8

from depthwise.data import cache
from depthwise.data.load import load
from depthwise.data.pictures import workers


def entries(folder):
    return sorted((folder / "decoded").glob("*")) if (folder / "decoded").exists() else []


def count_decodes(monkeypatch):
    """Counts the pictures decoded from now on."""
    calls = []
    original = workers.to_pixels

    def counted(image, shape):
        calls.append(shape)
        return original(image, shape)

    monkeypatch.setattr(workers, "to_pixels", counted)
    return calls


def test_the_second_start_decodes_nothing_and_is_the_same(tmp_path, private_cache, monkeypatch):
    make_folder(tmp_path)
    (tmp_path / "cat" / "bad.png").write_bytes(b"no")
    first = load(tmp_path)
    decodes = count_decodes(monkeypatch)
    second = load(tmp_path)
    assert not decodes and isinstance(second.inputs, np.memmap)
    assert first.fingerprint == second.fingerprint and first.problems == second.problems
    assert first.summary() == second.summary() and len(entries(private_cache)) == 1


@pytest.mark.parametrize("change", ["add", "touch", "remove"])
def test_a_changed_folder_is_read_again(tmp_path, change):
    make_folder(tmp_path)
    before = load(tmp_path)
    if change == "add":
        (tmp_path / "cat" / "new.png").write_bytes(encoded(noise_u8(9, 11, 3, seed=77)))
    elif change == "remove":
        (tmp_path / "cat" / "0.png").unlink()
    else:
        (tmp_path / "cat" / "0.png").write_bytes(encoded(noise_u8(9, 11, 3, seed=77)))
        os.utime(tmp_path / "cat" / "0.png", ns=(0, time.time_ns() + 10**9))
    assert load(tmp_path).fingerprint != before.fingerprint


def test_other_options_are_another_entry(tmp_path, private_cache):
    make_folder(tmp_path)
    for size in (None, 8, (8, 16)):
        load(tmp_path, image_size=size)
    load(tmp_path, seed=3)
    assert len(entries(private_cache)) == 3


@pytest.mark.parametrize("name", ["inputs.npy", "arrays.npz", "about.json"])
@pytest.mark.parametrize("damage", ["cut", "garble", "remove"])
def test_a_damaged_cache_is_made_again(tmp_path, private_cache, name, damage):
    make_folder(tmp_path)
    before = load(tmp_path).fingerprint
    path = entries(private_cache)[0] / name
    if damage == "remove":
        path.unlink()
    else:
        whole = path.read_bytes()
        half = len(whole) // 2
        path.write_bytes(
            whole[:half] + (b"" if damage == "cut" else b"\0garbled!" + whole[half + 9 :])
        )
    assert load(tmp_path).fingerprint == before
    assert load(tmp_path).fingerprint == before and len(entries(private_cache)) == 1


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("a file where the cache should be")
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path / "blocked"))
    data = load(make_folder(tmp_path / "d"))
    assert len(data.labels) == 14
    assert [p for p in data.problems if p.kind == "no cache"]


def test_a_full_disk_means_no_cache_and_nothing_left_behind(tmp_path, private_cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    data = load(make_folder(tmp_path))
    assert "No space left" in next(p.detail for p in data.problems if p.kind == "no cache")
    assert len(data.labels) == 14 and entries(private_cache) == []


def test_a_disk_that_fills_up_at_the_end_leaves_a_usable_dataset(
    tmp_path, private_cache, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    data = load(make_folder(tmp_path))
    assert data.train.X.any() and entries(private_cache) == []


def test_an_interrupted_start_leaves_nothing_half_written(tmp_path, private_cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "to_pixels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(make_folder(tmp_path))
    assert entries(private_cache) == []


def test_no_cache_writes_none(tmp_path, private_cache):
    load(make_folder(tmp_path), cache=False)
    assert entries(private_cache) == []


def test_cached_inputs_cannot_be_changed_by_accident(tmp_path):
    make_folder(tmp_path)
    load(tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        load(tmp_path).inputs[0] = 0


def test_what_a_killed_start_left_is_swept_away_after_a_day(tmp_path, private_cache):
    (old := private_cache / "decoded" / "abc.killed").mkdir(parents=True)
    (young := private_cache / "decoded" / "def.busy").mkdir()
    os.utime(old, (0, time.time() - 90_000))
    load(make_folder(tmp_path))
    assert young.exists() and not old.exists()
