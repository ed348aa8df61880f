"""Image files: every kind of pixel comes out right, and what cannot is refused in one line."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from featlearn.errors import DataError
from featlearn.files.images import MAX_PIXELS, read_image, to_color

RGB = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 13
GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 50
DEEP = np.array([[0, 1, 255], [256, 40_000, 65_535]], np.uint16)


def luminance(rgb):
    """ITU-R 601, rounded."""
    return np.floor(rgb.astype(float) @ [0.299, 0.587, 0.114] + 0.5)


def png(color_type, depth, width, height, data, ihdr=None):
    """A PNG file by hand: kinds that Pillow does not write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + data[i * len(data) // height : (i + 1) * len(data) // height] for i in range(height))
    header = ihdr or struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm", "webp"])
def test_colour_and_grey(tmp_path, suffix):
    path = str(tmp_path / f"x.{suffix}")
    Image.fromarray(RGB).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path, "rgb"), RGB)
    grey = read_image(path, "gray")
    assert grey.shape == (2, 3, 1)
    np.testing.assert_array_equal(grey[..., 0], luminance(RGB))
    Image.fromarray(GREY).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path, "gray")[..., 0], GREY)
    np.testing.assert_array_equal(read_image(path, "rgb"), np.repeat(GREY[..., None], 3, 2))


def test_grey_from_colour_is_pillows_to_the_level():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(to_color(rgb, "gray")[..., 0], np.asarray(Image.fromarray(rgb).convert("L")))
    deep = np.full((1, 1, 3), 65_535, np.uint16)
    assert to_color(deep, "gray")[0, 0, 0] == 65_535
    np.testing.assert_allclose(to_color(rgb.astype(np.float32), "gray")[..., 0], rgb @ [0.299, 0.587, 0.114], rtol=1e-6)


def test_16_bit_grey_keeps_every_level(tmp_path):
    ramp = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    for name, options in (("a.png", {}), ("a.tif", {}), ("b.tif", {"compression": "tiff_lzw"})):
        Image.fromarray(ramp).save(tmp_path / name, **options)
        back = read_image(str(tmp_path / name))
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back[..., 0], ramp)
    (tmp_path / "x.pgm").write_bytes(b"P5 3 2 65535\n" + DEEP.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.pgm"))[..., 0], DEEP)


def tiff(values, bits, sample_format=1):
    """An uncompressed big-endian TIFF of one channel, or of three where values have a third axis."""
    data = values.tobytes()
    height, width, n = *values.shape[:2], values.shape[2] if values.ndim == 3 else 1
    depths = struct.pack(">H", bits) * n + (b"\0\0" if n == 1 else b"")
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, n, None), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 2 if n > 1 else 1), (273, 4, 1, 14), (277, 3, 1, n), (278, 3, 1, height)]
    tags += [(279, 4, 1, len(data)), (339, 3, 1, sample_format)]
    offset = 14 + len(data)
    out = b"MM\0*" + struct.pack(">I", offset) + depths.ljust(6, b"\0")[:6] + data + struct.pack(">H", len(tags))
    for tag, kind, count, value in tags:
        field = struct.pack(">HH", value or bits, 0) if kind == 3 and count == 1 else struct.pack(">I", value or 8)
        out += struct.pack(">HHI", tag, kind, count) + field
    return out + bytes(4)


