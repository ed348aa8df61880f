"""Image files: every kind of pixel comes out right, and what cannot is refused in one line."""

import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from featlearn.errors import DataError, ReadError
from featlearn.files import budget
from featlearn.files.color import loses_color, to_color
from featlearn.files.exif import orientation
from featlearn.files.images import read_image, reading
from featlearn.files.jpeg import count_scans
from featlearn.files.limits import MAX_PIXELS
from featlearn.files.paths import open_regular

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

    rows = b"".join(
        b"\0" + data[i * len(data) // height : (i + 1) * len(data) // height] for i in range(height)
    )
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
    np.testing.assert_array_equal(
        to_color(rgb, "gray")[..., 0], np.asarray(Image.fromarray(rgb).convert("L"))
    )
    deep = np.full((1, 1, 3), 65_535, np.uint16)
    assert to_color(deep, "gray")[0, 0, 0] == 65_535
    np.testing.assert_allclose(
        to_color(rgb.astype(np.float32), "gray")[..., 0], rgb @ [0.299, 0.587, 0.114], rtol=1e-6
    )


def test_16_bit_grey_keeps_every_level(tmp_path):
    ramp = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    for name, options in (("a.png", {}), ("a.tif", {}), ("b.tif", {"compression": "tiff_lzw"})):
        Image.fromarray(ramp).save(tmp_path / name, **options)
        back = read_image(str(tmp_path / name))
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back[..., 0], ramp)
    (tmp_path / "x.pgm").write_bytes(b"P5 3 2 65535\n" + DEEP.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.pgm"))[..., 0], DEEP)


def tiff(values, bits, sample_format=1, compression=1, **more):
    """A TIFF of one strip by hand, in the byte order of the values: one channel, or as many as the third axis
    has.

    compression 1 is none, 8 is deflate (which libtiff unpacks); `more` are tags.
    """
    order = ">" if values.dtype.byteorder == ">" else "<"
    data = values.tobytes() if compression == 1 else zlib.compress(values.tobytes())
    height, width, n = *values.shape[:2], values.shape[2] if values.ndim == 3 else 1
    tags = {
        256: width,
        257: height,
        258: bits,
        259: compression,
        262: 2 if n > 2 else 1,
        273: 32,
        277: n,
        278: height,
    }
    tags |= {279: len(data), 339: sample_format} | {int(tag[1:]): value for tag, value in more.items()}
    depths = struct.pack(f"{order}{n}H", *[bits] * n).ljust(24, b"\0")
    out = struct.pack(order + "2sHI", b"MM" if order == ">" else b"II", 42, 32 + len(data)) + depths + data
    out += struct.pack(order + "H", len(tags))
    for tag, value in sorted(tags.items()):
        if tag == 258 and n > 2:
            out += struct.pack(order + "HHII", tag, 3, n, 8)
        elif tag in (273, 279):
            out += struct.pack(order + "HHII", tag, 4, 1, value)
        else:
            out += struct.pack(order + "HHIHH", tag, 3, 1, value, value if tag == 258 and n == 2 else 0)
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


COLOUR = np.random.default_rng(1).integers(0, 65_536, (5, 7, 4), np.uint16)  # both bytes of each value matter


def interlaced(values):
    """What Adam7 stores: the rows of seven ever finer images, each after a zero for no filter."""
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    parts = [values[y::dy, x::dx] for y, x, dy, dx in passes]
    return b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)


