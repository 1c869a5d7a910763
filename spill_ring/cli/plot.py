"""Pictures of a recording, in a terminal or a file, in memory that doesn't grow with it."""
import io
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spill_ring.cli.columns import Column, columns_of, in_units
from spill_ring.cli.columns import width as width_of
from spill_ring.cli.files import replaced
from spill_ring.cli.scan import scan_readable
from spill_ring.cli.text import clipped
from spill_ring.recording.log import SpillLog

PANELS = 12  # at most
LINES = 8  # in a panel, at most
ROWS = 9  # of a panel in a terminal
COLOURS = ("blue", "orange", "green", "red", "magenta", "cyan", "gray", "yellow")
UNITS = {"bytes": "B", "percent": "%", "seconds": "s"}  # by the last word of a field's name
LIMIT = 1e300  # values beyond it can't be drawn on an axis
NUMBERS = "biufcm"  # kinds of dtypes that are drawn
SECONDS = {"Y": 31556952, "M": 2629746, "W": 604800, "D": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6}
FIRST_TIME, LAST_TIME = -62e9, 253e9  # seconds since 1970: an axis has the years 6 to 9986


class Line(NamedTuple):
    """A number of each item, which is drawn."""

    name: str
    column: Column
    part: str  # of a complex number, "real" or "imag"; "" for any other

    def of(self, items: NDArray[Any]) -> NDArray[Any]:
        """The numbers."""
        found = self.column.of(items)
        if self.column.dtype.kind == "m":
            numbers, _, count = in_units(found)
            return np.where(np.isnat(found), np.nan, numbers * float(count))
        return getattr(found, self.part) if self.part else found


class Envelope(NamedTuple):
    """The lowest and the highest value of each of several runs of items; NaN where there is none."""

    at: NDArray[Any]  # of the first item of each run: its time, or its sequence number
    panels: dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]  # field, line, low and high
    left_out: int  # columns of numbers that had no room

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        lines = [line for lines in self.panels.values() for line in lines.values()]
        return not any(lines_through(self.at, *line) for line in lines)


def panels_of(dtype: np.dtype[Any]) -> dict[str, list[Line]]:
    """The lines to draw by the field that they belong to, as many as can be drawn."""
    panels: dict[str, list[Line]] = {}
    for column in columns_of(dtype, LINES):
        if column.dtype.kind in NUMBERS and (column.field in panels or len(panels) < PANELS):
            lines = panels.setdefault(column.field, [])
            parts = ("real", "imag") if column.dtype.kind == "c" else ("",)
            if len(lines) + len(parts) <= LINES:
                lines += [Line(f"{column.name}.{part}" if part else column.name, column, part) for part in parts]
    return panels


