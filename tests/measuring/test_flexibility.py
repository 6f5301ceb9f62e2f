import time

import pytest
import torch
from torch import nn

import depthwise.measuring.flexibility as module
from depthwise.measuring.flexibility import _probabilities, agreement, flexibility
from depthwise.reshaping.quantise import quantise_network
from depthwise.runtimes import RUNTIMES
from depthwise.runtimes.picking import apart


def cells(network, samples):
    metric = flexibility(network, samples)
    return metric, {(c["runtime"], c["precision"], c["batch"]): c for c in metric.details["cells"]}


def test_a_plain_network_runs_everywhere():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(75, 4)]
    network = nn.Sequential(*layers)
    metric, table = cells(network, torch.randn(5, 1, 7, 7))
    assert metric.value == 1.0 and len(table) == 8
    assert table["eager", "fp32", 1]["max_difference"] == 0.0
    assert all(cell["ok"] and "agrees" in cell["reason"] for cell in table.values())
    assert network.training  # as it was


class NoBatch(nn.Module):
    """Fails for more than one item, as a network that was written for one."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        if x.shape[0] != 1:
            raise ValueError("one item only\nand more text")
        return self.layer(x)


def test_a_network_for_one_item_fails_the_others_with_the_reason():
    metric, table = cells(NoBatch(), torch.randn(3, 6))
    assert metric.value == 0.25
    assert table["eager", "fp32", 1]["ok"] and table["eager", "bf16", 1]["ok"]
    assert table["eager", "fp32", 64]["reason"] == "run failed: ValueError: one item only"
    assert table["torch.export", "fp32", 1]["reason"].startswith("export failed")
    assert table["torch.export", "fp32", 1]["max_difference"] is None


class MixesItems(nn.Module):
    """An item's answer depends on its neighbours: batch 64 differs from singles."""

    def forward(self, x):
        return x - x.mean(0) + 3 * x.roll(1, 1)


def test_a_batch_that_disagrees_with_singles_fails():
    torch.manual_seed(0)
    _, table = cells(MixesItems(), torch.randn(64, 5))
    assert table["eager", "fp32", 1]["ok"]
    assert not table["eager", "fp32", 64]["ok"]
    assert table["eager", "fp32", 64]["reason"].startswith("differs: by at most")


class Decides(nn.Module):
    """Python decides by the data: nothing that torch.export can trace."""

    def forward(self, x):
        return x * 2 if float(x.sum()) > 0 else x + 1


def test_what_cannot_be_exported_still_counts_its_eager_cells():
    metric, table = cells(Decides(), torch.ones(4, 3))
    assert table["eager", "fp32", 64]["ok"]
    assert not table["torch.export", "fp32", 64]["ok"]
    assert metric.value == 0.5


def test_raw_pixels_are_taken():
    class Pixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(12, 3)

        def forward(self, images_u8):
            return self.layer(images_u8.float().flatten(1) / 255)

    metric, _ = cells(Pixels(), torch.randint(0, 256, (64, 3, 2, 2), dtype=torch.uint8))
    assert metric.value == 1.0


@pytest.mark.parametrize(
    ("precision", "shift", "ok"),
    [
        ("fp32", 5e-5, True),
        ("fp32", 2e-4, False),
        ("bf16", 0.019, True),
        ("bf16", 0.04, True),  # same classes
        ("bf16", 0.06, False),
    ],
)
def test_tolerances(precision, shift, ok):
    expected = torch.tensor([[0.7, 0.3], [0.2, 0.8]])
    got = expected + torch.tensor([[-shift, shift], [0.0, 0.0]])
    assert agreement(precision, got, expected)[0] is ok


def test_bf16_that_changes_classes_must_be_close():
    expected = torch.tensor([[0.51, 0.49]])
    assert agreement("bf16", torch.tensor([[0.495, 0.505]]), expected)[0]
    assert not agreement("bf16", torch.tensor([[0.47, 0.53]]), expected)[0]


def test_bf16_may_be_off_on_one_sample_in_twenty_but_not_on_two():
    expected = torch.tensor([[0.6, 0.4]]).repeat(20, 1)
    got = expected.clone()
    got[0] = torch.tensor([0.3, 0.7])
    assert agreement("bf16", got, expected)[0]
    got[1] = torch.tensor([0.3, 0.7])
    assert not agreement("bf16", got, expected)[0]


