"""Up-down learning of a deep belief network: the contrastive wake-sleep algorithm (Hinton, Osindero
and Teh 2006, appendix B).

Wake.  Recognition weights draw states from the data upwards; every layer's generative weights learn
       to draw the states below from the states above, by the gradient of log p(h_{l-1} | h_l):

           dG = (h_{l-1} - s(c + G h_l)) h_l'          dc = h_{l-1} - s(c + G h_l)

Top.   The associative memory learns by contrastive divergence from the states that came up, labels
       included; k sweeps, more as learning goes on. Or its chains are persistent: then the sleep
       phase sees what the model really draws, as in wake-sleep before it was contrastive.
Sleep. Where those sweeps end, generative weights draw states downwards, and the recognition
       weights learn to tell the states above from those below, by the gradient of
       log q(h_l | h_{l-1}):

           dR = h_{l-1} (h_l - s(r + h_{l-1}'R))'      dr = h_l - s(r + h_{l-1}'R)

All steps are averages over the batch times one rate. In the sleep phase the visible units are
means, as in the paper's program: the data are intensities too. The generative steps of Gaussian
units are the gradient times the variance, so that columns of little noise do not explode, and a
twentieth of the rate.

Our names: R, r recognition_weight and _bias; G, c generative_weight and _bias; h_0 = v.
Shapes: B batch, D units below, H units above.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbn.memory import MemoryUpdate
from depthwise.families.dbn.network import DBNNetwork, DirectedLayer
from depthwise.training.step import Recipe, lr_factor

__all__ = ["GAUSSIAN_SHARE", "UpDownUpdate"]

GAUSSIAN_SHARE = 0.05  # of the rate, where visible units are Gaussian


class UpDownUpdate:
    """One step of a whole network; its loss is the squared error of the wake phase's lowest layer.

    `sweeps`: of the top machine, one number for every equal part of the run, 1 .. 25 each.
    `memory_lr`: the top machine's own rate; `memory`: its other options (MemoryUpdate). The rate is
    the recipe's, lr and schedule; of its other fields this update uses none.
    """

    def __init__(
        self,
        network: DBNNetwork,
        recipe: Recipe,
        *,
        sweeps: tuple[int, ...] = (3, 6, 10),
        memory_lr: float | None = None,
        compute: Compute | None = None,
        **memory: Any,
    ):
        self.network, self.recipe, self.sweeps = network, recipe, sweeps
        compute = compute or Compute()
        exact = network.top.weight.dtype
        self.dtype = torch.bfloat16 if compute.precision == "bfloat16" else exact
        self.layers = [_TwoWay(layer, self.dtype) for layer in network.directed]
        self.memory = MemoryUpdate(
            network.top,
            replace(recipe, lr=recipe.lr if memory_lr is None else memory_lr),
            prepare=_as_they_are,
            compute=compute,
            **memory,
        )

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        rate = self.recipe.lr * lr_factor(self.recipe.schedule, progress)
        for layer in self.layers:
            layer.refresh()
        awake = self.wake_states(self.network.draw_visible(inputs))
        if self.network.n_labels:
            self.memory.means_below = self.mean_features(self.network.visible(inputs))
        self.memory.k = self.sweeps[min(int(progress * len(self.sweeps)), len(self.sweeps) - 1)]
        error = self.memory(awake[-1], targets, progress)
        asleep = self.sleep_states(self.memory.end)
        if self.layers:
            error = self.learn_generative(awake, rate)
            self.learn_recognition(asleep, rate)
        self.network.log_z.fill_(float("nan"))
        return error

    @torch.no_grad()
    def wake_states(self, v: Tensor) -> list[Tensor]:
        """States of every layer below the top one, drawn upwards: [(B, D), (B, H_1), ..]."""
        states = [v.to(self.dtype) if self.layers else v]
        for layer in self.layers:
            states.append(layer.draw(layer.up_mean(states[-1])))
        return states

    @torch.no_grad()
    def mean_features(self, v: Tensor) -> Tensor:
        """Means below the top machine, as `network.features`: (B, D) -> (B, H_{L-1})."""
        for layer in self.layers:
            v = layer.up_mean(v.to(self.dtype))
        return v

    @torch.no_grad()
    def sleep_states(self, h: Tensor) -> list[Tensor]:
        """The same, drawn downwards from the states (B, H_{L-1}); of the visible units, means."""
        states = [h]
        for i, layer in reversed(list(enumerate(self.layers))):
            mean = layer.down_mean(states[0])
            states.insert(0, layer.draw(mean) if i else mean.to(self.dtype))
        return states

    @torch.no_grad()
    def learn_generative(self, states: list[Tensor], rate: float) -> Tensor:
        """Weights += rate x gradient of the mean of log p(h_{l-1} | h_l), all layers. Returns the
        mean squared error at the visible units."""
        error = torch.zeros(())
        for i, (layer, below, above) in enumerate(zip(self.layers, states, states[1:])):
            delta = below - layer.down_mean(above)
            if i == 0:
                error = delta.square().sum(dim=1).mean()
            share = GAUSSIAN_SHARE if layer.layer.gaussian else 1.0
            layer.generative.learn(delta, above, share * rate / len(delta))
            layer.layer.generative_bias.add_(delta.sum(dim=0), alpha=share * rate / len(delta))
        return error

    @torch.no_grad()
    def learn_recognition(self, states: list[Tensor], rate: float) -> None:
        """Weights += rate x gradient of the mean of log q(h_l | h_{l-1}), all layers."""
        for layer, below, above in zip(self.layers, states, states[1:]):
            delta = above - layer.up_mean(below)
            layer.recognition.learn(below, delta, rate / len(delta))
            layer.layer.recognition_bias.add_(delta.sum(dim=0), alpha=rate / len(delta))

    def state_dict(self) -> dict[str, Any]:
        return self.memory.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.load_state_dict(state)


def _as_they_are(states: Tensor) -> Tensor:
    return states


class _Weight:
    """Products with one weight (D, H), in float32 or with a copy rounded to bfloat16."""

    def __init__(self, weight: nn.Parameter, dtype: torch.dtype):
        self.exact = weight.detach()
        self.rounded = self.exact if dtype == weight.dtype else self.exact.to(dtype)

    def refresh(self) -> None:
        if self.rounded is not self.exact:
            self.rounded.copy_(self.exact)

    def learn(self, below: Tensor, above: Tensor, rate: float) -> None:
        """W += rate below'above. (B, D), (B, H)."""
        if self.rounded is self.exact:
            self.exact.addmm_(below.t(), above, alpha=rate)
            return
        product = torch.mm(below.to(self.rounded.dtype).t(), above.to(self.rounded.dtype))
        self.exact.add_(product, alpha=rate)


class _TwoWay:
    """One directed layer's conditionals, in the precision of the products."""

    def __init__(self, layer: DirectedLayer, dtype: torch.dtype):
        self.layer, self.dtype = layer, dtype
        self.recognition = _Weight(layer.recognition_weight, dtype)
        self.generative = _Weight(layer.generative_weight, dtype)

    def refresh(self) -> None:
        self.recognition.refresh()
        self.generative.refresh()

    def up_mean(self, x: Tensor) -> Tensor:
        total = torch.mm(x, self.recognition.rounded).to(self.layer.recognition_bias.dtype)
        return total.add_(self.layer.recognition_bias).sigmoid_()

    def down_mean(self, h: Tensor) -> Tensor:
        total = torch.mm(h, self.generative.rounded.t()).to(self.layer.generative_bias.dtype)
        total.add_(self.layer.generative_bias)
        return total if self.layer.gaussian else total.sigmoid_()

    def draw(self, p: Tensor) -> Tensor:
        return sample_bernoulli(p, out=torch.empty(p.shape, dtype=self.dtype, device=p.device))
