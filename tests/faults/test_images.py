"""Odd and hostile images through the command line, and damaged EXIF blocks through the reader.

    python tests/faults/test_images.py odd           every odd image by itself: its outcome, and its memory
    python tests/faults/test_images.py mutated 6000  so many images with some bytes changed, cut off or put in
    python tests/faults/test_images.py exif 6000     so many EXIF blocks with one to three bytes changed

All images are made here. No traceback, signal, hang or line that is not the program's own may come of them,
no file may be left behind, and memory stays bounded. As a test it tries the odd ones and a few of the others.
"""

import io
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from featlearn.cli.process import run
from featlearn.files.images import read_image

SECONDS = 60  # for one command; wide, since machines may be busy
ROOM = 300 << 20  # bytes that a command may take above what an idle one has
OWN = re.compile(
    r"(warning: |featlearn: error: |next: featlearn |colour images are read as grey|patches cut out of images"
    r"|[\d,]+ patches )"
)
CUT = ("--size", "4", "--count", "20", "--threads", "1")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, data, color_type=2, depth=8, more=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def tiff(tags, data=b"", following=0):
    """A little-endian TIFF; tags {number: value}, the data stand at 8 (tags 273 and 324 point there)."""
    out = struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + struct.pack("<H", len(tags))
    for tag, value in sorted(tags.items()):
        out += struct.pack("<HHII", tag, 4, 1, value)
    return out + struct.pack("<I", following)


def pictures():
    """{name: bytes} of small good images of every kind."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    grey, deep = colour.convert("L"), Image.fromarray(rng.integers(0, 65536, (24, 32), np.uint16))
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    found = {
        "png": encoded(colour, "PNG", exif=exif),
        "palette.png": encoded(colour.quantize(16), "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "deep-colour.png": png(32, 24, b"".join(b"\0" + rng.bytes(192) for _ in range(24)), depth=16),
        "jpg": encoded(colour, "JPEG", exif=exif),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "gif": encoded(grey, "GIF", save_all=True, append_images=[grey.rotate(90)] * 3),
        "bmp": encoded(colour, "BMP"),
        "ppm": encoded(colour, "PPM"),
        "webp": encoded(colour, "WEBP", exif=exif),
        "lossless.webp": encoded(colour, "WEBP", lossless=True),
        "float.tif": encoded(Image.fromarray(rng.random((24, 32), np.float32)), "TIFF"),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        found[f"{compression}.tif"] = encoded(colour, "TIFF", compression=compression, exif=exif)
    return found


def odd():
    """{name: (bytes, what is said of it or None where it is read)}."""
    good = pictures()
    found = {
        f"good-{i}.{name.rpartition('.')[2]}": (data, None) for i, (name, data) in enumerate(good.items())
    }
    for name, data in good.items():
        for part in (0, 10, 30, len(data) // 2, len(data) - 20):
            found[f"cut-at-{part}-{name.replace('.', '-')}.{name.rpartition('.')[2]}"] = (data[:part], "")
    large, wide = "more than 89,478,485", struct.pack("<HH", 60_000, 60_000)
    torn = bytearray(good["tiff_lzw.tif"])
    torn[100:900] = bytes(800)
    jpeg, header = good["progressive.jpg"], good["jpg"].index(b"\xff\xc0")
    last = jpeg.rindex(b"\xff\xda")
    scans = jpeg[:last] + (jpeg[last : last + 10] + b"\0") * 4000 + b"\xff\xd9"
    zeros = bytes(3 * 9_000 + 1) * 300
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(100 << 20), 9))
    vp8x = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    exif = Image.Exif()
    exif[274] = 6
    gradient = Image.linear_gradient("L").resize((40, 20))
    return found | {
        "bomb.png": (png(12_000, 9_000, zeros), large),
        "large.png": (
            png(5_000, 4_000, (b"\0" + bytes(i % 251 for i in range(5_000))) * 4_000, color_type=0),
            None,
        ),
        "sides.png": (png(2**31 - 1, 2**31 - 1, b""), large),
        "empty-sides.png": (png(0, 0, b""), ""),
        "text-bomb.png": (good["png"][:33] + text + good["png"][33:], ""),
        "bomb.jpg": (good["jpg"][: header + 5] + b"\xff\xff\xff\xff" + good["jpg"][header + 9 :], large),
        "scans.jpg": (scans, "more than 200 scans"),
        "bomb.gif": (b"GIF89a" + wide + b"\0\0\0,\0\0\0\0" + wide + b"\0\2\2\x4c\1\0;", large),
        "frame-bomb.gif": (b"GIF89a\4\0\4\0\0\0\0,\0\0\0\0" + wide + b"\0\2\2\x4c\1\0;", large),
        "bomb.bmp": (
            b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0),
            large,
        ),
        "bomb.ppm": (b"P6 100000 100000 255\n" + bytes(99), large),
        "bomb.webp": (b"RIFF" + struct.pack("<I", 22) + b"WEBP" + vp8x, large),
        "bomb.tif": (
            tiff({256: 60_000, 257: 60_000, 258: 8, 259: 8, 262: 1, 273: 8, 279: 9}, bytes(9)),
            large,
        ),
        "tile-bomb.tif": (
            tiff(
                {256: 9, 257: 9, 258: 8, 259: 8, 262: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 9}, bytes(9)
            ),
            large,
        ),
        "circle.tif": (
            tiff({256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 279: 64}, bytes(range(64)), 72),
            None,
        ),
        "strips.tif": (tiff({256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 2**31, 279: 2**31}), ""),
        "torn.tif": (bytes(torn), "is damaged or cut off"),
        "photograph.png": (good["jpg"], None),
        "letters.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known kind"),
        "letters.jpg": (b"%PDF-1.7\n", "no image of a known kind"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image of a known kind"),
        "icon.png": (b"\0\0\1\0\1\0" + bytes(40), "no image of a known kind"),
        "nothing.png": (b"", "is empty"),
        "nan.tif": (encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), "NaN or infinity"),
        "turned.jpg": (encoded(gradient, "JPEG", exif=exif).replace(b"MM\0*", b"MX\0*"), None),
        "trailer.jpg": (good["jpg"] + b"\xff\xda" * 5000, None),
    }


def make_odd(folder):
    """Write them all, and what is no file of bytes. -> {name: what is said of it}"""
    said = {}
    for name, (data, words) in odd().items():
        (folder / name).write_bytes(data)
        said[name] = words
    os.mkfifo(folder / "fifo.png")
    for name, target, words in (
        ("pipe.png", "fifo.png", "device, pipe or socket"),
        ("fifo.png", None, "device, pipe or socket"),
        ("endless.png", "/dev/zero", "device, pipe or socket"),
        ("broken.png", "nowhere.png", "broken symbolic link"),
        ("self.png", "self.png", "leads to itself"),
        ("link.png", "photograph.png", None),
    ):
        if target is not None:
            (folder / name).symlink_to(target)
        said[name] = words
    return said


def serve():
    """Run each command line of stdin (a JSON list) in a process of its own; print the outcomes as JSON."""
    Path("idle.png").write_bytes(pictures()["png"])
    usual = ["extract-patches", "idle.png", *CUT, "-o", "idle.h5", "--force"]
    run([*usual, "-q"])  # so that all is imported
    idle = forked(usual)["memory"]
    for line in sys.stdin:
        found = forked(json.loads(line))
        print(json.dumps(found | {"grown": found["memory"] - idle}), flush=True)


def forked(line):
    """What becomes of a command line in a process of its own."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            signal.alarm(SECONDS)
            code = run(line)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status, used = os.wait4(pid, 0)
        err.seek(0)
        words = err.read().decode("utf-8", "replace")
    found = {"code": os.waitstatus_to_exitcode(status), "err": words, "memory": used.ru_maxrss << 10}
    return found | {"seconds": used.ru_utime + used.ru_stime}


