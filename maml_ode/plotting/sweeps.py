"""Draw a sweep: one result over another, by what the points differ in, with intervals over the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import (
    Array,
    as_sequence,
    check_count,
    check_real,
    check_text,
    real_array,
    shown,
)
from maml_ode.plotting.axes import one_axes
from maml_ode.plotting.bands import draw_spread
from maml_ode.plotting.style import CYCLE, house_style, log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_sweep"]

# A common grid of the abscissa for curves that were looked at in different places.
PLACES = 60


def plot_sweep(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    ax: Axes | None = None,
    *,
    by: str | None = None,
    index: int | None = None,
    level: float = 0.95,
    xlabel: str | None = None,
    ylabel: str | None = None,
) -> Axes:
    """Draw results over one another: a line for each value of ``by``, the mean of its rows with an interval.

    The rows of one line, such as those of several seeds, count as independent draws: the band is Student's
    interval of their mean, by the values themselves where these are 0 or less somewhere, else by their
    logarithms, the line being the geometric mean. Where curves were looked at in different places they are
    interpolated between, over what they have in common.

    Parameters
    ----------
    rows : sequence of mapping
        ``Sweep.rows``; those with an exception are left out.
    x, y : str
        Names of two results: two arrays of the same length in every row, or two numbers.
    ax : Axes, optional
    by : str, optional
        The value by which rows are told apart; by default all make one line.
    index : int, optional
        Which column of ``y`` is meant, if it holds matrices.
    level : float
    xlabel, ylabel : str, optional
        By default the names.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError, TypeError
        For rows without these names, arrays that do not fit, or a level that is not between 0 and 1.

    Examples
    --------
    >>> import maml_ode as mo
    >>> def run(alpha, seed):
    ...     problem = mo.experiments.load("linear_regression", seed=seed, alpha=alpha)
    ...     path = mo.solve(problem.maml_flow(), problem.w0, t_max=3.0)
    ...     return {"t": path.t, "loss": path.loss}
    >>> found = mo.sweep(run, {"alpha": [0.1, 0.3], "seed": [0, 1, 2]}, progress=False)
    >>> ax = mo.plotting.plot_sweep(found.rows, "t", "loss", by="alpha")
    >>> [line.get_label() for line in ax.get_lines()]
    ['alpha = 0.1', 'alpha = 0.3']
    """
    share = check_real("level", level, minimum=0.0, strict=True)
    if share >= 1:
        raise ValueError(f"level must be less than 1, not {share:g}; 0.95 means 95%.")
    if index is not None:
        index = check_count("index", index, minimum=-(2**63))
    names = [
        check_text("x", x),
        check_text("y", y),
        *([] if by is None else [check_text("by", by)]),
    ]
    done = []
    for row in as_sequence("rows", rows, "mappings"):
        if not isinstance(row, Mapping):
            raise TypeError(
                f"rows must hold mappings such as those of Sweep.rows, not {shown(row)}."
            )
        if "exception" not in row:
            done.append(row)
            for name in names:
                if name not in row:
                    known = ", ".join(map(str, row))
                    raise ValueError(f"a row has no {name!r}; it has {known}.")
    if not done:
        raise ValueError("rows holds no finished point, so that there is nothing to draw.")
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for row in done:
        if by is not None and isinstance(row[by], np.ndarray):
            raise TypeError(
                f"{by} holds arrays, and lines are told apart by numbers or texts; choose another by=."
            )
        groups.setdefault(None if by is None else row[by], []).append(row)
    lines = {key: _line(_curves(part, x, y, index), share) for key, part in groups.items()}
    with house_style():
        ax = one_axes(ax)
        for key, (places, middle, low, high) in lines.items():
            style = dict(CYCLE[len(ax.get_lines()) % len(CYCLE)])
            label = None if by is None else (key if isinstance(key, str) else f"{by} = {key}")
            marked = {"markevery": max(1, places.size // 12), "markersize": 3.5}
            draw_spread(ax, places, low, middle, high, style | marked, label)
        ax.set(xlabel=x if xlabel is None else xlabel, ylabel=y if ylabel is None else ylabel)
        values = np.concatenate(
            [np.asarray(one.get_ydata(), dtype=float) for one in ax.get_lines()]
        )
        if (values > 0).all() and values.max() > 5.0 * values.min():
            log_scale(ax)
        if by is not None:
            ax.legend()
    return ax


def _curves(
    rows: list[Mapping[str, Any]], x: str, y: str, index: int | None
) -> list[tuple[Array, Array]]:
    """Return what each row draws; single numbers make curves of those that belong together."""
    curves = []
    for row in rows:
        places, values = _numbers(x, row[x]), _numbers(y, row[y])
        if index is not None:
            if values.ndim == 0 or not -values.shape[-1] <= index < values.shape[-1]:
                raise ValueError(
                    f"{y} has shape {values.shape}, so that index = {index} is not in it."
                )
            values = values[..., index]
        if places.shape != values.shape or places.ndim > 1:
            raise ValueError(
                f"{x} and {y} must be two numbers or two arrays (n,), but they have shapes {places.shape} and "
                f"{values.shape}; of a matrix choose a column by index=."
            )
        curves.append((places, values))
    if curves[0][0].ndim:
        return curves
    # One curve per repetition: the k-th row of every place.
    seen: dict[float, list[float]] = {}
    for place, value in curves:
        seen.setdefault(float(place), []).append(float(value))
    count = min(len(values) for values in seen.values())
    order = sorted(seen)
    return [(np.array(order), np.array([seen[p][k] for p in order])) for k in range(count)]


def _numbers(name: str, value: Any) -> Array:
    return np.asarray(real_array(name, value, booleans=True), dtype=float)


def _line(curves: list[tuple[Array, Array]], level: float) -> tuple[Array, Array, Array, Array]:
    """Return where a line goes, and between what."""
    from scipy.stats import t

    first, _ = curves[0]
    if any(places.size == 0 for places, _ in curves):
        raise ValueError("a row holds an empty array, so that it draws no line.")
    if all(np.array_equal(first, places) for places, _ in curves):
        at, values = first, np.array([v for _, v in curves])
    else:
        low = max(places[0] for places, _ in curves)
        high = min(places[-1] for places, _ in curves)
        if not low < high:
            raise ValueError("the curves of one line have nothing of their abscissa in common.")
        at = np.linspace(low, high, PLACES)
        values = np.array([np.interp(at, places, v) for places, v in curves])
    positive = bool((values > 0).all())
    read = np.log(values) if positive else values
    middle, count = read.mean(axis=0), len(curves)
    half = np.full(at.size, math.nan)
    if count > 1:
        spread = read.std(axis=0, ddof=1) / math.sqrt(count)
        half = t.ppf(0.5 + 0.5 * level, count - 1) * spread
    ends = (middle, middle - half, middle + half)
    middle, low, high = (np.exp(e) if positive else e for e in ends)
    return at, middle, low, high