def assert_deep(path, values):
    """Both bytes of every colour are there, alpha is not; grey is made of all 16 bits."""
    back = read_image(str(path), "rgb")
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, values)
    wanted = values.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read_image(str(path))[:, :, 0], wanted, atol=1)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_keeps_both_bytes_in_png(tmp_path, channels):
    values, kind = COLOUR[:, :, :channels], {2: 4, 3: 2, 4: 6}[channels]
    colours = values[:, :, :3] if channels > 2 else values[:, :, :1].repeat(3, 2)
    (tmp_path / "x.png").write_bytes(png(kind, 16, 7, 5, values.astype(">u2").tobytes()))
    assert_deep(tmp_path / "x.png", colours)
    whole = png(kind, 16, 7, 5, b"", struct.pack(">IIBBBBB", 7, 5, 16, kind, 0, 0, 1))
    empty = zlib.compress(bytes(5))
    packed = zlib.compress(interlaced(values.astype(">u2")))
    at = whole.index(b"IDAT") - 4
    chunk = (
        struct.pack(">I", len(packed)) + b"IDAT" + packed + struct.pack(">I", zlib.crc32(b"IDAT" + packed))
    )
    (tmp_path / "i.png").write_bytes(whole[:at] + chunk + whole[at + len(empty) + 12 :])
    assert_deep(tmp_path / "i.png", colours)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
def test_16_bit_colour_keeps_both_bytes_in_tiff(tmp_path, order, compression):
    values = COLOUR.astype(order + "u2")
    for name, data in (
        ("rgb", tiff(values[:, :, :3], 16, compression=compression)),
        ("rgba", tiff(values, 16, compression=compression, t338=2)),
        ("rgbx", tiff(values, 16, compression=compression, t338=0)),
    ):
        (tmp_path / f"{name}.tif").write_bytes(data)
        assert_deep(tmp_path / f"{name}.tif", COLOUR[:, :, :3])


@pytest.mark.parametrize("white", [65_535, 1_023, 256])
def test_16_bit_colour_keeps_both_bytes_in_ppm(tmp_path, white):
    values = (COLOUR[:, :, :3].astype(int) % (white + 1)).astype(np.uint16)
    (tmp_path / "x.ppm").write_bytes(b"P6 7 5 %d\n" % white + values.astype(">u2").tobytes())
    assert_deep(tmp_path / "x.ppm", np.floor(values / white * 65_535 + 0.5))


def test_16_bit_colour_is_turned_upright(tmp_path):
    data = png(2, 16, 7, 5, COLOUR[:, :, :3].astype(">u2").tobytes())
    exif = b"eXIfMM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    (tmp_path / "x.png").write_bytes(
        data[:33] + struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif)) + data[33:]
    )
    assert_deep(tmp_path / "x.png", np.rot90(COLOUR[:, :, :3], -1))


def test_16_bit_colour_of_other_kinds_is_refused_and_not_cut_to_8(tmp_path):
    values = COLOUR.astype("<u2")
    planes = np.ascontiguousarray(values[:, :, :3].transpose(2, 0, 1)).reshape(5, 7, 3)
    for name, data in (
        ("cmyk.tif", tiff(values, 16, t262=5)),
        ("premultiplied.tif", tiff(values, 16, t338=1)),
        ("planes.tif", tiff(planes, 16, t284=2)),
        ("packed-planes.tif", tiff(planes, 16, compression=8, t284=2)),
        ("text.ppm", b"P3 1 1 65535 1 2 3\n"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name}: has more than 8 bits a channel.*; convert it"):
            read_image(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation(tmp_path, suffix, turn):
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
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"quality": 100} if suffix == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"x.{suffix}", exif=exif, **options)
    back = read_image(str(tmp_path / f"x.{suffix}"))[..., 0]
    assert back.shape == upright.shape
    np.testing.assert_allclose(back.astype(int), upright, atol=3)


