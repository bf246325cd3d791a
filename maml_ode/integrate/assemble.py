"""From the record of a run to a `Trajectory`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._frozen import made
from maml_ode._validation import Array
from maml_ode.flows import Flow
from maml_ode.integrate.diagnose import Diagnosis
from maml_ode.integrate.lifting import final_parameters
from maml_ode.integrate.record import Points, Record
from maml_ode.stop import Stop
from maml_ode.trajectory import SERIES, Trajectory

__all__ = ["assemble", "join"]


def assemble(
    flow: Flow,
    record: Record,
    points: Points,
    stop: Stop,
    diagnosis: Diagnosis,
    *,
    method: str,
    step_size: float | None = None,
    sol: Callable[[npt.ArrayLike], Array] | None = None,
) -> Trajectory:
    """Return the trajectory of a finished run; nothing is decided here."""
    tally, switches = record.tally, record.switches
    events = [
        [switch for switch in switches if switch.left == number]
        for number, leg in enumerate(flow.legs)
        if leg.rule is not None
    ]
    values: dict[str, Any] = {
        "t": _own(points.t),
        "y": _own(points.states).T,  # as SciPy's: rows, seen as columns
        **diagnosis.series,
        "phase": _own(points.phase),
        "switch_times": np.array([s.t for s in switches]) if switches else np.empty(0),
        "switch_states": _rows([switch.w for switch in switches], flow.dim),
        "stop": stop.reason,
        "message": stop.message,
        "success": stop.asked_for,
        "status": stop.status,
        "counts": tally.total(diagnosis.cost),
        "nfev": tally.nfev,
        "njev": tally.njev,
        "nlu": tally.nlu,
        "elapsed": tally.elapsed,
        "method": method,
        "flow_name": flow.name,
        "final_state": np.array(final_parameters(flow, record.w, record.phase)),
        "final_time": record.t,
        "final_phase": record.phase,
        "identity": flow.identity,
        "energy": diagnosis.energy,
        "step_size": step_size,
        "t_events": [np.array([switch.t for switch in left]) for left in events],
        "y_events": [_rows([switch.w for switch in left], flow.dim) for left in events],
        "sol": sol,
        "sensitivities": None,
        **_whole(record, points),
    }
    return made(Trajectory, values)


def _whole(record: Record, points: Points) -> dict[str, Array | None]:
    """Return the whole states of a lifted flow; a trajectory takes others for w."""
    if points.whole is None:
        return {"lifted_y": None, "lifted_final_state": None}
    return {
        "lifted_y": np.ascontiguousarray(points.whole.T),
        "lifted_final_state": np.array(record.w),
    }


def _own(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a record's array, to which nothing else writes: a copy of a small part of a large one."""
    whole = part.base
    return part if whole is not None and part.nbytes * 2 >= whole.nbytes else np.array(part)


def _rows(states: list[Array], dim: int) -> Array:
    return np.array(states) if states else np.empty((0, dim))


def join(first: Trajectory, second: Trajectory) -> Trajectory:
    """Return one trajectory of a run and its continuation from where it ended."""
    # The state at the seam stands once, with the phase in which the continuation found it.
    seam = bool(first.t.size and second.t.size and first.t[-1] == second.t[0])
    kept = slice(None, -1) if seam else slice(None)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(first, name)[..., kept], getattr(second, name)], axis=-1)
        for name in ("t", "y", *SERIES, "phase")
    }
    if second.lifted_y is not None:
        joined["lifted_y"] = np.concatenate([first.z[:, kept], second.z], axis=-1)
    for name in ("switch_times", "switch_states"):
        joined[name] = np.concatenate([getattr(first, name), getattr(second, name)])
    for name in ("t_events", "y_events"):
        pairs = zip(getattr(first, name), getattr(second, name), strict=True)
        joined[name] = [np.concatenate(pair) for pair in pairs]
    for name in ("nfev", "njev", "nlu", "elapsed", "counts"):
        joined[name] = getattr(first, name) + getattr(second, name)
    joined["energy"] = None
    if first.energy is not None and second.energy is not None:
        joined["energy"] = first.energy + second.energy
    if first.step_size is not None:
        joined["step_size"] = first.step_size
    if first.method != second.method:
        joined["method"] = (
            f"{first.method}; then {second.method} from t = {first.final_time:.6g} on"
        )
    if second.sol is not None and first.sol is not None:
        joined["sol"] = JoinedSolution(first.sol, second.sol, first.final_time)
    return replace(second, **joined)


@dataclass(frozen=True)
class JoinedSolution:
    """The continuous solution of a run and of its continuation from time ``seam`` on."""

    first: Callable[[npt.ArrayLike], Array]
    second: Callable[[npt.ArrayLike], Array]
    seam: float

    def __call__(self, t: npt.ArrayLike) -> Array:
        """Return the state at ``t``: shape (d,) for a scalar, (d, n) for an array."""
        times = np.asarray(t, dtype=np.float64)
        if times.ndim == 0:
            return (self.first if times <= self.seam else self.second)(float(times))
        before = times <= self.seam
        out = np.empty((np.size(self.first(self.seam)), times.size))
        for part, mask in ((self.first, before), (self.second, ~before)):
            if mask.any():
                out[:, mask] = part(times[mask])
        return out
