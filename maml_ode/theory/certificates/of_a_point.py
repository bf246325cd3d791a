"""Certificates at a point or along one path: fallback, local minimum, the inequalities at w0."""

from __future__ import annotations

import math

import numpy as np

from maml_ode.sizes import MATRIX_ONCE
from maml_ode.theory.bounds import pointwise, printed
from maml_ode.theory.bounds.near_a_point import fallback_gradient_norm, local_certificate
from maml_ode.theory.certificates.certificate import Certificate, Hypothesis
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.evaluation import (
    extreme_eigenvalues,
    norm,
    objective_hessian,
    objective_value,
    task_gradients,
    task_products,
)
from maml_ode.theory.quantities import Status, worst
from maml_ode.theory.regions import Sublevel, enclosing_ball

__all__ = ["fallback_certificate", "gradient_identity", "local_minimum", "point_certificates"]


def gradient_identity(setting: Setting, nodes: int = 32) -> Certificate | None:
    """Check Proposition 3.1 at w0, with the mean Hessian on the segment in place of one point of it (C3).

    grad F = E (I - alpha H_i)(g_i - alpha int_0^1 Hess f_i(w - s alpha g_i) g_i ds), the integral
    by Gauss and Legendre's rule.
    """
    start, tasks, alpha = setting.start, setting.tasks, setting.alpha
    if start is None:
        return None
    knots, weights = np.polynomial.legendre.leggauss(nodes)
    mean = np.zeros_like(start.gradients)
    with np.errstate(all="ignore"):  # at a huge alpha the segment leaves the floats
        for s, weight in zip(0.5 * (knots + 1.0), 0.5 * weights, strict=True):
            point = start.w - s * alpha * start.gradients
            mean += weight * task_products(tasks, point, start.gradients)
        inner = start.gradients - alpha * mean
        other = tasks.weights @ (inner - alpha * task_products(tasks, start.w, inner))
        residual = norm(other - start.gradient_F)
    bound = 1e-8 * start.mean_norm
    holds = residual <= bound
    return Certificate(
        "gradient_identity",
        "grad F = grad f - E B_i grad f_i with the mean Hessian on the segment (Proposition 3.1)",
        "B_i = I - (I - alpha H_i)(I - alpha int Hess f_i(w - s alpha grad f_i) ds)",
        (Hypothesis("the quadrature resolves the segment", True if holds else None),),
        True if holds else None,
        value=residual,
        bound=bound,
        slack=bound - residual,
        status=Status.BOUND,
        note="the printed form needs one point of the segment, which for d >= 2 need not exist",
    )


def fallback_certificate(setting: Setting) -> Certificate:
    """Return the time by which ||grad F|| <= tol somewhere on the path, with no convexity of F (C15)."""
    statement = (
        f"some time before this one has ||grad F|| <= {setting.tol:g} (Lemma D.5, corrected)"
    )
    formula = "min over [0, t] of ||grad F|| <= sqrt((F(w0) - E min f_i)/t)"
    if setting.F.smoothness < 1:
        jumps = Hypothesis("grad F is continuous", False, "the Hessians of the losses jump")
        return Certificate("fallback_stationarity", statement, formula, (jumps,), None)
    lowest = setting.lowest_loss() if setting.start is not None else None
    if setting.start is None or lowest is None:
        missing = (
            setting.has_start if setting.start is None else Hypothesis("E min f_i is bounded", None)
        )
        return Certificate("fallback_stationarity", statement, formula, (missing,), None)
    gap = float(np.maximum(objective_value(setting.F, setting.start.w) - lowest, 0.0))
    bound = gap / setting.tol / setting.tol
    if not math.isfinite(bound):
        too_long = Hypothesis("the time is a finite number", False)
        return Certificate("fallback_stationarity", statement, formula, (too_long,), None)
    return Certificate(
        "fallback_stationarity",
        statement,
        formula,
        (),
        True,
        bound=bound,
        status=worst(setting.constants.mu, Status.BOUND),
        printed=printed.printed_fallback_time_d5(gap, setting.tol),
        note=f"F(w0) - E min f_i <= {gap:.6g}; at t = 1 the least ||grad F|| is "
        f"{fallback_gradient_norm(1.0, gap, 0.0):.4g} at most",
    )


