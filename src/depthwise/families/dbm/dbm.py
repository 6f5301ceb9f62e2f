"""Deep Boltzmann machine: undirected from the pixels to the top (Salakhutdinov and Hinton 2009).
Its energy, inference and sampling are in network.py. It learns in three stages:

    layers      each by itself, with its inputs doubled where a neighbour is absent
                (layer_pretraining.py); a wide enough layer begins as the one below it upside
                down, which is what the doubling stands for
    joint       all layers together: mean-field for the data, persistent chains for the model
                (joint_learning.py), learning rate falling to 0
    fine-tune   given labels, a classifier that begins with the machine's weights and hears the
                mean-field means of the upper layers (classifier.py); the machine stays as it is

log Z, and with it `score_samples` (a lower bound of the log-likelihood), comes from
log_partition.py; missing pixels from inpainting.py.

Shapes: N items, B batch, D visible units, H_l units of layer l, K classes.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.compute import own_randomness
from depthwise.data.inputs import as_tensor, fingerprint_arrays
from depthwise.errors import InputError
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbm.inpainting import inpaint_by_gibbs, inpaint_by_mean_field
from depthwise.families.dbm.joint_learning import JointUpdate
from depthwise.families.dbm.layer_pretraining import (
    balance,
    compose,
    layer_machine,
    layer_update,
    turn_upside_down,
)
from depthwise.families.dbm.log_partition import (
    annealed_log_partition,
    enumerated_log_partition,
    listed_units,
)
from depthwise.families.dbm.network import DBMNetwork
from depthwise.families.dbm.sizes import SIZES, layer_widths
from depthwise.losses import smoothed_cross_entropy
from depthwise.models.generative import Generative
from depthwise.models.gpu_answers import at_work
from depthwise.settings import AUTO, NONE, no_setting, number, one_of, setting, settings, whole
from depthwise.training.run import Run
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.step import GradientUpdate, Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["DBM"]

PASSES = {"fast": Passes(800, 10, 40), "paper": Passes(6000, 10, 300)}  # of the joint stage
LABEL_STEPS = {"fast": 2000, "paper": 1000}  # of the classifier, at least
LABEL_LR = {"fast": 1e-2, "paper": 3e-3}
GAUSSIAN_SHARE = 0.05  # of the rates, with Gaussian visible units
TOLERANCE = 1e-5  # where mean-field inference stops
LOOKED_AT = 5000  # items that mean activities are taken from, at most
QUICK = 2000  # AIS steps where log Z was not asked for in another way


@settings
class DBM(Generative):
    """Generative classifier, sampler and density of tables (N, D) and images (N, C, H, W)."""

    family: ClassVar[str] = "dbm"
    sizes: ClassVar[dict[str, tuple[int, ...]]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    network_: DBMNetwork = no_setting()

    epochs: float | str = setting(
        default="auto",
        doc='joint passes over the data; "auto" is about 800 steps, within 10 .. 40; at quality '
        '"paper" 6,000, within 10 .. 300',
    )
    batch_size: int | str = setting(
        default="auto",
        range=whole("[1, inf)", usual=(20, 500)) | AUTO,
        doc='items a step; "auto" is 100, less for small data',
    )
    size: str = setting(default="s", doc='"s" (128, 128) .. "l" (500, 1000), the paper\'s')
    hidden: int | tuple[int, ...] | None = setting(
        default=None, doc="units of each layer, bottom up, in place of `size`; two layers or more"
    )
    pretrain_epochs: float | str = setting(
        default="auto",
        range=number("[0, inf)") | AUTO,
        doc='passes for each layer by itself; "auto" is a third of `epochs`, 0 leaves them',
    )
    finetune_epochs: float | str = setting(
        default="auto",
        range=number("[0, inf)") | AUTO,
        doc='passes of the classifier, where there are labels; "auto" is as `epochs`, or 2,000 '
        'steps (at quality "paper" 1,000) where these are more',
    )
    lr: float = setting(
        default=0.1,
        range=number("(0, inf)", usual=(0.01, 0.2)),
        doc="peak learning rate of the joint stage; a twentieth of it for Gaussian units",
    )
    pretrain_lr: float = setting(
        default=0.05,
        range=number("(0, inf)", usual=(0.02, 0.1)),
        doc="learning rate of the layers by themselves",
    )
    finetune_lr: float | str = setting(
        default="auto",
        range=number("(0, inf)", usual=(3e-4, 1e-2)) | AUTO,
        doc='learning rate of the classifier (AdamW); "auto" is 1e-2, at quality "paper" 3e-3',
    )
    chains: int = setting(
        default=100,
        range=whole("[1, inf)", usual=(50, 500)),
        doc="persistent Gibbs chains, about as many as items a step or more",
    )
    sweeps: int = setting(
        default=4, range=whole("[1, inf)", usual=(1, 25)), doc="Gibbs sweeps a step"
    )
    mean_field_steps: int = setting(
        default=5,
        range=whole("[1, inf)", usual=(5, 30)),
        doc="steps of inference while learning; afterwards twice as many",
    )
    centred: bool = setting(
        default=True,
        range=one_of(True, False),
        doc="learning that does not depend on which of two states is called 1",
    )
    weight_decay: float = setting(
        default=2e-4,
        range=number("[0, 1)", usual=(0, 1e-3)),
        doc="share of a weight lost per unit of learning rate",
    )
    sparsity: float | None = setting(
        default=None,
        range=number("(0, 1)", usual=(0.05, 0.2)) | NONE,
        doc="mean activation that hidden units are steered to",
    )
    dropout: float = setting(
        default=0.2, doc="share of the units of the classifier's hidden layers that is silenced"
    )
    input_dropout: float = setting(
        default=0.1,
        range=number("[0, 1)", usual=(0, 0.3)),
        doc="share of the classifier's inputs that is silenced",
    )
    sample_sweeps: int = setting(
        default=500,
        range=whole("[1, inf)", usual=(100, 5000)),
        doc="Gibbs sweeps that `sample` makes",
    )

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return DBMNetwork(
            input_shape,
            layer_widths(self.hidden, self.size),
            visible=self._kind(tuple(input_shape)),
            steps=2 * int(self.mean_field_steps),
            chains=int(self.chains),
            n_classes=n_outputs,
            dropout=self.dropout,
            input_dropout=self.input_dropout,
        )

    @torch.no_grad()
    def _initialise(self, network: Any, inputs: np.ndarray) -> None:
        """Visible biases that give each unit its mean; Gaussian ones have mean 0 already."""
        if self.visible_ == "bernoulli":
            units = as_tensor(inputs[:: max(1, len(inputs) // 10_000)])
            network.biases[0].copy_(torch.logit(network.visible(units).mean(dim=0), eps=0.01))

    # -- learning -------------------------------------------------------------------------------

    def _learn(self, stages: Stages) -> None:
        self.network_.log_z.fill_(math.nan)
        recipe = self.recipe(len(stages.inputs))
        if stages.more:
            recipe = replace(recipe, epochs=1, schedule="constant")
            self._learn_jointly(stages, recipe)
            self._learn_labels(stages, replace(recipe, lr=self._label_rate("paper")))
            return
        layers = range(1, self.network_.depth + 1)
        passes = self._passes(recipe, len(stages.inputs))
        costs = {"joint": 6 * recipe.epochs, "fine-tune": 2 * passes["fine-tune"]}
        stages.plan({**{f"layer-{i}": passes["layers"] for i in layers}, **costs})
        for layer in layers if passes["layers"] else ():
            self._learn_layer(stages, layer, replace(recipe, epochs=passes["layers"]))
        self._join(stages)
        self._learn_jointly(stages, recipe)
        if passes["fine-tune"]:
            self._learn_labels_anew(stages, recipe, passes["fine-tune"])

    def _learn_layer(self, stages: Stages, layer: int, recipe: Recipe) -> None:
        network = self.network_
        if layer > 1:
            turn_upside_down(network, layer)
        recipe = replace(recipe, lr=self.pretrain_lr * self._share(only_if=layer == 1))
        rbm = layer_machine(network, layer)
        how = {"centred": self.centred, "weight_decay": self.weight_decay}
        update = layer_update(network, rbm, layer, recipe, stages.compute, **how)
        stages.run(f"layer-{layer}", update, recipe, network=rbm)
        compose(network, rbm, layer)

    @torch.no_grad()
    def _join(self, stages: Stages) -> None:
        """The layers hear each other; chains begin at inferred states of items from all over."""
        network, items = self.network_, len(stages.inputs)
        some = torch.linspace(0, items - 1, max(int(self.chains), min(items, LOOKED_AT))).long()
        v = network.visible(stages.inputs[some].to(stages.compute.device))
        balance(network, v)
        v = v[torch.linspace(0, len(v) - 1, int(self.chains)).long()]
        with own_randomness(stages.seed, stages.compute.device):
            means = network.mean_field(v, steps=int(self.mean_field_steps))
            network.chains.copy_(sample_bernoulli(torch.cat(means[1::2], dim=1)))

    def _learn_jointly(self, stages: Stages, recipe: Recipe) -> None:
        recipe = replace(recipe, lr=recipe.lr * self._share())
        update = JointUpdate(
            self.network_,
            recipe,
            sweeps=int(self.sweeps),
            steps=int(self.mean_field_steps),
            weight_decay=self.weight_decay,
            sparsity=self.sparsity,
            centred=self.centred,
            compute=stages.compute,
        )
        stages.run("joint", update, recipe)

    def _learn_labels_anew(self, stages: Stages, recipe: Recipe, epochs: float) -> None:
        """The classifier, from the machine's weights on."""
        network = self.network_
        if network.classifier is not None:
            with own_randomness(stages.seed, stages.compute.device):
                network.classifier.take(network.weights, network.biases)
        finetune = replace(recipe, epochs=epochs, lr=self._label_rate(self.quality), average=0.02)
        self._learn_labels(stages, finetune)

    def _learn_labels(self, stages: Stages, recipe: Recipe) -> None:
        """The classifier learns from features computed once: the machine below is at rest."""
        network, held = self.network_, stages.held_out
        if network.classifier is None or stages.labels is None:
            return
        validate = None
        if held is not None:
            shown = self._features(as_tensor(held[0]), stages.compute.device)
            validate = partial(self._validation_scores, shown.numpy(), held[1])
        loss = smoothed_cross_entropy
        update = GradientUpdate(network.classifier, loss, recipe, stages.compute)
        stages.run(
            "fine-tune",
            update,
            recipe,
            network=network.classifier,
            validate=validate,
            inputs=self._features(stages.inputs, stages.compute.device),
        )

    @torch.no_grad()
    def _features(self, inputs: Tensor, device: str) -> Tensor:
        """(N, F) in half precision: of 60,000 images 214 MB."""
        parts = [self.network_.features(part.to(device)).half().cpu() for part in inputs.split(512)]
        return torch.cat(parts)

    def fine_tune(self, X: Any, y: Any, *, validation: Any = None, **options: Any) -> Self:
        """Learn labels y (N,) of X on top of the machine, which stays as it is: few items with
        labels, say, after `fit` on many without. An earlier classifier is replaced.

        `validation` (X, y) chooses the best epoch; options: checkpoint, seconds_limit, watch, as of
        `fit`. Raises InputError.
        """
        check_is_fitted(self, "network_")
        self.__dict__.pop("classes_", None)
        inputs, labels = self._take(X, y, reset=False)
        held = None if validation is None else self._take(*validation, reset=False)
        data = TrainingData(inputs, labels, held_out=held)
        self.data_fingerprint_ = fingerprint_arrays(inputs, labels)
        network: Any = self._whole_network(self.input_shape_, self.n_outputs)
        machine = self.network_.state_dict()
        network.load_state_dict(
            {name: machine[name] for name in machine if not name.startswith("classifier.")},
            strict=False,
        )
        self.network_ = network
        with (
            Stages(self, network, data, Run.begin(**options)) as stages,
            contextlib.suppress(Interrupted),
        ):
            recipe = self.recipe(len(inputs))
            self._learn_labels_anew(
                stages, recipe, self._passes(recipe, len(stages.inputs))["fine-tune"]
            )
        self.network_.eval()
        self.history_ = stages.history()
        return self

    # -- what it can do -------------------------------------------------------------------------

    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        if labels is not None:
            raise InputError(
                "labels were given to sample, but a DBM models the items and not their labels. "
                "Fit one on the items of a class, or use DBN, whose top layer knows the labels."
            )
        network = self.network_
        rows = torch.arange(n) % len(network.chains)
        states = network.completed(network.chains[rows].to(network.biases[0].dtype))
        states = network.gibbs(states, int(self.sample_sweeps))
        return network.mean_of(0, network.layer_input(0, states))

    def _log_likelihood(self, v: Tensor) -> Tensor:
        if bool(self.network_.log_z.isnan().any()):
            few = listed_units(self.network_)[1] <= 16
            self.log_partition("exact") if few else self.log_partition(steps=QUICK)
        return -self._strangeness(v) - self.network_.log_z[0]

    def _strangeness(self, v: Tensor) -> Tensor:
        means = self.network_.mean_field(v, steps=100, tolerance=TOLERANCE)
        return -self.network_.bound(v, means)

    @property
    def known_log_partition(self) -> Tensor | None:
        return self.network_.log_z

    def log_partition(
        self, method: str = "ais", *, chains: int = 100, steps: int = 10_000, seed: int = 0
    ) -> tuple[float, float]:
        """log Z and its standard error, nats; `score_samples` uses them from now on.

        `method`: "ais", by `chains` chains of `steps` steps from the base rates of the persistent
        chains, or "exact" (24 units at most in the odd or in the even layers). Raises InputError.
        """
        check_is_fitted(self, "network_")
        if method not in ("ais", "exact"):
            raise InputError(f'method must be "ais" or "exact"; got {method!r}.')
        how: dict[str, Any] = {"chains": chains, "steps": steps, "seed": seed}
        with at_work(self):
            if method == "exact":
                found = enumerated_log_partition(self.network_)
            else:
                found = annealed_log_partition(self.network_, **how)
        self.network_.log_z.copy_(torch.tensor([found.log_z, found.stderr]))
        return found.log_z, found.stderr

    def inpaint(self, X: Any, known: Any, *, sweeps: int = 200) -> np.ndarray:
        """X with the pixels or columns that are not `known` filled in: (N, *input_shape_).

        `known`: bool, of X's shape or of one item's; what X holds elsewhere is not looked at, and
        must only be a number. `sweeps`: Gibbs sweeps whose visible means are averaged; 0 takes the
        mean-field answer, which is faster and surer of itself. Raises InputError.
        """
        check_is_fitted(self, "network_")
        inputs = self._take(X, reset=False)[0]
        mask = np.asarray(known)
        if mask.dtype != bool or mask.shape not in (inputs.shape, inputs.shape[1:]):
            raise InputError(
                f"known must be bool of shape {inputs.shape} or {inputs.shape[1:]}; "
                f"got {mask.dtype} {mask.shape}."
            )
        mask = np.broadcast_to(mask, inputs.shape)
        flat = torch.from_numpy(mask.reshape(len(mask), -1).copy())
        with own_randomness(self._seed()):
            v = self.network_.visible(as_tensor(inputs)).float()
            if sweeps:
                filled = inpaint_by_gibbs(self.network_, v, flat, int(sweeps))
            else:
                filled = inpaint_by_mean_field(self.network_, v, flat, steps=100)[0]
        return np.where(mask, inputs, self._to_items(filled))

    # -- settings -------------------------------------------------------------------------------

    def recipe(self, items: int) -> Recipe:
        """How the joint stage would learn `items`: the settings, "auto" filled in."""
        batch = self.batch_size
        batch_size = min(100, max(10, items // 20)) if batch == "auto" else int(batch)
        passes = of_quality(self.quality, PASSES).epochs(items, batch_size)
        return Recipe(
            epochs=passes if self.epochs == "auto" else float(self.epochs),
            batch_size=batch_size,
            lr=self.lr,
            schedule="cosine",
            average=0.0,
            seed=self._seed(),
        )

    def _passes(self, recipe: Recipe, items: int) -> dict[str, float]:
        """Epochs of the stages around the joint one."""
        third = max(1.0, recipe.epochs / 3)
        layers = third if self.pretrain_epochs == "auto" else float(self.pretrain_epochs)
        steps = of_quality(self.quality, LABEL_STEPS)
        tuned = max(steps * recipe.batch_size / items, recipe.epochs)
        tuned = tuned if self.finetune_epochs == "auto" else float(self.finetune_epochs)
        return {"layers": layers, "fine-tune": tuned if self.n_outputs else 0.0}

    def _label_rate(self, quality: str) -> float:
        """The classifier's peak rate: a short schedule takes larger steps."""
        auto = of_quality(quality, LABEL_LR)
        return auto if self.finetune_lr == "auto" else float(self.finetune_lr)

    def _share(self, only_if: bool = True) -> float:
        """Of the learning rates: densities are steeper than probabilities."""
        return GAUSSIAN_SHARE if only_if and self.visible_ == "gaussian" else 1.0

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        layer_widths(self.hidden, self.size)
