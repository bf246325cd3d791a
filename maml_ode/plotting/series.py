"""Which numbers of a trajectory a panel shows, and what the panel calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from maml_ode._validation import Array, check_choice
from maml_ode.trajectory import Trajectory

__all__ = ["QUANTITIES", "Curve", "axis_label", "curve", "is_norm"]

QUANTITIES = ("loss", "task_loss", "grad_norm", "task_grad_norm", "phase_norm")


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a panel and the points at which the phase changed."""

    x: Array
    y: Array
    switch_x: Array = field(default_factory=lambda: np.empty(0))
    switch_y: Array = field(default_factory=lambda: np.empty(0))


def curve(trajectory: Trajectory, quantity: str, step_size: float | None = None) -> Curve:
    """Return a quantity over time, or over t / step_size if a step size is given.

    The phase-dependent norm of a continuous run has two values at a switch, the last of ||grad f|| and the
    first of ||grad F||; both are kept, so that the jump is vertical.

    Raises
    ------
    ValueError
        For an unknown quantity, or a trajectory run with ``diagnostics=False``.
    """
    check_choice("show", quantity, QUANTITIES)
    scale = 1.0 if step_size is None else step_size
    t, y = trajectory.t, _values(trajectory, quantity)
    if y.size and np.isnan(y).all():
        raise ValueError(
            f"the trajectory has no {quantity}: it was run with diagnostics=False; run it again with "
            "diagnostics=True."
        )
    entered = np.flatnonzero(np.diff(trajectory.phase)) + 1
    switch_x, switch_y = t[entered] / scale, y[entered]
    if quantity == "phase_norm" and trajectory.step_size is None:
        left = np.where(
            trajectory.phase[entered - 1] == 0,
            trajectory.task_grad_norm[entered],
            trajectory.grad_norm[entered],
        )
        t, y = np.insert(t, entered, t[entered]), np.insert(y, entered, left)
        switch_y = left
    return Curve(t / scale, y, switch_x, switch_y)


def _values(trajectory: Trajectory, quantity: str) -> Array:
    if quantity != "phase_norm":
        values: Array = getattr(trajectory, quantity)
        return values
    if not trajectory.t_events:  # a single phase without an ending rule
        return trajectory.grad_norm
    return np.where(trajectory.phase == 0, trajectory.task_grad_norm, trajectory.grad_norm)


def is_norm(quantity: str) -> bool:
    """Whether the quantity is a gradient norm, which is drawn on a logarithmic scale."""
    return quantity.endswith("norm")


def axis_label(quantity: str, trajectories: Sequence[Trajectory]) -> str:
    """Return what the vertical axis of a panel says."""
    if quantity == "task_loss" or (quantity == "loss" and _judged_by_f(trajectories)):
        return "expected loss $f(w)$"
    if quantity == "loss":
        return "MAML loss $F(w)$"
    if quantity == "task_grad_norm" or (quantity != "loss" and _judged_by_f(trajectories)):
        return r"gradient norm $\|\nabla f(w)\|$"
    if quantity == "grad_norm" or not any(run.t_events for run in trajectories):
        return r"gradient norm $\|\nabla F(w)\|$"
    return r"gradient norm, $\|\nabla f\|$ then $\|\nabla F\|$"


def _judged_by_f(trajectories: Sequence[Trajectory]) -> bool:
    """Whether the flows' objective is the expected loss itself: then the two series are one."""
    return all(
        np.array_equal(run.loss, run.task_loss, equal_nan=True)
        and np.array_equal(run.grad_norm, run.task_grad_norm, equal_nan=True)
        for run in trajectories
    )
