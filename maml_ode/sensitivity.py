"""The derivative of a run by one of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from maml_ode._schema import Column
from maml_ode._validation import Array

__all__ = ["COLUMNS", "SINGLE", "Sensitivity", "flattened", "gathered", "names_of_parameters"]


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How a run depends on a parameter: a number, or p numbers (w0, the weights, an array alpha in C order).

    Attributes
    ----------
    state : ndarray of shape (d,) or (d, p)
        The total derivative of the last state, the moving end included.
    path : ndarray of shape (d, n) or (d, p, n)
        The derivative of the states at fixed times, at a switch that after it. It does not contain the moving
        end.
    switch_times : ndarray of shape (s,) or (s, p)
        The derivatives of the times at which phases ended.
    final_time : ndarray of shape () or (p,)
        That of the time at which the run came to rest, or its last phase's rule was met; NaN where the run
        ended at a fixed time.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> flow = mo.maml_flow(tasks, alpha=0.1)
    >>> run = mo.solve(flow, [10.0], t_max=1.0, sensitivities=("alpha",))
    >>> found = run.sensitivities["alpha"]
    >>> found.state.shape, found.path.shape == run.y.shape
    ((1,), True)
    >>> h = 1e-5  # beside a difference quotient
    >>> ends = [mo.solve(mo.maml_flow(tasks, a), [10.0], t_max=1.0).w[0] for a in (0.1 - h, 0.1 + h)]
    >>> bool(abs((ends[1] - ends[0]) / (2 * h) - found.state[0]) < 1e-4)
    True
    """

    state: Array
    path: Array
    switch_times: Array
    final_time: Array


PARAMETERS = ("alpha", "switch_tol", "w0", "weights")
# In a file every part has the axis of its parameter, and the header names those that are single numbers.
SINGLE = "single_parameters"
_PARTS = {
    "state": ("d", "p"),
    "path": ("d", "p", "n"),
    "switch_times": ("s", "p"),
    "final_time": ("p",),
}
COLUMNS = {
    f"{parameter}_{part}": Column(
        tuple(f"p {parameter}" if x == "p" else x for x in shape), default=None
    )
    for parameter in PARAMETERS
    for part, shape in _PARTS.items()
}


def flattened(sensitivities: dict[str, Sensitivity] | None) -> dict[str, Any]:
    """Return the entries of a file, None for every parameter that is not there."""
    given = sensitivities or {}
    single = [name for name, found in given.items() if found.final_time.ndim == 0]
    entries: dict[str, Any] = {SINGLE: single, **dict.fromkeys(COLUMNS)}
    for name, found in given.items():
        for part, shape in _PARTS.items():
            array = getattr(found, part)
            axis = shape.index("p")
            entries[f"{name}_{part}"] = np.expand_dims(array, axis) if name in single else array
    return entries


def gathered(entries: dict[str, Any]) -> dict[str, Sensitivity] | None:
    """Take the entries of a file out of ``entries`` and return what they stand for."""
    single = entries.pop(SINGLE)
    found = {}
    for name in PARAMETERS:
        parts = {part: entries.pop(f"{name}_{part}") for part in _PARTS}
        if any(array is None for array in parts.values()):
            continue
        if name in single:
            if parts["final_time"].shape != (1,):
                raise ValueError(
                    f"the file is damaged: {name} is one number and has several derivatives."
                )
            parts = {
                part: np.take(array, 0, _PARTS[part].index("p")) for part, array in parts.items()
            }
        found[name] = Sensitivity(**{part: np.asarray(array) for part, array in parts.items()})
    return found or None


def names_of_parameters(plain: Any) -> list[str]:
    """Return a list of parameters' names as a header gives it."""
    if not isinstance(plain, list) or not set(plain) <= set(PARAMETERS):
        raise ValueError("a list of parameters' names")
    return plain
