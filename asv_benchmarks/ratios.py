"""Runs every track_ benchmark in this process, and prints what it gives beside its target."""
import operator
import os
import re
import sys
import tempfile
from itertools import product
from pathlib import Path

from asv_runner.discovery import disc_benchmarks, update_sys_path

MEETS = {"≤": operator.le, "<": operator.lt, "≥": operator.ge}


def main():
    root = Path(__file__).resolve().parent / "benchmarks"
    update_sys_path(str(root))
    caches = {None: None}
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for benchmark in disc_benchmarks(str(root)):
            if benchmark.type != "track":
                continue
            if benchmark.setup_cache_key not in caches:
                caches[benchmark.setup_cache_key] = benchmark.do_setup_cache()
            benchmark.set_cache(caches[benchmark.setup_cache_key])
            target = re.search(r"target (.) (\d+(?:\.\d+)?)", benchmark.func.__doc__)
            for i, params in enumerate(product(*benchmark.params)):
                benchmark.set_param_idx(i)
                if benchmark.do_setup():  # skipped: what it compares with isn't here
                    continue
                value = benchmark.do_run()
                benchmark.do_teardown()
                name = f"{benchmark.name}({', '.join(map(str, params))})" if params else benchmark.name
                met = not target or MEETS[target[1]](value, float(target[2]))
                missed += not met
                wanted = f"{target[1]} {target[2]}" if target else ""
                print(f"{name:55} {value:10.3f} {benchmark.unit:10} {wanted:8} {'' if met else 'missed'}", flush=True)
        os.chdir(root)
    return missed


if __name__ == "__main__":
    print(f"targets missed: {main()}", file=sys.stderr)
