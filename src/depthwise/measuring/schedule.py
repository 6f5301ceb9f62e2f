"""The least memory that a network's tensors need when a runtime plans ahead.

Operators are the nodes of a graph; a tensor lives from the operator that writes it to its last
reader (the network's results to the end). Of all orders that respect the graph, the best has the
least peak; a chain has one order, the branches of a residual block have several.

    state     the set of operators done; what is alive follows from it alone
    step      one more operator:  alive bytes + its outputs, or less where it writes in place
    search    the path from none to all whose largest step is least, cheapest state first
              (Dijkstra's algorithm with max in place of +): exact

Normalisations and element-wise operators write over an input that dies with them and is at least
as large, as runtimes do that fuse them with the operator before. Views are not nodes.

The number of states grows with the width of the graph, not its depth: residual networks have a
few a block. Past LIMIT states the search goes on from the best few at each depth (a beam), and
`exact` says no. Weights and kernels' scratch space are not counted.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from depthwise.measuring.counting import Counts, Operation

LIMIT = 5_000  # states of the exact search
BEAM = 32  # states kept a depth beyond it
START = 1  # what is alive before: the sample, storage 0
IN_PLACE = ("elementwise", "norm")


@dataclass(frozen=True)
class Plan:
    """order: indices into Counts.operations; live_bytes: what is alive during each, in order."""

    peak_bytes: int
    order: tuple[int, ...]
    live_bytes: tuple[int, ...]
    exact: bool


@dataclass(frozen=True)
class Node:
    """One operator of the graph; sets are bits of an integer: of nodes (after), of storages."""

    index: int
    after: int
    reads: int
    writes: int
    in_place: bool


def plan(counts: Counts, item_bytes: int | None = None) -> Plan:
    """The order with the least peak. item_bytes: of one number, where the runtime keeps 32-bit
    floats as something smaller: 1 for 8-bit integers, 2 for bfloat16; None: as counted."""
    graph = Graph(counts, item_bytes)
    best = graph.best_order(LIMIT)
    order = graph.good_order(BEAM) if best is None else best
    return _planned(graph, order, exact=best is not None)


def as_executed(counts: Counts, item_bytes: int | None = None) -> Plan:
    """The plan that keeps the order in which the operators ran."""
    graph = Graph(counts, item_bytes)
    return _planned(graph, range(len(graph.nodes)), exact=False)


def _planned(graph: "Graph", order: Sequence[int], exact: bool) -> Plan:
    live = graph.profile(order)
    indices = tuple(graph.nodes[i].index for i in order)
    return Plan(max([graph.bytes_of(1), *live]), indices, tuple(live), exact)


Followed = tuple[int, int, int, tuple[int, ...]]  # peak, bytes alive now, alive, order


class Graph:
    """Nodes in order of execution, storages by bit, and who still needs what."""

    def __init__(self, counts: Counts, item_bytes: int | None):
        self.sizes = _sizes(counts, item_bytes)
        self.nodes = _nodes(counts.operations)
        self.results = _bits(counts.results)
        self.users = [  # the nodes that read or write each storage
            _bits(i for i, n in enumerate(self.nodes) if (n.reads | n.writes) >> s & 1)
            for s in range(len(self.sizes))
        ]

    def bytes_of(self, storages: int) -> int:
        return sum(self.sizes[s] for s in _members(storages))

    def step(self, done: int, alive: int, i: int) -> tuple[int, int, int]:
        """(done, alive, bytes alive meanwhile) with node i run. Only what it touches can die."""
        node, after = self.nodes[i], done | 1 << i
        touched = node.reads | node.writes
        dying = sum(1 << s for s in _members(touched & ~self.results) if not self.users[s] & ~after)
        during = self.bytes_of(alive | node.writes)
        fresh = self.bytes_of(node.writes & ~alive)
        room = max((self.sizes[s] for s in _members(node.reads & dying)), default=0)
        if node.in_place and room >= fresh:
            during -= fresh
        return after, (alive | node.writes) & ~dying, during

    def ready(self, done: int) -> list[int]:
        return [
            i for i, node in enumerate(self.nodes) if not done >> i & 1 and node.after & ~done == 0
        ]

    def profile(self, order: Iterable[int]) -> list[int]:
        """Bytes alive during each operator of an order."""
        done, alive, live = 0, START, []
        for i in order:
            done, alive, during = self.step(done, alive, i)
            live.append(during)
        return live

    def best_order(self, limit: int) -> Sequence[int] | None:
        """The order with the least peak; None where that takes more than `limit` states."""
        everything = (1 << len(self.nodes)) - 1
        queue: list[tuple[int, int, int, int, tuple[int, ...]]] = [(0, 0, 0, START, ())]
        seen: set[int] = set()
        while queue:
            peak, _, done, alive, order = heapq.heappop(queue)
            if done == everything:
                return order
            if done in seen:
                continue
            seen.add(done)
            if len(seen) > limit:
                return None
            for i in self.ready(done):
                after, left, during = self.step(done, alive, i)
                if after not in seen:
                    worst = max(peak, during)
                    state = (worst, -after.bit_count(), after, left, (*order, i))
                    heapq.heappush(queue, state)
        raise AssertionError("a graph of operators that ran has an order")

    def good_order(self, width: int) -> Sequence[int]:
        """An order with a low peak: the best `width` states of each depth are followed."""
        front: dict[int, Followed] = {0: (0, 0, START, ())}
        for _ in self.nodes:
            grown: dict[int, Followed] = {}
            for done, (peak, _, alive, order) in front.items():
                for i in self.ready(done):
                    after, left, during = self.step(done, alive, i)
                    state = (max(peak, during), self.bytes_of(left), left, (*order, i))
                    grown[after] = min(grown.get(after, state), state)
            front = dict(sorted(grown.items(), key=lambda item: item[1])[:width])
        return next(iter(front.values()))[3]


def _sizes(counts: Counts, item_bytes: int | None) -> list[int]:
    """Bytes of each storage; only 32-bit floats shrink."""

    def size(number: int) -> int:
        storage = counts.storages[number]
        if item_bytes is None or not storage.floating:
            return storage.nbytes
        return storage.nbytes * item_bytes // 4

    return [size(number) for number in range(len(counts.storages))]


def _nodes(operations: list[Operation]) -> list[Node]:
    """Working operators, each after those whose storage it reads or writes over."""
    nodes: list[Node] = []
    for index, op in enumerate(operations):
        if op.kind == "view":
            continue
        reads, writes = _bits(op.reads), _bits(op.writes)
        after = _bits(
            i
            for i, node in enumerate(nodes)
            if node.writes & (reads | writes) or node.reads & writes
        )
        nodes.append(Node(index, after, reads, writes, op.kind in IN_PLACE))
    return nodes


def _bits(members: Iterable[int]) -> int:
    found = 0
    for member in members:
        found |= 1 << member
    return found


def _members(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