@pytest.mark.parametrize("order", "<>")
def test_orientation_of_an_exif_block(order):
    """Of any type of whole number, behind another entry; a block that is cut off anywhere before it does not
    tell."""
    for kind, letter in ((1, "B"), (3, "H"), (4, "I")):
        entry = struct.pack(order + "HHI" + letter, 274, kind, 1, 8).ljust(12, b"\0")
        other = struct.pack(order + "HHII", 271, 2, 10**6, 10**9)  # which lies far outside
        block = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, 2) + other + entry
        assert orientation(block) == orientation(b"Exif\0\0" + block) == 8
        for size in range(len(block) - 4 + struct.calcsize(letter)):
            with pytest.raises(ValueError):
                orientation(block[:size])
        assert orientation(block[:9] + block[9:].replace(entry[:2], b"\1\1")) is None
        for value, wanted in ((0, 1), (1, 1)):
            assert orientation(block[:30] + struct.pack(order + letter, value).ljust(4, b"\0")) == wanted
        with pytest.raises(ValueError):
            orientation(block[:30] + struct.pack(order + letter, 9).ljust(4, b"\0"))
    with pytest.raises(ValueError):
        orientation(block[:22] + struct.pack(order + "HHIH", 274, 2, 1, 8) + b"\0\0")


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
        np.testing.assert_allclose(
            read_image(str(tmp_path / name), "rgb")[4, 4::8].astype(int), wanted, atol=3
        )


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
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        tmp_path / "whole.jpg"
    )
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(
        tmp_path / "whole.png"
    )
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
        ("bomb.png", bomb, "has 111,848,105 pixels, more than 89,478,485; raise --max-pixels or scale"),
        ("worse.png", worse, "has [0-9,]* pixels, more than 89,478,485"),
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


def test_more_pixels_are_read_where_they_are_allowed(tmp_path, monkeypatch):
    """A tile of a TIFF counts like an image: libtiff makes room for all of it."""
    Image.fromarray(GREY).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.png"), max_pixels=6)[..., 0], GREY)
    with pytest.raises(DataError, match=r"x\.png: has 6 pixels, more than 5; raise --max-pixels or scale"):
        read_image(str(tmp_path / "x.png"), max_pixels=5)
    big = png(0, 8, 10_000, 9_000, b"", struct.pack(">IIBBBBB", 10_000, 9_000, 8, 0, 0, 0, 0))
    (tmp_path / "big.png").write_bytes(big)
    with pytest.raises(DataError, match="has 90,000,000 pixels, more than 89,478,485"):
        read_image(str(tmp_path / "big.png"))
    with pytest.raises(DataError, match="the decoded image would take 450 MB of memory"):
        read_image(str(tmp_path / "big.png"), max_pixels=10**8)
    monkeypatch.setattr(budget, "_chosen", 10**9)
    with pytest.raises(DataError, match="is damaged or cut off"):
        read_image(str(tmp_path / "big.png"), max_pixels=10**8)
    assert Image.MAX_IMAGE_PIXELS == MAX_PIXELS
    (tmp_path / "x.tif").write_bytes(tiff(GREY, 8, compression=8, t322=60_000, t323=60_000))
    with pytest.raises(DataError, match="has 3,600,000,000 pixels, more than 89,478,485"):
        read_image(str(tmp_path / "x.tif"))


@pytest.mark.parametrize("turn", [1, 6, 7])
def test_stripes_make_the_same_image(tmp_path, monkeypatch, turn):
    """Converted by few rows at a time or all at once, turned or not, of every kind of pixel."""
    exif = Image.Exif()
    exif[274] = turn
    colour = Image.fromarray(np.random.default_rng(2).integers(0, 256, (23, 17, 3), np.uint8))
    levels = np.arange(23 * 17, dtype=np.int32).reshape(23, 17) * 160
    for name, image in (
        ("rgb.png", colour),
        ("p.png", colour.quantize(9)),
        ("la.png", colour.convert("LA")),
        ("bits.png", colour.convert("1")),
        ("deep.png", Image.fromarray(levels.astype(np.uint16))),
        ("i.tif", Image.fromarray(levels)),
        ("f.tif", Image.fromarray((levels / 7).astype(np.float32))),
        ("cmyk.tif", colour.convert("CMYK")),
        ("lab.tif", colour.convert("LAB")),
    ):
        image.save(tmp_path / name, exif=exif)
    (tmp_path / "deep-colour.tif").write_bytes(tiff(COLOUR.astype("<u2"), 16, t338=2, t274=turn))
    for path in sorted(tmp_path.iterdir()):
        for color in ("gray", "rgb"):
            whole = read_image(str(path), color)
            for stripe in (1, 40, 150):
                monkeypatch.setattr("featlearn.files.color.STRIPE", stripe)
                part = read_image(str(path), color)
                assert (part.dtype, part.shape, part.tobytes()) == (whole.dtype, whole.shape, whole.tobytes())
            monkeypatch.undo()


