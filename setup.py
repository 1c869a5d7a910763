"""Builds the extension modules. Everything else is in pyproject.toml.

Environment switches, each off unless it is set to something:

SPILL_RING_ANNOTATE   write Cython's annotated HTML beside each .pyx
SPILL_RING_DEBUG      -O0 -g, assertions on
SPILL_RING_SANITIZE   a list for -fsanitize, such as "address,undefined"
"""
import multiprocessing
import os
import re
import sys
from glob import glob

import numpy as np
from Cython.Build import Dependencies, cythonize
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


def files(pattern):
    return sorted(path.replace(os.sep, "/") for path in glob(pattern, recursive=True))


SOURCES, HEADERS = files("spill_ring/**/*.pyx"), files("spill_ring/**/*.h")
FOLDERS = sorted({os.path.dirname(path) for path in SOURCES})  # each keeps its headers beside its modules

# gcc's time by the effort that pays: callgrind counts the same instructions with -O2 as with -O3, within 1.5%, but for
# FAST, where a call takes up to 12% more. No hot path runs in COLD.
FAST = (
    "spill_ring.interop.c_interface",
    "spill_ring.recording.checksum",
    "spill_ring.serialization.",
    "spill_ring.sinks.channel",
    "spill_ring.sinks.function",
    "spill_ring.threads.producer",
    "spill_ring.threads.spsc",
)
COLD = (
    "spill_ring._core.storage",
    "spill_ring.history",
    "spill_ring.recording.writer",
    "spill_ring.sinks.disk",
    "spill_ring.sinks.file",
)

# -g0, since Python's own flags say -g: nobody reads what it adds, and gcc spends a fifth of its time on it.
compile_args = ["-g0", "-Wall", "-Wextra", "-Wno-unused-parameter"]
link_args = []
MSVC_ARGS = ["/O2", "/std:c11", "/experimental:c11atomics"]  # atomics since Visual Studio 2022 17.5
if os.environ.get("SPILL_RING_DEBUG"):
    compile_args = ["-O0", "-g", "-UNDEBUG"]
if sanitize := os.environ.get("SPILL_RING_SANITIZE"):
    flags = [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
    compile_args += flags
    link_args += flags


def optimization(name):
    return "-O3" if name.startswith(FAST) else "-O1" if name.startswith(COLD) else "-O2"


class build_ext(setuptools_build_ext):
    def finalize_options(self):
        """Keep what an editable install builds in build/, where the next `build_ext --inplace` looks for it.

        setuptools would use a temporary folder, and the first rebuild would compile every module again.
        """
        super().finalize_options()
        if self.editable_mode:
            build = type(self.get_finalized_command("build"))(self.distribution)
            build.ensure_finalized()
            self.build_lib, self.build_temp = build.build_lib, build.build_temp

    def build_extensions(self):
        """Choose flags by the compiler, which is known only now: on Windows there are several."""
        is_msvc = self.compiler.compiler_type == "msvc"
        for extension in self.extensions:
            # the switches above are for gcc and clang
            extension.extra_compile_args = MSVC_ARGS if is_msvc else [optimization(extension.name), *compile_args]
            extension.extra_link_args = [] if is_msvc else link_args
            extension.libraries = ["synchronization"] if os.name == "nt" else []  # parking.h calls WaitOnAddress
        super().build_extensions()


def refuse_hint(position, message, *args, **kwargs):
    """A performance hint says that a call without the GIL will check for it: 50 ns for 1.6."""
    raise Errors.CompileError(position, message)


Errors.performance_hint = refuse_hint


def own_timestamp(tree, path):
    """When `path` changed. Those outside of this project count as old: numpy may have been installed a minute ago."""
    return 0 if os.path.isabs(path) else os.path.getmtime(path)


Dependencies.DependencyTree.timestamp = own_timestamp

# Only a process that is forked knows the changes above.
processes = (os.cpu_count() or 1) if sys.platform == "linux" else 0
if processes:
    multiprocessing.set_start_method("fork", force=True)



def headers_of(source):
    """The headers of this package that a module needs: those that its .pxd files name, and what these include."""
    tree = Dependencies.create_dependency_tree(quiet=True)
    unread = [path for path in tree.all_dependencies(source) if not os.path.isabs(path)]
    found = set()
    while unread:
        with open(unread.pop(), encoding="utf-8") as file:
            named = tuple("/" + name for name in re.findall(r'(?:extern from|#include) "([\w./]+)"', file.read()))
        new = {header for header in HEADERS if header.endswith(named)} - found
        unread += new
        found |= new
    return sorted(found)


setup(
    ext_modules=cythonize(
        [
            Extension(
                path.removesuffix(".pyx").replace("/", "."),
                [path],
                include_dirs=[np.get_include(), "spill_ring/include", *FOLDERS],
                define_macros=[
                    ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                    ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
                ],
                depends=headers_of(path),
            )
            for path in SOURCES
        ],
        compiler_directives=DIRECTIVES,
        nthreads=processes,
        annotate=bool(os.environ.get("SPILL_RING_ANNOTATE")),
    ),
    cmdclass={"build_ext": build_ext},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