def commands(lines, folder):
    """What became of each command line, run in `folder`."""
    text = "".join(json.dumps([str(word) for word in line]) + "\n" for line in lines)
    command = [sys.executable, os.path.abspath(__file__), "serve"]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder, check=True)
    assert ran.stderr == ""
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(lines)
    return found


def wrong(found, output):
    """What must not be, in words; empty when all is well."""
    problems = []
    if found["code"] not in (0, 1):
        problems.append(f"exit code {found['code']}")
    if not all(OWN.match(line) for line in found["err"].splitlines()) or "internal error" in found["err"]:
        problems.append(f"stderr {found['err'][:2000]!r}")
    if found["grown"] > ROOM:
        problems.append(f"{found['grown'] / 1e6:.0f} MB")
    left = [path.name for path in output.parent.glob(f"{output.name}*")]
    if left != ([output.name] if found["code"] == 0 else []):
        problems.append(f"left behind {left}")
    return problems


def try_odd(folder):
    """(problems, largest memory, longest CPU seconds of those refused) of every odd image by itself."""
    images, outputs = folder / "odd", folder / "out"
    images.mkdir()
    outputs.mkdir()
    said = make_odd(images)
    names = sorted(said)
    lines = [["extract-patches", images / name, *CUT, "-o", outputs / f"{name}.h5"] for name in names]
    problems, grown, seconds = [], 0, 0.0
    for name, found in zip(names, commands(lines, folder), strict=True):
        bad = wrong(found, outputs / f"{name}.h5")
        words = said[name]
        if (words is None) != (found["code"] == 0) and words != "":
            bad.append(f"exit code {found['code']}, {found['err']!r}")
        if words and words not in found["err"]:
            bad.append(f"says {found['err']!r}, wanted {words!r}")
        problems += [f"{name}: {text}" for text in bad]
        grown = max(grown, found["grown"])
        seconds = max(seconds, found["seconds"] if found["code"] else 0)
    return problems, grown, seconds


