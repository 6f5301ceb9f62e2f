"""Files that were cut or written over are told or refused, never read as fewer items in silence.

`benchmarks/robust/mutations.py` damages files of every kind by the thousand; what it found once is
here.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.data.dataset import Dataset
from depthwise.data.load import load
from depthwise.errors import DataError


def kinds(data: Dataset) -> set[str]:
    return {problem.kind for problem in data.problems}


def picture(k: int, suffix: str = "png") -> bytes:
    noise = np.random.default_rng(k).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, suffix)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_picture_cut_off_in_its_first_frame_is_left_out_and_told(suffix, tmp_path):
    for k in range(12):
        place = tmp_path / "ab"[k % 2] / f"{k}.{suffix}"
        place.parent.mkdir(exist_ok=True)
        data = picture(k, suffix)
        place.write_bytes(data if k else data[: len(data) * 2 // 3])
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 11 and "unreadable picture" in kinds(data)


def tar(path: Path) -> bytes:
    """12 pictures, each in three blocks of 512 bytes or more, and two blocks of zeros."""
    with tarfile.open(path, "w") as file:
        for k in range(12):
            member = tarfile.TarInfo(f"{'ab'[k % 2]}/{k}.png")
            content = picture(k)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path.read_bytes()


def test_a_sound_tar_is_told_nothing_of_with_any_number_of_zeros_at_its_end(tmp_path):
    data = tar(tmp_path / "data.tar")
    for end in (data, data.rstrip(b"\0") + bytes(512 + -len(data.rstrip(b"\0")) % 512)):
        (tmp_path / "data.tar").write_bytes(end)
        read = load(tmp_path / "data.tar", cache=False)
        assert len(read.inputs) == 12 and "cut archive" not in kinds(read)


def test_a_tar_cut_between_two_files_or_with_zeros_over_a_header_is_told(tmp_path):
    data = tar(tmp_path / "data.tar")
    with tarfile.open(tmp_path / "data.tar") as file:
        starts = [member.offset for member in file]
    for damaged in (
        data[: starts[8]],
        data[: starts[8] + 100],
        data[: starts[8]] + bytes(512) + data[starts[8] + 512 :],
    ):
        (tmp_path / "data.tar").write_bytes(damaged)
        read = load(tmp_path / "data.tar", cache=False)
        assert len(read.inputs) == 8 and "cut archive" in kinds(read)


def test_an_npy_whose_first_bytes_are_damaged_is_refused_and_not_left_out(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(48, dtype=np.uint8).reshape(24, 2))
    np.save(tmp_path / "y.npy", np.arange(24) % 3)
    data = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(data[:2] + b"\xff" + data[3:])
    with pytest.raises(DataError, match=r"y\.npy is not a sound npy file .it begins with 93 4e ff"):
        load(tmp_path, cache=False)
