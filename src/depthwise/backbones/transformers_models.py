"""What models of the transformers library have in common: no code of theirs is run, and they have
not all the same attributes."""

from __future__ import annotations

from typing import Any

__all__ = ["NO_CODE", "attribute", "names_code"]

NO_CODE: dict[str, Any] = {"trust_remote_code": False, "attn_implementation": "eager"}


def attribute(owner: Any, name: str, otherwise: Any = None) -> Any:
    """An attribute of a model, its config or its answer, which others call differently or lack."""
    return getattr(owner, name, otherwise)


def names_code(key: str) -> bool:
    """Whether an entry of a config could make transformers fetch or import code."""
    return key.startswith("_") or key in ("auto_map", "attn_implementation", "quantization_config")
