"""The derivative of a run by one of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

from maml_ode._validation import Array

__all__ = ["Sensitivity"]


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
    """

    state: Array
    path: Array
    switch_times: Array
    final_time: Array