def mutate(data, rng):
    """Some bytes changed, cut off, doubled, or (of a PNG, with its checksum put right) changed within a
    chunk."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if len(out) < 2:
            break
        at = rng.randrange(len(out)) if rng.random() < 0.5 else rng.randrange(min(len(out), 200))
        kind = rng.random()
        if kind < 0.7:
            out[at] = rng.choice((0, 1, 127, 255, out[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        elif kind < 0.8:
            out[at:at] = out[at : at + rng.randrange(1, 40)]
        elif kind < 0.9:
            del out[at : at + rng.randrange(1, 40)]
        else:
            del out[max(at, 20) :]
        if out[:4] == b"\x89PNG" and rng.random() < 0.7:
            at = 8
            while at + 12 <= len(out):
                end = at + 8 + int.from_bytes(out[at : at + 4], "big")
                if end + 4 <= len(out):
                    out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
                at = end + 4
    return bytes(out)


def try_mutated(folder, count, seed=0):
    """(problems, how many were read, largest memory), ten images beside a good one in each command."""
    rng, good, lines = random.Random(seed), list(pictures().items()), []
    for i in range(0, count, 10):
        images = folder / f"in{i}"
        images.mkdir()
        (images / "good.png").write_bytes(dict(good)["palette.png"])
        for k in range(i, min(i + 10, count)):
            name, data = rng.choice(good)
            (images / f"{k}.{name.rpartition('.')[2]}").write_bytes(mutate(data, rng))
        lines.append(["extract-patches", images, *CUT, "--max-pixels", "1000000", "-o", folder / f"{i}.h5"])
    problems, grown, skipped = [], 0, 0
    for line, found in zip(lines, commands(lines, folder), strict=True):
        bad = wrong(found, Path(line[-1]))
        if found["code"] and "there is nothing to learn" not in found["err"]:  # as from one large flat image
            bad.append(repr(found["err"]))
        problems += [f"{line[1].name}: {text}" for text in bad]
        grown = max(grown, found["grown"])
        skipped += found["err"].count("warning: skipped: ")
    return problems, count - skipped, grown


def told_by(block):
    """(orientation or None, whether it is the whole truth) in an EXIF block, as Pillow reads it."""
    exif = Image.Exif()
    with warnings.catch_warnings(record=True) as damage:
        warnings.simplefilter("always")
        try:
            exif.load(block)
            return exif.get(274), not damage
        except Exception:
            return None, False


def try_exif(folder, count, seed=0):
    """{(orientation told or -1 for none that is, turned, warned): how many}.

    Raises AssertionError for a turn that is left out in silence.
    """
    rng, path, seen = np.random.default_rng(seed), folder / "x.jpg", {}
    exif = Image.Exif()
    exif[274], exif[271], exif[282], exif[306] = 6, "maker", 72.5, "2026:01:01 00:00:00"
    exif.get_ifd(34665)[37386] = 50.5
    exif.get_ifd(34853)[1] = "N"
    Image.fromarray(np.zeros((8, 24), np.uint8)).save(path, exif=exif)
    data = path.read_bytes()
    start = data.index(b"Exif\0\0")
    stop = start + int.from_bytes(data[start - 2 : start], "big") - 2
    for _ in range(count):
        damaged = bytearray(data)
        for place in rng.integers(start + 6, stop, rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        warned = []
        shape = read_image(str(path), warn=warned.append).shape
        told, sure = told_by(bytes(damaged[start:stop]))
        turned = shape == (24, 8, 1)
        assert turned or shape == (8, 24, 1)
        if told in range(9):
            assert turned == (told > 4) or warned, bytes(damaged[start:stop])
        elif sure:
            assert not turned, bytes(damaged[start:stop])
        for text in warned:
            assert not turned
            assert "do not say how it is turned; it is taken as it is stored" in text
        key = (told if told in range(9) else -1, turned, len(warned))
        seen[key] = seen.get(key, 0) + 1
    return seen


def test_odd_images(tmp_path):
    problems, grown, _ = try_odd(tmp_path)
    assert problems == []
    assert grown > 20_000_000  # what the large one takes: the measurement measures


def test_mutated_images(tmp_path):
    problems, read, _ = try_mutated(tmp_path, 120)
    assert problems == []
    assert 0 < read < 120


def test_damaged_exif_hides_no_orientation(tmp_path):
    """What a block still says of the orientation is done; else there is a warning, or nothing to be seen."""
    assert {(6, True, 0), (-1, False, 1), (-1, False, 0)} <= set(try_exif(tmp_path, 400))


def main(mode, count="0"):
    if mode == "serve":
        return serve()
    with tempfile.TemporaryDirectory() as name:
        if mode == "odd":
            problems, grown, seconds = try_odd(Path(name))
            said = (
                f"{len(odd())} images, at most {grown / 1e6:.0f} MB, refused in at most {seconds:.2f} s CPU"
            )
        elif mode == "mutated":
            problems, read, grown = try_mutated(Path(name), int(count))
            said = f"{count} images, {read} read, at most {grown / 1e6:.0f} MB"
        else:
            problems, said = [], f"{count} blocks (told, turned, warned): {try_exif(Path(name), int(count))}"
    print(*problems, said, f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
