"""The restricted Boltzmann machine as a model of items: images, or the columns of a table.

    E(v, h) = -a'v - b'h - v'W h      p(v) = sum_h exp(-E(v, h)) / Z

The mathematics, file by file: boltzmann/network.py (energies and conditionals, all kinds of units),
boltzmann/contrastive.py (learning), boltzmann/tempering.py (from independent units to the machine),
boltzmann/partition.py (log Z) and boltzmann/generation.py (samples, missing pixels).

Grey values of Bernoulli units are probabilities: every visit to an item draws its bits anew.

With `label_units=True` the labels are a softmax group among the visible units (Larochelle and
Bengio 2008's joint model): p(y | v) compares the free energies of the K labels exactly.

Our names: a visible_bias, b hidden_bias, W weight.
Shapes: N items, B batch, D visible units, H hidden units, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.checkpoint import moved
from depthwise.compute import own_randomness
from depthwise.data.inputs import as_tensor
from depthwise.errors import InputError
from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.new_items import draw_items, fill_missing
from depthwise.families.boltzmann.partition import BASE_SHARE, log_partition
from depthwise.families.boltzmann.products import full_speed
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.boltzmann.tempering import Base
from depthwise.layers import Standardise
from depthwise.models.generative import Generative
from depthwise.models.gpu_answers import at_work
from depthwise.settings import (
    AUTO,
    NONE,
    check_settings,
    no_setting,
    number,
    one_of,
    setting,
    settings,
    whole,
)
from depthwise.training.stages import Stages
from depthwise.training.step import Recipe

__all__ = ["RBM", "ItemRBM", "RBMNetwork"]

SIZES = {"s": 64, "m": 256, "l": 500}
LISTED = 14  # units: below, log Z is summed exactly without being asked for
STEPS = 20_000  # that "auto" epochs come to, within MOST and FEWEST passes
FEWEST, MOST = 20, 300


class ItemRBM(RBMNetwork):
    """A machine with raw items (B, *input_shape) below its visible units.

    `base_bias`, `base_log_variance`, `base_label_bias`: the data's base rates
    (boltzmann/partition.py); `log_z`: estimate and standard error, NaN where unknown.
    """

    log_z: Tensor
    base_bias: Tensor
    base_log_variance: Tensor
    base_label_bias: Tensor

    def __init__(self, input_shape: tuple[int, ...], n_hidden: int, **kinds: Any):
        super().__init__(math.prod(input_shape), n_hidden, **kinds)
        self.input_shape = tuple(input_shape)
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        self.register_buffer("log_z", torch.full((2,), math.nan))
        self.register_buffer("base_bias", torch.zeros(self.n_visible))
        if self.gaussian:
            self.register_buffer("base_log_variance", torch.zeros(self.n_visible))
        if self.n_labels:
            self.register_buffer("base_label_bias", torch.zeros(self.n_labels))

    @property
    def base(self) -> Base:
        variance = self.base_log_variance if self.gaussian else None
        labels = self.base_label_bias if self.n_labels else None
        return Base(self.base_bias, variance, labels)

    def visible(self, x: Tensor) -> Tensor:
        """Raw items -> visible units (B, D)."""
        return torch.flatten(self.standardise(x), 1)

    def raw(self, v: Tensor) -> Tensor:
        """Visible units (B, D) -> items (B, *input_shape) in raw units."""
        shaped = v.reshape(-1, *self.input_shape)
        return shaped / self.standardise.inverse_std + self.standardise.mean

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) where there are labels, else the reconstruction's visible means (B, D)."""
        return -self.class_energies(self.visible(x)) if self.n_labels else self.reconstruct(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.visible_mean(self.representations(x)[0])

    def representations(self, x: Tensor) -> list[Tensor]:
        """Means of the hidden units, [(B, H)]; labels weigh in as likely as they are."""
        v = self.visible(x)
        likely = torch.softmax(-self.class_energies(v), dim=1) if self.n_labels else None
        return [self.hidden_mean(v, likely)]


@settings
class RBM(Generative):
    """Restricted Boltzmann machine for images (N, C, H, W) and tables (N, D)."""

    family: ClassVar[str] = "rbm"
    tasks: ClassVar[tuple[str, ...]] = ("generate", "anomaly")
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    sizes: ClassVar[dict[str, int]] = SIZES
    network_: ItemRBM = no_setting()
    _chains: dict[str, Any] | None = no_setting(default=None)

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto" is about 20,000 steps, within 20 .. 300 passes',
    )
    size: str = setting(default="m", doc='hidden units by name: "s" (64), "m" (256), "l" (500)')
    n_hidden: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(64, 1024)) | NONE,
        doc="hidden units, in place of `size`",
    )
    label_units: bool = setting(
        default=False,
        range=one_of(True, False),
        doc="learn p(v, y) with the labels y, and classify; otherwise y is ignored",
    )
    hidden: str = setting(
        default="bernoulli",
        range=one_of("bernoulli", "relu"),
        doc='"bernoulli", or "relu" (noisy rectified units; no likelihood then)',
    )
    k: int = setting(default=1, range=whole("[1, inf)", usual=(1, 25)), doc="Gibbs sweeps a step")
    persistent: bool = setting(
        default=True,
        range=one_of(True, False),
        doc="chains go on from step to step (PCD); False starts them at the data (CD)",
    )
    chains: int = setting(
        default=100, range=whole("[1, inf)", usual=(50, 500)), doc="persistent chains"
    )
    temperatures: int = setting(
        default=1,
        range=whole("[1, inf)", usual=(1, 20)),
        doc="above 1, parallel tempering of the chains",
    )
    batch_size: int = setting(default=100, range=whole("[1, inf)", usual=(20, 500)))
    lr: float | str = setting(
        default="auto",
        range=number("(0, inf)", usual=(0.01, 0.5)) | AUTO,
        doc='peak learning rate, falling to 0; "auto" is 0.2, 0.1 for rectified units, 0.03 for '
        "Gaussian ones",
    )
    momentum: float = setting(
        default=0.0,
        range=number("[0, 1)", usual=(0, 0.9)),
        doc="of the gradient; best left at 0 with persistent chains",
    )
    weight_decay: float = setting(
        default=0.0,
        range=number("[0, inf)", usual=(0, 1e-3)),
        doc="per unit of learning rate; never on biases",
    )
    sparsity: float | None = setting(
        default=None,
        range=number("(0, 1)", usual=(0.01, 0.2)) | NONE,
        doc="share of items that a hidden unit is steered to be on for",
    )
    centred: bool = setting(
        default=True,
        range=one_of(True, False),
        doc="centred gradients: learning does not care which state of a unit is called 1, and is "
        "far better for it (MNIST, 8 epochs of PCD-5: -91.5 nats, against -98.2)",
    )
    sweeps: int = setting(
        default=1000,
        range=whole("[1, inf)", usual=(100, 10_000)),
        doc="sweeps of the annealed chains behind `sample`",
    )
    class_weight: None = no_setting(default=None)
    metric: None = no_setting(default=None)

    # -- building and learning ------------------------------------------------------------------

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        check_settings(self)
        n_hidden = self._rung() if self.n_hidden is None else self.n_hidden
        kind = self._kind(tuple(input_shape))
        labels = n_outputs if self.label_units else 0
        return ItemRBM(
            input_shape, int(n_hidden), visible=kind, hidden=self.hidden, n_labels=labels
        )

    def _learns_labels(self) -> bool:
        return self.label_units

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        steep = self.temperatures > 1 and self.hidden == "relu"
        self._require("temperatures", not steep, '1 with hidden="relu"')

    def _initialise(self, network: nn.Module, inputs: np.ndarray) -> None:
        """Visible units begin at their base rates, which are kept for log Z."""
        rbm = cast(ItemRBM, network)
        mean = as_tensor(inputs.mean(axis=0, dtype=np.float64)).float()
        mean = rbm.visible(mean[None])[0]  # (D,)
        if rbm.gaussian:
            variance = as_tensor(inputs.var(axis=0, dtype=np.float64)).float()[None]
            variance = torch.flatten(variance * rbm.standardise.inverse_std**2)
            rbm.base_bias.copy_(mean)
            rbm.base_log_variance.copy_(variance.clamp(min=1e-4).log())
            start = mean
        else:
            rbm.base_bias.copy_(torch.logit((1 - BASE_SHARE) * mean + BASE_SHARE / 2))
            start = torch.logit(mean, eps=max(1e-3, 1 / (len(inputs) + 2)))
        rbm.visible_bias.data.copy_(start)

    def _learn(self, stages: Stages) -> None:
        rbm = self.network_
        rbm.log_z.fill_(math.nan)
        if rbm.n_labels and stages.labels is not None and not stages.more:
            counts = torch.bincount(stages.labels, minlength=rbm.n_labels) + 1
            rbm.base_label_bias.copy_((counts / counts.sum()).log())
            rbm.label_bias.data.copy_(rbm.base_label_bias)
        update = ContrastiveUpdate(
            rbm,
            recipe := self._recipe(stages),
            k=self.k,
            persistent=self.persistent,
            chains=self.chains,
            temperatures=self.temperatures,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            sparsity=self.sparsity,
            centred=self.centred,
            prepare=self._prepare(stages.inputs),
            use_labels=bool(rbm.n_labels),
            compute=stages.compute,
        )
        if stages.more and self._chains is not None and self._chains["chains"] == self._many():
            update.load_state_dict(self._chains)
        stages.run("rbm", update, recipe)
        self._chains = {**moved(update.state_dict(), "cpu"), "chains": self._many()}

    def _many(self) -> tuple[int, int]:
        return self.chains, self.temperatures

    def _recipe(self, stages: Stages) -> Recipe:
        items = len(stages.inputs)
        rate = 0.03 if self.network_.gaussian else 0.1 if self.network_.rectified else 0.2
        lr = rate if self.lr == "auto" else float(self.lr)
        batch = min(self.batch_size, items)
        passes = min(MOST, max(FEWEST, STEPS * batch / items))
        epochs = passes if self.epochs == "auto" else float(self.epochs)
        if stages.more:
            return Recipe(1, batch, lr / 10, schedule="constant", average=0, seed=stages.seed)
        return Recipe(epochs, batch, lr, schedule="cosine", average=0, seed=stages.seed)

    def _prepare(self, inputs: Tensor) -> Callable[[Tensor], Tensor]:
        """Raw batch -> visible units (B, D); grey values are drawn anew each time."""
        rbm = self.network_
        if rbm.gaussian:
            return rbm.visible
        is_bits = _is_binary(inputs)
        if inputs.is_floating_point():  # within [0, 1] already
            return _rows if is_bits else lambda x: sample_bernoulli(_rows(x))
        return rbm.visible if is_bits else lambda x: sample_bernoulli(rbm.visible(x))

    # -- what it can do -------------------------------------------------------------------------

    @property
    def known_log_partition(self) -> Tensor | None:
        return self.network_.log_z

    def log_partition(self, method: str = "ais", **options: Any) -> tuple[float, float]:
        """(log Z, standard error) in nats, kept for `score_samples`.

        "exact" sums over the smaller layer, up to 25 units; "ais" takes `chains` (100), `steps`
        (14,500) and `seed`, and warns (UntrustedEstimateWarning) when it cannot be trusted.
        """
        check_is_fitted(self, "network_")
        with at_work(self):
            found = log_partition(self.network_, method, self.network_.base, **options)
        self.network_.log_z.copy_(torch.tensor([found.log_z, found.stderr]))
        return found.log_z, found.stderr

    def inpaint(
        self, X: Any, known: Any, *, sweeps: int = 200, random_state: Any = None
    ) -> np.ndarray:
        """X with the pixels or columns that are not `known` at their mean given the others.

        known: bool, of X's shape or one item's. Returns (N, *input_shape_) in the data's own units
        and type. `sweeps`: Gibbs sweeps, the later half is averaged. Raises InputError.
        """
        v = self._units(X)
        mask = np.asarray(known)
        if mask.dtype != bool:
            raise InputError(f"known must be bool, True where X is to be kept; got {mask.dtype}.")
        try:
            mask = np.broadcast_to(mask, (len(v), *self.input_shape_)).reshape(len(v), -1)
        except ValueError:
            raise InputError(
                f"known must be of X's shape or one item's {self.input_shape_}; got {mask.shape}."
            ) from None
        source = check_random_state(self.random_state if random_state is None else random_state)
        with own_randomness(int(source.randint(2**31 - 1))):
            return self._to_items(fill_missing(self.network_, v, as_tensor(mask), sweeps))

    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        return draw_items(self.network_, self.network_.base, n, self.sweeps, labels)

    def _log_likelihood(self, v: Tensor) -> Tensor:
        """(B, D) -> (B,), nats; log Z is found when it is first asked for."""
        rbm = self.network_
        if bool(rbm.log_z[0].isnan()):
            listed = min(rbm.n_hidden, rbm.n_hidden if rbm.gaussian else rbm.n_visible) <= LISTED
            self.log_partition("exact") if listed else self.log_partition("ais", steps=5000)
        exact = copy.deepcopy(rbm).double()  # hundreds of nats cancel
        return -exact.free_energy(v.double()) - exact.log_z[0]

    def _strangeness(self, v: Tensor) -> Tensor:
        with full_speed():
            return self.network_.free_energy(v)


def _rows(x: Tensor) -> Tensor:
    return torch.flatten(x, 1).float()


def _is_binary(inputs: Tensor) -> bool:
    """Whether all values are the least or the greatest there is: 0 and 255, or 0 and 1."""
    top = 255 if inputs.dtype == torch.uint8 else 1
    return all(bool(((part == 0) | (part == top)).all()) for part in inputs.split(200))
