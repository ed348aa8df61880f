"""The one compiled extension, and man pages; all else about the package stands in pyproject.toml."""

import glob
import os
import runpy
from concurrent.futures import ThreadPoolExecutor

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No -ffast-math, no contraction: an fma stands only where it is written, so every instruction set gives the
# same bytes.
# No debugging symbols, which Python's own flags ask for: to write them takes as long as all the rest.
flags = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-pthread"]


class SideBySide(build_ext):
    """Compiles the sources of the extension side by side."""

    def build_extensions(self):
        compile_in_turn = self.compiler.compile

        def compile_all(sources, **options):
            def compile_one(source):
                # what Cython wrote: nothing there takes time
                more = ["-O1"] if source.endswith("_core.c") else []
                return compile_in_turn(
                    [source], **options | {"extra_postargs": options["extra_postargs"] + more}
                )

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return [name for names in pool.map(compile_one, sources) for name in names]

        self.compiler.compile = compile_all
        super().build_extensions()


setup(
    ext_modules=cythonize(
        Extension(
            "featlearn._core",
            sources=["csrc/_core.pyx", *sorted(glob.glob("csrc/*_f??.c")), "csrc/kernels.c", "csrc/pool.c"],
            include_dirs=["csrc"],
            depends=sorted(glob.glob("csrc/*.[hp]*")),
            extra_compile_args=flags,
            extra_link_args=flags[-1:],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
        ),
        compiler_directives={"language_level": 3},
    ),
    cmdclass={"build_ext": SideBySide},
    data_files=[("share/man/man1", runpy.run_path("man_pages.py")["write"]("build/man"))],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
