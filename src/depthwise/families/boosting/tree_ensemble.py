"""Trees that are walked together, as a network: what boosting leaves behind.

Shapes: B batch, D columns, K classes, T trees, M nodes of the largest tree, E sets of values.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.families.boosting.rounds import Grown, Part, Tree

__all__ = ["TreeEnsemble", "as_ensemble", "joined"]


class TreeEnsemble(nn.Module):
    """Every tree walked at once, one level a step: (B, ...) -> logits (B, K).

    A node holds the column it looks at, its threshold (go left when x <= threshold), its children
    and its value; leaves are their own children. Binary trees vote for the second class only.
    A node that parts a category in two sets looks at a column after the last, x @ sets: 1 for the
    values that go right, or -1 for those that go left.
    """

    feature: Tensor
    threshold: Tensor
    branches: Tensor
    value: Tensor
    baseline: Tensor
    sets: Tensor

    def __init__(
        self,
        trees: int,
        nodes: int,
        depth: int,
        votes: int,
        n_classes: int,
        sets: tuple[int, int] | None = None,
    ):
        super().__init__()
        self.depth, self.votes, self.n_classes = depth, votes, n_classes
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(trees, nodes, dtype=torch.float64))
        self.register_buffer("branches", torch.zeros(trees, nodes, 2, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(trees, nodes))
        self.register_buffer("baseline", torch.zeros(votes))
        self.has_sets = sets is not None
        if sets is not None:
            self.register_buffer("sets", torch.zeros(sets))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        if self.has_sets:
            x = torch.cat([x, x.to(self.sets.dtype) @ self.sets], dim=1)
        items, columns, (trees, nodes) = x.shape[0], x.shape[1], self.feature.shape
        whole: dict[str, Any] = {"dtype": torch.int32, "device": x.device}
        root = (nodes * torch.arange(trees, **whole)).repeat(items)  # (B T,), as all below
        row = (columns * torch.arange(items, **whole)).unsqueeze(1).expand(-1, trees).reshape(-1)
        # one axis each: an index into one axis takes a third of the time of one into two
        x, feature, threshold = x.reshape(-1), self.feature.reshape(-1), self.threshold.reshape(-1)
        branches, node = self.branches.reshape(-1), root
        for _ in range(self.depth):
            looked_at = x.index_select(0, row + feature.index_select(0, node))
            right = looked_at > threshold.index_select(0, node)
            node = root + branches.index_select(0, 2 * node + right)
        leaves = self.value.reshape(-1).index_select(0, node).reshape(items, -1, self.votes)
        votes = leaves.sum(dim=1) + self.baseline
        if self.votes == self.n_classes:
            return votes
        return torch.cat([torch.zeros_like(votes), votes], dim=1)

    def grow_at_random(self, columns: int) -> Self:
        """As large trees as there can be, with random columns and thresholds: for measuring."""
        trees, nodes = self.feature.shape
        self.feature.random_(0, columns)
        self.threshold.normal_()
        self.value.normal_(std=1e-2)
        inner = torch.arange(nodes).repeat(trees, 1)
        self.branches[..., 0] = (2 * inner + 1).clamp(max=nodes - 1)
        self.branches[..., 1] = (2 * inner + 2).clamp(max=nodes - 1)
        return self

    def describe(self) -> dict[str, Any]:
        """What `rebuilt` needs to make the same network; JSON values."""
        trees, nodes = self.feature.shape
        shape = {"trees": trees, "nodes": nodes, "depth": self.depth, "votes": self.votes}
        return shape | ({"sets": self.sets.shape[1]} if self.has_sets else {})

    @classmethod
    def rebuilt(cls, description: dict[str, Any]) -> Self:
        """Raises ValueError for a description of no trees."""
        n_classes = int(description["n_classes"])
        trees, nodes, depth = (int(description[key]) for key in ("trees", "nodes", "depth"))
        votes = int(description.get("votes", n_classes))
        if not 0 <= depth <= nodes or votes not in (1, n_classes) or trees % votes:
            raise ValueError(f"no {trees} trees of {nodes} nodes have depth {depth}, {votes} votes")
        sets = int(description.get("sets", 0))
        shape = (math.prod(int(side) for side in description["input_shape"]), sets)
        return cls(trees, nodes, depth, votes, n_classes, shape if sets else None)


def as_ensemble(grown: Grown, n_classes: int, columns: int) -> TreeEnsemble:
    """scikit-learn's node arrays, one a tree, as one padded tensor a field."""
    trees = [tree for row in grown.rounds for tree in row]
    most = max((len(tree.nodes) for tree in trees), default=1)
    depth = max((int(tree.nodes["depth"].max()) for tree in trees), default=0)
    sets = _distinct_sets(trees)
    shape = (columns, len(sets)) if sets else None
    ensemble = TreeEnsemble(len(trees), most, depth, len(grown.baseline), n_classes, shape)
    for i, tree in enumerate(trees):
        nodes, n, itself = tree.nodes.copy(), len(tree.nodes), np.arange(len(tree.nodes))
        leaf = nodes["is_leaf"].astype(bool)
        for node, part in tree.sets.items():
            nodes["feature_idx"][node] = columns + sets[part]
            nodes["num_threshold"][node] = 0.5 if part.goes_right else -0.5
        ensemble.feature[i, :n] = torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"]))
        ensemble.threshold[i, :n] = torch.from_numpy(np.where(leaf, 0, nodes["num_threshold"]))
        for side, name in enumerate(("left", "right")):
            ensemble.branches[i, :n, side] = torch.from_numpy(np.where(leaf, itself, nodes[name]))
        ensemble.value[i, :n] = torch.from_numpy(nodes["value"].copy())
    for part, place in sets.items():
        ensemble.sets[list(part.columns), place] = 1.0 if part.goes_right else -1.0
    ensemble.baseline.copy_(torch.from_numpy(grown.baseline))
    return ensemble.eval()


def _distinct_sets(trees: list[Tree]) -> dict[Part, int]:
    """Each set of values that a node looks for, once, and its place among them."""
    parts = dict.fromkeys(part for tree in trees for part in tree.sets.values())
    return {part: place for place, part in enumerate(parts)}


def joined(first: TreeEnsemble, second: TreeEnsemble) -> TreeEnsemble:
    """The trees of both; the baseline and the sets of the first. The second has no sets."""
    trees = first.feature.shape[0] + second.feature.shape[0]
    nodes = max(first.feature.shape[1], second.feature.shape[1])
    depth = max(first.depth, second.depth)
    sets = first.sets if first.has_sets else None
    shape = None if sets is None else (sets.shape[0], sets.shape[1])
    both = TreeEnsemble(trees, nodes, depth, first.votes, first.n_classes, shape)
    if sets is not None:
        both.sets.copy_(sets)
    row = 0
    for part in (first, second):
        rows, columns = slice(row, row + part.feature.shape[0]), slice(0, part.feature.shape[1])
        for name in ("feature", "threshold", "branches", "value"):
            getattr(both, name)[rows, columns] = getattr(part, name)
        row = rows.stop
    both.baseline.copy_(first.baseline)
    return both.eval()
