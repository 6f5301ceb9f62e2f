import time

import pytest
import torch
from torch import nn

from depthwise.host import available_cores
from depthwise.measuring import speed
from depthwise.measuring.speed import latency, peak_memory, throughput


class Sleeper(nn.Module):
    """Takes `each` seconds a run and `item` seconds an item."""

    def __init__(self, each=0.0, item=0.0):
        super().__init__()
        self.each, self.item, self.runs, self.batches = each, item, 0, set()

    def forward(self, x):
        self.runs += 1
        self.batches.add(len(x))
        time.sleep(self.each + self.item * len(x))
        return x


@pytest.fixture(autouse=True)
def threads_are_restored():
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before


def test_latency_is_that_of_a_clock():
    metric = latency(Sleeper(each=0.005), torch.zeros(1, 3), seconds=0.3)
    assert 5.0 <= metric.value < 8.0
    assert (metric.unit, metric.how) == ("ms", "measured")


def test_percentiles_are_in_order_and_within_the_interval():
    metric = latency(nn.Linear(50, 20), torch.zeros(1, 50), seconds=0.1)
    about = metric.details
    assert metric.low <= metric.value <= metric.high
    assert about["p50"] <= about["p95"] <= about["p99"]
    assert about["runs"] > 10 and about["batch"] == 1
    assert about["threads"] in (1, available_cores())


def test_the_time_spent_is_bounded():
    start = time.perf_counter()
    latency(Sleeper(each=0.001), torch.zeros(1, 3), seconds=0.2)
    throughput(Sleeper(item=0.001), torch.zeros(1, 3), seconds=0.2)
    assert time.perf_counter() - start < 2.0


def test_a_slow_network_is_run_fewer_times():
    slow = Sleeper(each=0.02)
    latency(slow, torch.zeros(1, 3), seconds=0.01, threads=1)
    assert slow.runs < 24  # of 24 bursts, each of which has three


def test_what_takes_longer_than_its_time_is_run_a_few_times_in_all():
    slow = Sleeper(each=0.1)
    alone = latency(slow, torch.zeros(1, 3), seconds=0.1, threads=1)
    told = {"alone": alone, "live_bytes": 12, "threads": 1}
    rate = throughput(slow, torch.zeros(1, 3), seconds=0.1, **told)
    assert slow.runs <= 8
    assert rate.details["rates"] == {"1": pytest.approx(1e3 / alone.value)}


def test_a_slow_start_does_not_count():
    class Warming(Sleeper):
        def forward(self, x):
            time.sleep(0.1 if self.runs == 0 else 0.0)
            return super().forward(x)

    metric = latency(Warming(each=0.001), torch.zeros(1, 3), seconds=0.1, threads=1)
    assert metric.details["p99"] < 50


def test_the_quietest_burst_counts():
    class Disturbed(Sleeper):
        def forward(self, x):
            time.sleep(0.004 if self.runs % 50 < 25 else 0.0)
            return super().forward(x)

    metric = latency(Disturbed(each=0.001), torch.zeros(1, 3), seconds=0.6, threads=1)
    assert metric.value < 2.5 < metric.high


def test_a_cost_a_run_favours_the_largest_batch():
    metric = throughput(Sleeper(each=0.002), torch.zeros(1, 3), seconds=0.5, batches=(1, 4, 16))
    assert metric.details["batch"] == 16
    assert 16 / 0.004 < metric.value <= 16 / 0.002


def test_a_rate_that_falls_ends_the_search():
    class Falling(Sleeper):
        def forward(self, x):
            time.sleep(5e-4 * len(x) ** 2)
            return super().forward(x)

    network = Falling(each=0.001)
    metric = throughput(network, torch.zeros(1, 3), seconds=2.0)
    assert metric.details["batch"] in (1, 4)
    assert max(network.batches) <= 16


def test_a_batch_that_does_not_fit_is_not_tried():
    network = Sleeper(each=0.001)
    # an item and nothing else is alive: 3 floats, so 5 items are allowed
    metric = throughput(network, torch.zeros(1, 3), seconds=0.5, memory_bytes=12 * 5)
    assert network.batches == {1, 4}
    assert set(metric.details["rates"]) == {"1", "4"}


def test_memory_is_weights_sample_and_the_allocators_peak():
    network = nn.Sequential(nn.Linear(50, 1000), nn.ReLU(), nn.Linear(1000, 30))
    metric = peak_memory(network, torch.zeros(7, 50))
    weights = 4 * (50 * 1000 + 1000 + 1000 * 30 + 30)
    assert metric.details["weight_bytes"] == weights
    assert metric.value == weights + 4 * 7 * (50 + 1000 + 1000)


def test_memory_sees_the_kernels_scratch_space():
    conv = nn.Conv2d(16, 16, 3, padding=1, bias=False)
    metric = peak_memory(conv, torch.zeros(1, 16, 20, 20))
    unfolded = 4 * 400 * 16 * 9
    plain = 4 * (16 * 16 * 9 + 2 * 16 * 400)
    assert metric.value == pytest.approx(plain + unfolded, rel=0.01)


def test_a_training_network_is_measured_as_at_work_and_left_training():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()).train()
    latency(network, torch.randn(1, 4), seconds=0.05)
    assert network.training
    assert int(network[0].num_batches_tracked) == 0


def test_percentile_is_nearest_rank():
    assert [speed._percentile([1, 2, 3, 4, 5], p) for p in (1, 20, 21, 50, 99, 100)] == [
        1,
        1,
        2,
        3,
        5,
        5,
    ]
