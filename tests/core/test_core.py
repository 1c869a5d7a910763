"""The C core, spsc.h: stress with real threads, sanitizers, a microcontroller, models of its protocol, and broken
copies that these must catch. README.md tells what each of them shows."""
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core import variants

HERE = variants.HERE
INCLUDE = variants.find_include()
CC = os.environ.get("CC", "gcc").split()
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZERS = {
    "tsan": ["-O1", "-fsanitize=thread"],
    "asan": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}
CORTEX_M = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-ffreestanding", "-nostdlib"]
CORES = os.cpu_count() or 1

pytestmark = [
    pytest.mark.not_sanitized,
    pytest.mark.skipif(sys.platform != "linux", reason="stress.c uses memfd_create and membarrier"),
    pytest.mark.thread_unsafe(reason="each test runs processes of its own"),
]


def need(*tools):
    """Skip the test if a tool is missing. In CI that is a failure, because the tools must be there."""
    for tool in tools:
        if shutil.which(tool) is None:
            said = f"no {tool} on this machine"
            pytest.fail(said) if os.environ.get("SPILL_RING_CI") else pytest.skip(said)


def run(*command, timeout=300, **options):
    command = [str(part) for part in command]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=timeout,
        env=os.environ | {"TSAN_OPTIONS": "halt_on_error=1"}, **options
    )  # fmt: skip
    return done.returncode, done.stdout


def succeed(*command, **options):
    code, said = run(*command, **options)
    assert code == 0, f"{' '.join(map(str, command))}\nexit code {code}\n{said}"
    return said


def put_headers(folder, *changes):
    """Write the headers, with the changes of these variants, to an include folder of their own."""
    headers = variants.read_headers()
    for variant in changes:
        headers = variant.apply(headers)
    (folder / "spill_ring").mkdir(parents=True, exist_ok=True)
    for name, text in headers.items():
        (folder / "spill_ring" / name).write_text(text)
    return folder


def build_stress(folder, include, *flags):
    need(CC[0])
    program = folder / "stress"
    succeed(*CC, "-std=c11", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", *(flags or ["-O2"]), "-I", include,
            HERE / "stress.c", "-o", program)  # fmt: skip
    return program


def under(kind, program):
    """The command that runs a program. ThreadSanitizer needs setarch, because its shadow memory has no room for some of
    the addresses that Linux chooses at random."""
    if kind != "tsan":
        return [program]
    need("setarch")
    return ["setarch", "-R", program]


def build_cortex_m(folder, include):
    need("arm-none-eabi-gcc", "qemu-system-arm")
    program = folder / "cortex_m.elf"
    succeed(*CORTEX_M, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2", "-I", include, "-T",
            HERE / "cortex_m.ld", HERE / "cortex_m.c", "-o", program)  # fmt: skip
    return ["qemu-system-arm", "-M", "lm3s6965evb", "-nographic", "-icount", "6", "-semihosting-config",
            "enable=on,target=native", "-kernel", program]  # fmt: skip


# -- the header itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize("compiler", [[*CC], ["gcc"], ["clang"], CORTEX_M], ids=["CC", "gcc", "clang", "cortex-m3"])
def test_it_compiles_without_a_warning(compiler, tmp_path):
    need(compiler[0])
    (tmp_path / "only.c").write_text('#include "spill_ring/spsc.h"\nextern int nothing;\n')
    succeed(*compiler, *WARNINGS, "-I", INCLUDE, "-c", tmp_path / "only.c", "-o", tmp_path / "only.o")


@pytest.mark.slow
def test_stress(tmp_path):
    program = build_stress(tmp_path, INCLUDE)
    print(succeed(program, "--seconds", 20, "--seed", time.time_ns() % 10**9))


@pytest.mark.slow
def test_stress_with_positions_of_32_bits(tmp_path):
    program = build_stress(tmp_path, put_headers(tmp_path, variants.NARROW))
    print(succeed(program, "--seconds", 5, "--seed", time.time_ns() % 10**9))


@pytest.mark.slow
@pytest.mark.parametrize("kind", SANITIZERS)
def test_sanitizers(kind, tmp_path):
    program = build_stress(tmp_path, INCLUDE, *SANITIZERS[kind])
    print(succeed(*under(kind, program), "--seconds", 10, "--far", 0, "--seed", time.time_ns() % 10**9))


