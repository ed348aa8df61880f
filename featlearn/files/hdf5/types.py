"""What a file of ours may hold: the rules that writing and reading share."""

import re

import h5py
import numpy as np

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
DTYPES = {np.dtype(t) for t in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")}


def versions() -> dict[str, str]:
    """The versions of h5py and HDF5, for provenance."""
    return {"h5py": h5py.version.version, "hdf5": h5py.version.hdf5_version}
