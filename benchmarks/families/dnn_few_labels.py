"""Claim: with 1,000 labels, a DNN pretrained on all 60,000 images errs on at most 6.5% of MNIST's
test images, and at most two thirds as often as the best DNN here that is not pretrained.

    python benchmarks/families/dnn_few_labels.py --seed 0
    python benchmarks/families/dnn_few_labels.py --hold-out 10000     # to choose settings

Four networks, the same 1,000 labels (100 a class, drawn by the seed from the training part):

    control             rectifiers, He's weights, dropout, labels only
    control, agreement  the same, and agreement on the 60,000 images (see
                        families/dnn/finetuning.py)
    pretrained          logistic layers, a stack of RBMs learnt from the 60,000 images, dropout
    hybrid              the same, and agreement on the 60,000 images

The settings of the control and of the pretrained network were chosen on 10,000 held-out training
images, seed 0, from the same grid: learning rates 1e-3 to 6e-3 (the control also 3e-4), dropout of
inputs 0.2, 0.4, 60 and 150 epochs; the control with and without batch normalisation.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from mnist_runs import fit, mnist, percent_wrong

from depthwise import DNN

LABELS = 1000
NOISE: dict[str, Any] = {"dropout": 0.5, "input_dropout": 0.4, "lr": 3e-3, "patience": None}
PLAIN: dict[str, Any] = {**NOISE, "batch_size": 100, "epochs": 150}
AGREE: dict[str, Any] = {**NOISE, "batch_size": 50, "epochs": 120, "agreement": 1.0}
CONTROL: dict[str, Any] = {"hidden": (1000, 1000), "normalise": False}
STACK: dict[str, Any] = {"hidden": (500, 500, 2000), "pretrain": "dbn", "pretrain_epochs": 12}
NETWORKS = {
    "control": {**CONTROL, **PLAIN},
    "control_agreement": {**CONTROL, **AGREE},
    "pretrained": {**STACK, **PLAIN, "weight_decay": 0.0},
    "hybrid": {**STACK, **AGREE, "weight_decay": 0.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hold-out", type=int, default=0)
    options = parser.parse_args()
    X, y, X_test, y_test = mnist(options.hold_out)
    chosen = labelled(y, options.seed)
    errors = {}
    for name in options.networks:
        model = DNN(
            quality="paper",
            **NETWORKS[name],
            random_state=options.seed,
            threads=options.threads,
            precision="bfloat16",
        )
        uses_all = model.pretrain or model.agreement
        more = {"unlabelled": np.delete(X, chosen, axis=0)} if uses_all else {}
        spent = fit(f"{name}_{options.seed}", model, X[chosen], y[chosen], **more)
        errors[name] = percent_wrong(model.predict_proba(X_test), y_test)
        del spent["losses"]
        result = {"benchmark": f"dnn_few_labels_{name}_{options.seed}", **spent}
        print(json.dumps({**result, "error_percent": errors[name]}, indent=1), flush=True)
    if "control" in errors:
        print({name: round(error / errors["control"], 3) for name, error in errors.items()})


def labelled(y: np.ndarray, seed: int) -> np.ndarray:
    """Indices (1000,) of as many items of each class, drawn by the seed."""
    source = np.random.default_rng(seed)
    each = LABELS // len(np.unique(y))
    drawn = [source.choice(np.flatnonzero(y == k), each, replace=False) for k in np.unique(y)]
    return np.concatenate(drawn)


if __name__ == "__main__":
    main()
