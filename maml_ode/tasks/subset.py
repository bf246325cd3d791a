"""Which tasks of a family are meant, their share of its weights, and how they are evaluated alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, real_array, shown

__all__ = ["PartialEvaluation", "chosen_tasks", "shares"]

Indices = npt.NDArray[np.intp]


def chosen_tasks(indices: Any, n_tasks: int) -> Indices:
    """Return the numbers of the tasks that ``indices`` stands for, as NumPy reads it along an axis of length M.

    Raises
    ------
    TypeError
        For anything but integers, booleans or a slice.
    ValueError
        For a number out of range, a mask of another length, or no tasks at all.
    """
    if isinstance(indices, slice):
        try:
            chosen = np.arange(n_tasks)[indices]
        except TypeError:
            raise TypeError("indices must be a slice of integers.") from None
    else:
        given = real_array("indices", indices, booleans=True)
        if given.size == 0 and given.dtype.kind == "f":  # an empty list
            given = given.astype(np.intp)
        if given.dtype.kind not in "iub":
            raise TypeError(
                "indices must be integers, a mask of booleans or a slice, not "
                f"{shown(indices if given.ndim == 0 else given)}."
            )
        if given.ndim != 1:
            hint = f"; write [{given}] for a single task" if given.ndim == 0 else ""
            raise ValueError(
                f"indices must be one-dimensional, but it has shape {given.shape}{hint}."
            )
        if given.dtype.kind == "b" and given.size != n_tasks:
            raise ValueError(
                f"indices, a mask, must have shape ({n_tasks},), but it has shape {given.shape}."
            )
        if given.dtype.kind != "b":
            beyond = given[(given < -n_tasks) | (given >= n_tasks)]
            if beyond.size:
                raise ValueError(
                    f"indices must lie between {-n_tasks} and {n_tasks - 1}, but there is {beyond[0]}."
                )
        chosen = np.arange(n_tasks)[given]
    if chosen.size == 0:
        raise ValueError("indices chooses no task at all; a family needs at least one.")
    return chosen


def shares(weights: Array, chosen: Indices) -> Array:
    """Return the weights of the chosen tasks, made to sum to 1.

    Raises
    ------
    ValueError
        If all are 0.
    """
    p = weights[chosen]
    total = math.fsum(p)
    if total == 0.0:
        raise ValueError(
            "indices chooses tasks of weight 0 alone, whose weights cannot be made to sum to 1; choose another "
            "one too."
        )
    out: Array = p / total
    return out


class PartialEvaluation:
    """Evaluations of some tasks of a family that is only evaluated as a whole.

    A task that is not chosen is evaluated at the point of one that is. A task that is chosen k times takes k
    evaluations, each for its own point.
    """

    def __init__(self, whole: Any, chosen: Indices) -> None:
        self.whole = whole
        self.chosen = chosen
        seen: dict[int, int] = {}
        turns = []
        for i in chosen.tolist():
            seen[i] = seen.get(i, -1) + 1
            turns.append(seen[i])
        # Which places of ``chosen`` have their turn in which evaluation.
        self._rounds = [np.flatnonzero(np.array(turns) == k) for k in range(max(turns) + 1)]

    def __call__(self, method: str, *points: Array) -> Array:
        """Return what the method of the family gives for the chosen tasks at points with 1 or B rows."""
        function: Any = getattr(self.whole, method)
        if all(len(rows) == 1 for rows in points):
            return np.asarray(function(*points)[self.chosen])
        parts = []
        for places in self._rounds:
            results = function(*(self._spread(rows, places) for rows in points))
            parts.append(results[self.chosen[places]])
        together = np.concatenate(parts)
        out = np.empty_like(together)
        out[np.concatenate(self._rounds)] = together
        return out

    def _spread(self, rows: Array, places: Indices) -> Array:
        if len(rows) == 1:
            return rows
        everywhere = np.tile(rows[places[0]], (self.whole.n_tasks, 1))
        everywhere[self.chosen[places]] = rows[places]
        return everywhere
