"""All certificates of one problem."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_size
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.certificate import Certificate, Certificates
from maml_ode.theory.certify_count import (
    count_everywhere,
    critical_points_certificate,
    settle_uniqueness,
)
from maml_ode.theory.certify_landscape import (
    alpha_certificate,
    assumption_certificates,
    critical_set,
    quadratic_exact,
    step_size_certificate,
    unique_minimum,
)
from maml_ode.theory.certify_point import (
    fallback_certificate,
    gradient_identity,
    local_minimum,
    point_certificates,
)
from maml_ode.theory.certify_run import (
    bimaml_certificate,
    iteration_certificate,
    time_certificate,
)
from maml_ode.theory.family_constants import Constants, checked_constants
from maml_ode.theory.family_constants import constants as find_constants
from maml_ode.theory.minimizer import expected_loss_minimizer
from maml_ode.theory.problem import Problem
from maml_ode.theory.quantities import Status, worst
from maml_ode.theory.regions import Ball, RegionNeeded
from maml_ode.theory.variants import fomaml_floor, moreau_curvature

__all__ = ["certify"]


def certify(
    tasks: TaskFamily,
    alpha: float,
    *,
    w0: npt.ArrayLike | None = None,
    switch_tol: float | None = None,
    tol: float = 1e-8,
    constants: Constants | None = None,
) -> Certificates:
    """Return what theory guarantees for MAML and BI-MAML on a problem.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float
        Inner step size, at least 0.
    w0 : array_like of shape (d,), optional
        The start; without it there are no times.
    switch_tol : float, optional
        eps0 of BI-MAML.
    tol : float
        eps: stationarity means ||grad F|| <= tol.
    constants : Constants, optional
        From `maml_ode.theory.constants`, for instance on a region of your choice. A family without
        closed-form constants is sampled on a ball about argmin f (or w0) that holds w0 and the
        tasks' steps twice over.

    Returns
    -------
    Certificates
        A list of `Certificate`, indexable by name, with ``table()``, ``to_markdown()`` and
        ``summary()``. Among the names: "smoothness", "strong_convexity", "gradient_variance",
        "lipschitz_hessian", "alpha_limits", "unique_minimum", "critical_points" (in one
        dimension, where a count is to be had), "critical_set", "time_bound",
        "bimaml_time", "iteration_bound", "step_size_limit", "local_minimum",
        "fallback_stationarity", "which_guarantee".

    Raises
    ------
    ValueError
        For bad numbers, and for plain hinge losses, to which no theorem applies.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> report = mo.theory.certify(tasks, 0.1, w0=[10.0])
    >>> report["unique_minimum"].holds, report["unique_minimum"].status.value
    (True, 'exact')
    """
    checked_family(tasks)
    step = check_size("alpha", alpha)
    eps = check_size("tol", tol, strict=True)
    eps0 = None if switch_tol is None else check_size("switch_tol", switch_tol)
    start = None if w0 is None else as_point("w0", w0, tasks.dim)
    known = (
        _constants_for(tasks, step, start) if constants is None else checked_constants(constants)
    )
    problem = Problem(tasks, step, known, start, eps0, eps)

    exact, identity = quadratic_exact(problem), gradient_identity(problem)
    unique, counted, counts = unique_minimum(problem), count_everywhere(problem), []
    if counted is not None:
        unique = settle_uniqueness(unique, counted)
        counts = [critical_points_certificate(counted)]
    certificates = [
        *assumption_certificates(problem),
        alpha_certificate(problem),
        unique,
        *counts,
        critical_set(problem),
        time_certificate(problem),
        bimaml_certificate(problem),
        iteration_certificate(problem),
        step_size_certificate(problem),
        local_minimum(problem),
        fallback_certificate(problem),
        *point_certificates(problem),
        *_variants(problem),
        *(item for item in (identity, exact) if item is not None),
    ]
    guarantee = _which_guarantee(problem, Certificates(certificates))
    return Certificates([*certificates, guarantee], summary=guarantee.statement)


def _constants_for(tasks: TaskFamily, alpha: float, start: Array | None) -> Constants:
    """Find constants; where only a region can have them, on a ball that the run should not leave."""
    try:
        return find_constants(tasks)
    except RegionNeeded:
        centre = expected_loss_minimizer(tasks, start)
    origin = np.zeros(tasks.dim) if start is None else start
    if centre is None:
        centre = origin
    moves = max(float(np.linalg.norm(tasks.gradients(w), axis=1).max()) for w in (centre, origin))
    radius = 2.0 * (float(np.linalg.norm(origin - centre)) + alpha * moves)
    return find_constants(tasks, Ball(centre, radius if radius > 0 else 1.0))


def _variants(problem: Problem) -> list[Certificate]:
    """Return what is known of FO-MAML and of the Moreau envelope on the same tasks (C19)."""
    k = problem.constants
    if not (k.mu > 0 and problem.alpha * k.L < 1 and problem.alpha > 0):
        return []
    status = worst(k.mu, k.L, Status.BOUND)
    low, _ = moreau_curvature(1.0 / problem.alpha, k.mu.value, k.L.value)
    certificates = [
        Certificate(
            "moreau_rate",
            "the Moreau-envelope flow with lambda = 1/alpha converges at this rate from everywhere",
            "mu lambda/(mu + lambda) <= lambda_min",
            (),
            True if k.region is None else None,
            value=float(low),
            bound=0.0,
            slack=float(low),
            status=status,
            note="no condition on kappa, sigma or alpha",
        )
    ]
    if math.isfinite(k.sigma) and k.region is None:
        # ||grad f|| <= r sigma/(1 - alpha L) where FO-MAML is stationary
        a, half = 1.0 - problem.alpha * k.L, 0.5 * problem.alpha * (k.L - k.mu)
        gradient = half * k.sigma / a
        mean = (1.0 - problem.alpha * k.mu) * math.hypot(gradient, k.sigma)
        floor = float(fomaml_floor(problem.alpha, k.mu.value, k.L.value, mean))
        certificates.append(
            Certificate(
                "fomaml_floor",
                "where FO-MAML is stationary, ||grad F|| is at most this, and need not be 0",
                "alpha (L - mu)/2 E||grad f_i(u_i)||",
                (),
                True,
                bound=floor,
                status=worst(status, k.sigma),
            )
        )
    return certificates


def _which_guarantee(problem: Problem, found: Certificates) -> Certificate:
    """Choose the strongest statement that holds, and say it in one sentence (C20)."""
    unique, time, local = found["unique_minimum"], found["time_bound"], found["local_minimum"]
    estimated = unique.status is Status.ESTIMATE
    manner = "is estimated to have" if estimated else "has"
    promise = ""
    if time.holds and time.bound is not None:
        verb = "are estimated to bring" if time.status is Status.ESTIMATE else "bring"
        promise = (
            f", and {time.bound:.4g} units of time of the MAML flow from w0 {verb} ||grad F|| below "
            f"{problem.tol:g}"
        )
    if problem.quadratic is not None and unique.holds:
        text = (
            f"Quadratic tasks: F {manner} exactly one critical point, its global minimum{promise}."
        )
        return _guarantee(text, True, unique.status)
    if problem.quadratic is not None:
        text = "Quadratic tasks whose G = E H_i (I - alpha H_i)^2 is not positive definite: F "
        text += "has no unique minimum." if unique.holds is False else "may have no unique minimum."
        return _guarantee(text, None, unique.status)
    if unique.holds:
        where = (
            " among the points whose steps stay in the region"
            if (problem.constants.region is not None)
            else ""
        )
        text = f"F {manner} exactly one critical point{where}, its minimum{promise}."
        return _guarantee(text, True, unique.status)
    several = ""
    if unique.holds is False and "critical_points" in {item.name for item in found}:
        points = found["critical_points"]
        several = (
            f"F has {points.value:.0f} critical points ({points.note}), so no uniqueness holds."
        )
    reach = [model for model in problem.models if math.isfinite(model.gap_floor)]
    region_free = problem.constants.region is None
    if reach and region_free:
        model = min(reach, key=lambda item: item.gap_floor)
        bound = model.gradient_bound(model.gradient_radius(model.level_floor))
        verb = "is estimated to come" if problem.status is Status.ESTIMATE else "comes"
        text = (
            f"{several or 'No uniqueness is certified, but'} "
            f"{'The' if several else 'the'} MAML flow {verb} arbitrarily near to "
            f"{{f - f* <= {model.level_floor:.4g}}}, where ||grad F|| <= {bound:.4g}."
        )
        extra = _local_sentence(local)
        return _guarantee(text + extra, True, worst(problem.status, Status.BOUND))
    if local.holds:
        return _guarantee(
            "No global statement applies." + _local_sentence(local), True, local.status
        )
    fallback = found["fallback_stationarity"]
    if fallback.holds:
        text = (
            "Only the fallback applies: F falls along the flow, and ||grad F|| <= "
            f"{problem.tol:g} at some time before {fallback.bound:.4g}."
        )
        return _guarantee(text, True, fallback.status)
    return _guarantee("No guarantee of this theory applies to this problem.", None, problem.status)


def _local_sentence(local: Certificate) -> str:
    if not local.holds:
        return ""
    manner = "It is estimated that F has" if local.status is Status.ESTIMATE else "F has"
    return (
        f" {manner} exactly one critical point in a ball about a computed minimiser: {local.note}."
    )


def _guarantee(text: str, holds: bool | None, status: Status) -> Certificate:
    return Certificate("which_guarantee", text, "", (), holds, status=status)
