"""Files of published weights: what torch wrote is read, anything else refused."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from depthwise.backbones.images.weights import read_tensors
from depthwise.errors import ModelFileError


def written(state: Any) -> bytes:
    """By torch itself, in its layout from before 1.6."""
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.fixture
def state() -> OrderedDict[str, torch.Tensor]:
    torch.manual_seed(0)
    turned = torch.randn(5, 3, 2).permute(2, 0, 1)
    return OrderedDict(weight=turned, count=torch.tensor(7), bias=torch.randn(4))


@pytest.mark.parametrize("of_old", [True, False])
def test_what_torch_wrote_is_read(state: Any, of_old: bool, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=not of_old)
    read = read_tensors(tmp_path / "a.pth")
    assert list(read) == list(state)
    for name, tensor in state.items():
        assert torch.equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype
        assert read[name].is_contiguous()


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harm"),))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        pickle.dumps(Harmful()),
        pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(Harmful()),
        b"\x80\x02]" + b"(" * 1000,
    ],
)
def test_other_files_are_refused_and_nothing_is_run(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"a\.pth is not a file of plain tensors"):
        read_tensors(tmp_path / "a.pth")
    assert not (tmp_path / "harm").exists()


def test_a_file_cut_anywhere_is_refused(state: Any, tmp_path: Path) -> None:
    whole = written(state)
    for end in range(0, len(whole), 37):
        (tmp_path / "a.pth").write_bytes(whole[:end])
        with pytest.raises(ModelFileError):
            read_tensors(tmp_path / "a.pth")


def test_a_lying_length_is_refused(tmp_path: Path) -> None:
    whole = written({"a": torch.ones(3)})
    lying = whole.replace(struct.pack("<q", 3) + struct.pack("<f", 1.0), struct.pack("<qf", 4, 1.0))
    assert lying != whole
    (tmp_path / "a.pth").write_bytes(lying)
    with pytest.raises(ModelFileError, match="not a file of plain tensors"):
        read_tensors(tmp_path / "a.pth")


def test_a_storage_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    whole = written({"a": torch.ones(3)})
    claim = b"\x8a\x08" + struct.pack("<q", 10**15)  # pickle's LONG1, in the place of 3
    lying = whole.replace(b"K\x03Nt", claim + b"Nt", 1)
    assert lying != whole
    (tmp_path / "a.pth").write_bytes(lying)
    with pytest.raises(ModelFileError, match="not a file of plain tensors"):
        read_tensors(tmp_path / "a.pth")


def test_a_tensor_larger_than_its_storage_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(written({"a": torch.ones(1).expand(10**9)}))
    with pytest.raises(ModelFileError, match="larger than its storage"):
        read_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize("state", [[1, 2], {"a": 3}, {"a": torch.ones(2, dtype=torch.float16)}])
def test_what_is_no_table_of_plain_tensors_is_refused(state: Any, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(written(state))
    with pytest.raises(ModelFileError):
        read_tensors(tmp_path / "a.pth")
