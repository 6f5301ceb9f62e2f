"""The Transformer's laws: what it may see, what distance means, padding, and the cache."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from depthwise.backbones.texts.transformer import Cache, Rung, Transformer, attend, rotated
from depthwise.compute import Compute
from depthwise.tasks.language.step import NextTokenUpdate, windows
from depthwise.training.step import Recipe

pytestmark = pytest.mark.numerical

RUNG = Rung(width=24, layers=3, heads=6, groups=2)


def made(causal: bool, rung: Rung = RUNG, vocabulary: int = 11) -> Transformer:
    torch.manual_seed(0)
    return Transformer(vocabulary, rung, causal=causal).double().eval()


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(11, shape, generator=torch.Generator().manual_seed(3))


def test_later_tokens_change_nothing_before_them() -> None:
    network, a = made(causal=True), tokens(2, 7)
    b = a.clone()
    b[:, 5:] = (b[:, 5:] + 1) % 11
    before, after = network(a), network(b)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.equal(before[:, 5:], after[:, 5:])


def test_an_encoder_sees_what_comes_later() -> None:
    network, a = made(causal=False), tokens(2, 7)
    b = a.clone()
    b[:, 6] = (b[:, 6] + 1) % 11
    assert (network(a) != network(b)).any(dim=2).all()


def test_a_padded_batch_answers_as_singles() -> None:
    for causal in (False, True):
        network, lengths = made(causal), [7, 3, 1]
        rows = [tokens(1, n) for n in lengths]
        padded = torch.zeros(3, 7, dtype=torch.int64)
        mask = torch.zeros(3, 7, dtype=torch.bool)
        for i, row in enumerate(rows):
            padded[i, : row.shape[1]], mask[i, : row.shape[1]] = row, True
        together = network(padded, mask)
        for i, row in enumerate(rows):
            alone = network(row)
            torch.testing.assert_close(together[i, : lengths[i]], alone[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cuts", [[7], [1] * 7, [3, 1, 1, 2]])
def test_with_a_cache_it_answers_as_without(dtype: torch.dtype, cuts: list[int]) -> None:
    network, row = made(causal=True).to(dtype), tokens(2, 7)
    cache = Cache(network, batch=2, room=9)
    pieces = [network(part, cache=cache) for part in row.split(cuts, dim=1)]
    assert cache.length == 7
    close = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(torch.cat(pieces, dim=1), network(row), rtol=close, atol=close)


@pytest.mark.parametrize("shift", [1, 5, 1000])
def test_rotary_scores_depend_on_distances_alone(shift: int) -> None:
    generator = torch.Generator().manual_seed(1)
    q, k = (torch.randn(1, 2, 5, 8, dtype=torch.float64, generator=generator) for _ in "qk")
    here = rotated(q) @ rotated(k).mT
    there = rotated(q, shift) @ rotated(k, shift).mT
    torch.testing.assert_close(here, there, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(here, rotated(q, shift) @ rotated(k).mT)


def test_rotary_turns_by_hand() -> None:
    """Position 2 of a head of 4: pair 0 by 2 radians, pair 1 by 2 / sqrt(10000) = 0.02."""
    x = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64).view(1, 1, 1, 4)
    turned = rotated(x, 2).flatten().tolist()
    wanted = [math.cos(2), -math.sin(0.02), math.sin(2), math.cos(0.02)]
    np.testing.assert_allclose(turned, wanted, atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_plain_products_attend_as_torchs_kernel_does(causal: bool) -> None:
    q, k, v = (torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True) for _ in "qkv")
    theirs = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(attend(q, k, v, None, causal), theirs, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(attend(q, k, v, None, causal), theirs, rtol=1e-10, atol=1e-10)


def test_groups_share_keys_and_values_among_their_heads() -> None:
    """Two groups of three heads are six heads whose keys and values are copied three times."""
    shared, spread = made(True), made(True, Rung(24, 3, 6, 6))
    state = shared.state_dict()
    for name in list(state):
        if name.endswith(("keys.weight", "values.weight")):
            state[name] = state[name].unflatten(0, (2, 1, 4)).expand(2, 3, 4, 24).reshape(24, 24)
    spread.load_state_dict(state)
    torch.testing.assert_close(shared(tokens(2, 5)), spread(tokens(2, 5)), rtol=1e-10, atol=1e-10)
    assert Cache(shared, 1, 9).keys.shape == (3, 1, 2, 9, 4)


def test_parameters_are_as_counted_by_hand() -> None:
    # a layer: q and o 24 x 24, k and v 24 x 8, three matrices 24 x 64, two gains of 24
    layer = 2 * 24 * 24 + 2 * 24 * 8 + 3 * 24 * 64 + 2 * 24
    assert RUNG.hidden == 64
    assert sum(p.numel() for p in made(True).parameters()) == 11 * 24 + 3 * layer + 24


def test_before_training_nothing_is_foretold() -> None:
    """A tied decoder must not begin by repeating its input: the loss is that of chance, ln V."""
    torch.manual_seed(0)
    network = Transformer(256, Rung(128, 4, 4, 2), causal=True)
    row = torch.randint(256, (8, 33))
    logits = network.logits(network(row[:, :-1]))
    loss = functional.cross_entropy(logits.flatten(0, 1), row[:, 1:].flatten())
    assert float(loss.detach()) == pytest.approx(math.log(256), rel=0.02)


def test_dropout_silences_a_unit_at_all_positions_of_an_item() -> None:
    torch.manual_seed(0)
    network = Transformer(11, RUNG, causal=True, dropout=0.5).train()
    x = network.dropout(torch.ones(4, 5, 24))
    assert set(x.unique().tolist()) == {0.0, 2.0}
    assert (x == x[:, :1]).all()
    assert not (x[0] == x[1]).all()


# -- learning -------------------------------------------------------------------------------------


def test_windows_are_cut_where_they_begin_and_end_with_the_text() -> None:
    text = torch.arange(10, dtype=torch.int32)
    cut = windows(text, torch.tensor([0, 3, 9]), context=4)
    assert cut.tolist() == [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [5, 6, 7, 8, 9]]


def updated(optimizer: str, steps: int = 5) -> tuple[Foretelling, NextTokenUpdate]:
    torch.manual_seed(1)
    network = Foretelling()
    recipe = Recipe(lr=0.01, optimizer=optimizer, weight_decay=0.0, clip_norm=None)
    update = NextTokenUpdate(network, torch.arange(40) % 7, 6, recipe, Compute())
    for step in range(steps):
        torch.manual_seed(step)
        update(torch.arange(0, 30, 6), torch.zeros(5), 0.5)
    return network, update


class Foretelling(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transformer = Transformer(7, Rung(16, 1, 2, 1), causal=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.transformer.logits(self.transformer(x))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_row_that_repeats_is_learnt(optimizer: str) -> None:
    network, _ = updated(optimizer, steps=60)
    row = torch.arange(15)[None] % 7
    assert (network(row[:, :-1]).argmax(-1) == row[:, 1:]).all()


def test_a_muon_step_is_orthogonal_and_of_adamws_size() -> None:
    """All singular values of a step are about lr 0.2 sqrt(16), as five iterations leave them."""
    first, _ = updated("muon", steps=0)
    second, _ = updated("muon", steps=1)
    step = [m.transformer.blocks[0].attention.queries.weight.detach() for m in (first, second)]
    values = torch.linalg.svdvals(step[1] - step[0])
    rate = 0.01 * 0.5  # one-cycle: at half of the run the rate is at 3/4 of its way down
    assert (values[:5] / (0.2 * 4) < 0.01 * 1.3).all()
    assert values[0] > rate * 0.2 * 4 * 0.5


def test_the_optimisers_state_comes_back() -> None:
    network, update = updated("muon", steps=3)
    other, again = updated("muon", steps=0)
    other.load_state_dict(network.state_dict())
    again.load_state_dict(copy.deepcopy(update.state_dict()))
    for one in (update, again):
        torch.manual_seed(9)
        one(torch.arange(0, 30, 6), torch.zeros(5), 0.7)
    for a, b in zip(network.parameters(), other.parameters()):
        assert torch.equal(a, b)
