"""One picture's bytes to one pixel matrix, uint8 (C, H, W), whatever the file holds.

Turned upright by its EXIF orientation; alpha laid on white; 16-bit and float levels by the scale of
the data set (deep.py); palette,
CMYK and the rest converted; squeezed to (H, W) as a whole, so that nothing is cut off. The first
frame of an animation counts. AVIF and JPEG 2000 are read where Pillow can, HEIC with the extra
`heic` (pillow-heif); what is missing is named. The size in the header is checked before anything is
decoded, and only plain raster formats are opened at all.
"""

import io
from importlib import import_module

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from depthwise.data.pictures.deep import to_bytes

__all__ = ["MAX_PIXELS", "TURNS", "Unreadable", "is_grey", "looks_like_picture", "open_picture"]
__all__ += [
    "deep_values",
    "has_deep_colour",
    "is_deep",
    "orientation",
    "picture_pixels",
    "to_pixels",
    "upright_size",
]

MAX_PIXELS = 100_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_MAGIC = (*_JPEG_2000, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_ALPHA_MODES = {"RGBA", "RGBa", "LA", "La", "PA"}


Levels = tuple[float, float]


class Unreadable(Exception):
    """This picture cannot be used; the message says why in a few words."""


def looks_like_picture(head: bytes) -> bool:
    """Whether a file that begins with these bytes may be a picture."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    netpbm = head[:1] == b"P" and head[1:2].isdigit() and head[2:3].isspace()
    iso = head[4:8] == b"ftyp" and head[8:12] in (*_HEIC, b"avif", b"avis")
    return webp or netpbm or iso or head.startswith(_MAGIC)


def open_picture(data: bytes) -> Image.Image:
    """The picture with its header read and its size checked, nothing decoded yet."""
    if not data:
        raise Unreadable("empty file")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats(data))
    except Unreadable:
        raise
    except UnidentifiedImageError:
        raise Unreadable("not a picture") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"more than {MAX_PIXELS // 10**6} megapixels") from None
    except Exception as error:  # hostile files raise anything at all
        raise Unreadable(_reason(error)) from None
    if image.width * image.height > MAX_PIXELS:
        raise Unreadable(
            f"{image.width:,} x {image.height:,} is more than {MAX_PIXELS // 10**6} megapixels"
        )
    return image


def _formats(data: bytes) -> tuple[str, ...]:
    """The formats that Pillow may try. Raises Unreadable where a kind needs something installed."""
    if data.startswith(_JPEG_2000):
        return _required("JPEG2000", "a JPEG 2000 picture, which this Pillow was built without")
    if data[4:8] != b"ftyp":
        return _FORMATS
    brands = data[8 : min(64, int.from_bytes(data[:4], "big"))]
    if b"avif" in brands or b"avis" in brands:
        return _required("AVIF", 'an AVIF picture: pip install "pillow>=11.3"')
    if not any(brand in brands for brand in _HEIC):
        return _FORMATS
    try:
        import_module("pillow_heif").register_heif_opener()
    except ImportError:
        raise Unreadable('a HEIC picture: pip install "depthwise[heic]"') from None
    return ("HEIF",)


def _required(form: str, otherwise: str) -> tuple[str, ...]:
    Image.init()
    if form not in Image.OPEN:
        raise Unreadable(otherwise)
    return (form,)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(H, W) once the picture is turned upright."""
    turned = orientation(image) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def is_grey(image: Image.Image) -> bool:
    """Whether the picture can hold no colour: grey modes, and palettes of greys.

    Raises Unreadable for a palette that cannot be read.
    """
    if image.mode == "P":
        palette = np.array(_palette(image), np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in {"1", "L", "LA", "La", "F"} or image.mode.startswith("I")


def _palette(image: Image.Image) -> list[int]:
    try:
        return image.getpalette("RGB") or []
    except Exception as error:  # some formats decode the whole picture first
        raise Unreadable(_reason(error)) from None


def is_deep(image: Image.Image) -> bool:
    """Whether the picture holds more than 8 bits a pixel, grey."""
    return image.mode.startswith("I") or image.mode == "F"


def has_deep_colour(image: Image.Image) -> bool:
    """Whether it holds 16 bits a channel in colour, of which Pillow reads the upper 8."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    return not is_deep(image) and any(";16" in str(tile[3]) for tile in tiles)


def deep_values(data: bytes) -> np.ndarray:
    """The levels (H, W) of a deep picture as they are in the file. Raises Unreadable."""
    try:
        return np.asarray(open_picture(data))
    except Unreadable:
        raise
    except Exception as error:  # hostile files raise anything at all
        raise Unreadable(_reason(error)) from None


def to_pixels(
    image: Image.Image, shape: tuple[int, int, int], levels: Levels | None = None
) -> np.ndarray:
    """Decodes to uint8 (C, H, W) of this shape; raises Unreadable for broken content.

    levels: which of a deep picture become 0 and 255; None for 0..65535, or 0..1 of fractions.
    """
    channels, height, width = shape
    turn = orientation(image)
    try:
        if image.format in ("JPEG", "MPO"):  # let the decoder itself shrink large photographs
            image.draft(image.mode, (height, width) if turn >= 5 else (width, height))
        flat = _flat(image, "L" if channels == 1 else "RGB", levels)
        if turn > 1:
            flat = flat.transpose(TURNS[turn])
        if flat.size != (width, height):
            flat = flat.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        pixels = np.asarray(flat)
    except Unreadable:
        raise
    except Exception as error:  # hostile files raise anything at all
        raise Unreadable(_reason(error)) from None
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def picture_pixels(
    data: bytes, shape: tuple[int, int, int], levels: Levels | None = None
) -> np.ndarray:
    """A picture file's bytes to uint8 (C, H, W), exactly as a Dataset of that shape has it."""
    return to_pixels(open_picture(data), shape, levels)


def orientation(image: Image.Image) -> int:
    """1 to 8; only looked up where the header already showed EXIF, which keeps small files fast."""
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF: the picture itself may be sound
        return 1
    return value if value in TURNS else 1


def _flat(image: Image.Image, mode: str, levels: Levels | None = None) -> Image.Image:
    """Decoded, without alpha, 8 bits a channel, in mode "L" or "RGB"."""
    image.load()
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, coloured).convert(mode)
    if is_deep(image):
        values = np.asarray(image)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Unreadable("holds NaN or infinity")
        bytes_ = to_bytes(values, *levels) if levels else _eight_bits(values)
        image = Image.fromarray(bytes_)
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit levels, or fractions 0..1, to uint8."""
    if values.dtype.kind == "f":
        scale = 255.0 if values.size and values.min() >= 0 and values.max() <= 1 else 1.0
        return np.rint(np.clip(values * scale, 0, 255)).astype(np.uint8)
    levels = np.clip(values.astype(np.int64), 0, 65535)
    return ((levels + 128) // 257).astype(np.uint8)


def _reason(error: Exception) -> str:
    text = str(error).split("\n")[0].strip()
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "the file is cut off"
    return f"broken picture ({text or type(error).__name__})"
