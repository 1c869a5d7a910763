"""Pictures of a recording, in a terminal or a file, in memory that doesn't grow with it."""
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spill_ring.cli.columns import columns
from spill_ring.cli.files import replaced
from spill_ring.cli.scan import scan_readable
from spill_ring.recording.log import SpillLog

PANELS = 12  # at most
LINES = 8  # in a panel, at most
ROWS = 9  # of a panel in a terminal
COLOURS = ("blue", "orange", "green", "red", "magenta", "cyan", "gray", "yellow")
UNITS = {"bytes": "B", "percent": "%", "seconds": "s"}  # by the last word of a field's name
LIMIT = 1e300  # values beyond it can't be drawn on an axis


class Envelope(NamedTuple):
    """The lowest and the highest value of each of several runs of items; NaN where there is none."""

    at: NDArray[Any]  # of the first item of each run: its time, or its sequence number
    panels: dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]  # field, column, low and high

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        lines = [line for lines in self.panels.values() for line in lines.values()]
        return not any(lines_through(self.at, *line) for line in lines)


def panels_of(dtype: np.dtype[Any]) -> dict[str, list[str]]:
    """The columns of numbers by the field that they belong to, as many as can be drawn."""
    panels: dict[str, list[str]] = {}
    for name, column in columns(np.empty(0, dtype)).items():
        if column.dtype.kind in "biuf":
            panels.setdefault(name.partition("[")[0], []).append(name)
    return {field: names[:LINES] for field, names in list(panels.items())[:PANELS]}


def envelope(log: SpillLog, width: int, advance: Callable[[int], object]) -> Envelope:
    """Decimate a recording of numbers.

    Parameters
    ----------
    log : SpillLog
        A recording of numbers, not of objects.
    width : int
        The number of runs that the items are divided into, at most.
    advance : callable
        Called after each block with its size in bytes.

    Returns
    -------
    Envelope
        Drawn over the first field of times, if there is one. Damaged items leave a gap. O(items) time,
        O(width) memory.
    """
    assert log.dtype is not None
    count = len(log)
    width = max(min(width, count), 1)
    starts = log.first + np.arange(width) * count // width  # the first item of each run
    panels = panels_of(log.dtype)
    names = [name for found in panels.values() for name in found]
    low, high = np.full((2, len(names), width), np.nan)
    times = [name for name, column in columns(np.empty(0, log.dtype)).items() if column.dtype.kind == "M"]
    at = np.full(width, "NaT", columns(np.empty(0, log.dtype))[times[0]].dtype) if times else starts

    for first, block in scan_readable(log):
        advance(block.nbytes)
        a, b = np.searchsorted(starts, [first, first + len(block) - 1], "right") - 1
        runs = slice(a, b + 1)
        cuts = np.maximum(starts[runs] - first, 0)
        found = columns(block)
        if times:
            at[runs] = np.where(np.isnat(at[runs]), found[times[0]][cuts], at[runs])
        for i, name in enumerate(names):
            low[i, runs] = np.fmin(low[i, runs], np.fmin.reduceat(found[name], cuts))
            high[i, runs] = np.fmax(high[i, runs], np.fmax.reduceat(found[name], cuts))

    values = dict(zip(names, zip(low, high, strict=True), strict=True))
    return Envelope(at, {field: {name: values[name] for name in found} for field, found in panels.items()})


def lines_through(
    at: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]
) -> list[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Lines through all lows and highs that are there. After each gap a new line begins."""
    there = (np.abs(low) < LIMIT) & (np.abs(high) < LIMIT)
    if at.dtype.kind == "M":
        there &= ~np.isnat(at)
    cuts = np.flatnonzero(np.diff(np.flatnonzero(there)) > 1) + 1
    at, y = at[there], low[there]
    if not np.array_equal(y, high[there]):
        at, y, cuts = np.repeat(at, 2), np.column_stack([y, high[there]]).ravel(), 2 * cuts
    return [(x, y) for x, y in zip(np.split(at, cuts), np.split(y, cuts), strict=True) if len(x)]


def clock(at: NDArray[np.datetime64]) -> list[str]:
    """Labels of an axis of times, as short as tells them apart."""
    span = (at[-1] - at[0]) / np.timedelta64(1, "s")
    unit, begin, end = ("D", 0, 10) if span > 3 * 86400 else ("s", 11, 19) if span > 4 else ("ms", 14, 23)
    return [text[begin:end] for text in np.datetime_as_string(at.astype(f"M8[{unit}]"))]


def to_terminal(found: Envelope, width: int) -> str:
    """Draw in characters.

    Parameters
    ----------
    found : Envelope
        It looks best with two runs of items for each character.
    width : int
        Characters.

    Returns
    -------
    str
        With ANSI colours.
    """
    import plotext

    is_time = found.at.dtype.kind == "M"
    pictures = []
    for field, lines in found.panels.items():
        figure = plotext.figure
        figure.clear()
        figure.theme("colorless").plot_size(width, ROWS).title(field)
        at = found.at[~np.isnat(found.at)] if is_time else found.at
        zero = at[:1]
        for colour, line in zip(COLOURS, lines.values(), strict=False):
            marker = plotext.marker("braille", colour) if len(lines) > 1 else "braille"
            for x, y in lines_through(found.at, *line):  # all finite: plotext would end the process at a NaN
                figure.draw(figure.signal((x - zero).astype("f8").tolist(), y.tolist(), marker=marker).lines())
        if len(at):
            ticks = at[np.linspace(0, len(at) - 1, min(len(at), max(width // 20, 2))).astype(int)]
            labels = clock(ticks) if is_time else [f"{n:,}" for n in ticks.tolist()]
            figure.ruler("x").ticks((ticks - zero).astype("f8").tolist(), labels)
        pictures.append(str(figure.build()))
    return "".join(pictures)


def to_png(found: Envelope, title: str, path: Path) -> None:
    """Draw in a PNG file, one panel below the other. A file that exists is written over.

    Parameters
    ----------
    found : Envelope
    title : str
    path : Path

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    count = max(len(found.panels), 1)
    figure = Figure(figsize=(9, 0.8 + 1.25 * count), dpi=100, layout="constrained")
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for axes, (field, lines) in zip(panels, found.panels.items(), strict=False):
        for i, (name, line) in enumerate(lines.items()):
            axes.plot([], [], color=f"C{i}", linewidth=1, label=name)
            for x, y in lines_through(found.at, *line):
                alone = "." if len(x) == 1 else ""
                axes.plot(x, y, alone, color=f"C{i}", linewidth=1, markersize=3)
        axes.set_title(field, loc="left", fontsize=10)
        axes.yaxis.set_major_formatter(EngFormatter(UNITS.get(field.rpartition("_")[2], "")))
        axes.locator_params(axis="y", nbins=4)
        axes.margins(x=0.01, y=0.1)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8, ncols=len(lines), loc="lower right", bbox_to_anchor=(1, 0.97))
    if found.at.dtype.kind == "M":
        locator = AutoDateLocator()
        panels[-1].xaxis.set_major_locator(locator)
        panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
        panels[-1].set_xlabel("time (UTC)", fontsize=10)
    else:
        panels[-1].set_xlabel("item", fontsize=10)
    figure.suptitle(title, fontsize=11)
    with replaced(path) as beside:
        figure.savefig(beside, format="png")
