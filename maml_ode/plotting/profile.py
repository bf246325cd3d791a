"""A function of one parameter, from given numbers: its curve, its critical points and the basins between."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode._validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NO_POINTS", "draw_profile"]

NO_POINTS = np.empty((0, 2))


def draw_profile(
    axis: Axes,
    w: Array,
    values: Array,
    minima: Array = NO_POINTS,
    maxima: Array = NO_POINTS,
    word: str = "",
    **style: Any,
) -> list[tuple[float, float]]:
    """Draw a curve, minima filled and maxima open, and every second basin shaded; return the basins.

    Parameters
    ----------
    axis : Axes
    w, values : ndarray of shape (n,)
    minima, maxima : ndarray of shape (m, 2)
        Pairs of w and value in ascending order; the borders of the basins are the maxima.
    word : str
        What the legend says before "minimum" and "maximum".
    **style
        Properties of the curve.

    Returns
    -------
    list of (float, float)
    """
    axis.plot(w, values, **{"color": "0.15", "linewidth": 1.2, **style})
    basins = list(pairwise([float(w[0]), *maxima[:, 0].tolist(), float(w[-1])]))
    for low, high in basins[1::2] if len(minima) > 1 else ():
        axis.axvspan(low, high, color="0.5", alpha=0.22, linewidth=0)
    for points, face, name in [(minima, "0.15", "minimum"), (maxima, "white", "maximum")]:
        if len(points):
            axis.plot(
                *points.T,
                linestyle="none",
                marker="o",
                markersize=5,
                markerfacecolor=face,
                markeredgecolor="0.15",
                label=word + name,
                zorder=4,
            )
    axis.set(xlabel="$w$", xlim=(w[0], w[-1]))
    return basins
