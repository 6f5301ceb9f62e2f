"""One picture to pixels, held against hand arithmetic and Pillow's own converters."""

import io
import sys

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8
from PIL import Image

from depthwise.data.load import load
from depthwise.data.pictures.images import (
    Unreadable,
    is_grey,
    looks_like_picture,
    open_picture,
    picture_pixels,
    upright_size,
)


def saved(image, suffix="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, suffix, **options)
    return buffer.getvalue()


def test_rgb_is_kept_and_channels_come_first():
    pixels = noise_u8(5, 7, 3)
    assert np.array_equal(picture_pixels(encoded(pixels), (3, 5, 7)), pixels.transpose(2, 0, 1))


def test_grey_is_kept():
    pixels = noise_u8(5, 7)
    assert np.array_equal(picture_pixels(encoded(pixels), (1, 5, 7))[0], pixels)


def test_grey_asked_for_in_colour_repeats_its_levels():
    pixels = noise_u8(5, 7)
    assert (picture_pixels(encoded(pixels), (3, 5, 7)) == pixels).all()


def test_transparent_pixels_are_white_and_half_transparent_ones_halfway():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 255, 128)  # black with alpha 0, 1 and about a half
    assert picture_pixels(encoded(rgba), (3, 1, 3))[0, 0].tolist() == [255, 0, 127]


def test_grey_with_alpha_is_laid_on_white():
    image = Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8), "LA")
    assert picture_pixels(saved(image), (1, 1, 2))[0, 0].tolist() == [255, 10]


def test_a_palette_gives_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 30, 240, 60])
    image.putdata([1, 0])
    assert picture_pixels(saved(image), (3, 1, 2))[:, 0].T.tolist() == [
        [30, 240, 60],
        [250, 10, 20],
    ]


def test_a_palette_with_a_transparent_colour_is_laid_on_white():
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 30, 240, 60])
    image.putdata([1, 0])
    pixels = picture_pixels(saved(image, transparency=1), (3, 1, 2))
    assert pixels[:, 0].T.tolist() == [[255, 255, 255], [250, 10, 20]]


def test_sixteen_bit_levels_are_divided_by_257():
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    assert picture_pixels(encoded(levels), (1, 1, 4))[0, 0].tolist() == [0, 1, 128, 255]


def test_one_bit_pictures_are_black_and_white():
    image = Image.fromarray(np.array([[True, False, True]]))
    assert picture_pixels(saved(image), (1, 1, 3))[0, 0].tolist() == [255, 0, 255]


def test_cmyk_is_converted_as_pillow_does():
    image = Image.fromarray(noise_u8(8, 8, 3)).convert("CMYK")
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(picture_pixels(saved(image, "TIFF"), (3, 8, 8)), expected)


def test_fractions_in_a_float_tiff_become_levels():
    image = Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))
    assert picture_pixels(saved(image, "TIFF"), (1, 1, 3))[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_turns_the_picture_upright(orientation, suffix):
    corner = np.zeros((16, 32), np.uint8)
    corner[:8, :8] = 255  # upright, the bright corner is at the top left
    undo = {  # how a camera stores an upright picture (CIPA DC-008, orientation tag)
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo(corner))).convert("RGB")
    data = saved(stored, suffix, exif=exif)
    assert upright_size(open_picture(data)) == (16, 32)
    pixels = picture_pixels(data, (1, 16, 32))[0].astype(int)
    assert np.abs(pixels - corner).mean() < 6


def test_resizing_keeps_the_mean_and_the_whole_picture():
    pixels = np.zeros((40, 60), np.uint8)
    pixels[:, 30:] = 200
    small = picture_pixels(encoded(pixels), (1, 8, 12))[0].astype(int)
    assert abs(small.mean() - 100) < 2
    assert (small[:, :5] < 5).all() and (small[:, 7:] > 195).all()


def test_a_large_jpeg_shrinks_to_what_pillow_makes_of_it():
    ramp = np.linspace(0, 255, 512).astype(np.uint8)[None].repeat(512, 0)
    small = picture_pixels(encoded(ramp, "JPEG", quality=95), (1, 32, 32))[0].astype(int)
    expected = ramp.reshape(32, 16, 32, 16).mean((1, 3))
    assert np.abs(small - expected).max() < 4


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("L", (4, 4), level) for level in (30, 200)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (picture_pixels(data, (1, 4, 4)) == 30).all()


def test_grey_modes_and_grey_palettes_are_grey():
    grey, colour = Image.new("P", (2, 2)), Image.new("P", (2, 2))
    grey.putpalette([9, 9, 9, 70, 70, 70])
    colour.putpalette([9, 9, 9, 70, 70, 71])
    assert is_grey(grey) and not is_grey(colour)
    assert is_grey(Image.new("I;16", (2, 2))) and not is_grey(Image.new("RGB", (2, 2)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am no picture at all", "not a picture"),
        (encoded(noise_u8(64, 64, 3))[:2000], "cut off"),
        (encoded(noise_u8(64, 64, 3), "JPEG")[:1500], "cut off"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_is_no_whole_picture_says_why(data, reason):
    with pytest.raises(Unreadable, match=reason):
        picture_pixels(data, (3, 8, 8))


def huge_png(width, height):
    """A few bytes that promise width x height pixels."""
    import struct
    import zlib

    def chunk(kind, body):
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [50_000, 10_500])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_huge_picture_is_refused_by_its_header(side):
    with pytest.raises(Unreadable, match="megapixels"):
        open_picture(huge_png(side, side))


def test_pictures_are_told_by_their_first_bytes():
    for suffix in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"):
        assert looks_like_picture(encoded(noise_u8(4, 4, 3), suffix)), suffix
    assert not looks_like_picture(b"PK\3\4") and not looks_like_picture(b"a,b,c\n")


# -- kinds that need more -------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "suffix"), [("AVIF", "avif"), ("JPEG2000", "jp2")])
def test_avif_and_jpeg_2000_are_read(tmp_path, form, suffix):
    Image.init()
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {form}")
    for k in range(12):
        path = tmp_path / "ab"[k % 2] / f"{k}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(np.full((16, 24, 3), 20 * k, np.uint8), form))
    data = load(tmp_path, cache=False)
    assert data.classes == ["a", "b"]
    want = [20 * int(data.item_name(i)[2:].split(".")[0]) for i in range(12)]
    assert abs(data.inputs.astype(int).mean(axis=(1, 2, 3)) - want).max() < 3


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200)


def test_heic_names_the_extra_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    make_folder(tmp_path)
    (tmp_path / "cat/x.heic").write_bytes(HEIC)
    problems = {p.where: p.detail for p in load(tmp_path, cache=False).problems}
    assert 'pip install "depthwise[heic]"' in problems["cat/x.heic"]


def test_heic_is_read_with_the_extra(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    pillow_heif.register_heif_opener()
    grey = encoded(np.full((16, 24, 3), 77, np.uint8), "HEIF")
    assert abs(picture_pixels(grey, (3, 16, 24)).astype(int) - 77).max() < 4