def segment(kind, body=b""):
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body


def test_scans_of_a_jpeg_are_counted_up_to_its_end():
    scan = segment(0xDA, b"\1\1\0\0\0\0") + b"\0\1\xff\0\xff\xd0\2"
    file = b"\xff\xd8" + segment(0xE1, b"\xff\xda" * 500) + segment(0xC2, bytes(9)) + scan * 3
    tails = ((b"\xff\xd9\0\2" + scan, 3), (scan, 4), (b"\xff\xff" + scan + b"\xff", 4), (b"\xff\1" + scan, 4))
    for tail, scans in tails:
        assert count_scans(io.BytesIO(file + tail), 100) == scans
    assert count_scans(io.BytesIO(file), 2) == 2
    for shift in range(30):  # markers and lengths on the border of two blocks
        before = b"\xff\xd8" + scan + bytes((1 << 20) - 40 + shift)
        assert count_scans(io.BytesIO(before + scan), 100) == 2
        assert count_scans(io.BytesIO(before + segment(0xE2, b"\xff\xda\0\2" * 4_500) + scan), 100) == 2
    assert count_scans(io.BytesIO(b""), 2) == 0


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path):
    path = tmp_path / "x.jpg"
    Image.fromarray(RGB.repeat(8, 0)).save(path, progressive=True)
    data = path.read_bytes()
    read_image(str(path))
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:last] + data[last:-2] * 201 + data[-2:])
    with pytest.raises(DataError, match="has more than 200 scans"):
        read_image(str(path))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.ETIMEDOUT])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_failing_disk_is_no_damage_of_the_image(tmp_path, monkeypatch, number, suffix):
    """Whether it fails when the file is opened, while it is read, or where libtiff reads by itself."""
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RGB).save(path, **({"compression": "tiff_lzw"} if suffix == "tif" else {}))

    def fail(*args):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(ReadError, match=f"x.{suffix}: cannot be read: {os.strerror(number)}"):
            read_image(str(path))

    class Failing(io.BufferedReader):
        def read(self, *args):
            return super().read(*args) if self.tell() == 0 and args == (30,) else fail()

    with monkeypatch.context() as patch:
        patch.setattr(reading, "open_regular", lambda name: Failing(io.FileIO(name)))
        with pytest.raises(ReadError, match=f"x.{suffix}: cannot be read: {os.strerror(number)}"):
            read_image(str(path))
        patch.setattr(reading, "_read", lambda file, *more: 1 / 0)
        with pytest.raises(ReadError, match=f"x.{suffix}: cannot be read: {os.strerror(number)}"):
            read_image(str(path))


def test_libtiff_is_given_what_was_read(tmp_path, monkeypatch):
    """What it reads by itself, where a disk that fails for a moment makes damage, is not the file."""

    class Elsewhere(io.BufferedReader):
        def fileno(self):
            return nothing

    Image.fromarray(RGB).save(tmp_path / "x.tif", compression="tiff_lzw")
    nothing = os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr(reading, "open_regular", lambda name: Elsewhere(io.FileIO(name)))
    np.testing.assert_array_equal(read_image(str(tmp_path / "x.tif"), "rgb"), RGB)
    os.close(nothing)


