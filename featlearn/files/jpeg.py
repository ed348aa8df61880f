"""JPEG files as bytes: what has to be known of them before a decoder sees them."""

import io
import re

BLOCK = 1 << 20
# FF 00 is a byte of data, FF FF padding, D0 to D7 restart marks
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SOI = 0xD8
_EOI = 0xD9
_SOS = 0xDA
_LENGTH_FOLLOWS = 0xC0  # from here on the length of a segment stands after its marker, but for SOI and EOI


def count_scans(file: io.BufferedReader | io.BytesIO, enough: int) -> int:
    """The number of scans that a JPEG file declares before its end mark; `enough` of them end the count.

    A decoder goes over the whole image for each scan, and a scan can be ten bytes long. Reads on from the
    file's position, block by block.
    """
    scans = 0
    data = b""
    at = 0
    while scans < enough:
        found = _MARKER.search(data, at)
        if found is None:
            rest = b"\xff" if data.endswith(b"\xff") and at < len(data) else b""
            more = file.read(BLOCK)
            if not more:
                break
            data, at = rest + more, 0
            continue
        kind, at = data[found.end() - 1], found.end()
        if kind == _EOI:
            break
        scans += kind == _SOS
        if kind >= _LENGTH_FOLLOWS and kind != _SOI:
            if len(data) < at + 2:
                data, at = data[at:] + file.read(2), 0
            end = at + int.from_bytes(data[at : at + 2], "big")
            if end > len(data):
                file.seek(end - len(data), 1)
            at = min(end, len(data))
    return scans
