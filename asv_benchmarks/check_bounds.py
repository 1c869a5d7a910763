"""Fails where a ratio that ``asv run`` found is beyond its bound, so that a fast path isn't lost by accident.

A track_ benchmark has its bound beside it, as ``at_most`` or ``at_least``: some three times as bad as usual, since the
machine that lands changes is slow and busy. Only ratios have one, which both sides of were measured in one process.
``python asv_benchmarks/check_bounds.py`` reads the newest results; ``asv run -E existing`` keeps some only with
``--set-commit-hash``.
"""
import json
import sys
from itertools import product
from pathlib import Path

from asv_runner.discovery import disc_benchmarks, update_sys_path

HERE = Path(__file__).resolve().parent


def newest_results():
    """A list of values for each benchmark, one for each of its parameters."""
    files = [path for path in (HERE / "results").glob("*/*.json") if path.name != "machine.json"]
    if not files:
        sys.exit(f"no results in {HERE / 'results'}; 'asv run -E existing --set-commit-hash COMMIT' leaves some there")
    stored = json.loads(max(files, key=lambda path: path.stat().st_mtime).read_text())
    at = stored["result_columns"].index("result")
    return {name: columns[at] for name, columns in stored["results"].items()}


def main():
    update_sys_path(str(HERE / "benchmarks"))
    results = newest_results()
    checked, wrong = 0, []
    for benchmark in disc_benchmarks(str(HERE / "benchmarks")):
        at_most, at_least = (getattr(benchmark.func, bound, None) for bound in ("at_most", "at_least"))
        if at_most is None and at_least is None:
            continue
        assert benchmark.unit == "ratio", f"{benchmark.name} has a bound and is no ratio: machines differ"
        values = results.get(benchmark.name)
        if values is None:  # asv leaves out what failed for all parameters
            wrong.append(f"{benchmark.name} has no result")
            continue
        for params, value in zip(product(*benchmark.params), values, strict=True):
            name = f"{benchmark.name}({', '.join(params)})" if params else benchmark.name
            if value is None:
                wrong.append(f"{name} failed")
            elif value == value:  # NaN: skipped
                checked += 1
                if at_most is not None and value > at_most:
                    wrong.append(f"{name} is {value:.3g}, and at most {at_most} is right")
                if at_least is not None and value < at_least:
                    wrong.append(f"{name} is {value:.3g}, and at least {at_least} is right")
    print(*wrong, f"{checked} ratios are bounded, {len(wrong)} wrong", sep="\n")
    return bool(wrong) or not checked


if __name__ == "__main__":
    sys.exit(main())
