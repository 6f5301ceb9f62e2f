"""Growing a deep stacking network, one convex module on top of another.

For each module, from the bottom up:

    begin       W of the inputs from an RBM, from the module below, or random; of predictions random
    fine-tune   W by the gradient through the closed form, in large batches (update.py)
    solve       U once more, from the Gram of all items (row_blocks.py)
    predict     the items' new column block, which the next module sees

With a held-out part fine-tuning keeps the weights of its best epoch, and the stack ends below the
first module that does not raise the held-out score. Under a limit of seconds no module is begun
once they are gone, but the first.

Shapes: N items, B batch, D visible units, K classes or targets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.dsn.gram import Gram, fast_products
from depthwise.families.dsn.module import (
    ConvexModule,
    KernelModule,
    SigmoidModule,
    TensorModule,
)
from depthwise.families.dsn.network import DSNNetwork
from depthwise.families.dsn.row_blocks import Rows, gather
from depthwise.families.dsn.update import ClosedFormUpdate
from depthwise.losses import Weighted, smoothed_cross_entropy
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.step import Recipe

__all__ = ["Growth", "Plan", "Sums", "fit_softmax"]

SOFTMAX_PENALTY = 1e-4


@dataclass(frozen=True)
class Plan:
    """How every module is learnt. `tune`: Recipe of fine-tuning, None leaves it out; `begin`:
    Recipe of the RBM below the first module, None begins random; `ridge`: "auto" is by generalised
    cross-validation on the features a module begins with; `gamma`: of a kernel, "auto" is
    1 / (D times the mean variance); `labels`: targets are one-hot."""

    tune: Recipe | None
    begin: Recipe | None
    ridge: float | str
    gamma: float | str
    noise: float
    dropout: float
    n_jobs: int
    labels: bool


@dataclass
class Sums:
    """What `partial_fit` goes on with: one module's Gram, of targets less what the upper weights
    `upper`, `bias` that it began with say of them, and its ridge, None until it is chosen."""

    gram: Gram
    ridge: float | None
    upper: Tensor
    bias: Tensor


class Growth:
    """One fit of `network`. `rows`: the training items; `held`: held-out ones, or None; `stages`:
    what runs the loop, None for `go_on` alone."""

    def __init__(
        self,
        network: DSNNetwork,
        rows: Rows,
        held: Rows | None,
        plan: Plan,
        stages: Stages | None = None,
    ):
        self.network, self.rows, self.held = network, rows, held
        self.plan = plan
        self.compute = stages.compute if stages else Compute()
        self.stages: Any = stages
        self.sums: list[Sums] = []
        self.records: list[dict[str, Any]] = []
        self.started = time.monotonic()
        self.interrupted = False

    def run(self) -> None:
        self._share_time()
        best: tuple[float, ...] = ()
        for m in range(len(self.network.stack)):
            if m and self._out_of_time():
                self._end_at(m)
                return
            self._learn_module(m)
            scores = self._record(m)
            if self.held is not None and m and scores <= best:
                self._end_at(m)
                return
            best = scores
            self._predict(m)
            if self.interrupted:
                self._end_at(m + 1)
                return

    def go_on(self, sums: list[Sums], first: bool) -> None:
        """Take the rows into every module's sums, and solve again; lower weights stay, but where
        nothing was learnt before they begin as random as the `first` rows say."""
        for m, known in enumerate(sums):
            module = self._module(m)
            if first:
                self._begin(m, module)
            self._take_in(module, known)
            self._predict(m)

    @torch.no_grad()
    def _take_in(self, module: ConvexModule, known: Sums) -> None:
        for x, earlier, targets, _ in self.rows.spans():
            features = module.features(self._stacked(x, earlier))
            known.gram.add(features, targets - (features @ known.upper + known.bias))
        if known.ridge is None:
            given = self.plan.ridge
            known.ridge = known.gram.choose_ridge() if given == "auto" else float(given)
        upper, bias = known.gram.solve(known.ridge, self.plan.dropout)
        module.set_upper(known.upper + upper, known.bias + bias)

    def _share_time(self) -> None:
        shares = {"rbm": 1.0} if self.plan.begin else {}
        for m in range(len(self.network.stack)):
            shares |= {f"module-{m + 1}": 1.0} if self.plan.tune else {}
        self.stages.plan(shares)

    def _out_of_time(self) -> bool:
        limit = self.stages.seconds_limit
        return limit is not None and time.monotonic() - self.started >= limit

    def _end_at(self, modules: int) -> None:
        self.network.stack = self.network.stack[:modules]

    # -- one module -----------------------------------------------------------------------------

    def _learn_module(self, m: int) -> None:
        module = self._module(m)
        self._begin(m, module)
        ridge = self._ridge(module)
        if self.plan.tune and module.lower() and not self.interrupted:
            self._fine_tune(m, module, ridge, self.plan.tune)
        gram = self._gather(module)
        module.set_upper(*gram.solve(ridge, self.plan.dropout))
        nothing = torch.zeros(module.upper.shape), torch.zeros(module.upper_bias.shape)
        self.sums.append(Sums(gram.to("cpu"), ridge, *nothing))

    def _begin(self, m: int, module: ConvexModule) -> None:
        below = self.network.stack[m - 1] if m else None
        if isinstance(module, KernelModule):
            module.set_width(self._gamma())
        elif isinstance(module, TensorModule) and isinstance(below, TensorModule):
            module.begin_from_below(below)
        elif isinstance(module, SigmoidModule) and isinstance(below, SigmoidModule):
            module.begin_from(below.weight, below.bias)
        elif isinstance(module, SigmoidModule) and self.plan.begin:
            module.begin_from(*self._pretrain(module.n_features, self.plan.begin))
        elif isinstance(module, SigmoidModule | TensorModule):
            module.spread_over(*self._first())

    def _first(self) -> tuple[Tensor, Tensor | None]:
        """What the next module sees of the first items, (B, D + M K), and their weights."""
        x, earlier, _, weights = next(self.rows.spans())
        return self._stacked(x, earlier), weights

    def _gamma(self) -> float:
        if self.plan.gamma != "auto":
            return float(self.plan.gamma)
        z, _ = self._first()
        return 1 / (z.shape[1] * max(float(z.var(dim=0, correction=0).mean()), 1e-12))

    def _pretrain(self, n_hidden: int, recipe: Recipe) -> tuple[Tensor, Tensor]:
        """An RBM's weights and hidden biases, as a logistic unit of visible values takes them."""
        unit = bool(self.network.standardise.mean.eq(0).all())
        rbm = RBMNetwork(
            self.network.n_visible, n_hidden, visible="bernoulli" if unit else "gaussian"
        )
        self.compute.place(rbm)
        self._set_base_rates(rbm)
        recipe = recipe if unit else replace(recipe, lr=recipe.lr / 20)
        update = ContrastiveUpdate(
            rbm,
            recipe,
            momentum=0.9,
            weight_decay=2e-4,
            prepare=lambda blocks: self.network.visible(self.rows.take(blocks)[0]),
            compute=self.compute,
        )
        self._stage("rbm", update, recipe, rbm)
        scale = torch.exp(-rbm.log_variance)[:, None] if rbm.gaussian else 1.0
        return rbm.weight * scale, rbm.hidden_bias

    @torch.no_grad()
    def _set_base_rates(self, rbm: RBMNetwork) -> None:
        if not rbm.gaussian:
            x, *_ = next(self.rows.spans())
            rbm.visible_bias.copy_(torch.logit(self.network.visible(x).mean(dim=0), eps=1e-2))

    def _ridge(self, module: ConvexModule) -> float:
        if self.plan.ridge != "auto":
            return float(self.plan.ridge)
        return self._gather(module).choose_ridge()

    def _fine_tune(self, m: int, module: ConvexModule, ridge: float, recipe: Recipe) -> None:
        update = ClosedFormUpdate(
            module,
            lambda blocks: self._batch(blocks),  # a function is not copied with the update
            replace(recipe, seed=recipe.seed + m),
            n_items=self.rows.n_items,
            ridge=ridge,
            dropout=self.plan.dropout,
            noise=self.plan.noise,
            compute=self.compute,
        )
        validate = None if self.held is None else partial(self._scores, self.held)
        self._stage(f"module-{m + 1}", update, update.recipe, module, validate)

    def _stage(
        self, name: str, update: Any, recipe: Recipe, network: nn.Module, validate: Any = None
    ) -> None:
        """Through the loop, whose items are blocks of rows."""
        blocks = self.rows.block_numbers()
        batch = max(1, round(recipe.batch_size / self.rows.block))
        recipe = replace(recipe, batch_size=batch)
        parts = {"inputs": blocks, "targets": torch.zeros_like(blocks)}
        try:
            self.stages.run(name, update, recipe, network=network, validate=validate, **parts)
        except Interrupted:
            self.interrupted = True

    # -- what modules see -----------------------------------------------------------------------

    def _module(self, m: int) -> ConvexModule:
        module = self.network.stack[m]
        assert isinstance(module, ConvexModule)
        return module

    @torch.no_grad()
    def _stacked(self, x: Tensor, earlier: Tensor) -> Tensor:
        """[v, y_1 ..]: (B, D + M K)."""
        v = self.network.visible(x)
        return torch.cat([v, earlier.to(v.dtype)], dim=1)

    def _batch(self, blocks: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, earlier, targets, weights = self.rows.take(blocks)
        return self._stacked(x, earlier), targets, weights

    def _gather(self, module: ConvexModule) -> Gram:
        return gather(
            self.rows,
            lambda x, earlier: module.features(self._stacked(x, earlier)),
            module.n_features,
            self.compute,
            self.plan.n_jobs,
        )

    @torch.no_grad()
    def _predict(self, m: int) -> None:
        module = self._module(m)
        with fast_products(self.compute):
            for rows in (self.rows, self.held):
                if rows is not None:
                    rows.earlier.append(self._answers(module, rows))

    def _answers(self, module: ConvexModule, rows: Rows) -> Tensor:
        """(N, K), filled in place: many small pieces between large ones would split the heap."""
        answers = torch.empty(len(rows), rows.n_targets)
        done = 0
        for x, earlier, *_ in rows.spans():
            answers[done : done + len(x)] = module(self._stacked(x, earlier))
            done += len(x)
        return answers

    # -- how good they are ----------------------------------------------------------------------

    def _record(self, m: int) -> tuple[float, ...]:
        module, sums = self._module(m), self.sums[m]
        upper, bias = module.upper.cpu(), module.upper_bias.cpu()
        error = sums.gram.squared_error(upper, bias)
        penalised = sums.gram.objective(upper, bias, sums.ridge or 0.0, self.plan.dropout)
        record: dict[str, Any] = {"epoch": m + 1, "stage": f"solve-{m + 1}", "ridge": sums.ridge}
        items = self.rows.n_items
        record |= {"loss": penalised / items, "squared_error": error / items}
        scores = () if self.held is None else self._scores(self.held, module)
        if scores:
            record["score"] = scores[0]
        self.records.append({**record, "seconds": time.monotonic() - self.started})
        return scores

    @torch.no_grad()
    def _scores(self, rows: Rows, module: Any) -> tuple[float, ...]:
        """(accuracy, -squared error an item) of labels, (R^2,) of numbers."""
        right, wrong = 0.0, 0.0
        with fast_products(self.compute):
            for x, earlier, targets, _ in rows.spans():
                answers = module(self._stacked(x, earlier))
                right += float((answers.argmax(dim=1) == targets.argmax(dim=1)).sum())
                wrong += float((answers - targets).square().sum())
        if self.plan.labels:
            return right / len(rows), -wrong / len(rows)
        spread = float(np.square(rows.targets - rows.targets.mean(axis=0)).sum())
        return (1 - wrong / max(spread, 1e-12),)


def fit_softmax(output: nn.Linear, predictions: Tensor, labels: Tensor | Weighted) -> None:
    """The softmax layer on top: multinomial logistic regression of labels (N,) on predictions
    (N, K) by L-BFGS, with a penalty that pulls it to where it begins."""
    start = output.weight.detach().clone()
    solver = torch.optim.LBFGS(
        output.parameters(), max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def loss() -> Tensor:
        solver.zero_grad()
        misfit = smoothed_cross_entropy(output(predictions), labels)
        total = misfit + SOFTMAX_PENALTY * (output.weight - start).square().sum()
        total.backward()
        return total

    solver.step(loss)
