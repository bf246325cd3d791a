"""Whether a run may be gone on with: only by the flow that it is a run of."""

from __future__ import annotations

import math

from maml_ode._norms import vector_norm
from maml_ode.counts import Counts
from maml_ode.flows import Flow
from maml_ode.trajectory import Trajectory

__all__ = ["check_same_flow"]

# F of the same flow at the same state, evaluated by another library or on another processor.
SAME = 1e-6


def check_same_flow(flow: Flow, run: Trajectory) -> Counts | None:
    """Refuse to go on with a run of another flow.

    Flows are compared by their identity; where a function that may change is part of one, by F and ||grad F||
    at the run's last point, if it has them.

    Returns
    -------
    Counts or None
        What that cost, if anything.

    Raises
    ------
    ValueError
        If the flow is another one; what differs is named.
    """
    if run.flow_name != flow.name or run.final_state.size != flow.dim:
        raise ValueError(
            f"resume holds a run of {run.flow_name!r} with d = {run.final_state.size}, but the flow is "
            f"{flow.name!r} with d = {flow.dim}; pass the same flow."
        )
    phase = min(run.final_phase or 0, len(flow.legs) - 1)
    if run.final_z.size != flow.legs[phase].field.state_dim:
        raise ValueError(
            f"resume holds a run that ended in a state of {run.final_z.size} numbers, but phase {phase} of the "
            f"flow has states of {flow.legs[phase].field.state_dim}; pass the same flow, or start anew with "
            "w0=run.w."
        )
    if run.identity is not None and flow.identity is not None:
        if run.identity != flow.identity:
            raise ValueError(
                f"resume holds a run of another flow of the name {flow.name!r}: its fields, rules, alpha, weights "
                "or data differ; pass the same flow, or start anew with w0=run.w."
            )
        return None
    if run.t.size == 0 or not math.isfinite(float(run.loss[-1])):
        return None
    # The last point of the series, which t_eval may have put before the run's end.
    state = run.y[:, -1]
    value, norm = flow.objective.value(state), vector_norm(flow.objective.gradient(state))
    for name, before, now in (("F", run.loss[-1], value), ("||grad F||", run.grad_norm[-1], norm)):
        scale = max(abs(float(before)), abs(now), abs(norm))
        if math.isfinite(float(before)) and abs(float(before) - now) > SAME * scale:
            raise ValueError(
                f"resume holds a run at whose last point {name} was {float(before):.9g}, but for this flow it is "
                f"{now:.9g} there; pass the same flow, or start anew with w0=run.w."
            )
    return flow.objective.value_cost + flow.objective.gradient_cost
