"""Compiles what is in tests/client, as a user would."""
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

from spill_ring import get_include

CLIENT = Path(__file__).parents[1] / "client"
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(name="{name}", ext_modules=cythonize([Extension("{name}", ["{name}.pyx"], include_dirs={include_dirs})]))
"""
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused-parameter", "-Werror"]


def shared_library(source, folder, *flags):
    """A shared library of one C file."""
    compiler = os.environ.get("CC", "cc").split()
    built = Path(folder, source.stem).with_suffix(".so")
    command = [*compiler, *WARNINGS, "-O2", "-shared", "-fPIC", "-pthread", f"-I{get_include()}", *flags, source]
    done = subprocess.run([*command, "-o", built, "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return built


def cython_extension(source, folder):
    """A module of one Cython file, by hand: with no more folders than a compiler of C wants."""
    command = [sys.executable, "-m", "cython", "-3", source, "-o", folder / f"{source.stem}.c"]
    subprocess.run(command, check=True, cwd=folder)
    built = shared_library(
        folder / f"{source.stem}.c", folder, "-isystem", sysconfig.get_paths()["include"], "-isystem", np.get_include(),
        "-Wno-unused-function", "-Wno-pedantic", "-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION",
    )
    return load(source.stem, built)


def extension(name, folder):
    """A module of one C file."""
    built = shared_library(CLIENT / f"{name}.c", folder, "-isystem", sysconfig.get_paths()["include"])
    return load(name, built)


def load(name, built):
    spec = importlib.util.spec_from_file_location(name, built)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled(name, folder, include_dirs=()):
    """A module of tests/client, compiled as a user would."""
    shutil.copy(CLIENT / f"{name}.pyx", folder)
    (folder / "setup.py").write_text(SETUP.format(name=name, include_dirs=list(include_dirs)))
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "performance hint" not in done.stdout + done.stderr, done.stdout + done.stderr
    [built] = folder.glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, built)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
