"""The only door to HDF5: Writer makes files, Reader opens them strictly."""

import os

# Filter plugins are code that a file asks for; "::" switches them off. HDF5 reads this when it is loaded.
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"

from featlearn.files.hdf5.reading import Reader
from featlearn.files.hdf5.types import versions
from featlearn.files.hdf5.writing import Writer

__all__ = ["Reader", "Writer", "versions"]
