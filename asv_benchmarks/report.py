"""Measures what the README states, on this machine, and writes it there.

``python asv_benchmarks/report.py`` replaces what lies between ``<!-- report: NAME -->`` and ``<!-- end -->`` in
README.md, and draws the picture; with ``--check`` it prints all that and writes nothing. Every figure is that of a
``track_`` benchmark, run in this process. It takes about four minutes, on a machine that does nothing else.
"""
import argparse
import operator
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from asv_runner.discovery import disc_benchmarks, update_sys_path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
PICTURE = HERE / "channels.png"
MEETS = {"≤": operator.le, "<": operator.lt, "≥": operator.ge}


class Tracked:
    """The track_ benchmarks: a call runs one, the first time that its value is asked for."""

    def __init__(self):
        root = str(HERE / "benchmarks")
        update_sys_path(root)
        self.benchmarks = {found.name: found for found in disc_benchmarks(root) if found.type == "track"}
        self.caches = {None: None}
        self.values = {}
        self.missed = 0

    def __call__(self, name, *params):
        """Its value; None where what it compares with isn't here."""
        if (name, params) not in self.values:
            self.values[name, params] = self.run(self.benchmarks[name], params)
        return self.values[name, params]

    def run(self, benchmark, params):
        key = benchmark.setup_cache_key
        if key not in self.caches:
            self.caches[key] = benchmark.do_setup_cache()
        benchmark.set_cache(self.caches[key])
        benchmark.set_param_idx(list(product(*benchmark.params)).index(tuple(map(repr, params))))
        if benchmark.do_setup():  # skipped
            return None
        value = benchmark.do_run()
        benchmark.do_teardown()
        target = re.search(r"target (.) (\d+(?:\.\d+)?)", benchmark.func.__doc__)
        met = not target or MEETS[target[1]](value, float(target[2]))
        self.missed += not met
        name = f"{benchmark.name}({', '.join(map(str, params))})"
        wanted = f"  target {target[1]} {target[2]}{'' if met else ', missed'}" if target else ""
        print(f"{name:75} {value:12.3f} {benchmark.unit}{wanted}", file=sys.stderr, flush=True)
        return value


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rounded(value):
    """To two digits, or whole below 100 where it has more."""
    return "" if value is None else f"{float(format(value, '.2g')):,g}"


