"""Deep belief network: a stack of restricted Boltzmann machines, joined (Hinton, Osindero and Teh
2006). Its energies, bound and classes are in network.py; how it learns:

    greedy    machine l learns the states that machine l-1 draws from its own
              (families/boltzmann/contrastive.py); the layers below rest. The last machine learns
              the labels too, a softmax group beside its visible units. Every machine raises the
              bound on log p(v) or leaves it.
    up-down   all layers together, recognition and generative weights each their own (updown.py).

Where it is at least as wide as the layer two below, a machine begins as the one below it upside
down, W_l = W_{l-1}': then the bound begins where the last machine left it (`tied`).

Shapes: N items, B batch, D visible units, H hidden units, K classes.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.compute import own_randomness
from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.partition import ais_log_partition, exact_log_partition
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbn.memory import MemoryUpdate
from depthwise.families.dbn.network import FANTASIES, DBNNetwork, DirectedLayer
from depthwise.families.dbn.sizes import SIZES, check_layers, recipe, widths
from depthwise.families.dbn.updown import GAUSSIAN_SHARE, UpDownUpdate
from depthwise.models.generative import Generative
from depthwise.models.gpu_answers import at_work
from depthwise.settings import (
    AUTO,
    no_setting,
    number,
    one_of,
    setting,
    settings,
    whole,
    whole_numbers,
)
from depthwise.training.schedules import of_quality
from depthwise.training.stages import Stages
from depthwise.training.step import Recipe

__all__ = ["DBN"]

FINETUNING = {"fast": 0.5, "paper": 2}  # passes of up-down learning for one of a layer's
DREAM_SWEEPS = 100  # of Gibbs sampling before a fantasy is kept
LOOKED_AT = 10_000  # items that mean activations are taken from, at most
SMALL = 16  # units that are summed over where `log_partition` was not called
QUICK = 2_000  # steps of annealed importance sampling, likewise


@settings
class DBN(Generative):
    """Generative classifier, sampler and density of tables (N, D) and images (N, C, H, W)."""

    family: ClassVar[str] = "dbn"
    sizes: ClassVar[dict[str, tuple[int, ...]]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    network_: DBNNetwork = no_setting()

    epochs: float | str | tuple[float, ...] = setting(  # type: ignore[assignment]
        default="auto",
        range=number("(0, inf)", several=True) | AUTO,
        doc='passes over the data for each layer; "auto" is about 2,100 steps, within 10 .. 100; '
        'at quality "paper" 4,000, within 10 .. 200',
    )
    batch_size: int | str = setting(
        default="auto",
        range=whole("[1, inf)", usual=(20, 500)) | AUTO,
        doc='items a step; "auto" is 100, less for small data',
    )
    size: str = setting(default="s", doc='"s" (128, 128) .. "l" (500, 500, 2000), the paper\'s')
    hidden: int | tuple[int, ...] | None = setting(
        default=None, doc="units of each layer, bottom up, in place of `size`; 64 for a single one"
    )
    finetune_epochs: float | str = setting(
        default="auto",
        range=number("[0, inf)") | AUTO,
        doc='passes of up-down learning; "auto" is half of `epochs`, at quality "paper" twice; 0 '
        "leaves it out",
    )
    lr: float | tuple[float, ...] = setting(
        default=0.05,
        range=number("(0, inf)", usual=(0.005, 0.1), several=True),
        doc="peak learning rate of the machines, tenfold without momentum; a twentieth of it for "
        "Gaussian units. A wide machine that begins tied and learns with persistent chains "
        "wants a fifth of the first one's",
    )
    finetune_lr: float = setting(
        default=0.05,
        range=number("(0, inf)", usual=(1e-3, 0.1)),
        doc="peak learning rate of the directed layers in up-down learning",
    )
    k: int = setting(
        default=1,
        range=whole("[1, inf)", usual=(1, 25)),
        doc="Gibbs sweeps a step in each layer's learning",
    )
    persistent: str = setting(
        default="no",
        range=one_of("no", "top", "all"),
        doc="whose chains go on from step to step (PCD, for likelihood and samples) instead of "
        'starting at the data (CD); "no" is as published',
    )
    sweeps: int | tuple[int, ...] = setting(
        default=(3, 6, 10),
        doc="Gibbs sweeps of the top machine in up-down learning, for each part of the run",
    )
    discriminative: float = setting(
        default=5.0,
        range=number("[0, inf)", usual=(0, 10)),
        doc="weight of log p(y | h) beside log p(h, y) in the top machine's learning; 0 is as "
        "published",
    )
    momentum: float = setting(
        default=0.9,
        range=number("[0, 1)", usual=(0, 0.9)),
        doc="of each layer's learning, and of the top machine's afterwards",
    )
    weight_decay: float = setting(
        default=2e-4,
        range=number("[0, 1)", usual=(0, 1e-3)),
        doc="share of a weight lost per unit of learning rate",
    )
    tied: bool = setting(
        default=True,
        range=one_of(True, False),
        doc="a layer that is wide enough begins as the one below it upside down",
    )
    average: float = 0.02
    sample_sweeps: int = setting(
        default=500,
        range=whole("[1, inf)", usual=(100, 5000)),
        doc="Gibbs sweeps that `sample` makes",
    )
    draws: int = setting(
        default=16,
        range=whole("[1, inf)", usual=(4, 100)),
        doc="states that `score_samples` draws for the bound's expectation",
    )

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        kind = self._kind(tuple(input_shape))
        return DBNNetwork(input_shape, self._widths(), n_labels=n_outputs, visible=kind)

    def _widths(self) -> tuple[int, ...]:
        return widths(self._rung(), self.hidden)

    # -- learning -------------------------------------------------------------------------------

    def _learn(self, stages: Stages) -> None:
        network, items = self.network_, len(stages.inputs)
        network.log_z.fill_(math.nan)
        depths = range(len(self._widths()))
        recipes = [recipe(self, items, depth, self._seed()) for depth in depths]
        if stages.more:
            once = [replace(r, epochs=1, schedule="constant", average=0.0) for r in recipes]
            self._learn_more(stages, once)
        else:
            auto, passes = self.finetune_epochs == "auto", self.finetune_epochs
            share = of_quality(self.quality, FINETUNING)
            finetune = share * recipes[-1].epochs if auto else float(passes)
            costs = {f"rbm-{depth + 1}": 1.0 for depth in depths}
            stages.plan(costs | ({"up-down": 2.0 * share} if finetune else {}))
            below: RBMNetwork | None = None
            for depth in depths:
                below = self._grow(stages, depth, below, recipes[depth])
            if finetune:
                self._up_down(stages, replace(recipes[-1], epochs=finetune))
        network.top_mean.copy_(self._mean_features(stages, len(network.directed)))
        self._dream(stages)

    def _learn_more(self, stages: Stages, recipes: list[Recipe]) -> None:
        """One pass: of each machine in turn, until up-down learning has parted the two directions
        of the layers; of that from then on."""
        if not self.network_.is_greedy:
            self._up_down(stages, recipes[-1])
            return
        first, below = "history_" not in vars(self), None
        for depth, once in enumerate(recipes):
            below = self._grow(stages, depth, below, once, begin=first)

    def _grow(
        self,
        stages: Stages,
        depth: int,
        below: RBMNetwork | None,
        recipe: Recipe,
        begin: bool = True,
    ) -> RBMNetwork:
        """Learn the machine `depth` layers up on the states that the layers below it draw, from the
        beginning or from where it stands."""
        network = self.network_
        layers = network.directed[:depth]
        top = depth == len(network.directed)
        machine = network.top if top else self._machine(network.directed[depth], depth)
        if begin:
            self._begin(machine, below, self._mean_features(stages, depth))
        elif not top:
            network.directed[depth].give_to(machine)
        recipe = _for_its_units(recipe, machine)
        stages.compute.place(machine)
        update = MemoryUpdate(
            machine,
            recipe,
            discriminative=self.discriminative,
            k=self.k,
            persistent=self.persistent == "all" or (top and self.persistent == "top"),
            chains=recipe.batch_size,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            prepare=partial(_draw_upwards, network, layers),
            features=partial(_mean_upwards, network, layers),
            compute=stages.compute,
        )
        stages.run(f"rbm-{depth + 1}", update, recipe, network=machine)
        if not top:
            network.directed[depth].copy_machine(machine)
        return machine

    def _machine(self, layer: DirectedLayer, depth: int) -> RBMNetwork:
        """A machine for a directed layer, random weights from the model's seed."""
        with own_randomness(self._seed() + 1 + depth):
            kind = "gaussian" if layer.gaussian else "bernoulli"
            return RBMNetwork(*layer.recognition_weight.shape, visible=kind)

    @torch.no_grad()
    def _begin(self, machine: RBMNetwork, below: RBMNetwork | None, mean: Tensor) -> None:
        """Where a machine's learning starts: its base rates, or the machine below upside down."""
        if not machine.gaussian:
            machine.visible_bias.copy_(torch.logit(mean, eps=0.01))
        room = below is not None and machine.n_hidden >= below.n_visible and not below.gaussian
        if below is None or not self.tied or not room:
            return
        machine.weight[:, : below.n_visible] = below.weight.t()
        machine.hidden_bias[: below.n_visible] = below.visible_bias
        machine.visible_bias.copy_(below.hidden_bias)

    def _up_down(self, stages: Stages, recipe: Recipe) -> None:
        memory_lr = _for_its_units(recipe, self.network_.top).lr
        recipe = replace(recipe, lr=self.finetune_lr)
        update = UpDownUpdate(
            self.network_,
            recipe,
            sweeps=whole_numbers("sweeps", self.sweeps, "whole numbers of at least 1"),
            persistent=self.persistent != "no",
            chains=recipe.batch_size,
            memory_lr=memory_lr,
            discriminative=self.discriminative,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            compute=stages.compute,
        )
        held = stages.held_out if self.network_.n_labels else None
        validate = partial(self._validation_scores, *held) if held else None
        stages.run("up-down", update, recipe, validate=validate)

    @torch.no_grad()
    def _mean_features(self, stages: Stages, depth: int) -> Tensor:
        """Mean activations of the states below the machine at `depth`, over the first items."""
        network, device = self.network_, stages.compute.device
        total, parts = torch.zeros((), device=device), stages.inputs[:LOOKED_AT].split(1000)
        for part in parts:
            v = _mean_upwards(network, network.directed[:depth], part.to(device))
            total = total + v.sum(dim=0)
        return total / sum(map(len, parts))

    def _dream(self, stages: Stages) -> None:
        """Fantasies: states that chains come to from some of the items, and have forgotten them."""
        network = self.network_
        some = torch.linspace(0, len(stages.inputs) - 1, FANTASIES).long()
        with own_randomness(self._seed(), stages.compute.device), torch.no_grad():
            batch = stages.inputs[some].to(stages.compute.device)
            v = _draw_upwards(network, network.directed, batch)
            network.fantasies.copy_(network.gibbs(v, None, DREAM_SWEEPS))

    # -- what it can do -------------------------------------------------------------------------

    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        return self.network_.sample(n, labels, sweeps=int(self.sample_sweeps))

    def _log_likelihood(self, v: Tensor) -> Tensor:
        if bool(self.network_.log_z.isnan().any()):
            exact = min(self.network_.top.weight.shape) <= SMALL and not self.network_.top.gaussian
            self.log_partition("exact" if exact else "ais", steps=QUICK)
        network = copy.deepcopy(self.network_).double()  # an item's bound is its own in any batch
        return network.bound(v.double(), draws=int(self.draws)) - network.log_z[0]

    def _strangeness(self, v: Tensor) -> Tensor:
        return self.network_.strangeness(v)

    @property
    def known_log_partition(self) -> Tensor | None:
        return self.network_.log_z

    def log_partition(
        self, method: str = "ais", *, chains: int = 100, steps: int = 14_500, seed: int = 0
    ) -> tuple[float, float]:
        """log Z of the top machine and its standard error, nats; `score_samples` uses them from now
        on. `method`: "ais", by `chains` chains of `steps` steps from the base rates of the training
        data, or "exact" (a layer of at most 25 units). Raises InputError."""
        check_is_fitted(self, "network_")
        network = self.network_
        if method not in ("ais", "exact"):
            raise InputError(f'method must be "ais" or "exact"; got {method!r}.')
        how = {"chains": chains, "steps": steps, "seed": seed}
        with at_work(self):
            if method == "exact":
                found = exact_log_partition(network.top)
            else:
                found = ais_log_partition(network.top, network.base(), **how)
        network.log_z.copy_(torch.tensor([found.log_z, found.stderr]))
        return found.log_z, found.stderr

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        check_layers(self, len(self._widths()))


def _for_its_units(recipe: Recipe, machine: RBMNetwork) -> Recipe:
    return replace(recipe, lr=recipe.lr * (GAUSSIAN_SHARE if machine.gaussian else 1.0))


def _draw_upwards(network: DBNNetwork, layers: list[DirectedLayer], batch: Tensor) -> Tensor:
    """Raw items -> states below the machine that learns: (B, ...) -> (B, D). Bernoulli visible
    values are drawn too: what the likelihood is measured on."""
    v = network.draw_visible(batch)
    for layer in layers:
        v = sample_bernoulli(layer.up_mean(v))
    return v


def _mean_upwards(network: DBNNetwork, layers: list[DirectedLayer], batch: Tensor) -> Tensor:
    """The same by means alone."""
    v = network.visible(batch)
    for layer in layers:
        v = layer.up_mean(v)
    return v
