"""Learning a restricted Boltzmann machine: the likelihood's gradient, its second half sampled.

    dL/dW = <v h'>data - <v h'>model    dL/da = <v>data - <v>model    dL/db = <h>data - <h>model

The model's averages come from k Gibbs sweeps that start at the data (contrastive divergence, CD-k,
Hinton 2002), or from chains that go on from update to update (persistent CD, Tieleman 2008), or
from such chains at several temperatures that exchange states (parallel tempering, Desjardins 2010,
Cho 2010: see tempering.py). Hidden units that drive visible ones are always sampled; the last
hidden values, and the data's, are probabilities.

Gaussian visibles: v / s^2 stands in the place of v, and the log-variances z follow
dL/dz = <[(v - a)^2 / 2 - v (W h)] / s^2>data - the same of the model.

Centring (Montavon and Mueller 2012; Melchior, Fischer and Wiskott 2016): with offsets m, the mean
of v, and l, a running mean of h, the gradient becomes

    dW = <(v - m)(h - l)'>data - the same of the model
    da = <v>data - <v>model - dW l      db = <h>data - <h>model - dW'm

and learning no longer depends on which of a unit's two states is called 1.

All outer products are one matrix product: the rows of the data above those of the model, each row
of hidden values times its share of the learning rate, the model's negative; centring adds two rows.
No gradient is stored unless there is momentum.

Shapes: B batch, M chains, D visible units, H hidden units, K labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.phases import Phases
from depthwise.families.boltzmann.products import Products, full_speed
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.boltzmann.tempering import Base, Path, exchange
from depthwise.training.step import Recipe, lr_factor

__all__ = ["ContrastiveUpdate"]

RUNNING = 0.99  # how much of the running means a step keeps
ERROR_ROWS, ERROR_STEPS = 20, 10  # items reconstructed to watch the error, and how often


class ContrastiveUpdate:
    """One step on one machine; the loss is the squared error of a few items seen through the hidden
    layer, found at every tenth step.

    `k`: Gibbs sweeps a step. `persistent`: `chains` go on from step to step; with `temperatures`
    above 1, that many copies of them at inverse temperatures 1 .. 0 exchange states (and `chains`
    counts one temperature's). `momentum`: 0 .. 0.9. `weight_decay`: share of a weight lost per
    unit of learning rate, 0 .. 1e-3. `sparsity`: mean activation to steer hidden units to, 0.01 ..
    0.2, with the strength `sparsity_cost`. `centred`: see above. `prepare`: raw batch -> visible
    values (B, D), the lower layers of a stack. `up`, `down`: factors on what the visible layer says
    to the hidden one and the other way, biases left alone (the doubling in a deep Boltzmann
    machine's pretraining). `use_labels`: targets are labels, learnt with the visible values. The
    rate is the recipe's, lr and schedule; of the recipe's other fields this update uses none.
    """

    def __init__(
        self,
        rbm: RBMNetwork,
        recipe: Recipe,
        *,
        k: int = 1,
        persistent: bool = False,
        chains: int = 100,
        temperatures: int = 1,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        sparsity: float | None = None,
        sparsity_cost: float = 0.1,
        centred: bool = False,
        prepare: Callable[[Tensor], Tensor] | None = None,
        up: float = 1.0,
        down: float = 1.0,
        use_labels: bool = False,
        compute: Compute | None = None,
    ):
        if k < 1 or chains < 1 or temperatures < 1:
            raise InputError(
                "k, chains and temperatures must be 1 or more; "
                f"got k={k}, chains={chains}, temperatures={temperatures}."
            )
        if use_labels and not rbm.n_labels:
            raise InputError("use_labels=True needs a machine with n_labels units; it has none.")
        self.rbm, self.recipe = rbm, recipe
        self.k, self.persistent = k, persistent or temperatures > 1
        self.chains, self.temperatures = chains, temperatures
        self.momentum, self.weight_decay = momentum, weight_decay
        self.sparsity, self.sparsity_cost, self.centred = sparsity, sparsity_cost, centred
        self.prepare, self.use_labels = prepare or _as_rows(rbm), use_labels
        self.products = Products(rbm, compute or Compute(), up, down)
        self.hidden: Tensor | None = None  # (temperatures * chains, H), what the chains go on from
        self.means: dict[str, Tensor] = {}  # running means of the data's statistics
        self.velocity: dict[str, Tensor] = {}
        self.steps, self.error = 0, rbm.weight.new_zeros(())

    # -- one step -------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        with full_speed():
            return self._step(inputs, targets, progress)

    def _step(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        rate = self.recipe.lr * lr_factor(self.recipe.schedule, progress)
        v = self.prepare(inputs)
        self.products.refresh()
        phases = self._phases(v, self.rbm.one_hot(targets) if self.use_labels else None)
        if not self.persistent:
            self._contrast(phases)
        elif self.temperatures > 1:
            self._follow_tempered_chains(phases)
        else:
            self._follow_chains(phases)
        if self.steps % ERROR_STEPS == 0:
            self.error = self._error(v, phases)
        self.steps += 1
        self._learn(phases, rate)
        return self.error

    def _phases(self, v: Tensor, labels: Tensor | None) -> Phases:
        items, rbm = len(v), self.rbm
        rows = items + (self.chains if self.persistent else items)
        visible = torch.empty(rows + 2, v.shape[1], dtype=self.products.dtype, device=v.device)
        visible[:items] = rbm.statistic(v)
        hidden = torch.empty(rows + 2, rbm.n_hidden, dtype=rbm.weight.dtype, device=v.device)
        if labels is not None:
            labels = torch.cat([labels, labels.new_zeros(rows - items, labels.shape[1])])
        return Phases(items, visible, hidden, labels)

    def _contrast(self, phases: Phases) -> None:
        """CD-k: the model's states are k sweeps away from the data."""
        n = phases.items
        hidden = self._up_and_draw(phases, slice(0, n))
        for sweep in range(1, self.k + 1):
            self._down(hidden, phases)
            if sweep < self.k:
                hidden = self._up_and_draw(phases, slice(n, None))
        self._up(phases, slice(n, None))

    def _follow_chains(self, phases: Phases) -> None:
        """PCD-k: the model's states are k sweeps on from where the last step left them. The last
        product upwards is shared with the data's."""
        model = slice(phases.items, None)
        if self.hidden is None:
            self.hidden = self._first_hidden(phases, self.chains)
        for _ in range(self.k - 1):
            self._down(self.hidden, phases)
            self.hidden = self._up_and_draw(phases, model)
        self._down(self.hidden, phases)
        self.hidden = self._up_and_draw(phases, slice(None), drawn=model)

    def _up_and_draw(self, phases: Phases, rows: slice, drawn: slice | None = None) -> Tensor:
        """Means of hidden units in phases.h[rows]; returns a draw from them, or of some rows."""
        x = self._up_input(phases, rows)
        if self.rbm.rectified:
            hidden = self.rbm.sample_hidden_of(x if drawn is None else x[drawn])
            x.copy_(self.rbm.hidden_mean_of(x))
            return hidden
        p = x.sigmoid_()
        return sample_bernoulli(p if drawn is None else p[drawn])

    def _up(self, phases: Phases, rows: slice) -> None:
        """Means of hidden units in phases.h[rows]."""
        x = self._up_input(phases, rows)
        if self.rbm.rectified:
            x.copy_(self.rbm.hidden_mean_of(x))
        else:
            x.sigmoid_()

    def _up_input(self, phases: Phases, rows: slice) -> Tensor:
        """Total inputs of hidden units in phases.h[rows]: (R, H)."""
        x = self.products.up(phases.v[rows], out=phases.h[rows])
        if phases.labels is not None:
            x += phases.labels[rows] @ self.rbm.label_weight
        return x

    def _down(self, hidden: Tensor, phases: Phases) -> None:
        """Draws the model's visible states and labels from hidden ones (M, H)."""
        rbm, model = self.rbm, slice(phases.items, None)
        x = self.products.down(hidden)
        if rbm.gaussian:
            phases.v[model] = rbm.statistic(rbm.sample_visible_of(x))
        else:
            sample_bernoulli(x.sigmoid_(), out=phases.v[model])
        if phases.labels is not None:
            phases.labels[model] = rbm.sample_labels(hidden)

    def _first_hidden(self, phases: Phases, rows: int) -> Tensor:
        """Chains start at the data, each item taken as often as it takes."""
        hidden = self._up_and_draw(phases, slice(0, phases.items))
        return hidden[torch.arange(rows, device=hidden.device) % phases.items]

    def _error(self, v: Tensor, phases: Phases) -> Tensor:
        """Mean squared error, summed over units, of a few items seen through the hidden layer."""
        x = self.products.down(phases.h[: min(ERROR_ROWS, phases.items)])
        mean = x if self.rbm.gaussian else x.sigmoid_()
        return (mean - v[: len(mean)]).square_().sum(dim=1).mean()

    def _follow_tempered_chains(self, phases: Phases) -> None:
        """The same along a path of temperatures, with exchanges; only the states at beta = 1
        count for the gradient."""
        n, rbm = phases.items, self.rbm
        if self.hidden is None:
            self.hidden = self._first_hidden(phases, self.chains * self.temperatures)
        self._up(phases, slice(0, n))
        path, betas = self._path(phases), torch.linspace(1, 0, self.temperatures).to(phases.h)
        beta, inputs = betas.repeat_interleave(self.chains)[:, None], torch.empty_like(self.hidden)
        for _ in range(self.k):
            v = path.sample_visible(self.products.down(self.hidden), beta)
            labels = None if phases.labels is None else path.sample_labels(self.hidden, beta)
            x = self.products.up(rbm.statistic(v).to(self.products.dtype), out=inputs)
            x = x if labels is None else x + labels @ rbm.label_weight
            v, x, labels = exchange(path, betas, v, x, labels)
            self.hidden = rbm.sample_hidden_of(x * beta)
        phases.v[n:] = rbm.statistic(v[: self.chains])
        phases.h[n:] = rbm.hidden_mean_of(x[: self.chains])
        if phases.labels is not None and labels is not None:
            phases.labels[n:] = labels[: self.chains]

    def _path(self, phases: Phases) -> Path:
        """From the base rates of the data, as far as they have been seen."""
        means, rbm = self._follow_means(phases), self.rbm
        labels = means["labels"].clamp(1e-3).log() if "labels" in means else None
        if rbm.gaussian:  # of standardised data
            mean = means["visible"] * torch.exp(rbm.log_variance)
            return Path(rbm, Base(mean, torch.zeros_like(mean), labels))
        return Path(rbm, Base(torch.logit(means["visible"], eps=1e-3), None, labels))

    def _follow_means(self, phases: Phases) -> dict[str, Tensor]:
        """Running means of what the data show; the first batch's to begin with."""
        n = phases.items
        now = {"visible": phases.v[:n], "hidden": phases.h[:n]}
        if phases.labels is not None:
            now["labels"] = phases.labels[:n]
        for name, rows in now.items():
            mean = rows.to(phases.h.dtype).mean(dim=0)
            self.means[name] = torch.lerp(mean, self.means.get(name, mean), RUNNING)
        return self.means

    # -- learning from the two phases -----------------------------------------------------------

    def _learn(self, phases: Phases, rate: float) -> None:
        rbm, n = self.rbm, phases.items
        if self.temperatures == 1 and (self.centred or self.sparsity is not None):
            self._follow_means(phases)
        if self.sparsity is not None:
            phases.h[:n] += self.sparsity_cost * (self.sparsity - self.means["hidden"])
        shares, rate = phases.shares(), rate / n
        v, h = phases.v.to(shares.dtype), phases.h.mul_(shares)
        step_v, step_h = shares.t() @ v, h.sum(dim=0, keepdim=True)  # (1, D), (1, H)
        if rbm.gaussian:
            self._learn_variances(v, h, shares, rate)
        rows_v, rows_h = phases.v, h
        if self.centred:
            step_v, step_h = self._centre(phases, v, step_v, step_h)
            rows_v, rows_h = phases.v_and_spare, phases.h_and_spare
        self._learn_weight("weight", rows_v, rows_h, rate, n)
        self._learn_bias("visible_bias", step_v[0], rate)
        self._learn_bias("hidden_bias", step_h[0], rate)
        if phases.labels is not None:
            self._learn_weight("label_weight", phases.labels, phases.h, rate, n)
            self._learn_bias("label_bias", (phases.labels * shares).sum(dim=0), rate)

    def _centre(
        self, phases: Phases, v: Tensor, step_v: Tensor, step_h: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The biases' centred steps; dW = v'h - m'step_h - step_v'l has its two more rows put
        below those of v and h. All but v (B + M, D) and h are rows, (1, D) or (1, H)."""
        m, lam, h = self.means["visible"][None], self.means["hidden"][None], phases.h
        phases.v_and_spare[-2:] = torch.cat([m, step_v])
        phases.h_and_spare[-2:] = -torch.cat([step_h, lam])
        down = (lam @ h.t()) @ v - (lam @ step_h.t()) * m - (lam @ lam.t()) * step_v  # dW l
        up = (m @ v.t()) @ h - (m @ m.t()) * step_h - (m @ step_v.t()) * lam  # dW'm
        return step_v - down, step_h - up

    def _learn_variances(self, v: Tensor, h: Tensor, shares: Tensor, rate: float) -> None:
        """z = log s^2, kept within e^-6 .. e^6; `h` carries its shares already."""
        rbm = self.rbm
        deviation = v * torch.exp(rbm.log_variance) - rbm.visible_bias
        squares = 0.5 * (deviation**2 * torch.exp(-rbm.log_variance) * shares).sum(dim=0)
        self._learn_bias("log_variance", squares - (rbm.weight * (v.t() @ h)).sum(dim=1), rate)
        rbm.log_variance.clamp_(-6, 6)

    def _learn_weight(self, name: str, rows: Tensor, h: Tensor, rate: float, items: int) -> None:
        """`rate` is the learning rate over the number of `items`; the rows carry their shares."""
        weight, keep = getattr(self.rbm, name), 1 - rate * items * self.weight_decay
        if not self.momentum:
            self.products.add_outer(weight, rows, h, rate=rate, keep=keep)
            return
        velocity = self._velocity(name)
        self.products.add_outer(velocity, rows, h, rate=rate, keep=self.momentum)
        torch.add(velocity, weight, alpha=keep, out=weight)

    def _learn_bias(self, name: str, step: Tensor, rate: float) -> None:
        if self.momentum:
            step = self._velocity(name).mul_(self.momentum).add_(step, alpha=rate)
        getattr(self.rbm, name).add_(step, alpha=1.0 if self.momentum else rate)

    def _velocity(self, name: str) -> Tensor:
        if name not in self.velocity:
            self.velocity[name] = torch.zeros_like(getattr(self.rbm, name))
        return self.velocity[name]

    # -- kill and resume ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"means": self.means, "velocity": self.velocity}
        state |= {"steps": self.steps, "error": self.error}
        return state if self.hidden is None else {**state, "hidden": self.hidden}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weight = self.rbm.weight  # copies: products of memory aligned otherwise end in other bits
        self.means = {name: mean.to(weight, copy=True) for name, mean in state["means"].items()}
        self.velocity = {name: v.to(weight, copy=True) for name, v in state["velocity"].items()}
        self.hidden = state["hidden"].to(weight, copy=True) if "hidden" in state else None
        self.steps, self.error = int(state["steps"]), state["error"].to(weight)


def _as_rows(rbm: RBMNetwork) -> Callable[[Tensor], Tensor]:
    return lambda batch: batch.flatten(1).to(rbm.weight.dtype)
