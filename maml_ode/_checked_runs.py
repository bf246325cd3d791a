"""Runs that are drawn or read: trajectories with a point at least."""

from __future__ import annotations

from collections.abc import Sequence

from maml_ode._validation import as_sequence, shown
from maml_ode.trajectory import Trajectory

__all__ = ["checked_run", "checked_runs", "some_runs"]


def checked_run(run: Trajectory, name: str = "trajectory") -> Trajectory:
    """Return ``run`` if it is one, and has a point to look at.

    Raises
    ------
    TypeError
        If it is no trajectory.
    ValueError
        If it ended before the first of its reporting times.
    """
    if not isinstance(run, Trajectory):
        raise TypeError(f"{name} must be a Trajectory, not {shown(run)}.")
    if not run.t.size:
        raise ValueError(
            f"{name} has no points: the run ended at t = {run.final_time:.6g}, before the first time of its "
            "t_eval; leave t_eval out, or begin it with 0."
        )
    return run


def checked_runs(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Return a sequence of runs, each `checked_run`."""
    runs = as_sequence("trajectories", trajectories, "Trajectory")
    return [checked_run(run, f"trajectories[{k}]") for k, run in enumerate(runs)]


def some_runs(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Return a sequence of at least one run, each `checked_run`."""
    runs = checked_runs(trajectories)
    if not runs:
        raise ValueError("trajectories is empty; pass at least one Trajectory.")
    return runs
