"""The branches of critical points over a parameter, from given numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_branches"]

# Of more values the marks would cover the lines.
MOST_MARKED = 60
LINES: dict[bool, dict[str, Any]] = {
    True: {"color": "0.1", "linestyle": "-", "markerfacecolor": "0.1"},
    False: {"color": "0.55", "linestyle": (0, (2, 1.2)), "markerfacecolor": "white"},
}


def draw_branches(
    axis: Axes,
    parameter: Array,
    points: Sequence[Array],
    minimum: Sequence[npt.NDArray[np.bool_]],
    names: tuple[str, str] = ("minimum", "maximum"),
) -> None:
    """Draw critical points over a parameter, minima dark and filled, maxima grey, dashed and open.

    Points of neighbouring values are joined, by rank, where the numbers and kinds of all are the same: a pair that
    appears or merges ends the lines.

    Parameters
    ----------
    axis : Axes
    parameter : ndarray of shape (n,)
        Ascending.
    points : sequence of n ndarrays
        The critical points at each value, ascending.
    minimum : sequence of n ndarrays of bool
        Which of them are minima.
    names : tuple of str
        What the legend calls minima and maxima.
    """
    marks: dict[str, Any] = {"marker": "o", "markersize": 3.5, "markeredgecolor": "0.1"}
    named: set[bool] = set()
    changes = [k + 1 for k, pair in enumerate(pairwise(minimum)) if not np.array_equal(*pair)]
    for part in np.split(np.arange(len(parameter)), changes):
        for rank, kind in enumerate(minimum[part[0]].tolist()):
            marked = len(parameter) <= MOST_MARKED or len(part) == 1
            axis.plot(
                parameter[part],
                [points[k][rank] for k in part],
                linewidth=1.3,
                label=None if kind in named else names[0 if kind else 1],
                **LINES[kind],
                **(marks | {"markeredgewidth": 0.7} if marked else {}),
            )
            named.add(kind)
