"""The structural edits that make a trained network smaller: `reshape(network, edits)`.

A family builds its network from its settings; a shrunk model's network is that one after some
edits. An edit is a dict of JSON values, {"kind": ..., what it needs}, that says how the structure
changed: which layers went, how wide others became, where numbers are rounded. The numbers
themselves are in the model's tensors, as ever. So a saved model is its settings, its edits in
order, and its tensors; rebuilding takes no memory (device "meta"), and every value is checked,
since the file may be anyone's.

    folded   layers    [[convolution or linear, batch norm], ...]: paths of modules    folding.py
    int8     layers    {path: [incoming, outgoing]}: where numbers are rounded      int8.py
             sums      [path], pixels {"path", "layer", "border", "pad"} or null, weight_bits
    widths   layers    {path: [outputs, inputs]}: narrower layers            widths.py
    low-rank layers    {path: rank}: layers in two                             rank.py
    exits    places    [[path, width, cells]], classes: heads to leave by     exits.py
    weights-int8, weights-int4    layers [path], group: how stored          storage.py

A network remembers its edits in its attribute `edits` (absent: none). To add a kind: a function
(network, edit) -> network that checks the edit, raising ValueError, and works on any device, "meta"
included; its name goes into EDITS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from depthwise.reshaping.exits import exits
from depthwise.reshaping.folding import fold
from depthwise.reshaping.int8 import int8
from depthwise.reshaping.rank import factor
from depthwise.reshaping.storage import stored
from depthwise.reshaping.widths import resize

__all__ = ["EDITS", "Edit", "edits_of", "reshape"]

Edit = dict[str, Any]
MOST = 64  # edits that a model may have had

EDITS: dict[str, Callable[[nn.Module, Edit], nn.Module]] = {
    "folded": fold,
    "int8": int8,
    "widths": resize,
    "low-rank": factor,
    "exits": exits,
    "weights-int8": stored,
    "weights-int4": stored,
}


def reshape(network: nn.Module, edits: Sequence[Edit]) -> nn.Module:
    """The network after these edits, in order; it may be the same object, changed.

    Raises ValueError for an edit that is unknown or does not fit the network.
    """
    if not isinstance(edits, list | tuple) or len(edits) > MOST:
        raise ValueError(f"edits must be a list of at most {MOST}")
    done = edits_of(network)
    for edit in edits:
        kind = edit.get("kind") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or kind not in EDITS:
            raise ValueError(f"an edit of the kind {kind!r}; there are {', '.join(EDITS)}")
        network = EDITS[kind](network, edit)
        done = [*done, edit]
    network.edits = done  # type: ignore[assignment]
    return network


def edits_of(network: nn.Module) -> list[Edit]:
    """The edits applied since the family built the network, in order; [] without any."""
    return list(vars(network).get("edits", []))
