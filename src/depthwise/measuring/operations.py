"""What the counts of one forward pass are made of: products, operations, tensors and their sums.

`count` in counting.py fills them in; macs, FLOPs and bytes are explained there.
"""

from dataclasses import dataclass, field

__all__ = ["KINDS", "SUMS", "Counts", "Operation", "Product", "Storage"]


@dataclass(frozen=True)
class Product:
    """A matrix product in `groups` equal parts; kernel: side of the window, 1 without a window;
    area: positions in it."""

    rows: int
    inner: int
    columns: int
    groups: int = 1
    kernel: int = 1
    area: int = 1

    @property
    def macs(self) -> int:
        return self.groups * self.rows * self.inner * self.columns


@dataclass(frozen=True)
class Operation:
    """One ATen operator that ran; bytes are of batch `Counts.batch`."""

    name: str
    layer: str
    kind: str  # one of KINDS
    product: Product | None
    channels_last: bool
    read_bytes: int  # of activations
    written_bytes: int
    weight_bytes: int  # of parameters and buffers
    live_bytes: int  # alive while it ran, the sample and its output included, weights not
    reads: tuple[int, ...] = ()  # the storages of activations, keys of Counts.storages
    writes: tuple[int, ...] = ()

    @property
    def macs(self) -> int:
        return self.product.macs if self.product else 0

    @property
    def flops(self) -> int:
        return 2 * self.macs


KINDS = (
    "conv",
    "pointwise",  # a convolution of one pixel
    "depthwise",
    "linear",  # every other matrix product
    "norm",
    "pool",
    "reduction",
    "elementwise",  # everything else that moves bytes
    "view",  # moves nothing
)


@dataclass(frozen=True)
class Storage:
    """Memory that one tensor, or several views of it, lived in."""

    nbytes: int
    floating: bool


@dataclass(frozen=True)
class Counts:
    """Everything counted of one forward pass of a batch of `batch` items. storages: of the sample
    (0) and of activations, by number; results: those that the network answered with."""

    batch: int
    parameters: int
    weight_bytes: int
    sample_bytes: int
    operations: list[Operation] = field(repr=False)
    storages: dict[int, Storage] = field(default_factory=dict, repr=False)
    results: frozenset[int] = frozenset()

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.operations)

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def read_bytes(self) -> int:
        return sum(op.read_bytes + op.weight_bytes for op in self.operations)

    @property
    def written_bytes(self) -> int:
        return sum(op.written_bytes for op in self.operations)

    @property
    def peak_live_bytes(self) -> int:
        """The most bytes of sample and activations alive at once."""
        return max([self.sample_bytes, *(op.live_bytes for op in self.operations)])

    @property
    def peak_memory_bytes(self) -> int:
        return self.weight_bytes + self.peak_live_bytes

    @property
    def launches(self) -> int:
        """Operators that do work, views not counted."""
        return sum(op.kind != "view" for op in self.operations)

    def by_layer(self) -> dict[str, dict[str, int]]:
        """{layer's name: its sums} in order of execution. Sums: macs, flops, read_bytes,
        written_bytes, weight_bytes, bytes (those three), and live_bytes, which is the most alive
        while it ran."""
        table: dict[str, dict[str, int]] = {}
        for op in self.operations:
            row = table.setdefault(op.layer, dict.fromkeys((*SUMS, "bytes", "live_bytes"), 0))
            for name in SUMS:
                row[name] += getattr(op, name)
            row["bytes"] += op.read_bytes + op.written_bytes + op.weight_bytes
            row["live_bytes"] = max(row["live_bytes"], op.live_bytes)
        return table


SUMS = ("macs", "flops", "read_bytes", "written_bytes", "weight_bytes")