def test_closing_what_was_only_read_cannot_fail(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    with open_regular(str(tmp_path / "x")) as file:
        assert file.read() == b"1"
        os.close(file.fileno())
    assert file.closed


def test_lack_of_memory_is_no_damage_of_the_image(tmp_path, monkeypatch):
    """Also where a decoder only says that it failed."""
    Image.fromarray(RGB).save(tmp_path / "x.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "x.png").read_bytes()[:-30])

    def no_room(*args):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "load", no_room)
        with pytest.raises(MemoryError, match=r"x\.png cannot be decoded"):
            read_image(str(tmp_path / "x.png"))
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", no_room)
        with pytest.raises(MemoryError, match=r"cut\.png cannot be decoded"):
            read_image(str(tmp_path / "cut.png"))
    with pytest.raises(DataError, match=r"cut\.png: is damaged"):
        read_image(str(tmp_path / "cut.png"))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0MM"}])
def test_lack_of_memory_is_no_damage_of_webp(tmp_path, monkeypatch, options):
    """Its decoder is made, with room for the image, when it is opened, and only says that it could not be
    made."""
    Image.fromarray(RGB.repeat(40, 1)).save(tmp_path / "x.webp", **options)
    asked = []

    def no_decoder(*args):
        raise OSError("could not create decoder object")

    def no_room(size, dtype):
        asked.append(size)
        raise MemoryError

    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", no_decoder)
    with pytest.raises(DataError, match="could not create"):
        read_image(str(tmp_path / "x.webp"))
    monkeypatch.setattr(np, "empty", no_room)
    with pytest.raises(MemoryError, match=r"x\.webp cannot be decoded"):
        read_image(str(tmp_path / "x.webp"))
    assert asked == [240 * 16]


def test_what_names_no_file_that_can_be_read_is_said(tmp_path):
    (tmp_path / "broken.png").symlink_to("nothing.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, message in (
        ("broken", "broken symbolic link"),
        ("loop", "is a symbolic link that leads to itself"),
    ):
        with pytest.raises(DataError, match=rf"{name}\.png: {message}"):
            read_image(str(tmp_path / f"{name}.png"))


def test_libtiff_writes_nothing_itself(tmp_path, capfd):
    Image.fromarray(RGB.repeat(50, 0)).save(tmp_path / "x.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "x.tif").read_bytes())
    data[8:60] = bytes(52)
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(DataError, match="is damaged or cut off"):
        read_image(str(tmp_path / "x.tif"))
    assert capfd.readouterr() == ("", "")


def test_which_pixels_lose_their_colours():
    grey, colour = np.full((2, 3, 3), 7, np.uint8), np.full((2, 3, 3), 7, np.uint8)
    colour[1, 2, 2] = 8
    assert loses_color(colour, "gray")
    assert not loses_color(colour, "rgb")
    assert not any(loses_color(pixels, "gray") for pixels in (grey, grey[..., :1], grey[..., 0]))


def test_an_image_that_unpacks_to_very_much_is_refused(tmp_path, monkeypatch):
    """By the limit of all files; --max-memory lifts it."""
    path = tmp_path / "zeros.png"
    Image.new("RGB", (300, 400)).save(path)
    monkeypatch.setattr(budget, "FLOOR", 1 << 10)
    monkeypatch.setattr(budget, "RATIO", 64)
    for color, size in (("gray", "600,000"), ("rgb", "840,000")):
        with pytest.raises(
            DataError, match=r"zeros\.png: the decoded image would take .*; if you trust it, give --m"
        ):
            read_image(str(path), color)
        with monkeypatch.context() as patch:
            patch.setattr(budget, "_chosen", int(size.replace(",", "")))
            assert read_image(str(path), color).shape == (400, 300, 1 if color == "gray" else 3)
            patch.setattr(budget, "_chosen", int(size.replace(",", "")) - 1)
            with pytest.raises(DataError, match="of memory"):
                read_image(str(path), color)
