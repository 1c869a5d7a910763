"""Compiles what is in tests/client, as a user would."""
import importlib.util
import os
import subprocess
import sysconfig
from pathlib import Path

from spill_ring import get_include

CLIENT = Path(__file__).parent / "client"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused-parameter", "-Werror"]


def shared_library(source, folder, *flags):
    """A shared library of one C file."""
    compiler = os.environ.get("CC", "cc").split()
    built = Path(folder, source.stem).with_suffix(".so")
    command = [*compiler, *WARNINGS, "-O2", "-shared", "-fPIC", "-pthread", f"-I{get_include()}", *flags, source]
    done = subprocess.run([*command, "-o", built, "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return built


def extension(name, folder):
    """A module of one C file."""
    built = shared_library(CLIENT / f"{name}.c", folder, "-isystem", sysconfig.get_paths()["include"])
    spec = importlib.util.spec_from_file_location(name, built)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
