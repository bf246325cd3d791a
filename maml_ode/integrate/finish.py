"""From a record to the trajectory that a verb returns: diagnostics, verdict, assembly."""

from __future__ import annotations

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows import Flow
from maml_ode.integrate.assemble import assemble
from maml_ode.integrate.diagnose import Diagnosis, diagnose, nothing_diagnosed
from maml_ode.integrate.lifting import observed
from maml_ode.integrate.record import Points, Record
from maml_ode.stop import Stop, StopReason
from maml_ode.trajectory import Trajectory

__all__ = ["finish"]

INTERRUPTED = " Diagnostics are left out: they were interrupted from the keyboard."


def finish(
    flow: Flow,
    record: Record,
    *,
    method: str,
    diagnostics: bool,
    t_eval: Array | None = None,
    keep_sol: bool = False,
    step_size: float | None = None,
    integrate_energy: bool = False,
    looked: Counts | None = None,
    remark: str = "",
) -> Trajectory:
    """Return the trajectory of an ended run, whatever interrupts its making.

    Parameters
    ----------
    flow, record
    method : str
        How the trajectory names its integrator.
    diagnostics : bool
    t_eval : ndarray, optional
    keep_sol, integrate_energy : bool
    step_size : float, optional
    looked : Counts, optional
        What was spent on diagnostics before the run.
    remark : str
        What is to be said of diagnostics that are left out.
    """
    try:
        record.close()
        sol = record.solution()
        points = observed(flow, record.points(t_eval, sol))
        if diagnostics:
            diagnosis = diagnose(flow, record, points, sol=sol if integrate_energy else None)
        else:
            diagnosis = nothing_diagnosed(points.t.size, remark)
        if looked is not None:
            diagnosis = diagnosis._replace(cost=(diagnosis.cost or Counts()) + looked)
        verdict = _verdict(record, points, diagnosis)
        return assemble(
            flow, record, points, verdict, diagnosis, method=method, step_size=step_size,
            sol=sol if keep_sol else None,
        )  # fmt: skip
    except KeyboardInterrupt:
        return finish(
            flow, record, method=method, diagnostics=False, t_eval=t_eval, keep_sol=keep_sol,
            step_size=step_size, looked=looked, remark=INTERRUPTED,
        )  # fmt: skip


def _verdict(record: Record, points: Points, diagnosis: Diagnosis) -> Stop:
    """Return why the run ended, in the light of the loss at its end."""
    stop = record.stop
    if stop is None:
        raise RuntimeError("the run was not ended; this is a defect of maml_ode.")
    evaluated = diagnosis.cost is not None and not diagnosis.remark
    at_end = evaluated and bool(points.t.size) and points.t[-1] == record.t
    if stop.asked_for and at_end and not np.isfinite(diagnosis.series["loss"][-1]):
        # The state itself has not overflowed yet, but nobody asked for this.
        return Stop(StopReason.NON_FINITE, f"The loss at t = {record.t:.6g}; {stop.message}")
    if not diagnosis.remark:
        return stop
    return stop._replace(detail=(stop.detail + diagnosis.remark).strip())