def test_big_endian_tiff(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(DEEP.astype(">u2"), 16))
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.tif"))[..., 0], DEEP)
    values = np.array([[-1.5, 0.25, 3e4]], ">f4")
    (tmp_path / "f.tif").write_bytes(tiff(values, 32, 3))
    back = read_image(str(tmp_path / "f.tif"))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back[..., 0], values)
    (tmp_path / "f.tif").write_bytes(tiff(np.array([[np.nan]], ">f4"), 32, 3))
    with pytest.raises(DataError, match="NaN or infinity"):
        read_image(str(tmp_path / "f.tif"))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_is_refused_and_not_cut_to_8(tmp_path, channels):
    data = np.arange(2 * 3 * channels).astype(">u2") * 700
    (tmp_path / "x.png").write_bytes(png({2: 4, 3: 2, 4: 6}[channels], 16, 3, 2, data.tobytes()))
    (tmp_path / "x.ppm").write_bytes(b"P6 3 2 65535\n" + bytes(36))
    (tmp_path / "x.tif").write_bytes(tiff(np.zeros((2, 3, 3), ">u2"), 16))
    for name in ("x.png", "x.ppm", "x.tif"):
        with pytest.raises(DataError, match="16-bit colour or alpha; convert it"):
            read_image(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, suffix, orientation):
    """The stored pixels of an upright image for each orientation, undone by the definition of the tag."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8], upright[8:, :8], upright[:8, 24:] = 255, 170, 85
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100} if suffix == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"x.{suffix}", exif=exif, **options)
    back = read_image(str(tmp_path / f"x.{suffix}"))[..., 0]
    assert back.shape == upright.shape
    np.testing.assert_allclose(back.astype(int), upright, atol=3)


def test_16_bit_is_rotated_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(DEEP).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.png"))[..., 0], np.rot90(DEEP, -1))


def test_palette_gives_colours_and_not_numbers(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 101, 0, 7, 7, 7])
    colours = np.array([[10, 20, 30], [200, 101, 0], [7, 7, 7]], np.uint8)[[[0, 1], [2, 1]]]
    for name, options in (("x.png", {}), ("t.png", {"transparency": bytes([0, 128, 255])}), ("x.gif", {})):
        image.save(tmp_path / name, **options)
        np.testing.assert_array_equal(read_image(str(tmp_path / name), "rgb"), colours)
        np.testing.assert_array_equal(read_image(str(tmp_path / name))[..., 0], luminance(colours))


def test_alpha_is_dropped(tmp_path):
    alpha = np.array([[0, 128, 255], [255, 0, 1]], np.uint8)
    Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(str(tmp_path / "rgba.png"), "rgb"), RGB)
    Image.fromarray(np.dstack([GREY, alpha]), "LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(str(tmp_path / "la.png"))[..., 0], GREY)
    np.testing.assert_array_equal(read_image(str(tmp_path / "la.png"), "rgb")[..., 1], GREY)


def test_black_and_white(tmp_path):
    bits = np.array([[True, False, True]])
    for name in ("x.png", "x.pbm", "x.tif"):
        Image.fromarray(bits).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(str(tmp_path / name))[..., 0], [[255, 0, 255]])


def test_cmyk(tmp_path):
    inks = np.zeros((8, 24, 4), np.uint8)
    inks[:, :8, 0], inks[:, 8:16, 3] = 255, 128
    Image.fromarray(inks, "CMYK").save(tmp_path / "x.jpg", quality=100, subsampling=0)
    Image.fromarray(inks, "CMYK").save(tmp_path / "x.tif")
    wanted = [[0, 255, 255], [127, 127, 127], [255, 255, 255]]
    for name in ("x.jpg", "x.tif"):
        np.testing.assert_allclose(read_image(str(tmp_path / name), "rgb")[4, 4::8].astype(int), wanted, atol=3)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "x.tif", save_all=True, append_images=frames[1:])
    for name in ("x.gif", "x.tif"):
        assert set(read_image(str(tmp_path / name)).ravel().tolist()) == {10}


def test_large_and_negative_integers_are_refused(tmp_path):
    for value in (-1, 70_000):
        Image.fromarray(np.array([[0, value]], np.int32)).save(tmp_path / "x.tif")
        with pytest.raises(DataError, match=r"wanted 0\.\.65535"):
            read_image(str(tmp_path / "x.tif"))


def test_files_that_are_no_good_images(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "whole.jpg")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(tmp_path / "whole.png")
    bomb = png(0, 1, MAX_PIXELS // 4, 5, bytes(5 * (MAX_PIXELS // 32 + 1)))
    worse = png(0, 8, 0, 0, b"", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0))
    whole = (tmp_path / "whole.png").read_bytes()
    bad_crc = bytearray(whole)
    bad_crc[30] ^= 1
    for name, data, message in (
        ("text.png", b"this is text\n" * 50, "is no image of a known kind"),
        ("empty.png", b"", "is empty"),
        ("cut.jpg", (tmp_path / "whole.jpg").read_bytes()[:-500], "is damaged or cut off"),
        ("cut.png", whole[:-500], "is damaged or cut off"),
        ("crc.png", bytes(bad_crc), "is damaged|is no image"),
        ("bomb.png", bomb, "has more than 89,478,485 pixels"),
        ("worse.png", worse, "has more than 89,478,485 pixels"),
        ("script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image of a known kind"),
        ("photoshop.png", b"8BPS\0\1" + bytes(100), "is no image of a known kind"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message) as caught:
            read_image(str(tmp_path / name))
        assert str(caught.value).isprintable()
    os.mkfifo(tmp_path / "fifo.png")
    for name, message in (("fifo.png", "pipe"), ("missing.png", "no such file"), (".", "is a folder")):
        with pytest.raises(DataError, match=message):
            read_image(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp"])
def test_damaged_bytes_are_read_or_refused(tmp_path, suffix):
    """Also an error in the metadata is no warning (which would be an error here)."""
    rng, path = np.random.default_rng(3), tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if suffix in ("png", "jpg", "tif", "webp") else {}
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(path, **options)
    data = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_image(str(path)).shape[2] == 1
        except DataError as error:
            message = str(error)
            assert message.isprintable()