def drawable(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """The times, with NaT for those that no axis has, as they lie thousands of years away."""
    numbers, unit, count = in_units(times)
    seconds = numbers * (count * SECONDS.get(unit, 0.0))  # what is finer doesn't reach so far
    return np.where((FIRST_TIME < seconds) & (seconds < LAST_TIME), times, np.datetime64("NaT"))


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
        Drawn over the first field of times, if there is one with a time that an axis can have. Durations are numbers
        of their unit, complex numbers two lines. Damaged items leave a gap. O(items) time,
        O(width) memory.
    """
    assert log.dtype is not None
    count = len(log)
    runs = max(min(width, count), 1)
    starts = log.first + np.arange(runs) * count // runs  # the first item of each run
    panels = panels_of(log.dtype)
    lines = [line for found in panels.values() for line in found]
    low, high = np.full((2, len(lines), runs), np.nan)
    times = next(filter(is_time, columns_of(log.dtype, LINES)), None)
    at = starts if times is None else np.full(runs, "NaT", times.dtype)

    for first, block in scan_readable(log):
        advance(block.nbytes)
        a, b = np.searchsorted(starts, [first, first + len(block) - 1], "right") - 1
        here = slice(a, b + 1)
        cuts = np.maximum(starts[here] - first, 0)
        if times is not None:
            at[here] = np.where(np.isnat(at[here]), drawable(times.of(block)[cuts]), at[here])
        for i, line in enumerate(lines):
            values = line.of(block)
            with np.errstate(over="ignore"):  # a long double that is larger than all doubles can't be drawn
                low[i, here] = np.fmin(low[i, here], np.fmin.reduceat(values, cuts))
                high[i, here] = np.fmax(high[i, here], np.fmax.reduceat(values, cuts))

    if times is not None and count and np.isnat(at).all():
        at = starts
    drawn = {line.name: (least, most) for line, least, most in zip(lines, low, high, strict=True)}
    left_out = width_of(log.dtype, NUMBERS) - len({line.column.name for line in lines})
    return Envelope(
        at, {field: {line.name: drawn[line.name] for line in found} for field, found in panels.items()}, left_out
    )


def is_time(column: Column) -> bool:
    """Whether items can be drawn over this column."""
    return column.dtype.kind == "M" and np.datetime_data(column.dtype)[0] != "generic"


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
    at = at.astype("M8[ms]")  # some units can't be divided by seconds
    span = (at[-1] - at[0]) / np.timedelta64(1, "s")
    unit, begin, end = ("D", 0, 10) if span > 3 * 86400 else ("s", 11, 19) if span > 4 else ("ms", 14, 23)
    return [text[begin:end] for text in np.datetime_as_string(at.astype(f"M8[{unit}]"))]


def distances(at: NDArray[Any], zero: NDArray[Any]) -> list[float]:
    """How far it is from `zero` to each time or number, where 64 bits would be too few, too."""
    begin, = zero.astype("i8").tolist()
    return [float(number - begin) for number in at.astype("i8").tolist()]


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

    has_times = found.at.dtype.kind == "M"
    pictures = []
    for field, lines in found.panels.items():
        figure = plotext.figure
        figure.clear()
        figure.theme("colorless").plot_size(width, ROWS).title(clipped(field, max(width - 20, 1)))
        at = found.at[~np.isnat(found.at)] if has_times else found.at
        zero = at[:1]
        for colour, line in zip(COLOURS, lines.values(), strict=False):
            marker = plotext.marker("braille", colour) if len(lines) > 1 else "braille"
            for x, y in lines_through(found.at, *line):  # all finite: plotext would end the process at a NaN
                figure.draw(figure.signal(distances(x, zero), y.tolist(), marker=marker).lines())
        if len(at):
            ticks = at[np.linspace(0, len(at) - 1, min(len(at), max(width // 20, 2))).astype(int)]
            labels = clock(ticks) if has_times else [f"{n:,}" for n in ticks.tolist()]
            figure.ruler("x").ticks(distances(ticks, zero), labels)
        with redirect_stderr(io.StringIO()):  # where it says that values are too close together, in colours
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
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    count = max(len(found.panels), 1)
    with rc_context({"text.usetex": False, "text.parse_math": False}), replaced(path, force=True) as file:
        figure = Figure(figsize=(9, 0.8 + 1.25 * count), dpi=100, layout="constrained")
        panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        at = found.at.astype("M8[us]") if found.at.dtype.kind == "M" else found.at  # some units matplotlib can't draw
        for axes, (field, lines) in zip(panels, found.panels.items(), strict=False):
            draw_panel(axes, field, at, lines)
        label_times(panels[-1], at)
        figure.suptitle(clipped(title), fontsize=11)
        figure.savefig(file, format="png")


def draw_panel(
    axes: Any, field: str, at: NDArray[Any], lines: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> None:
    """Draw the lines of a field."""
    from matplotlib.ticker import EngFormatter

    samples = []
    for i, line in enumerate(lines.values()):
        samples += axes.plot([], [], color=f"C{i}", linewidth=1)
        for x, y in lines_through(at, *line):
            alone = "." if len(x) == 1 else ""
            axes.plot(x, y, alone, color=f"C{i}", linewidth=1, markersize=3)
    axes.set_title(clipped(field), loc="left", fontsize=10)
    axes.yaxis.set_major_formatter(EngFormatter(UNITS.get(field.rpartition("_")[2], "")))
    axes.locator_params(axis="y", nbins=4)
    axes.margins(x=0.01, y=0.1)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    if len(lines) > 1:
        legend = axes.legend(
            samples, map(str, range(len(lines))), frameon=False, fontsize=8, ncols=len(lines), loc="lower right",
            bbox_to_anchor=(1, 0.97),
        )
        for text, name in zip(legend.get_texts(), lines, strict=True):
            text.set_text(clipped(name))  # a legend leaves out a label that begins with _


def label_times(axes: Any, at: NDArray[Any]) -> None:
    """Label the axis that all panels share."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if at.dtype.kind == "M":
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel("time (UTC)", fontsize=10)
    else:
        axes.set_xlabel("item", fontsize=10)
