"""Imports run one way: a module imports only what stands below it, and rings for one thread don't know each other.

The sources are read, not imported: a cimport leaves no trace at run time.
"""
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent / "spill_ring"

# From the bottom to the top. A module imports, at its top, from its own line and from those before it.
LAYERS = [
    ["_core"],
    ["serialization", "recording"],
    ["sinks"],
    ["rings"],
    ["threads"],
    ["history"],
    ["interop"],
    ["__init__"],  # `import spill_ring` loads no command line
    ["cli"],
    ["testing", "__main__"],
]
HEIGHTS = {name: height for height, layer in enumerate(LAYERS) for name in layer}

# Documented paths for `cimport` that would break if a module moved: each file is one line, and nothing at run time.
SHIMS = {
    "background_sink": "threads.background",
    "mpsc_ring": "threads.mpsc",
    "scalar": "_core.scalar",
    "spsc_ring": "threads.spsc",
}

# Imports inside of a function or property that run upwards: (from, to), and why that can't be otherwise.
UPWARDS = {
    ("rings.base", "history"): "`ring.history`: a ring has the attribute, and the history knows every ring and sink",
    ("rings.array", "interop.c_interface"): "`ring.capsule`, `.ctypes` and `.cffi`, which only C programs ask for",
    ("threads.spsc", "interop.c_interface"): "the same attributes of a SpscRing",
}

STRING_OR_COMMENT = re.compile(r'"""(?s:.*?)"""|\'\'\'(?s:.*?)\'\'\'|#.*')
IMPORT = re.compile(
    r"^([ \t]*)(?:from[ \t]+([\w.]+)[ \t]+c?import[ \t]*(\([^)]*\)|[^;\n]*)|c?import[ \t]+([^;\n]*))", re.MULTILINE
)


def read_imports(text):
    """What a source imports, as `(is at the top of the module, module, name in it or "")`."""
    plain = STRING_OR_COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
    for indent, module, names, modules in IMPORT.findall(plain):
        for name in (names or modules).strip("() \t").split(","):
            words = name.split()
            if words:
                yield (not indent, module, words[0]) if module else (not indent, words[0], "")


def module_name(path, root):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def read_modules(root):
    """For each module the modules of this package that it imports, at its top and deeper."""
    paths = [path for ending in ("*.py", "*.pyx", "*.pxd") for path in sorted(root.rglob(ending))]
    modules = {module_name(path, root): (set(), set()) for path in paths}
    for path in paths:
        source = module_name(path, root)
        for is_at_top, module, name in read_imports(path.read_text()):
            assert not module.startswith("."), f"{path} imports {module!r}: write the path from spill_ring on"
            if module.split(".")[0] != "spill_ring":
                continue
            target = module.removeprefix("spill_ring").removeprefix(".")
            inner = f"{target}.{name}".strip(".")  # `from package import module`
            target = inner if inner in modules else target or "__init__"
            if target != source:
                modules[source][0 if is_at_top else 1].add(target)
    return modules


def height(module):
    package = module.split(".")[0]
    return HEIGHTS[package if package not in SHIMS else SHIMS[package].split(".")[0]]


def runs_upwards(modules, depth):
    pairs = ((source, target) for source, found in modules.items() for target in found[depth])
    return {(source, target) for source, target in pairs if height(target) > height(source)}


def reached_from(modules, source):
    found, waiting = set(), [source]
    while waiting:
        for target in modules[waiting.pop()][0] - found:
            found.add(target)
            waiting.append(target)
    return found


def one_thread_rings(root):
    texts = {path: path.read_text() for ending in ("*.py", "*.pyx") for path in (root / "rings").glob(ending)}
    ring = re.compile(r"^(cdef )?class (?!TypedRing)\w+\((Typed)?Ring\b", re.M)
    return {module_name(path, root) for path in texts if ring.search(texts[path])}


