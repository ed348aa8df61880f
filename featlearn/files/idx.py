"""IDX files, as MNIST is distributed: unsigned bytes, gzipped or not."""

import gzip
import math
import os
import struct
import zlib
from typing import Any

import numpy as np

from featlearn.errors import DataError, reason, show
from featlearn.files.budget import Budget
from featlearn.files.paths import check_regular, open_regular
from featlearn.files.stored import Descriptor, Stored, read_exactly
from featlearn.rows import Array


def read_idx(path: str, ndim: int) -> Array | Stored:
    """An IDX file of unsigned bytes in `ndim` dimensions: 3 images (magic 2051), 1 labels (magic 2049)."""
    size = check_regular(path).st_size
    wanted = f"an IDX file of {'images (magic 2051)' if ndim == 3 else 'labels (magic 2049)'}"
    head_size = 4 + 4 * ndim
    with open_regular(path) as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        try:
            head = stream.read(head_size)
            magic = int.from_bytes(head[:4], "big")
            if len(head) < head_size or magic != 2048 + ndim:
                raise DataError(f"{show(path)}: starts with {head[:4].hex() or 'nothing'}, wanted {wanted}")
            shape = struct.unpack(f">{ndim}I", head[4:])
            n = math.prod(shape)
            if n == 0:
                raise DataError(f"{show(path)}: is empty, shape {shape}")
            if not packed:
                if head_size + n != size:
                    found = f"{size - head_size:,}"
                    raise DataError(f"{show(path)}: declares {n:,} bytes of data, the file has {found}")
                return Stored(Descriptor(path, os.dup(file.fileno())), head_size, shape, np.uint8)
            Budget(path).claim(n)
            return read_exactly(path, stream, n).reshape(shape)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{show(path)}: is damaged or cut off ({reason(error)})") from error
