"""One mask's bytes to the values of its pixels, uint8 (H, W), before classes are looked up."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from depthwise.data.pictures.images import Unreadable, open_picture
from depthwise.data.readers.masks.mask_classes import MaskClasses
from depthwise.errors import DataError

__all__ = ["MaskFile", "open_mask"]

_LOSSY = ("JPEG", "MPO")


@dataclass
class MaskFile:
    """values uint8 (H, W); palette uint8 (P, 3) of files that have one."""

    values: np.ndarray
    palette: np.ndarray | None = None

    def resized(self, height: int, width: int) -> np.ndarray:
        """uint8 (height, width) by nearest neighbour: values are never mixed."""
        if self.values.shape == (height, width):
            return self.values
        image = Image.fromarray(self.values)
        return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


def open_mask(data: bytes, name: str, table: MaskClasses | None) -> MaskFile:
    """Raises Unreadable for broken files, DataError for files that cannot be masks and for colours
    that the table does not know."""
    image = open_picture(data)
    if image.format in _LOSSY:
        raise DataError(f"{name} is a JPEG, which blurs the values of a mask; save it as PNG.")
    try:
        image.load()
        return _opened(image, name, table)
    except DataError:
        raise
    except Exception as error:  # hostile files raise anything at all
        raise Unreadable(f"broken picture ({error or type(error).__name__})") from None


def _opened(image: Image.Image, name: str, table: MaskClasses | None) -> MaskFile:
    colours = table.colours if table else None
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        values = np.array(image)
        used = np.flatnonzero(np.bincount(values.reshape(-1), minlength=256))
        shown = {tuple(row) for row in palette[used[used < len(palette)]].tolist()}
        if colours and shown <= set(colours):
            return MaskFile(_by_colour(np.array(image.convert("RGB")), name, table), palette)
        return MaskFile(values, palette)
    if image.mode in ("RGB", "RGBA", "CMYK"):
        rgb = np.array(image.convert("RGB"))
        if not colours and (rgb == rgb[:, :, :1]).all():
            return MaskFile(np.ascontiguousarray(rgb[:, :, 0]))
        return MaskFile(_by_colour(rgb, name, table))
    if image.mode == "LA":
        image = image.convert("L")
    return MaskFile(_whole(np.array(image), name))


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    """Grey levels of any depth as uint8."""
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype.kind not in "ui" or values.min() < 0 or values.max() > 255:
        raise DataError(
            f"{name} holds the value {values.max():g}; a mask holds numbers of classes, 0 to 255."
        )
    return values.astype(np.uint8)


def _by_colour(rgb: np.ndarray, name: str, table: MaskClasses | None) -> np.ndarray:
    """uint8 (H, W, 3) to the values of the classes that have these colours."""
    if table is None or not table.colours:
        raise DataError(
            f"{name} is in colours, but nothing says which class they mean; add a classes.txt with "
            'lines such as "128 64 128 Road".'
        )
    packed = (rgb.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=2, dtype=np.uint32)
    known = {r << 16 | g << 8 | b: v for (r, g, b), v in zip(table.colours, table.values)}
    distinct, inverse = np.unique(packed, return_inverse=True)
    unknown = [int(colour) for colour in distinct if int(colour) not in known]
    if unknown:
        r, g, b = unknown[0] >> 16, unknown[0] >> 8 & 255, unknown[0] & 255
        raise DataError(
            f"{name} holds the colour {r} {g} {b}, which {table.where} does not know "
            f"({len(unknown):,} such colours); add it there, as Void if it means nothing."
        )
    values = np.array([known[int(colour)] for colour in distinct], np.uint8)
    return values[inverse.reshape(packed.shape)]
