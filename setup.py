"""Builds the extension modules. Everything else is in pyproject.toml.

Environment switches, each off unless it is set to something:

SPILL_RING_ANNOTATE   write Cython's annotated HTML beside each .pyx
SPILL_RING_DEBUG      -O0 -g, assertions on
SPILL_RING_SANITIZE   a list for -fsanitize, such as "address,undefined"
"""
import os
from glob import glob

import numpy as np
from Cython.Build import cythonize
from Cython.Compiler import Errors
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext as setuptools_build_ext

DIRECTIVES = {
    "language_level": "3",
    "cdivision": True,
    "initializedcheck": False,
    "always_allow_keywords": False,  # a method of one argument takes it positionally: 5 ns less
    "binding": False,  # a method call is a quarter faster
    "embedsignature": True,
    "embedsignature.format": "clinic",  # gives inspect.signature back
    "auto_pickle": False,
    "freethreading_compatible": True,  # guard.pxd says what makes it so, class by class
}

SOURCES = sorted(path.replace(os.sep, "/") for path in glob("spill_ring/**/*.pyx", recursive=True))
HEADERS = glob("spill_ring/*/*.h") + glob("spill_ring/include/spill_ring/*.h")

compile_args = ["-O3", "-Wall", "-Wextra", "-Wno-unused-parameter"]
link_args = []
MSVC_ARGS = ["/O2", "/std:c11", "/experimental:c11atomics"]  # atomics since Visual Studio 2022 17.5
if os.environ.get("SPILL_RING_DEBUG"):
    compile_args = ["-O0", "-g", "-UNDEBUG"]
if sanitize := os.environ.get("SPILL_RING_SANITIZE"):
    flags = [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
    compile_args += flags
    link_args += flags


class build_ext(setuptools_build_ext):
    """Chooses flags by the compiler, which is known only now: on Windows there are several."""

    def build_extensions(self):
        is_msvc = self.compiler.compiler_type == "msvc"
        for extension in self.extensions:
            # the switches above are for gcc and clang
            extension.extra_compile_args = MSVC_ARGS if is_msvc else compile_args
            extension.extra_link_args = [] if is_msvc else link_args
            extension.libraries = ["synchronization"] if os.name == "nt" else []  # park.h's WaitOnAddress
        super().build_extensions()


def refuse_hint(position, message, *args, **kwargs):
    """A performance hint says that a call without the GIL will check for it: 50 ns for 1.6."""
    raise Errors.CompileError(position, message)


Errors.performance_hint = refuse_hint

setup(
    ext_modules=cythonize(
        [
            Extension(
                path.removesuffix(".pyx").replace("/", "."),
                [path],
                include_dirs=[
                    np.get_include(), "spill_ring/include", "spill_ring/_core", "spill_ring/interop", "spill_ring/threads",
                ],
                define_macros=[
                    ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                    ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
                ],
                depends=HEADERS,
            )
            for path in SOURCES
        ],
        compiler_directives=DIRECTIVES,
        annotate=bool(os.environ.get("SPILL_RING_ANNOTATE")),
    ),
    cmdclass={"build_ext": build_ext},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
