"""How far off are latency and memory when predicted instead of measured, on this machine?

    python benchmarks/predict_error.py [--rounds 2] [--refresh]

Networks with random weights are counted, predicted, then timed with the threads that are faster
now (one, if others held the cores when the machine was measured). The error is |predicted -
measured| / measured, for the time at batch 1, items a second, and the peak of memory. First the
library's ladder, then networks made otherwise. The lines below a table hold its
median errors; the target is 25 %.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from depthwise.families.cnn import CNN
from depthwise.families.dnn import DNN
from depthwise.measuring.counting import count
from depthwise.measuring.machine import this_machine
from depthwise.measuring.metric import Metric
from depthwise.measuring.predict import predict_latency, predict_memory, predict_throughput
from depthwise.measuring.speed import latency, peak_memory, throughput

Network = tuple[Callable[[], nn.Module], tuple[int, ...], torch.dtype]


class Residual(nn.Module):
    """Two 3x3 convolutions, or two separable ones, and the input added."""

    def __init__(self, width: int, separable: bool) -> None:
        super().__init__()
        brick = _separable if separable else _plain
        self.body = nn.Sequential(*brick(width, width), nn.ReLU(), *brick(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _plain(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(after)]


def _separable(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    depth = nn.Conv2d(before, before, 3, stride=stride, padding=1, groups=before, bias=False)
    return [depth, nn.BatchNorm2d(before), nn.Conv2d(before, after, 1, bias=False)]


def residual(channels: int, width: int, blocks: int, separable: bool = False) -> nn.Module:
    """Three stages of `blocks` blocks, width doubling, size halving."""
    layers: list[nn.Module] = [*_plain(channels, width), nn.ReLU()]
    for stage in range(3):
        wide = width * 2**stage
        layers += [Residual(wide, separable) for _ in range(blocks)]
        if stage < 2:
            layers += [*_plain(wide, 2 * wide, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


def mlp(inputs: int, units: int, layers: int) -> nn.Module:
    sizes = [inputs, *[units] * layers]
    body = [brick for a, b in itertools.pairwise(sizes) for brick in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *body, nn.Linear(units, 10))


class ChannelsLast(nn.Module):
    """The network with its images laid out channels last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.contiguous(memory_format=torch.channels_last))


def ladder(size: str, shape: tuple[int, ...], **settings: object) -> Network:
    """A rung of the library's own ladder: raw pixels in."""
    return lambda: CNN(size=size, **settings).build(shape, 10), shape, torch.uint8


GREY, COLOUR = (1, 28, 28), (3, 32, 32)
LADDER: dict[str, Network] = {
    **{f"cnn {size}, grey": ladder(size, GREY) for size in ("xxs", "xs", "s", "m", "l")},
    **{f"cnn {size}, colour": ladder(size, COLOUR) for size in ("xs", "s", "m", "xl")},
    "cnn s separable, grey": ladder("s", GREY, separable=True),
    "cnn m separable, colour": ladder("m", COLOUR, separable=True),
    "dnn, grey": (lambda: DNN().build(GREY, 10), GREY, torch.uint8),
}
OTHERS: dict[str, Network] = {
    "residual 4, grey": (lambda: residual(1, 4, 1), GREY, torch.float32),
    "residual 12, grey": (lambda: residual(1, 12, 2), GREY, torch.float32),
    "residual 32, grey": (lambda: residual(1, 32, 1), GREY, torch.float32),
    "residual 16, colour": (lambda: residual(3, 16, 3), COLOUR, torch.float32),
    "residual 48, colour": (lambda: residual(3, 48, 1), COLOUR, torch.float32),
    "residual 100, colour": (lambda: residual(3, 100, 1), COLOUR, torch.float32),
    "residual 24 last, colour": (lambda: ChannelsLast(residual(3, 24, 2)), COLOUR, torch.float32),
    "separable 16, grey": (lambda: residual(1, 16, 1, True), GREY, torch.float32),
    "separable 32, colour": (lambda: residual(3, 32, 2, True), COLOUR, torch.float32),
    "separable 64 last, colour": (
        lambda: ChannelsLast(residual(3, 64, 1, True)),
        COLOUR,
        torch.float32,
    ),
    "mlp 64, grey": (lambda: mlp(784, 64, 2), GREY, torch.float32),
    "mlp 512, grey": (lambda: mlp(784, 512, 2), GREY, torch.float32),
    "mlp 2048, colour": (lambda: mlp(3072, 2048, 3), COLOUR, torch.float32),
}


def compare(networks: dict[str, Network], rounds: int, refresh: bool) -> dict[str, list[float]]:
    device = this_machine(refresh=refresh)
    only = None if len(device.calibration["threads"]) > 1 else 1  # measured on a busy machine
    errors: dict[str, list[float]] = {"latency": [], "throughput": [], "memory": []}
    print(f"{device.name}\n{'':28}{'latency, ms':>22}{'items/s':>24}{'memory, MB':>22}")
    for name, (build, shape, dtype) in networks.items():
        torch.manual_seed(0)
        network, sample = build().eval(), (200 * torch.rand(1, *shape)).to(dtype)
        counts = count(network, sample)
        timed = min((latency(network, sample, threads=only) for _ in range(rounds)), key=_value)
        pairs = {
            "latency": (predict_latency(counts, device, threads=timed.details["threads"]), timed),
            "throughput": (
                predict_throughput(counts, device),
                max((throughput(network, sample) for _ in range(rounds)), key=_value),
            ),
            "memory": (predict_memory(counts, device), peak_memory(network, sample)),
        }
        for what, (predicted, measured) in pairs.items():
            errors[what].append(abs(predicted.value / measured.value - 1))
        print(f"{name:28}" + "".join(_cell(*pair) for pair in pairs.values()), flush=True)
    return errors


def _value(metric: Metric) -> float:
    return metric.value


def _cell(predicted: Metric, measured: Metric) -> str:
    scale = 1e-6 if measured.unit == "bytes" else 1
    error = predicted.value / measured.value - 1
    return f"{scale * predicted.value:9.4g}{scale * measured.value:9.4g}{error:+6.0%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="measurements, best one counts")
    parser.add_argument("--refresh", action="store_true", help="measure this machine anew")
    options = parser.parse_args()
    for title, networks in {"the library's ladder": LADDER, "other networks": OTHERS}.items():
        print(f"\n{title}")
        found = compare(networks, options.rounds, options.refresh and networks is LADDER)
        for what, values in found.items():
            middle = statistics.median(values)
            print(f"{what}: median error {middle:.0%}, largest {max(values):.0%}")
