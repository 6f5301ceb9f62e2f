"""Deep autoencoder: an encoder down to a short code, a decoder back, trained to lose little.

    z = enc(v)      v^ = dec(z)      minimise  L(v, v^)      (objective.py)

Hinton and Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks" (Science
313:504). Two ways to train it:

    pretrain=None   end to end: rectified layers, weights begun as He et al. 2015, AdamW
    pretrain="rbm"  the paper's: a greedy stack of restricted Boltzmann machines with logistic
                    units and a linear code, unrolled, then fine-tuned (rbm_stack.py)

The network is in network.py and convolutions.py. Besides codes and reconstructions
it has

    anomaly_score   |v - v^|^2, summed over the visible values
    sample          decoded draws from the Gaussian of the training codes, or of a class's codes
    score_samples   a lower bound on log p(v), in nats (density.py)
    predict         with labels: a hidden layer and a softmax on the code, learnt when all else is
                    settled, on codes that stay as they are

Shapes: N items, B batch, D visible values, Z code, K classes.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor, nn

from depthwise.checkpoint import moved
from depthwise.data.inputs import as_tensor
from depthwise.errors import InputError
from depthwise.families.autoencoder.convolutions import conv_decoder, conv_encoder
from depthwise.families.autoencoder.density import elbo, fit_posterior
from depthwise.families.autoencoder.head import codes_of, head_recipe, head_validation
from depthwise.families.autoencoder.network import ACTIVATIONS, AutoencoderNetwork, dense_stack
from depthwise.families.autoencoder.objective import Objective, Penalties, squared_error
from depthwise.families.autoencoder.rbm_stack import pretrain_stack, unroll
from depthwise.families.autoencoder.sizes import SIZES, check_together, widths
from depthwise.losses import smoothed_cross_entropy
from depthwise.models.generative import Generative
from depthwise.settings import AUTO, NONE, no_setting, number, one_of, setting, settings, whole
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.step import GradientUpdate, Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["DeepAutoencoder"]

PASSES = {"fast": Passes(2000, 15, 60), "paper": Passes(5000, 20, 200)}
PRETRAIN_STEPS = 3000  # likewise of a machine, within 10 .. 200 passes
POSTERIOR_STEPS = 120  # in which the bound's variances are chosen
ROWS = 1000  # items at a time where nothing is learnt


@settings
class DeepAutoencoder(Generative):
    """Codes, reconstructions, anomalies, samples and, with labels, classes; images and tables."""

    family: ClassVar[str] = "autoencoder"
    sizes: ClassVar[dict[str, Any]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    _optimizer_states: dict[str, dict[str, Any]] = no_setting()

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto" is about 2,000 steps, within 15 .. 60 passes; at quality '
        '"paper" 5,000, within 20 .. 200',
    )
    batch_size: int | str = setting(
        default="auto",
        range=whole("[1, inf)", usual=(8, 1024)) | AUTO,
        doc='items a step; "auto" is 256, less for small data',
    )
    size: str = setting(
        default="s", doc='"s", "m" or "l" (1000-500-250, 30 code units: the paper\'s)'
    )
    hidden: int | tuple[int, ...] | None = setting(
        default=None,
        doc="units of each hidden layer, a number for a single one, in place of the size's",
    )
    code_size: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(2, 100)) | NONE,
        doc="units of the code, in place of the size's",
    )
    convolutional: bool = setting(
        default=False,
        range=one_of(True, False),
        doc="for images: convolutions, then one hidden layer, the last width of `hidden`",
    )
    activation: str = setting(
        default="auto",
        range=one_of("auto", *ACTIVATIONS),
        doc='of hidden layers; "auto" is "silu", and "logistic" after pretraining',
    )
    code_activation: str = setting(
        default="linear", range=one_of("linear", "logistic"), doc="of the code"
    )
    normalise: bool = setting(
        default=False,
        range=one_of(True, False),
        doc="layer normalisation of hidden layers; never of the code",
    )
    pretrain: str | None = setting(
        default=None,
        range=one_of(None, "rbm"),
        doc="layers as restricted Boltzmann machines first; of `partial_fit` the first call "
        "pretrains, on its items",
    )
    pretrain_epochs: float | str = setting(
        default="auto",
        range=number("(0, inf)", usual=(5, 50)) | AUTO,
        doc='passes a machine; "auto" is about 3,000 steps, within 10 .. 200',
    )
    pretrain_lr: float = setting(
        default=0.1,
        range=number("(0, inf)", usual=(0.01, 0.2)),
        doc="learning rate of the machines; a tenth of it where the code is linear, a hundredth "
        "where visible units are Gaussian",
    )
    loss: str = setting(
        default="auto",
        range=one_of("auto", "cross_entropy", "squared"),
        doc='"auto" is the cross-entropy for values in [0, 1]',
    )
    noise: str | None = setting(
        default=None,
        range=one_of(None, "masking", "gaussian"),
        doc="what a denoising autoencoder restores: see `Penalties`",
    )
    noise_level: float = setting(
        default=0.25,
        range=number("[0, inf)", usual=(0.1, 0.5)),
        doc="share of values masked, or standard deviation of the noise",
    )
    sparsity: float | None = setting(
        default=None,
        range=number("(0, 1)", usual=(0.01, 0.2)) | NONE,
        doc="mean activation that units are steered to; of logistic units",
    )
    sparsity_weight: float = setting(
        default=0.1,
        range=number("[0, inf)", usual=(0.01, 10)),
        doc="weight of the sparsity penalty",
    )
    contractive: float = setting(
        default=0.0,
        range=number("[0, inf)", usual=(0, 1)),
        doc="weight of the squared norm of the code's Jacobian",
    )
    head_units: int = setting(
        default=128,
        range=whole("[1, inf)", usual=(32, 512)),
        doc="hidden units of the classifier on the code",
    )
    lr: float = 2e-3
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    average: float = 0.02
    patience: int | None = setting(default=None, range=whole("[1, inf)") | NONE)
    validation_fraction: float = setting(
        default=0.1,
        doc="share of the training data held out, where no validation part is given, to choose "
        "the best epoch and the anomaly threshold; with 0 the threshold is that of items "
        "learnt by heart, and false alarms are more than `false_alarms`",
    )

    # -- the network ----------------------------------------------------------------------------

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Raw inputs (B, *input_shape) -> logits (B, K), or the reconstruction (B, D) for 0."""
        rung = widths(self._rung(), self)
        activation, last = self._activation(), self.code_activation
        if self.convolutional:
            if len(input_shape) != 3:
                raise InputError(
                    f"convolutional=True needs images (C, H, W); got inputs of shape {input_shape}."
                )
            image = (int(input_shape[0]), int(input_shape[1]), int(input_shape[2]))
            shared = (image, rung.channels, rung.units, rung.code, activation)
            encoder = conv_encoder(*shared, last, self.normalise)
            decoder = conv_decoder(*shared, self.normalise)
        else:
            sizes = (math.prod(input_shape), *rung.hidden, rung.code)
            encoder = dense_stack(sizes, activation, last, self.normalise)
            decoder = dense_stack(sizes[::-1], activation, "linear", self.normalise)
        return AutoencoderNetwork(
            tuple(input_shape),
            encoder,
            decoder,
            rung.code,
            visible=self._kind(tuple(input_shape)),
            n_classes=n_outputs,
            head_units=self.head_units,
        )

    def _activation(self) -> str:
        if self.activation != "auto":
            return self.activation
        return "silu" if self.pretrain is None else "logistic"

    def _initialise(self, network: nn.Module, inputs: np.ndarray) -> None:
        assert isinstance(network, AutoencoderNetwork)
        x, total = as_tensor(inputs), torch.zeros(network.n_visible, dtype=torch.float64)
        for part in x.split(ROWS):
            total += network.visible(part).double().sum(dim=0)
        network.begin_output_at((total / len(x)).float())

    # -- learning -------------------------------------------------------------------------------

    def _hold_out(self, data: TrainingData) -> TrainingData:
        fraction = self.validation_fraction
        few = round(len(data) * fraction)
        if few < 1 or len(data) - few < 2:
            return data
        order = np.random.default_rng(self._seed()).permutation(len(data))
        keep, hold = np.sort(order[few:]), np.sort(order[:few])
        aside = data.at(hold)
        return replace(data.at(keep), held_out=(aside.inputs, aside.targets))

    def _learn(self, stages: Stages) -> None:
        network: Any = stages.network
        fresh = not stages.more or self.known_threshold is None
        if fresh:
            self._optimizer_states = {}
        depth = len(network.encoder) if self.pretrain and fresh else 0
        costs = {f"rbm-{i + 1}": 0.2 for i in range(depth)}
        costs |= {"autoencoder": 1.0} if network.head is None else {"autoencoder": 1.0, "head": 0.1}
        stages.plan(costs)
        if depth:
            rung, recipe = widths(self._rung(), self), self._machine_recipe(stages)
            shape = (network.n_visible, *rung.hidden, rung.code)
            machines = pretrain_stack(stages, network, shape, self.code_activation, recipe)
            unroll(network, machines)
        try:
            self._learn_codes(stages, network)
        except Interrupted:
            self._describe_codes(stages, network, fresh)
            raise
        codes = self._describe_codes(stages, network, fresh)
        if network.head is not None:
            self._learn_head(stages, network, codes)

    def _learn_codes(self, stages: Stages, network: AutoencoderNetwork) -> None:
        objective = Objective(network, self._loss_name(), self._penalties())
        recipe = self.recipe(len(stages.inputs), more=stages.more)
        update = GradientUpdate(objective, _itself, recipe, stages.compute)
        validate = None
        if stages.held_out is not None:
            validate = partial(_held_out_score, objective, as_tensor(stages.held_out[0]))
        self._run(stages, "autoencoder", update, recipe, validate=validate)

    def _describe_codes(self, stages: Stages, network: AutoencoderNetwork, fresh: bool) -> Tensor:
        """The Gaussians of the codes, and how sure the encoder is; returns the codes (N, Z)."""
        codes = codes_of(network, stages.inputs, stages.compute)
        network.density.fit_prior(codes, stages.labels)
        if network.head is not None and fresh:
            network.head[0].set_statistics(codes.mean(dim=0), codes.std(dim=0))  # type: ignore[operator]
        some = stages.inputs[:: max(1, len(stages.inputs) // 10_000)]
        with stages.compute.active():
            steps = POSTERIOR_STEPS // (1 if fresh else 10)
            v = network.visible(some.to(codes.device))
            fit_posterior(network, v, steps, seed=stages.seed, more=not fresh)
        return codes

    def _learn_head(self, stages: Stages, network: AutoencoderNetwork, codes: Tensor) -> None:
        head = network.head
        assert head is not None
        recipe = head_recipe(len(codes), quality=self.quality, seed=stages.seed, more=stages.more)
        update = GradientUpdate(head, smoothed_cross_entropy, recipe, stages.compute)
        validate = head_validation(stages, network)
        self._run(stages, "head", update, recipe, network=head, inputs=codes, validate=validate)

    def _run(
        self, stages: Stages, name: str, update: GradientUpdate, recipe: Recipe, **options: Any
    ) -> None:
        """One stage; in `partial_fit` the optimiser goes on where the last call left it."""
        if stages.more and name in self._optimizer_states:
            update.load_state_dict(self._optimizer_states[name])
        stages.run(name, update, recipe, **options)
        if stages.more:
            self._optimizer_states[name] = moved(update.state_dict(), "cpu")

    # -- settings -------------------------------------------------------------------------------

    def recipe(self, items: int, *, more: bool = False) -> Recipe:
        """How `items` would be trained: the settings, "auto" filled in."""
        batch_size = _auto_batch_size(items) if self.batch_size == "auto" else int(self.batch_size)
        auto = of_quality(self.quality, PASSES).epochs(items, batch_size)
        epochs = auto if self.epochs == "auto" else self.epochs
        made = Recipe.of(self, epochs=float(epochs), batch_size=batch_size, seed=self._seed())
        return replace(made, epochs=1, schedule="constant", average=0.0) if more else made

    def _machine_recipe(self, stages: Stages) -> Recipe:
        items = len(stages.inputs)
        batch_size = min(100, self.recipe(items).batch_size)
        epochs = self.pretrain_epochs
        if epochs == "auto":
            epochs = min(200, max(10, round(PRETRAIN_STEPS * batch_size / items)))
        return Recipe(
            epochs=float(epochs),
            batch_size=batch_size,
            lr=self.pretrain_lr,
            schedule="cosine",
            weight_decay=2e-4,
            average=0.0,
            seed=stages.seed,
        )

    def _loss_name(self) -> str:
        if self.loss != "auto":
            return self.loss
        return "cross_entropy" if self.visible_ == "bernoulli" else "squared"

    def _penalties(self) -> Penalties:
        return Penalties(
            self.noise, self.noise_level, self.sparsity, self.sparsity_weight, self.contractive
        )

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        widths(self._rung(), self)
        check_together(self)

    # -- what it can do -------------------------------------------------------------------------

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """Decode codes (N, Z) into items (N, *input_shape_), in the data's units and type."""
        check_is_fitted(self, "network_")
        network: Any = self.network_
        rows = torch.from_numpy(check_array(codes, dtype=np.float32))
        size = network.density.mean.shape[1]
        if rows.shape[1] != size:
            raise InputError(f"codes must be (N, {size}); got {tuple(rows.shape)}.")
        with torch.inference_mode():
            return self._to_items(torch.cat([network.decode(part) for part in rows.split(ROWS)]))

    def _sample(self, n: int, labels: Tensor | None) -> Tensor:
        network: Any = self.network_
        means: Tensor = network.decode(network.density.draw(n, labels))
        return means

    def _log_likelihood(self, v: Tensor) -> Tensor:
        exact: Any = copy.deepcopy(self.network_).double()  # hundreds of nats cancel
        return elbo(exact, v.double())

    def _strangeness(self, v: Tensor) -> Tensor:
        network: Any = self.network_
        return squared_error(v, network.decode(network.encode(v)))


def _itself(loss: Tensor, targets: Tensor) -> Tensor:
    return loss


def _held_out_score(
    objective: Objective, inputs: Tensor, network: AutoencoderNetwork
) -> tuple[float]:
    """Minus the loss on held-out items as they are, of the averaged weights."""
    judge = Objective(network, "squared" if objective.squared else "cross_entropy", Penalties())
    device = network.density.mean.device
    total = sum(float(judge(x.to(device))) * len(x) for x in inputs.split(ROWS))
    return (-total / len(inputs),)


def _auto_batch_size(items: int) -> int:
    """256, and for small data the power of two that leaves about 40 steps an epoch, at least 16."""
    return int(min(256, max(16, 2 ** round(math.log2(max(items / 40, 1))))))
