"""An embedding of each item by a frozen network: what inspecting, adapting and learning more read.

    pictures   EfficientNet-lite0, all levels pooled; without its package, whitened patches
    clips      the same, of the middle frame
    texts      MiniLM sentence vectors, of pairs both and their difference; without the package, the
               SVD of TF-IDF
    tables     standardised columns; a blank is the mean, with a mark

Whitened patches (Coates, Ng and Lee 2011): patches x of the data are whitened and clustered, each
patch gets f_k = max(0, mean_j d_j - d_k) of its distances d to the centres, and f is pooled over
the four quarters of a picture.

Embeddings are kept in the cache folder by the SHA-256 of the items, as float16; the oldest ones go
where all take more than KEPT bytes.

Shapes: N items, C channels, H W image, F features, D columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from depthwise.backbones.images.named import backbone
from depthwise.backbones.images.weights import missing_package
from depthwise.backbones.kept import save_rows
from depthwise.backbones.patches import patch_features
from depthwise.backbones.texts.named import is_installed, sentence_encoder
from depthwise.checkpoint import write_atomically
from depthwise.compute import Compute
from depthwise.data.inputs import as_tensor
from depthwise.host import available_cores, cache_folder

__all__ = ["AXES", "Embedding", "embed", "leading_components"]

FEW, SIDE_OF_FEW, SIDE = 20_000, 96, 64  # pixels a side: of few pictures more are affordable
BATCH = 16  # pictures at a time: their maps stay in the processor's cache
TEXT_FEATURES = 256  # of TF-IDF's SVD
KEPT = 4 << 30  # bytes
AXES, SAMPLE = 64, 20_000  # leading components, and rows that they are found from
VERSION = 1

Log = Callable[[str], None]


@dataclass(frozen=True)
class Embedding:
    """`rows` float32 (N, F), standardised by column; `by`: what made them."""

    rows: np.ndarray
    by: str


def embed(inputs: np.ndarray, kind: str, log: Log | None = None) -> Embedding:
    """The embedding of a Dataset's inputs of this kind ("images", "video", "table", "text")."""
    by, compute = _WAYS[kind](inputs)
    path = cache_folder() / "embeddings" / f"{_key(inputs, by)}.npy"
    rows = _read(path, len(inputs))
    if rows is None:
        if log is not None:
            log(f"embedding {len(inputs):,} items by {by}")
        rows = compute().astype(np.float16)
        _keep(path, rows)
    return Embedding(_standardised(rows.astype(np.float32)), by)


def leading_components(rows: np.ndarray) -> np.ndarray:
    """An embedding (N, F) along its AXES principal components: (N, min(F, AXES))."""
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    _, axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))
    return np.asarray(rows @ axes[:, ::-1][:, :AXES].astype(np.float32))


# -- ways ------------------------------------------------------------------------------------------

Way = tuple[str, Callable[[], np.ndarray]]


def _of_pictures(images_u8: np.ndarray) -> Way:
    if missing_package("efficientnet-lite0") or images_u8.shape[1] not in (1, 3):
        return "whitened patches", lambda: patch_features(images_u8)
    side = SIDE_OF_FEW if len(images_u8) <= FEW else SIDE
    return f"efficientnet-lite0 at {side} pixels", lambda: _pooled(images_u8, side)


def _of_clips(clips_u8: np.ndarray) -> Way:
    return _of_pictures(clips_u8[:, clips_u8.shape[1] // 2])


def _of_texts(texts: np.ndarray) -> Way:
    sides = texts.reshape(len(texts), -1)
    by, encode = _text_encoder(sides)

    def rows() -> np.ndarray:
        vectors = [encode(list(side)) for side in sides.T]
        if len(vectors) == 1:
            return vectors[0]
        first, second = vectors
        return np.concatenate([first, second, np.abs(first - second)], axis=1)

    return by, rows


def _of_tables(table: np.ndarray) -> Way:
    def rows() -> np.ndarray:
        blank = np.isnan(table)
        marks = blank[:, blank.any(axis=0)].astype(np.float32)
        mean = np.nan_to_num(np.nanmean(np.where(blank.all(axis=0), 0, table), axis=0))
        spread = np.nanstd(np.where(blank.all(axis=0), 0, table), axis=0)
        scaled = (np.where(blank, mean, table) - mean) / np.where(spread > 0, spread, 1)
        return np.concatenate([np.clip(scaled, -10, 10), marks], axis=1)

    return "standardised columns", rows


_WAYS: dict[str, Callable[[np.ndarray], Way]] = {
    "images": _of_pictures,
    "video": _of_clips,
    "text": _of_texts,
    "table": _of_tables,
}


def _pooled(images_u8: np.ndarray, side: int) -> np.ndarray:
    """(N, C, H, W) -> (N, F) by EfficientNet-lite0, the shorter side brought to `side` pixels."""
    _, channels, height, width = images_u8.shape
    network: Any = backbone(
        "efficientnet-lite0",
        (channels, height, width),
        embedding=True,
        enlarge=side / min(height, width),
    )
    network = network.eval().to(memory_format=torch.channels_last)
    compute = Compute(channels_last=True, threads=available_cores())
    with torch.inference_mode(), compute.active():
        parts = [
            network.pooled(as_tensor(images_u8[i : i + BATCH])).numpy()
            for i in range(0, len(images_u8), BATCH)
        ]
    return np.concatenate(parts)


def _text_encoder(sides: np.ndarray) -> tuple[str, Callable[[list[str]], np.ndarray]]:
    if is_installed():
        encoder = sentence_encoder("minilm-l6")
        return "minilm-l6", lambda texts: np.asarray(encoder.encode(texts), np.float32)
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=50_000),
        TruncatedSVD(TEXT_FEATURES, random_state=0),
    )
    fitted: list[Any] = []

    def encode(texts: list[str]) -> np.ndarray:
        if not fitted:
            fitted.append(pipeline.fit(list(sides.reshape(-1))))
        return np.asarray(fitted[0].transform(texts), np.float32)

    return "TF-IDF", encode


# -- cache -----------------------------------------------------------------------------------------


def _key(inputs: np.ndarray, by: str) -> str:
    digest = hashlib.sha256(f"{VERSION}|{by}|{inputs.dtype}|{inputs.shape}|".encode())
    for start in range(0, len(inputs), 1024):
        block = inputs[start : start + 1024]
        if block.dtype == object:
            for text in block.reshape(-1):
                encoded = text.encode("utf-8", "surrogatepass")
                digest.update(b"%d " % len(encoded) + encoded)
        else:
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()[:40]


def _read(path: Path, items: int) -> np.ndarray | None:
    try:
        rows: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.ndim == 2 and len(rows) == items and rows.dtype == np.float16 else None


def _keep(path: Path, rows: np.ndarray) -> None:
    """Write the rows if they can be written; a cache is done without on a full disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda scratch: save_rows(scratch, rows))
        _sweep(path.parent)
    except OSError:
        return


def _sweep(folder: Path) -> None:
    """Remove the oldest files beyond KEPT bytes."""
    files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > KEPT and path is not files[0]:
            path.unlink(missing_ok=True)


def _standardised(rows: np.ndarray) -> np.ndarray:
    mean, spread = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    varied = spread > 1e-6
    return ((rows[:, varied] - mean[varied]) / spread[varied]).astype(np.float32)
