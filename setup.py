"""The one compiled extension; everything else about the package stands in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# No -ffast-math, no contraction: an fma stands only where it is written, so every instruction set gives the same bytes.
flags = [] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
# Apple's compiler ships no OpenMP runtime; FEATLEARN_OPENMP=0 builds without it anywhere (one thread, said by `featlearn info`).
openmp = os.environ.get("FEATLEARN_OPENMP", "0" if sys.platform == "darwin" else "1") == "1"
if openmp:
    flags.append("/openmp" if sys.platform == "win32" else "-fopenmp")

setup(
    ext_modules=cythonize(
        Extension(
            "featlearn._core",
            sources=["csrc/_core.pyx", "csrc/kernels.c"],
            include_dirs=["csrc"],
            depends=["csrc/fl.h", "csrc/philox.h"],
            extra_compile_args=flags,
            extra_link_args=flags if openmp and sys.platform != "win32" else [],
        ),
        compiler_directives={"language_level": 3},
    )
)
