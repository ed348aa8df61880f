"""A file in memory, for HDF5 to write into."""

import os
from collections.abc import Iterator


class SparseBuffer:
    """What HDF5 takes for its file: pages in memory, zeros where nothing was written."""

    page = 1 << 16

    def __init__(self) -> None:
        self.pages: dict[int, bytearray] = {}
        self.size = self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (self.size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: memoryview) -> int:
        for index, a, b, done in self._spans(len(data)):
            page = self.pages.setdefault(index, bytearray(self.page))
            page[a:b] = data[done : done + b - a]
        self._at += len(data)
        self.size = max(self.size, self._at)
        return len(data)

    def readinto(self, data: memoryview) -> int:
        for index, a, b, done in self._spans(len(data)):
            page = self.pages.get(index)
            data[done : done + b - a] = bytes(b - a) if page is None else page[a:b]
        return len(data)

    def truncate(self, size: int) -> None:
        self.size = size

    def flush(self) -> None:
        pass

    def _spans(self, n: int) -> Iterator[tuple[int, int, int, int]]:
        """(page number, from, to, bytes done) for the n bytes at the present place."""
        done = 0
        while done < n:
            index, a = divmod(self._at + done, self.page)
            b = min(self.page, a + n - done)
            yield index, a, b, done
            done += b - a
