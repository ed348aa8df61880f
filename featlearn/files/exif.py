"""EXIF blocks as bytes: how an image is turned, whatever else in the block is damaged."""

import re
import struct

ORIENTATION = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # types that a whole number may have


def orientation(block: bytes) -> int | None:
    """1 to 8 as the tag says, None where the block has no such tag; 0, which some cameras write, is 1.

    Raises ValueError for a block that is too damaged to tell. Source: CIPA DC-008 (Exif 2.32), section 4.6.
    """
    block = re.sub(rb"^(Exif\0\0)+", b"", block)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise ValueError("no header")
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", block, at)
            if tag == ORIENTATION:
                (value,) = struct.unpack_from(order + _INTEGERS[kind], block, at + 8)
                if count != 1 or value > 8:
                    raise ValueError("no orientation")
                return max(int(value), 1)
    except (struct.error, KeyError) as error:
        raise ValueError("cut off") from error
    return None
