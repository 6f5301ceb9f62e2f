"""A nested dict of tensors and plain values in one file, replaced in one step, never half-written.

The tensors are a safetensors file; everything else is JSON in its header. Reading runs no code.
Writing goes to a scratch file beside the target, is flushed to the disk, then renamed over it: a
process killed at any moment leaves the old file or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from depthwise.errors import InputError, ModelFileError, reason_of
from depthwise.scratch import scratch_beside, sweep_once

__all__ = ["moved", "read_state", "write_atomically", "write_state"]

MARK = "__tensor__"


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (dicts, lists, tensors, JSON values) to `path`; dict keys become strings.

    Raises InputError naming the path where the disk is full or the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    header = {"state": json.dumps(_take_tensors(state, "", tensors))}
    write_atomically(path, lambda scratch: save_file(tensors, scratch, metadata=header))


def read_state(path: Path, device: str = "cpu") -> dict[str, Any]:
    """What `write_state` wrote; integer-looking dict keys come back as integers."""
    try:
        with safe_open(path, framework="pt", device=device) as file:
            tree = json.loads(file.metadata()["state"])
            return _give_tensors(tree, file)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{path} is not a readable checkpoint ({error}). Delete it to start again."
        ) from None


def moved(state: Any, device: str | torch.device) -> Any:
    """The same with its tensors on `device`: what was learnt on one is gone on with on another."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {name: moved(value, device) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(moved(value, device) for value in state)
    return state


def write_atomically(path: Path, write: Any) -> None:
    """Call `write(scratch_path)`, then put the scratch file in the place of `path`; what a killed
    process left of the same is removed."""
    scratch = scratch_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(path.parent)
        write(scratch)
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    except (OSError, SafetensorError) as error:
        reason = reason_of(error)
        raise InputError(
            f"cannot write {path}: {reason}. Choose a writable folder with enough free space."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def _take_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        # a copy: safetensors refuses tensors that share memory or are not contiguous
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {MARK: name}
    if isinstance(value, dict):
        return {str(k): _take_tensors(v, f"{name}/{k}", tensors) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_take_tensors(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
    return value


def _give_tensors(value: Any, file: Any) -> Any:
    if isinstance(value, dict):
        if MARK in value:
            return torch.as_tensor(file.get_tensor(value[MARK]))
        return {(int(k) if k.isdigit() else k): _give_tensors(v, file) for k, v in value.items()}
    if isinstance(value, list):
        return [_give_tensors(v, file) for v in value]
    return value
