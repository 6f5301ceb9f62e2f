"""How well DeepAutoencoder tells digits that it has not learnt from those that it has, beside an
isolation forest and principal components; whether its threshold rings falsely as often as asked.

    python benchmarks/families/autoencoder_anomaly.py                    # one digit is normal
    python benchmarks/families/autoencoder_anomaly.py --protocol rest    # nine digits are
    python benchmarks/families/autoencoder_anomaly.py --digits 0 4 --epochs 15

    one    the usual protocol: trained on one digit, the other nine are anomalies; ten such runs
    rest   trained on nine digits, the tenth is the anomaly; far harder: a network that has learnt
           nine digits reconstructs most of the tenth. A 1, of which every digit has parts, is
           reconstructed better than what it was trained on, by components as by networks

Trained without labels on 54,000 images of MNIST, less those that are anomalies; the same of the
other 6,000 training images set the threshold at false_alarms=0.01. AUROC on the 10,000 test images:
the chance that an anomaly has a higher score than a normal one (0.5 is guessing). The baselines are
scikit-learn's: principal components, as many as the code has units and three times as many, by
their squared error, and IsolationForest with its defaults. Digits done are kept in benchmarks/out,
and the same command goes on with the rest.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from autoencoder_mnist import OUT, read
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from depthwise.families.autoencoder.autoencoder import DeepAutoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["one", "rest"], default="one")
    parser.add_argument("--digits", type=int, nargs="*", default=list(range(10)))
    parser.add_argument("--size", default="s")
    parser.add_argument("--epochs", type=float, help="else 20 where one digit is normal, 4 of nine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    epochs = options.epochs or (20 if options.protocol == "one" else 4)
    settings = {"size": options.size, "epochs": epochs, "random_state": options.seed}
    name = f"autoencoder_anomaly_{options.protocol}_{options.size}_{epochs:g}_{options.seed}"
    kept = run(name, options.protocol, options.digits, {**settings, "threads": options.threads})
    print(json.dumps({"benchmark": name, "digits": len(kept), "means": means(kept)}), flush=True)


def run(
    name: str,
    protocol: str,
    digits: list[int],
    settings: dict[str, Any],
    check: Callable[[DeepAutoencoder], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """{digit: its figures}, those kept under `name` taken as they are. check: more figures of a
    trained model."""
    path = OUT / f"{name}.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    parts = read()
    for digit in digits:
        if str(digit) not in kept:
            kept[str(digit)] = one_run(protocol, digit, parts, settings, check)
            OUT.mkdir(exist_ok=True)
            path.write_text(json.dumps(kept, indent=1))
        print(json.dumps({"digit": digit, **kept[str(digit)]}), flush=True)
    return {str(digit): kept[str(digit)] for digit in digits}


def means(kept: dict[str, Any]) -> dict[str, float]:
    names = [key for key, value in next(iter(kept.values())).items() if isinstance(value, float)]
    return {key: round(float(np.mean([row[key] for row in kept.values()])), 4) for key in names}


def one_run(
    protocol: str,
    digit: int,
    parts: tuple[np.ndarray, ...],
    settings: dict[str, Any],
    check: Callable[[DeepAutoencoder], dict[str, Any]] | None,
) -> dict[str, Any]:
    X, y, X_test, y_test = parts
    normal = (y == digit) if protocol == "one" else (y != digit)
    strange = (y_test != digit) if protocol == "one" else (y_test == digit)
    train = np.arange(len(X)) < 54_000
    usual, usual_held = X[normal & train], X[normal & ~train]
    started, cpu = time.monotonic(), time.process_time()
    model = DeepAutoencoder(quality="paper", **settings, false_alarms=0.01)
    model.fit(usual, validation=(usual_held, None))
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    alarms, code = model.is_anomaly(X_test), model.transform(X_test[:1]).shape[1]
    scores = {
        "auroc": model.anomaly_score(X_test),
        "auroc_pca": pca_scores(usual, X_test, code),
        "auroc_pca_thrice": pca_scores(usual, X_test, 3 * code),
        "auroc_forest": forest_scores(usual, X_test, settings["random_state"]),
    }
    return {
        **{name: round(float(roc_auc_score(strange, s)), 4) for name, s in scores.items()},
        "code": code,
        "false_alarms_percent": round(100 * float(alarms[~strange].mean()), 2),
        "found_percent": round(100 * float(alarms[strange].mean()), 1),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        **(check(model) if check else {}),
    }


def pca_scores(X: np.ndarray, X_test: np.ndarray, components: int) -> np.ndarray:
    """Squared reconstruction error (N,) of each test image."""
    rows, test_rows = _rows(X), _rows(X_test)
    pca = PCA(components, svd_solver="covariance_eigh").fit(rows)
    error: np.ndarray = test_rows - pca.inverse_transform(pca.transform(test_rows))
    return (error**2).sum(axis=1)


def forest_scores(X: np.ndarray, X_test: np.ndarray, seed: int) -> np.ndarray:
    """(N,), higher is stranger."""
    forest = IsolationForest(random_state=seed, n_jobs=1).fit(_rows(X))
    scores: np.ndarray = -forest.score_samples(_rows(X_test))
    return scores


def _rows(X: np.ndarray) -> np.ndarray:
    return X.reshape(len(X), -1).astype(np.float32) / 255


if __name__ == "__main__":
    main()