def local_minimum(setting: Setting) -> Certificate:
    """Return whether a computed minimiser is the only critical point of a ball (C14)."""
    name = "local_minimum"
    statement = "F has exactly one critical point in this ball, and the flow does not leave it"
    formula = "m_loc > 0 and ||grad F(z)|| < m_loc R"
    k = setting.constants
    z = setting.solution
    if z is None or not math.isfinite(k.kappa):
        known = setting.F.has_hessian and math.isfinite(k.kappa)
        missing = Hypothesis(
            "a local minimiser of F was found"
            if known
            else "Hess F is available and kappa is finite",
            None,
        )
        return Certificate(name, statement, formula, (missing,), None, status=setting.status)
    found = local_certificate(
        setting.tasks, setting.alpha, z, mu_i=k.mu_i, L_i=k.L_i, kappa_i=k.kappa_i
    )
    hypotheses = [Hypothesis("m_loc > 0", True if found.strong_convexity > 0 else None)]
    if k.region is not None and not isinstance(k.region, Sublevel) and found.unique:
        ball = enclosing_ball(k.region, k.minimizer, k.mu_f)
        offset = float(np.linalg.norm(z - ball.center))
        move = setting.alpha * max(norm(g) for g in task_gradients(setting.tasks, z))
        widest = max(1.0, abs(1.0 - setting.alpha * k.mu), abs(1.0 - setting.alpha * k.L))
        reach = offset + move + widest * found.radius
        hypotheses.append(
            Hypothesis("the ball and its images within the region", reach <= ball.radius)
        )
    holds = found.unique and all(item.holds for item in hypotheses)
    return Certificate(
        name,
        statement,
        formula,
        tuple(hypotheses),
        True if holds else None,
        value=found.gradient_F_norm,
        bound=found.strong_convexity * found.radius if found.unique else None,
        slack=found.strong_convexity * found.radius - found.gradient_F_norm
        if found.unique
        else None,
        status=worst(k.mu, k.L, k.kappa, Status.BOUND),
        note=f"radius {found.radius:.4g} about the computed z, rate {found.strong_convexity:.4g}; "
        f"the point lies within {found.distance:.3g} of z"
        if found.unique
        else "not certified at the computed minimiser",
    )


def point_certificates(setting: Setting) -> list[Certificate]:
    """Return the inequalities of the theory evaluated at w0 (C4, C5, C7)."""
    start, k = setting.start, setting.constants
    if start is None or not setting.models:
        return []
    alpha, mu, L = setting.alpha, k.mu.value, k.L.value
    inner = float(start.gradient @ start.gradient_F)
    low = float(pointwise.descent_lower(start.gradient_norm, start.deviation, alpha, mu, L))
    top = float(pointwise.gradient_of_F_upper(start.gradient_norm, start.deviation, alpha, mu, L))
    status = worst(k.mu, k.L, Status.BOUND)

    def square(x: float) -> float:  # infinite where x**2 would raise
        return x * x

    old = float(printed.printed_gradient_of_F_b3(start.gradient_norm, start.deviation, alpha, L))
    certificates = [
        _inequality(
            "descent", "f descends along the MAML flow at w0 up to bias",
            "<grad f, grad F> >= psi ||grad f||^2 - rho sd ||grad f||",
            # the mean gradient's own rounding is that of the tasks' gradients
            inner, low, inner - low, square(start.gradient_norm) + 1e-6 * square(start.mean_norm), status,
        ),
        _inequality(
            "gradient_transfer", "||grad F|| at w0 is bounded by ||grad f|| (replaces Lemma B.3)",
            "||grad F|| <= (1 - alpha mu)^2 ||grad f|| + rho sd",
            start.gradient_F_norm, top, top - start.gradient_F_norm, start.mean_norm, status,
            printed_value=old,
        ),
    ]  # fmt: skip
    if setting.F.has_hessian and setting.tasks.dim <= MATRIX_ONCE:
        norms = np.linalg.norm(start.gradients, axis=1)
        arguments = (norms, k.weights, alpha, k.mu_i, k.L_i, k.kappa_i)
        lower = float(pointwise.task_curvature_lower(*arguments))
        upper = float(pointwise.task_curvature_upper(*arguments))
        values = extreme_eigenvalues(objective_hessian(setting.F, start.w))
        slack = min(float(values[0]) - lower, upper - float(values[1]))
        certificates.append(
            _inequality(
                "hessian_bounds",
                f"Hess F at w0 has its spectrum in [{lower:.4g}, {upper:.4g}] (replaces Theorem 3.9)",
                "sum p_i (mu_i (1 - alpha L_i)^2 - alpha kappa_i (1 - alpha mu_i) ||grad f_i||)",
                float(values[0]), lower, slack, L, worst(k.mu, k.L, k.kappa, Status.BOUND),
                printed_value=mu / 8.0,
            )
        )  # fmt: skip
    return certificates


def _inequality(
    name: str,
    statement: str,
    formula: str,
    value: float,
    bound: float,
    slack: float,
    scale: float,
    status: Status,
    printed_value: float | None = None,
) -> Certificate:
    """Judge an inequality at a point, with 1e-6 of its scale for rounding."""
    holds: bool | None = None
    note = "not computed: a derivative at w0 is not finite"
    if math.isfinite(slack):
        holds, note = slack >= -1e-6 * abs(scale), ""
        if not holds and status is Status.ESTIMATE:
            note = "violated: the constants are underestimated here"
        elif not holds:
            note = "violated: the constants are wrong"
    return Certificate(
        name, statement, formula, (), holds, value=value, bound=bound, slack=slack, status=status,
        printed=printed_value, note=note,
    )  # fmt: skip