@pytest.mark.slow
def test_cortex_m(tmp_path):
    print(succeed(*build_cortex_m(tmp_path, INCLUDE)))


# -- the broken copies -----------------------------------------------------------------------------

BROKEN = variants.all_variants()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, v in BROKEN.items() for k in sorted(v.caught_by)])
def test_a_broken_copy_is_caught(name, kind, tmp_path):
    broken = BROKEN[name]
    include = put_headers(tmp_path, broken, *[variants.NARROW] * (kind == "narrow"))
    if kind == "cortex":
        code, said = run(*build_cortex_m(tmp_path, include))
    else:
        program = build_stress(tmp_path, include, *SANITIZERS.get(kind, ["-O1"]))
        options = ["--seconds", 20, "--watchdog", 5, *broken.options.split()]
        code, said = run(*under(kind, program), *options)
    assert code != 0, f"no test noticed that {broken.says}:\n{said}"
    assert code < 0 or "FAILED" in said or "ThreadSanitizer" in said, said


def test_every_order_is_broken_once():
    assert {"W1", "R1", "W2", "R2", "W3", "R3"} <= set(variants.all_variants())


# -- the models ----------------------------------------------------------------------------------------

MODELS = [
    ("spsc", "C=1 S=2 N=5"),
    ("spsc", "C=1 S=1 N=4 FAILS=1 FLUSHES=1"),
    ("spsc", "C=2 S=2 N=4 BLOCK=2 CLAIM=2 FAILS=1"),
    ("spsc", "C=2 S=4 N=5 BLOCK=3 CLAIM=2"),
    ("spsc", "C=2 S=4 N=5 FAILS=2"),
    ("spsc", "C=2 S=4 N=4 FAILS=1 FLUSHES=1"),
    ("spsc", "C=2 S=2 N=4 BLOCK=2 CLAIM=2 REJECT=1"),
    ("spsc", "C=2 S=4 N=5 BLOCK=2 CLAIM=2 REJECT=1"),
    ("wait", "N=3 COUNT=2"),
    ("wait", "N=2 COUNT=1"),
    ("wait", "N=3 ROOM=1"),
]
BROKEN_MODELS = [
    ("wait" if v.is_wait else "spsc", v.options_of_model, v.model) for v in BROKEN.values() if v.model
] + [
    ("spsc", "C=1 S=2 N=4", "WAITS"),
    ("wait", "N=3 COUNT=2", "BARRIER"),
    ("wait", "N=3 ROOM=1", "BARRIER"),
    ("wait", "N=3 COUNT=2", "LOOK"),
]


def search(folder, model, options, broken=None):
    """Search a model completely with spin, and return what spin says. A broken model must end with an error."""
    folder.mkdir()
    macros = [f"-D{macro}" for macro in options.split()] + [f"-DBREAK_{broken}"] * bool(broken)
    succeed("spin", "-a", *macros, HERE / f"{model}.pml", cwd=folder)
    succeed(*CC, "-O0" if broken else "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-DMEMLIM=1900",
            "pan.c", "-o", "pan", cwd=folder)  # fmt: skip
    return run("./pan", "-m100000", "-w22", cwd=folder)[1]


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """All searches. They start at once, as many at a time as there are cores, and each test waits for its own."""
    need("spin", CC[0])
    folder = tmp_path_factory.mktemp("spin")
    jobs = [(*job, None) for job in MODELS] + BROKEN_MODELS
    with ThreadPoolExecutor(CORES) as pool:
        yield {job: pool.submit(search, folder / str(i), *job) for i, job in enumerate(jobs)}
        pool.shutdown(cancel_futures=True)


def names(jobs):
    return [" ".join(filter(None, job)) for job in jobs]


@pytest.mark.slow
@pytest.mark.parametrize("job", MODELS, ids=names(MODELS))
def test_the_models_hold(job, searches):
    said = searches[(*job, None)].result()
    assert "errors: 0" in said, said
    assert "Search not completed" not in said and "max search depth too small" not in said, said


@pytest.mark.slow
@pytest.mark.parametrize("job", BROKEN_MODELS, ids=names(BROKEN_MODELS))
def test_the_models_show_what_is_broken(job, searches):
    said = searches[job].result()
    shown = "invalid end state" if job[2] == "WAITS" else "assertion violated"
    assert "errors: 1" in said and f"pan:1: {shown}" in said, said
    assert "invalid array index" not in said, said
