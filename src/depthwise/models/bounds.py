"""Bounds on what a model file may promise, checked against the tensors that it really holds before
and while a network is built: a network of 200,000 layers beside four tensors is refused within
milliseconds.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

__all__ = ["no_more_parts_than", "require_in_proportion"]

PARTS, PARTS_PER_TENSOR = 1000, 20  # modules, parameters and buffers of a network while it is built
LONGEST_LIST = 10_000  # entries, or as many as the longest side of a tensor
MOST_VALUES = 1 << 26  # of one item: a picture of 4,700 x 4,700 pixels in three colours
MOST_DIMENSIONS = 5
MOST_REPEATED = 10_000
# numbers of which each one costs time, in building or in every answer
PARTS_OF_A_NETWORK = {"blocks", "depth", "layers", "n_modules", "num_hidden_layers"}
STEPS_OF_AN_ANSWER = {"beam", "chains", "copies", "max_boxes", "max_tokens", "mean_field_steps"}
STEPS_OF_A_SAMPLE = {"order", "sample_sweeps", "sweeps"}
REPEATED = PARTS_OF_A_NETWORK | STEPS_OF_AN_ANSWER | STEPS_OF_A_SAMPLE


def require_in_proportion(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for an input shape, a list or a number of steps that no saved model has."""
    network = description["network"]
    shapes = [description["input_shape"], network.get("input_shape", description["input_shape"])]
    for shape in shapes:
        _require_shape(shape)
    _require_features(description)
    below = network.get("backbone")
    if isinstance(below, dict) and below.get("input_shape") not in (None, shapes[0][-3:]):
        raise ValueError(f"a backbone for pictures of {str(below['input_shape'])[:100]}")
    longest = max([LONGEST_LIST, *(max(t.shape, default=0) for t in tensors.values())])
    for name in ("settings", "network", "shrunk"):
        _require_few(name, description.get(name), longest)


def _require_shape(shape: Any) -> None:
    sides = [side for side in shape if type(side) is int and side > 0]
    if len(sides) != len(shape) or not 1 <= len(shape) <= MOST_DIMENSIONS:
        raise ValueError(f"an input shape of {str(shape)[:100]}")
    if math.prod(sides) > MOST_VALUES:
        raise ValueError(f"an input of {math.prod(sides):,} values, where {MOST_VALUES:,} are most")


def _require_features(description: Mapping[str, Any]) -> None:
    """As many columns as there are values of an item, or as the table had that was fitted on."""
    features = description["n_features_in"]
    most = max(math.prod(description["input_shape"]), len(description.get("columns") or ()))
    if type(features) is not int or not 1 <= features <= most:
        raise ValueError(f"{str(features)[:30]} features of items of {most:,} values")


def _require_few(name: str, value: Any, longest: int) -> None:
    """Of a setting and all within it: lists as long as `longest`, numbers of repetitions."""
    if isinstance(value, list):
        if len(value) > longest:
            raise ValueError(f"{name} with a list of {len(value):,} entries")
        for one in value:
            if isinstance(one, dict | list):
                _require_few(name, one, longest)
    elif isinstance(value, dict):
        for key, one in value.items():
            _require_few(key, one, longest)
    elif name in REPEATED and isinstance(value, int | float) and not abs(value) <= MOST_REPEATED:
        raise ValueError(f"{name} of {value!r}, where {MOST_REPEATED:,} are the most")


@contextlib.contextmanager
def no_more_parts_than(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """While a network is built on this thread, ValueError is raised as soon as it has many more
    modules, parameters and buffers than there are `tensors`."""
    most, thread, found = PARTS + PARTS_PER_TENSOR * len(tensors), threading.get_ident(), 0

    def count(owner: nn.Module, name: str, part: Any) -> None:
        nonlocal found
        if threading.get_ident() == thread:
            found += 1
            if found > most:
                raise ValueError(
                    f"a network of more than {most:,} parts for {len(tensors)} tensors"
                )

    handles = [
        torch_module.register_module_module_registration_hook(count),
        torch_module.register_module_parameter_registration_hook(count),
        torch_module.register_module_buffer_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
