"""Joint learning of all layers of a deep Boltzmann machine (Salakhutdinov and Hinton 2009).

    dL/dW_l = <h_{l-1} h_l'>data - <h_{l-1} h_l'>model          dL/db_l = <h_l>data - <h_l>model

The data's averages are taken under the mean-field means q(h | v) of each item, the model's under
persistent chains (Tieleman 2008; Younes 1989) that make some sweeps of block Gibbs sampling between
updates. With the mean-field means at their fixed point this is the gradient of the variational
bound. Of the model's states the even layers are taken as probabilities given the odd layers'
samples: the same mean, with less noise.

Centring (Montavon and Mueller 2012): with offsets m_l, running means of the data's h_l,

    dW_l = <(h_{l-1} - m_{l-1})(h_l - m_l)'>data - the same of the model
    db_l = <h_l>data - <h_l>model - dW_l'm_{l-1} - dW_{l+1} m_{l+1}

and learning depends no longer on which of a unit's two states is called 1. Deep machines learn
better so: an upper layer is not drowned in what the biases below should explain.

Sparsity: c (target - m_l) is added to db_l of hidden units that are on too often or too rarely.

Matrix products run in bfloat16 where `compute` says so, with weights kept and changed in float32;
the difference of the two averages is one product, so it is rounded once.

Shapes: B batch, M chains, H_l units of layer l (H_0 = D).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbm.network import DBMNetwork
from depthwise.training.step import Recipe, lr_factor

__all__ = ["JointUpdate"]

RUNNING = 0.98  # how much of the running means a step keeps
ERROR_ROWS = 8  # how many items of a batch are reconstructed to watch the error


class JointUpdate:
    """One step on all layers; its loss is the squared error of a few items' reconstructions.

    `sweeps`: Gibbs sweeps a step, 1 .. 25. `steps`: mean-field steps, 5 .. 30. `weight_decay`:
    share of a weight lost per unit of learning rate, 0 .. 1e-3. `sparsity`: mean activation to
    steer hidden units to, 0.05 .. 0.2, with the strength `sparsity_cost`; None leaves them alone.
    Grey pixels are drawn anew each time, black or white with the probability that their value says.
    The chains live in the network.
    """

    def __init__(
        self,
        network: DBMNetwork,
        recipe: Recipe,
        *,
        sweeps: int = 5,
        steps: int = 10,
        weight_decay: float = 0.0,
        sparsity: float | None = None,
        sparsity_cost: float = 0.1,
        centred: bool = False,
        compute: Compute | None = None,
    ):
        self.network, self.recipe, self.compute = network, recipe, compute or Compute()
        self.sweeps, self.steps, self.weight_decay = sweeps, steps, weight_decay
        self.sparsity, self.sparsity_cost, self.centred = sparsity, sparsity_cost, centred
        self.means: list[Tensor] = []  # running means of the data's h_l
        self.weights: list[Tensor] = []  # as the products take them

    # -- one step -------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        rate = self.recipe.lr * lr_factor(self.recipe.schedule, progress)
        self._round_weights()
        v = self.network.visible(inputs)
        v = v if self.network.gaussian else sample_bernoulli(v)
        data = self._infer(v)
        model = self._follow_chains()
        error = self._error(data)
        self._learn(data, model, rate)
        return error

    def _infer(self, v: Tensor) -> list[Tensor]:
        """Mean-field means of layers 0 .. L: DBMNetwork.mean_field, with this update's products."""
        network, depth = self.network, self.network.depth
        means = [self._cast(v)]
        for layer in range(1, depth + 1):
            x = torch.mm(means[-1], self.weights[layer - 1])
            if layer == 1:
                drive = torch.add(network.biases[1], x)
            doubling = 1 if layer == depth else 2
            means.append(self._mean(torch.add(network.biases[layer], x, alpha=doubling)))
        for _ in range(self.steps):
            for layer in (*range(1, depth + 1, 2), *range(2, depth + 1, 2)):
                if layer == 1:
                    means[1] = self._mean(drive + torch.mm(means[2], self.weights[1].t()))
                else:
                    means[layer] = self._mean(self._input(layer, means))
        return means

    def _follow_chains(self) -> list[Tensor]:
        """The chains some sweeps on: samples of the odd layers, means of the even ones."""
        network, depth = self.network, self.network.depth
        states = [network.chains] * (depth + 1)
        states[1::2] = self._cast(network.chains).split(network.sizes[1::2], dim=1)
        for _ in range(self.sweeps):
            for parity in (0, 1):
                for layer in range(parity, depth + 1, 2):
                    states[layer] = self._sample(layer, self._input(layer, states))
        network.chains.copy_(torch.cat(states[1::2], dim=1))
        for layer in range(0, depth + 1, 2):
            x = self._input(layer, states)
            states[layer] = self._cast(network.mean_of(layer, x))
        return states

    def _learn(self, data: list[Tensor], model: list[Tensor], rate: float) -> None:
        """Weights and biases climb by rate x (data's averages - model's averages)."""
        network, items, chains = self.network, len(data[0]), len(model[0])
        moments = [d.mean(0, dtype=torch.float32) for d in data]
        differences = [d - m.mean(0, dtype=torch.float32) for d, m in zip(moments, model)]
        self._track(moments)
        changes = [d.clone() for d in differences]
        for layer, weight in enumerate(network.weights):
            above = torch.cat([data[layer + 1], model[layer + 1].mul(-items / chains)])
            below = torch.cat([data[layer], model[layer]])
            change = torch.mm(below.t(), above).to(weight.dtype).div_(items)
            if self.centred:
                change.addr_(self.means[layer], differences[layer + 1], alpha=-1)
                change.addr_(differences[layer], self.means[layer + 1], alpha=-1)
                changes[layer] -= change @ self.means[layer + 1]
                changes[layer + 1] -= self.means[layer] @ change
            weight.mul_(1 - rate * self.weight_decay).add_(change, alpha=rate)
        for layer, (bias, change) in enumerate(zip(network.biases, changes)):
            if self.sparsity is not None and layer > 0:
                change += self.sparsity_cost * (self.sparsity - self.means[layer])
            bias.add_(change, alpha=rate)

    def _track(self, moments: list[Tensor]) -> None:
        if not self.means:
            self.means = moments
        for mean, now in zip(self.means, moments):
            mean.lerp_(now, 1 - RUNNING)

    def _error(self, data: list[Tensor]) -> Tensor:
        """Squared error of the first items' reconstructions from the means of layer 1, a scalar."""
        x = torch.mm(data[1][:ERROR_ROWS], self.weights[0].t()) + self.network.biases[0]
        difference = self.network.mean_of(0, x) - data[0][:ERROR_ROWS]
        return difference.square().sum(dim=1).mean()

    # -- products -------------------------------------------------------------------------------

    def _round_weights(self) -> None:
        """The weights in the precision of the products."""
        exact = [w.detach() for w in self.network.weights]
        if self.compute.precision != "bfloat16":
            self.weights = exact
        elif not self.weights:
            self.weights = [w.to(torch.bfloat16) for w in exact]
        else:
            torch._foreach_copy_(self.weights, exact)

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(self.weights[0].dtype)

    def _input(self, layer: int, states: list[Tensor]) -> Tensor:
        """DBMNetwork.layer_input: products as rounded, their sum with the bias exact."""
        network = self.network
        if layer == 0:
            x = torch.mm(states[1], self.weights[0].t())
        else:
            x = torch.mm(states[layer - 1], self.weights[layer - 1])
            if layer < network.depth:
                x.addmm_(states[layer + 1], self.weights[layer].t())
        return torch.add(network.biases[layer], x)

    def _mean(self, x: Tensor) -> Tensor:
        return self._cast(x.sigmoid_())

    def _sample(self, layer: int, x: Tensor) -> Tensor:
        return self._cast(self.network.sample_of(layer, x))

    # -- kill and resume ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"means": self.means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.means = list(state["means"])
