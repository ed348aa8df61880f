"""The one compiled extension; everything else about the package stands in pyproject.toml."""

import glob
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# No -ffast-math, no contraction: an fma stands only where it is written, so every instruction set gives the same bytes.
flags = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-pthread"]
if sys.platform == "win32":
    flags = []

setup(
    ext_modules=cythonize(
        Extension(
            "featlearn._core",
            sources=["csrc/_core.pyx", "csrc/kernels.c", "csrc/pool.c"],
            include_dirs=["csrc"],
            depends=sorted(glob.glob("csrc/*.[hp]*")),
            extra_compile_args=flags,
            extra_link_args=flags[-1:],
        ),
        compiler_directives={"language_level": 3},
    )
)
