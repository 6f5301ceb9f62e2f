"""Claim: DeepAutoencoder, trained on nine of MNIST's digits, finds the tenth among the test images
better than the reconstruction error of principal components does, and its threshold rings falsely
as often as it was asked to.

    python benchmarks/families/autoencoder_anomaly.py                # every digit left out once
    python benchmarks/families/autoencoder_anomaly.py --digits 0 4

Trained without labels on 54,000 images less the digit; the other 6,000 of the training images, less
the digit, set the threshold at false_alarms=0.01. AUROC: the chance that a test image of the digit
left out has a higher score than one of the others (0.5 is guessing). The baselines have as many
principal components as the code has units, and three times as many.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from autoencoder_mnist import read
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from depthwise.families.autoencoder import DeepAutoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, nargs="*", default=list(range(10)))
    parser.add_argument("--size", default="s")
    parser.add_argument("--epochs", type=float, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    parts = read()
    found = []
    for digit in options.digits:
        found.append(leave_out(digit, parts, options))
        print(json.dumps(found[-1]), flush=True)
    names = [name for name in found[0] if name != "digit"]
    means = {name: round(float(np.mean([row[name] for row in found])), 4) for name in names}
    print(json.dumps({"benchmark": "autoencoder_anomaly", "digits": len(found), "means": means}))


def leave_out(
    digit: int, parts: tuple[np.ndarray, ...], options: argparse.Namespace
) -> dict[str, float]:
    X, y, X_test, y_test = parts
    train, held = (slice(0, 54_000), slice(54_000, None))
    usual, usual_held = X[train][y[train] != digit], X[held][y[held] != digit]
    started, cpu = time.monotonic(), time.process_time()
    model = DeepAutoencoder(
        size=options.size,
        epochs=options.epochs,
        random_state=options.seed,
        threads=options.threads,
        false_alarms=0.01,
    ).fit(usual, validation=(usual_held, None))
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    strange = y_test == digit
    scores, alarms = model.anomaly_score(X_test), model.is_anomaly(X_test)
    code = model.transform(X_test[:1]).shape[1]
    return {
        "digit": digit,
        "auroc": round(roc_auc_score(strange, scores), 4),
        f"auroc_pca{code}": round(roc_auc_score(strange, pca_scores(usual, X_test, code)), 4),
        f"auroc_pca{3 * code}": round(
            roc_auc_score(strange, pca_scores(usual, X_test, 3 * code)), 4
        ),
        "false_alarms_percent": round(100 * float(alarms[~strange].mean()), 2),
        "found_percent": round(100 * float(alarms[strange].mean()), 1),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
    }


def pca_scores(X: np.ndarray, X_test: np.ndarray, components: int) -> np.ndarray:
    """Squared reconstruction error (N,) of each test image."""
    rows, test_rows = (part.reshape(len(part), -1).astype(np.float32) / 255 for part in (X, X_test))
    pca = PCA(components, svd_solver="covariance_eigh").fit(rows)
    error: np.ndarray = test_rows - pca.inverse_transform(pca.transform(test_rows))
    return (error**2).sum(axis=1)


if __name__ == "__main__":
    main()
