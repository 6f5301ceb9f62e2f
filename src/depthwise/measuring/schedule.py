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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from depthwise.measuring.counting import Counts, Operation

LIMIT = 20_000  # states of the exact search
BEAM = 64  # states kept a depth beyond it
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
        return sum(size for s, size in enumerate(self.sizes) if storages >> s & 1)

    def alive(self, done: int) -> int:
        """Storages that exist when `done` are, and are needed still."""
        everything, kept = (1 << len(self.nodes)) - 1, 0
        for s, users in enumerate(self.users):
            born = users & done or s == 0
            needed = users & (everything ^ done) or self.results >> s & 1
            kept |= (1 if born and needed else 0) << s
        return kept

    def step(self, done: int, alive: int, i: int) -> tuple[int, int, int]:
        """(done, alive, bytes alive meanwhile) with node i run."""
        node = self.nodes[i]
        after = done | 1 << i
        remaining = self.alive(after)
        during = self.bytes_of(alive | node.writes)
        fresh = node.writes & ~alive
        if node.in_place and fresh:
            dying = _members(node.reads & ~remaining)
            room = max((self.sizes[s] for s in dying), default=0)
            during -= self.bytes_of(fresh) if room >= self.bytes_of(fresh) else 0
        return after, remaining, during

    def ready(self, done: int) -> list[int]:
        return [
            i for i, node in enumerate(self.nodes) if not done >> i & 1 and node.after & ~done == 0
        ]

    def profile(self, order: Iterable[int]) -> list[int]:
        """Bytes alive during each operator of an order."""
        done, alive, live = 0, self.alive(0), []
        for i in order:
            done, alive, during = self.step(done, alive, i)
            live.append(during)
        return live

    def best_order(self, limit: int) -> Sequence[int] | None:
        """The order with the least peak; None where that takes more than `limit` states."""
        everything = (1 << len(self.nodes)) - 1
        queue: list[tuple[int, int, int, tuple[int, ...]]] = [(0, 0, 0, ())]
        seen: set[int] = set()
        while queue:
            peak, _, done, order = heapq.heappop(queue)
            if done == everything:
                return order
            if done in seen:
                continue
            seen.add(done)
            if len(seen) > limit:
                return None
            alive = self.alive(done)
            for i in self.ready(done):
                after, _, during = self.step(done, alive, i)
                if after not in seen:
                    state = (max(peak, during), -after.bit_count(), after, (*order, i))
                    heapq.heappush(queue, state)
        raise AssertionError("a graph of operators that ran has an order")

    def good_order(self, width: int) -> Sequence[int]:
        """An order with a low peak: the best `width` states of each depth are followed."""
        front: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
        for _ in self.nodes:
            grown: dict[int, tuple[int, tuple[int, ...]]] = {}
            for done, (peak, order) in front.items():
                alive = self.alive(done)
                for i in self.ready(done):
                    after, _, during = self.step(done, alive, i)
                    candidate = (max(peak, during), (*order, i))
                    grown[after] = min(grown.get(after, candidate), candidate)
            best = sorted(grown, key=lambda done: (grown[done][0], self.bytes_of(self.alive(done))))
            front = {done: grown[done] for done in best[:width]}
        return next(iter(front.values()))[1]


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


def _members(bits: int) -> Iterable[int]:
    return (i for i in range(bits.bit_length()) if bits >> i & 1)
