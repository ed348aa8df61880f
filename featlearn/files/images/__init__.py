"""The only place that opens images (Pillow), besides pictures/mosaic.py, which writes one."""

from featlearn.files.images.reading import SUFFIXES, count_frames, read_image

__all__ = ["SUFFIXES", "count_frames", "read_image"]