def ratio(value):
    return "" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def machine():
    """What all the figures depend on."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
        cpu = names[0] if names else cpu
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    shown = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    system = f"{platform.system()} {platform.release()}"
    return (
        f"Measured by `python asv_benchmarks/report.py` on {os.cpu_count()} cores of {cpu}, {system}, "
        f"{platform.python_implementation()} {platform.python_version()}, numpy {np.__version__}, {shown or compiler}; "
        f"load {os.getloadavg()[0]:.1f} before."
    )


def ratios(value):
    several = [
        ("`extend` of 1 / 16 / 256 float64", "numcircbuf's `extend`", "extend.SmallBlocks.track_over_numcircbuf"),
        ("", "numpy-ringbuffer's `extend`", "extend.SmallBlocks.track_over_numpy_ringbuffer"),
        ("", "`buf[:n] = x`", "extend.SmallBlocks.track_over_assignment"),
    ]
    single = [
        ("`extend` of 4,096 through two chained rings", "one ring", "sinks.track_chain_over_single_4096"),
        ("`ObjectRing.push`", "`deque(maxlen=n).append`", "push.Ratios.track_object_ring_over_deque"),
        ("`ArrayRing.push(1.5)`", "numcircbuf's `append`", "push.Ratios.track_array_ring_over_numcircbuf"),
        ("`SpscRing.push(1.5)`", "`ArrayRing.push`", "two_threads.Calls.track_push_over_array_ring"),
    ]
    rows = [[*words, " / ".join(ratio(value(name, n)) for n in (1, 16, 256))] for *words, name in several]
    rows += [[*words, ratio(value(name))] for *words, name in single]
    collecting = 1 / value("push.Ratios.track_deque_over_collecting_object_ring")
    view = 1 / value("look.track_view_of_16_over_16_million")
    rows.insert(5, ["`ObjectRing.push` into a `CollectSink`", "the fastest Python with a deque", ratio(collecting)])
    rows.append(["`view()` of 16 million items", "`view()` of 16", ratio(view)])
    return table(["work", "compared with", "ratio"], rows)


def memcpy(value):
    def rates(*params):
        times = [value(f"compiled.OverMemcpy{of_less}.track_time", *params) for of_less in ("", "OfLess")]
        times = [next(time for time in times if time), value("extend.OverCopyto.track_time", *params)]
        return " / ".join(ratio(1 / time) for time in times)

    sizes = (1, 8, 32, 128)
    rows = [[f"{n:,}", *(rates(n, size) for size in sizes)] for n in (16, 1024, 4096, 65536, 1 << 20)]
    return table(["items", *(f"{size} byte{'s' * (size > 1)}" for size in sizes)], rows)


def compiled(value):
    rows = [
        [words, *(rounded(value(f"compiled.{loop}.track_{sink}")) for sink in ("dropping", "collecting", "chained"))]
        for words, loop in (("`push_value`", "PushValue"), ("`push_block` of 256", "PushBlock"))
    ]
    return table(["million items/s", "dropping", "into a `CollectSink`", "through rings of 8 and 64"], rows)


def clients(value):
    loops, blocks = (
        [value(f"interface.{what}.track_{client}") for client in ("c", "numba")] for what in ("PushValue", "PushBlock")
    )
    sink = value("interface.NativeSink.track_a_call")
    return (
        f"Beside the inline `push_value` of a Cython loop, a loop in C takes {loops[0]:.2f} times as long and one in\n"
        f"numba {loops[1]:.2f}; a `push` of 16 items takes {blocks[0]:.1f} ns more than `push_block` in C, and "
        f"{blocks[1]:.1f} in numba; a compiled\nfunction as a sink {sink:.1f} ns more than a sink in Cython, since it "
        "looks whether to let go of the GIL."
    )


def channels(value):
    from benchmarks.channels import CHANNELS, SIZES

    rows = [[f"`{name}`", *(rounded(value("channels.Rate.track_sent", name, n)) for n in SIZES)] for name in CHANNELS]
    return table(["million items/s, arrays of", *(f"{n:,}" for n in SIZES)], rows)


def draw_channels(value, path):
    import matplotlib
    from benchmarks.channels import CHANNELS, SIZES

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(CHANNELS)
    for i, name in enumerate(CHANNELS):
        at = np.arange(len(SIZES)) + i * width
        axes.bar(at, [value("channels.Rate.track_sent", name, size) for size in SIZES], width, label=name)
    axes.set_xticks(np.arange(len(SIZES)) + 0.4 - width / 2, [f"{size:,} float64" for size in SIZES])
    axes.set_yscale("log")
    axes.set_ylabel("million items/s")
    axes.set_xlabel("array that is sent at once")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def single_items(value):
    spilling = "two_threads.ItemByItem.track_spilling"
    boost = value("two_threads.BesideBoost.track_rejecting")
    rows = [
        ["into a full ring with `evict_block=64`", rounded(value(spilling))],
        ["the same, every item evicted by itself", rounded(value(f"{spilling}_one_by_one"))],
        ['`overflow="reject"`', rounded(value("two_threads.ItemByItem.track_rejecting"))],
        ["the same over boost's `spsc_queue`, in turns: a ratio", ratio(boost) or "no boost here"],
    ]
    rows += [
        [f"`MpscRing` of {n}, in blocks of 16,384", rounded(value("two_threads.Merging.track_pushed", n))]
        for n in (1, 2) if n <= (os.cpu_count() or 1)
    ]
    return table(["between two cores", "million items/s"], rows)


def serialization(value):
    from benchmarks.serialize import LIBRARIES, SINGLE

    others = ("msgspec", "struct", "pickle")
    rows = []
    for name in SINGLE:
        own = " / ".join(f"{value(f'serialize.Single.track_{way}', name):,.0f}" for way in ("write", "read"))
        over = [
            [value(f"serialize.SingleOver.track_{way}", name, other) for way in ("write", "read")] for other in others
        ]
        sizes = [value("serialize.Size.track_bytes", name, library) for library in LIBRARIES]
        rows.append([
            f"`{name}`" if name in ("int", "float") else name,
            own,
            *("" if pair[0] is None else " / ".join(map(ratio, pair)) for pair in over),
            ", ".join(f"{size:,.0f}" for size in sizes if size is not None),
        ])
    return table(["", "ns", "msgspec", "struct", "pickle", "bytes of each"], rows)


SECTIONS = [machine, ratios, memcpy, compiled, clients, channels, single_items, serialization]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="print it and write nothing")
    names = ", ".join(section.__name__ for section in SECTIONS)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {names}; all by default")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - {section.__name__ for section in SECTIONS}:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {names}")
    load = machine()  # before we make some of our own
    value = Tracked()
    text = README.read_text()
    wanted = [section for section in SECTIONS if not asked.sections or section.__name__ in asked.sections]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for section in wanted:
            shown = load if section is machine else section(value)
            print(f"{shown}\n", flush=True)
            place = re.compile(rf"(<!-- report: {section.__name__} -->\n).*?(\n<!-- end -->)", re.S)
            if len(place.findall(text)) != 1:
                sys.exit(f"README.md must have one '<!-- report: {section.__name__} -->' ... '<!-- end -->'")
            text = place.sub(lambda found, shown=shown: f"{found[1]}{shown}{found[2]}", text)
        if not asked.check:
            if channels in wanted:
                draw_channels(value, PICTURE)
            README.write_text(text)
        os.chdir(HERE)
    print(f"targets missed: {value.missed}", file=sys.stderr)


if __name__ == "__main__":
    main()
