"""What `solve` refuses before a run, or warns of: runs without end, and tolerances out of reach."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from maml_ode.flows import Flow, GradientNormBelow
from maml_ode.integrate.methods import facts_of
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = [
    "check_has_an_end",
    "check_reachable",
    "check_smoothness",
    "refuse_sampling",
    "refuse_unused",
    "refuse_with_sensitivities",
]

# Below this the gradient norm of a MAML loss whose gradient jumps need not ever fall: the flow slides along
# a kink, on which the one-sided gradients stay away from 0.
NON_SMOOTH_FLOOR = 1e-3


def check_has_an_end(flow: Flow, tol: float, t_max: float) -> None:
    """Refuse a run that nothing would end."""
    if math.isfinite(t_max):
        return
    if tol == 0 and flow.phases[-1].until is None:
        raise ValueError("with tol=0 the run has no end; pass a finite t_max, or a tol above 0.")
    for number, phase in enumerate(flow.phases[:-1]):
        if isinstance(phase.until, GradientNormBelow) and phase.until.threshold == 0:
            raise ValueError(
                f"phase {number} ends at a gradient norm of 0, which a flow reaches only as t grows "
                "without bound; pass a switch_tol above 0, or a finite t_max."
            )


def refuse_sampling(options: dict[str, Any]) -> None:
    """Refuse to draw tasks in continuous time."""
    if options and {"tasks_per_step", "rng"} & set(options):
        raise TypeError(
            "solve follows the flow of all tasks: with tasks drawn at every evaluation the velocity is no "
            "function of w, and no estimate of a step's error means anything. Use mo.euler(flow, w0, step_size, "
            "tasks_per_step=...), which tends to the flow as step_size tends to 0, or the flow of "
            "tasks.subset(indices)."
        )


def refuse_unused(**given: Any) -> None:
    """Refuse arguments of steps where none are taken."""
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ValueError(
            f'method="exact" takes no steps and has no use for {", ".join(named)}; leave it out, or name a '
            "stepping method such as DOP853."
        )


def refuse_with_sensitivities(
    *, method: Any, energy: str, sliding: str, resume: Trajectory | None
) -> None:
    """Refuse what a run that is differentiated cannot do."""
    if method == "exact":
        raise ValueError(
            'the closed form has no sensitivities here; leave method= out or pass "DOP853", which integrates them '
            "with the state."
        )
    if energy == "enforce":
        raise ValueError(
            "with sensitivities= steps are not undone for the energy; leave energy= out."
        )
    if sliding == "follow":
        raise ValueError("a sliding motion has no sensitivities here; leave sliding= out.")
    if resume is not None:
        raise ValueError(
            "sensitivities begin with a run: pass w0 and the whole horizon instead of resume=."
        )


def check_smoothness(flow: Flow, tol: float, t_max: float) -> None:
    """Warn of a field that jumps, and refuse a stationarity that its kinks keep out of reach."""
    if not flow.is_rough:
        return
    rough = [phase.field for phase in flow.phases if phase.field.smoothness < 0]
    loss = getattr(flow.objective.tasks, "loss", None)
    companion = (
        f'the smooth companion SVM(..., loss="smooth_{loss}")'
        if isinstance(loss, str)
        else "a smooth family"
    )
    fact = f"the field {rough[0].label} is discontinuous at the kinks of the losses"
    if math.isinf(t_max) and 0 < tol < NON_SMOOTH_FLOOR:
        raise ValueError(
            f"{fact}, so its norm need not fall to tol = {tol:g}; use {companion}, a tol of at least "
            f"{NON_SMOOTH_FLOOR:g}, or a finite t_max."
        )
    warnings.warn(
        f"{fact}: every integrator falls to first order there, and the default rtol = 1e-4 is about what "
        f"the path is good for; {companion} avoids it.",
        NonSmoothWarning,
        stacklevel=3,
    )


def check_reachable(
    flow: Flow, solver: type[OdeSolver], tol: float, tolerances: Tolerances
) -> None:
    """Refuse a tol below the residual that an explicit method keeps at its stability limit.

    With step control at absolute tolerance atol the state hovers within about 0.3 to 15 times atol of the
    equilibrium in the stiffest direction, whose residual is lambda_max times that.
    """
    field = flow.phases[-1].field.affine if tolerances.fixed_atol else None
    if tol == 0 or field is None or not facts_of(solver).explicit:
        return
    floor = 0.3 * field.largest_eigenvalue * tolerances.atol
    if floor > tol:
        raise ValueError(
            f"tol = {tol:g} is below {floor:.3g}, the residual that {solver.__name__} keeps at atol = "
            f"{tolerances.atol:g} on a field with lambda_max = {field.largest_eigenvalue:.3g}; leave atol "
            f"out, lower it below {tol / (15 * field.largest_eigenvalue):.1g}, or use Radau, BDF or exact."
        )