def test_nan_is_not_agreement():
    class Broken(nn.Module):
        def forward(self, x):
            return x / 0 * 0 if x.shape[0] > 1 else x

    _, table = cells(Broken(), torch.ones(4, 3))
    assert "not finite" in table["eager", "fp32", 64]["reason"]


class AnySize(nn.Module):
    """Images of any size, averaged over positions."""

    def __init__(self):
        super().__init__()
        self.conv, self.output = nn.Conv2d(1, 3, 3), nn.Linear(3, 4)

    def forward(self, x):
        return self.output(torch.relu(self.conv(x)).mean(dim=(2, 3)))


def test_full_matrix_crosses_precisions_batches_and_threads_and_tries_other_sizes(monkeypatch):
    from depthwise.measuring import flexibility as place

    monkeypatch.setattr(place, "available_cores", lambda: 2)
    torch.manual_seed(0)
    metric = flexibility(
        AnySize(), torch.randn(5, 1, 8, 6), full=True, runtimes=("eager", "executorch")
    )
    found = metric.details["cells"]
    own = [cell for cell in found if not cell["size"]]
    assert len(own) == 3 * 3 * (2 + 1)  # precisions, batches, threads; ExecuTorch has its own
    assert {cell["size"] for cell in found} == {"", "6x4", "12x9"}
    assert all(cell["ok"] for cell in found if cell["runtime"] == "eager")
    if not RUNTIMES["executorch"].available():
        return
    told = {cell["reason"] for cell in found if cell["runtime"] == "executorch"}
    assert told == {'needs executorch: pip install "depthwise[mobile]"'}
    assert metric.value == (18 + 6) / (27 + 12)  # of two other sizes a cell a precision


def test_networks_for_one_size_have_no_cells_of_others():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    metric = flexibility(network, torch.randn(4, 1, 4, 3), full=True, runtimes=("eager",))
    assert {cell["size"] for cell in metric.details["cells"]} == {""}


def test_int8_network_is_compared_with_itself_in_its_own_precision():
    network = quantise_network(nn.Sequential(nn.Linear(6, 3)).eval(), torch.randn(64, 6))
    metric, table = cells(network, torch.randn(64, 6))
    assert {precision for _, precision, _ in table} == {"int8"} and metric.value == 1.0


def test_int8_must_keep_most_classes_or_be_close():
    expected = torch.tensor([[0.9, 0.1]]).repeat(20, 1)
    got = expected.clone()
    got[0] = torch.tensor([0.3, 0.7])
    assert agreement("int8", got, expected)[0]
    got[1] = torch.tensor([0.3, 0.7])
    assert not agreement("int8", got, expected)[0]
    assert agreement("int8", expected + torch.tensor([-0.14, 0.14]), expected)[0]
    assert not agreement("int8", expected + torch.tensor([-0.16, 0.16]), expected)[0]


def test_of_tokens_the_class_is_the_one_that_follows():
    logits = torch.tensor([[[5.0, 0.0, 0.0], [0.0, 0.0, 9.0]]])  # (1, T, V)
    p = _probabilities(logits)
    assert p.shape == (1, 3, 2) and p.argmax(1).tolist() == [[0, 2]]
    torch.testing.assert_close(p.sum(1), torch.ones(1, 2))
    far, same = apart(logits.numpy(), logits.flip(1).numpy(), logits=True)
    assert same == 0.0 and 0.97 < far < 1.0  # 1 / (1 + 2 exp(-5)), less next to nothing


class Slow(nn.Module):
    """2 ms an answer."""

    def forward(self, x):
        time.sleep(0.002)
        return x.flatten(1)[:, :3]


@pytest.mark.parametrize("in_hardware, precisions", [(True, {"fp32", "bf16"}), (False, {"fp32"})])
def test_bf16_without_hardware_is_left_out_where_it_would_take_too_long(
    monkeypatch, in_hardware, precisions
):
    monkeypatch.setattr(module, "has_bfloat16", lambda: in_hardware)
    samples, alone = torch.rand(64, 3), {"runtimes": ["eager"]}
    found = flexibility(Slow(), samples, **alone, seconds=1.2)  # fp32 takes 0.2 of them
    assert {cell["precision"] for cell in found.details["cells"]} == precisions
    assert ("no time for the others" in found.source) != in_hardware
    whole = flexibility(Slow(), samples, **alone)
    assert {cell["precision"] for cell in whole.details["cells"]} == {"fp32", "bf16"}