def faults(root):
    """All that is wrong with the imports below a folder, one line each."""
    modules = read_modules(root)
    yield from (f"{a} imports {b}, which is above it" for a, b in sorted(runs_upwards(modules, 0)))
    yield from (
        f"{a} imports {b} inside of a function: give the reason in UPWARDS"
        for a, b in sorted(runs_upwards(modules, 1) - UPWARDS.keys())
    )
    try:
        TopologicalSorter({source: found[0] for source, found in modules.items()}).prepare()
    except CycleError as error:
        yield f"imports go round: {' <- '.join(error.args[1])}"
    rings = one_thread_rings(root)
    for ring in sorted(rings):
        others = reached_from(modules, ring) & rings - {ring}
        yield from (f"{ring} imports {other}, another ring for one thread" for other in sorted(others))


def test_imports_run_one_way():
    assert list(faults(SOURCES)) == []


def test_every_reason_is_still_needed():
    assert UPWARDS.keys() <= runs_upwards(read_modules(SOURCES), 1)


def test_every_module_has_its_place():
    found = {path.name.partition(".")[0] for path in SOURCES.iterdir() if path.suffix in (".py", ".pyx", ".pxd")}
    found |= {path.name for path in SOURCES.iterdir() if any(path.glob("*.py*"))} - {"__pycache__"}
    assert found <= HEIGHTS.keys() | SHIMS.keys()


@pytest.mark.parametrize("name", SHIMS)
def test_a_shim_is_one_line(name):
    assert re.fullmatch(
        rf"from spill_ring\.{re.escape(SHIMS[name])} cimport [\w, ]+\n", (SOURCES / f"{name}.pxd").read_text()
    )
    assert [path.name for path in SOURCES.glob(f"{name}.*")] == [f"{name}.pxd"]


def test_the_sources_were_found():
    modules = read_modules(SOURCES)
    assert "_core.sink" in modules["sinks.tee"][0]  # a cimport of a .pyx
    assert "_core.sink" in modules["rings.base"][0]  # of a .pxd
    assert "recording.layout" in modules["sinks.npy"][0]  # an import
    assert {"rings.array", "rings.object"} <= one_thread_rings(SOURCES)


@pytest.mark.thread_unsafe(reason="writes files, which the threads would share")
@pytest.mark.parametrize(
    "path, text, expected",
    [
        ("_core/a.pyx", "from spill_ring.sinks.tee cimport TeeSink", "_core.a imports sinks.tee, which is above it"),
        ("_core/a.pxd", "cimport spill_ring.sinks.tee as tee", "_core.a imports sinks.tee, which is above it"),
        ("sinks/a.py", "from spill_ring.rings import (\n    array,\n)",
         "sinks.a imports rings.array, which is above it"),
        ("sinks/a.py", "from spill_ring import ArrayRing", "sinks.a imports __init__, which is above it"),
        ("rings/array.pyx", "from spill_ring.rings.object cimport ObjectRing",
         "rings.array imports rings.object, another ring for one thread"),
        ("rings/base.pyx", "def f():\n    from spill_ring.cli.app import main",
         "rings.base imports cli.app inside of a function: give the reason in UPWARDS"),
        ("sinks/tee.pyx", "import spill_ring.sinks.a", "imports go round: "),
    ],
)
def test_a_planted_fault_is_found(tmp_path, path, text, expected):
    for name in ("rings/array", "rings/object"):
        add(tmp_path, f"{name}.pyx", "from spill_ring._core.sink cimport Sink\n\ncdef class Some(Ring):\n    pass\n")
    for name in ("__init__.py", "_core/sink.pyx", "sinks/tee.pyx", "rings/base.pyx", "cli/app.py"):
        add(tmp_path, name, '"""\nfrom spill_ring.cli import app\n"""\n# import spill_ring.cli\n')
    add(tmp_path, "sinks/a.py", "import spill_ring.sinks.tee\n")
    assert list(faults(tmp_path)) == []
    add(tmp_path, path, text + "\n")
    (found,) = faults(tmp_path)
    assert found.startswith(expected)


def add(folder, name, text):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(text)
