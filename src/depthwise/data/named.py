"""Data sets known by name: where each is looked for, and where it comes from.

    digits          1,797 scanned digits, 8 x 8, inside scikit-learn
    mnist           LeCun and Cortes, 70,000 digits, 28 x 28           CC BY-SA 3.0
    fashion-mnist   Xiao, Rasul and Vollgraf (2017), 70,000 garments    MIT
    cifar10         Krizhevsky (2009), 60,000 photographs, 32 x 32

Looked for below $DEPTHWISE_DATA, then where distributions install it, then in our cache; else
downloaded there. Sizes and MD5 sums are those their authors (or torchvision) publish.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from depthwise.data.download import Remote, download
from depthwise.data.raw import Raw

__all__ = ["NAMED", "Named", "digits", "find", "obtain"]

_FASHION_CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]
_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Named:
    """A known data set: the folder or file names it goes by, and its files on the network."""

    folders: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]  # any of these sets of files makes it complete
    remotes: tuple[Remote, ...] = ()
    installed: tuple[str, ...] = ()
    classes: list[str] = field(default_factory=list)


def _idx_remotes(base: str, sizes_and_md5: dict[int, str]) -> tuple[Remote, ...]:
    return tuple(
        Remote(f"{base}/{name}.gz", size, md5)
        for name, (size, md5) in zip(_IDX, sizes_and_md5.items())
    )


_IDX_SETS = (tuple(f"{name}.gz" for name in _IDX), _IDX)
NAMED = {
    "digits": Named((), ()),
    "mnist": Named(
        ("mnist", "MNIST", "MNIST/raw", "."),
        _IDX_SETS,
        _idx_remotes(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            {
                9912422: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                28881: "d53e105ee54ea40749a09fcbcd1e9432",
                1648877: "9fb629c4189551a2d022fa330f9573f3",
                4542: "ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
    ),
    "fashion-mnist": Named(
        ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw"),
        _IDX_SETS,
        _idx_remotes(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            {
                26421880: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                29515: "25c81989df183df01b3e8a0aad5dffbe",
                4422102: "bef4ecab320f06d8554ea6380940ec79",
                5148: "bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
        ("/usr/share/datasets/fashion-mnist",),  # Debian's package dataset-fashion-mnist
        _FASHION_CLASSES,
    ),
    "cifar10": Named(
        ("cifar10", "cifar-10", "."),
        (
            ("cifar-10-python.tar.gz",),
            ("cifar-10-batches-py",),
            ("cifar-10-batches-bin",),
            ("data_batch_1", "data_batch_5", "test_batch"),
            ("data_batch_1.bin", "data_batch_5.bin", "test_batch.bin"),
            ("cifar10-jpeg.zip",),
            ("train", "test"),
        ),
        (
            Remote(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                170498071,
                "c58f30108f718f92721af3b95e74349a",
            ),
        ),
    ),
}


def find(name: str, cache: Path | None) -> Path | None:
    """The file or folder that holds this data set here, or None."""
    known = NAMED[name]
    for root in _roots(cache):
        for folder in known.folders:
            if path := _complete(root / folder, known, folder == "."):
                return path
    return next((p for f in known.installed if (p := _complete(Path(f), known, False))), None)


def obtain(name: str, cache: Path) -> Path:
    """As `find`, and downloads what is missing into the cache. Raises DataError if it cannot."""
    if path := find(name, cache):
        return path
    folder = cache / "named" / name
    for remote in NAMED[name].remotes:
        download(remote, folder / remote.url.rpartition("/")[2])
    return _complete(folder, NAMED[name], False) or folder


def digits() -> Raw:
    """scikit-learn's embedded digits (Alpaydin and Kaynak, 1998), levels 0..16 times 255 / 16."""
    from sklearn.datasets import load_digits

    data = load_digits()
    levels = data.images[:, None] * (255 / 16)
    names = [str(k) for k in data.target_names]
    return Raw("images", np.rint(levels).astype(np.uint8), data.target.astype(np.int64), names)


def _roots(cache: Path | None) -> Iterator[Path]:
    if given := os.environ.get("DEPTHWISE_DATA"):
        yield Path(given).expanduser()
    if cache is not None:
        yield cache / "named"


def _complete(folder: Path, known: Named, loose: bool) -> Path | None:
    """The folder, or the one file or folder in it that is the whole data set, if it is all there.

    loose: the folder is shared with other data, so generic names like "train" say nothing.
    """
    for names in known.files:
        if (loose and names == ("train", "test")) or not all((folder / n).exists() for n in names):
            continue
        return folder / names[0] if len(names) == 1 else folder
    return None
