"""From a finished run to a `Trajectory`: the path's points, the diagnostic fields, the counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.energy import EnergyLedger, count_rises, dissipation
from maml_ode.flows import Flow
from maml_ode.flows.fields import GradientField
from maml_ode.integrate.evaluation import Ledger
from maml_ode.objectives import ExpectedLoss, Objective
from maml_ode.trajectory import SERIES, StopReason, Trajectory

__all__ = ["Path", "assemble", "check_t_eval", "join"]


@dataclass
class Path:
    """The points of a run as they come, its switches, and why it ended."""

    n_phases: int
    times: list[float] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    phases: list[int] = field(default_factory=list)
    switches: list[tuple[float, Array, int]] = field(default_factory=list)
    final_time: float = 0.0
    final_state: Array | None = None
    stop: StopReason = StopReason.STEP_LIMIT
    message: str = ""
    asked_for: bool = False

    def append(self, t: float, w: Array, phase: int) -> None:
        """Add a point; a point at the time of the last one replaces it (the new phase starts there)."""
        if self.times and t == self.times[-1]:
            self.times.pop()
            self.states.pop()
            self.phases.pop()
        self.times.append(t)
        self.states.append(np.array(w))
        self.phases.append(phase)

    def switch(self, t: float, w: Array, left: int) -> None:
        """Record that phase ``left`` ended."""
        self.switches.append((t, np.array(w), left))

    def end(self, t: float, w: Array, stop: StopReason, message: str, asked_for: bool) -> None:
        """Record where and why the run ended."""
        self.final_time, self.final_state = t, np.array(w)
        self.stop, self.message, self.asked_for = stop, message, asked_for


def check_t_eval(t_eval: npt.ArrayLike | None, t_start: float, t_max: float) -> Array | None:
    """Return ``t_eval`` as sorted float64 times within [t_start, t_max]."""
    if t_eval is None:
        return None
    times = np.array(t_eval, dtype=np.float64)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"t_eval must be a non-empty 1-d array, but it has shape {times.shape}.")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError("t_eval must be finite and strictly increasing.")
    if times[0] < t_start or times[-1] > t_max:
        raise ValueError(f"t_eval must lie within [{t_start:g}, t_max] = [{t_start:g}, {t_max:g}].")
    return times


def assemble(
    flow: Flow,
    path: Path,
    ledger: Ledger,
    *,
    method: str,
    diagnostics: bool,
    t_eval: Array | None = None,
    sol: Callable[[npt.ArrayLike], Array] | None = None,
    keep_sol: bool = False,
    step_size: float | None = None,
    integrate_energy: bool = False,
) -> Trajectory:
    """Build the trajectory of a finished run."""
    switch_times = np.array([t for t, _, _ in path.switches])
    if path.final_state is None:
        raise RuntimeError("the run was not ended; this is a defect of maml_ode.")
    if t_eval is None:
        t, states = np.array(path.times), np.array(path.states)
        phase = np.array(path.phases, dtype=np.int64)
    else:
        t = t_eval[t_eval <= path.final_time]
        # A run that ended before its first step has no interpolant: only its starting point is known.
        states = np.empty((t.size, flow.dim))
        if t.size and sol is not None:
            states = np.asarray(sol(t)).T
        elif t.size:
            t, states = t[:1], path.final_state[None]
        starts = np.array(path.times)
        phase = np.array(path.phases, dtype=np.int64)[
            np.clip(np.searchsorted(starts, t, side="right") - 1, 0, None)
        ]
    apart: Counts | None = None
    series = {name: np.full(t.size, np.nan) for name in SERIES}
    energy = None
    if diagnostics and t.size:
        series, apart = _diagnostics(flow, states)
        if t_eval is None:
            energy, more = _energy(flow, path, series, sol if integrate_energy else None)
            apart = apart + more
        if path.asked_for and t_eval is None and not np.isfinite(series["loss"][-1]):
            # The state itself has not overflowed yet, but nobody asked for this.
            message = (
                f"{StopReason.NON_FINITE} The loss at t = {path.final_time:.6g}; {path.message}"
            )
            path.end(path.final_time, path.final_state, StopReason.NON_FINITE, message, False)
    events: list[tuple[Array, Array]] = []
    for number in range(path.n_phases):
        if flow.phases[number].until is not None or flow.rule != "one_way":
            left = [(time, state) for time, state, k in path.switches if k == number]
            events.append(
                (
                    np.array([time for time, _ in left]),
                    np.array([state for _, state in left]).reshape(len(left), flow.dim),
                )
            )
    by_limit = path.stop in (StopReason.HORIZON, StopReason.STEP_LIMIT)
    status = (0 if by_limit else 1) if path.asked_for else -1
    return Trajectory(
        t=t,
        y=np.ascontiguousarray(states.T),
        **series,
        phase=phase,
        switch_times=switch_times,
        switch_states=np.array([w for _, w, _ in path.switches]).reshape(-1, flow.dim),
        stop=path.stop,
        message=path.message,
        success=path.asked_for,
        status=status,
        counts=ledger.total(apart),
        nfev=ledger.nfev,
        njev=ledger.njev,
        nlu=ledger.nlu,
        elapsed=ledger.elapsed,
        method=method,
        flow_name=flow.name,
        final_state=path.final_state,
        final_time=path.final_time,
        final_phase=path.phases[-1] if path.phases else None,
        energy=energy,
        step_size=step_size,
        t_events=[times for times, _ in events],
        y_events=[points for _, points in events],
        sol=sol if keep_sol else None,
    )


def join(first: Trajectory, second: Trajectory) -> Trajectory:
    """Return one trajectory of a run and its continuation from where it ended."""
    # The state at the seam stands once, with the phase in which the continuation found it.
    seam = bool(first.t.size and second.t.size and first.t[-1] == second.t[0])
    kept = slice(None, -1) if seam else slice(None)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(first, name)[..., kept], getattr(second, name)], axis=-1)
        for name in ("t", "y", *SERIES, "phase")
    }
    for name in ("switch_times", "switch_states"):
        joined[name] = np.concatenate([getattr(first, name), getattr(second, name)])
    for name in ("t_events", "y_events"):
        pairs = zip(getattr(first, name), getattr(second, name), strict=True)
        joined[name] = [np.concatenate(pair) for pair in pairs]
    for name in ("nfev", "njev", "nlu", "elapsed", "counts"):
        joined[name] = getattr(first, name) + getattr(second, name)
    if first.energy is not None and second.energy is not None:
        joined["energy"] = first.energy + second.energy
    else:
        joined["energy"] = None
    return replace(second, **joined, sol=None)


def _diagnostics(flow: Flow, states: Array) -> tuple[dict[str, Array], Counts]:
    """Return F, ||grad F||, f, ||grad f|| along the path, and what they cost."""
    F, f = flow.objective, flow.task_objective
    with np.errstate(all="ignore"):
        loss, grad_norm = F.values_and_gradient_norms(states)
        task_loss, task_grad_norm = f.values_and_gradient_norms(states)
    each = F.value_cost + F.gradient_cost + f.value_cost + f.gradient_cost
    series = {
        "loss": loss,
        "grad_norm": grad_norm,
        "task_loss": task_loss,
        "task_grad_norm": task_grad_norm,
    }
    return series, each * len(states)


def _energy(
    flow: Flow,
    path: Path,
    series: dict[str, Array],
    sol: Callable[[npt.ArrayLike], Array] | None,
) -> tuple[EnergyLedger, Counts]:
    """Return the energy ledger over the gradient phases, and what its integral cost."""
    times, phases = np.array(path.times), np.array(path.phases, dtype=np.int64)
    rises, largest, drop = 0, 0.0, 0.0
    dissipated = 0.0
    cost = Counts()
    for number, phase in enumerate(flow.phases):
        if not isinstance(phase.field, GradientField):
            continue
        objective = phase.field.objective
        known = _known_values(flow, objective, series)
        for run in _consecutive(phases == number):
            # The point at which the phase ended carries the next phase's number.
            stop = min(run.stop + 1, times.size)
            if known is None:
                values = np.array([objective.value(w) for w in path.states[run.start : stop]])
                cost = cost + objective.value_cost * values.size
            else:
                values = known[run.start : stop]
            found, size = count_rises(values)
            rises, largest, drop = rises + found, max(largest, size), drop + values[0] - values[-1]
            if sol is not None:
                part = [float(t) for t in times[run.start : stop]]
                dissipated += dissipation(objective.gradient, sol, part)
                cost = cost + objective.gradient_cost * (4 * (len(part) - 1))
    return EnergyLedger(rises, largest, float(drop), None if sol is None else dissipated), cost


def _known_values(flow: Flow, objective: Objective, series: dict[str, Array]) -> Array | None:
    """Return an objective's values along the path if they are among the diagnostics."""
    if objective is flow.objective:
        return series["loss"]
    if type(objective) is ExpectedLoss and objective.tasks is flow.objective.tasks:
        return series["task_loss"]
    return None


def _consecutive(mask: npt.NDArray[np.bool_]) -> list[slice]:
    """Return the runs of True in ``mask``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
