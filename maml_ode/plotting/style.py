"""The look of the package's figures: what tells two curves apart survives a greyscale print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BIMAML", "CYCLE", "HOUSE_STYLE", "MAML", "house_style", "legend_above", "log_scale"]

HOUSE_STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.88",
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100.0,
    "savefig.dpi": 150.0,
    "svg.fonttype": "path",
}

# The paper draws MAML red and BI-MAML blue. The two differ in lightness, dash and marker as well.
MAML: dict[str, Any] = {"color": "#d9503c", "linestyle": "-", "marker": "o"}
BIMAML: dict[str, Any] = {"color": "#123c8c", "linestyle": (0, (5, 1.6)), "marker": "s"}

# For further curves: colour, dash and marker change together, and the lightness alternates.
CYCLE: tuple[dict[str, Any], ...] = (
    {"color": "#d9503c", "linestyle": "-", "marker": "o"},
    {"color": "#123c8c", "linestyle": (0, (5, 1.6)), "marker": "s"},
    {"color": "#1f8a5b", "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": "#e0a020", "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"},
    {"color": "#6b3fa0", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#4d4d4d", "linestyle": (0, (8, 2)), "marker": "x"},
    {"color": "#5bb5d6", "linestyle": (0, (2, 2)), "marker": "P"},
    {"color": "#a8577e", "linestyle": (0, (4, 1, 1, 1)), "marker": "*"},
    {"color": "#000000", "linestyle": (0, (7, 1, 2, 1)), "marker": "h"},
    {"color": "#b08a4c", "linestyle": (0, (3, 2)), "marker": "<"},
    {"color": "#17807e", "linestyle": (0, (2, 1, 1, 1)), "marker": ">"},
)


@contextmanager
def house_style() -> Iterator[None]:
    """Put the house style into force; matplotlib's own settings come back at the end.

    Yields
    ------
    None

    Examples
    --------
    >>> import maml_ode as mo
    >>> import matplotlib
    >>> with mo.plotting.house_style():
    ...     inside = matplotlib.rcParams["axes.grid"]
    ...
    >>> inside
    True
    """
    import matplotlib

    with matplotlib.rc_context(HOUSE_STYLE):
        yield


def legend_above(axis: Axes, columns: int = 3) -> None:
    """Put the legend above the axes, where it covers nothing; an entry that repeats another is left out."""
    handles, texts = axis.get_legend_handles_labels()
    first = {text: handle for handle, text in zip(handles[::-1], texts[::-1], strict=True)}
    named = dict.fromkeys(texts)
    if named:
        axis.legend(
            [first[text] for text in named],
            list(named),
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
            ncols=min(columns, len(named)),
            columnspacing=1.2,
            handlelength=1.8,
        )


def log_scale(axis: Axes) -> None:
    """Make the vertical axis logarithmic, with plain numbers at its ticks if it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    decades = np.log10(high / low)
    if decades > 2.5:
        return
    steps = (1.0, 2.0, 5.0) if decades > 0.7 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axis.yaxis.set_major_locator(LogLocator(subs=steps))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
