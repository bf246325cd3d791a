"""Certificates of a run from w0: times, iterations, and what can be said at a point."""

from __future__ import annotations

import math

import numpy as np

from maml_ode.theory import inequalities, printed
from maml_ode.theory.certificate import Certificate, Hypothesis
from maml_ode.theory.convergence import TimeBound, bimaml_time, time_bound
from maml_ode.theory.discrete import IterationBound, discrete_level_floor, iteration_bound
from maml_ode.theory.local import fallback_gradient_norm, local_certificate
from maml_ode.theory.problem import Problem
from maml_ode.theory.quantities import Status, worst
from maml_ode.theory.regions import Sublevel, enclosing_ball

__all__ = [
    "bimaml_certificate",
    "fallback_certificate",
    "iteration_certificate",
    "local_minimum",
    "point_certificates",
    "time_certificate",
]

_NEEDS_START = Hypothesis("w0 is given", None)


def _printed_time(problem: Problem) -> float | None:
    k, start = problem.constants, problem.start
    usable = k.mu > 0 and 0 < k.sigma < math.inf and math.isfinite(k.kappa)
    if start is None or not usable:
        return None
    terms = printed.printed_alpha_3_6(k.mu.value, k.L.value, k.kappa.value, k.sigma.value)
    limit = min(terms.values())
    if problem.alpha >= limit:
        return None
    value = printed.printed_time_3_6(
        start.gradient_norm, k.sigma.value, problem.alpha, k.mu.value, k.L.value, problem.tol
    )
    return value if math.isfinite(value) else None


def time_certificate(problem: Problem) -> Certificate:
    """Return a time by which the MAML flow from w0 has ||grad F|| <= tol (C10, replaces Theorem 3.6)."""
    name = "time_bound"
    statement = (
        f"the MAML flow from w0 has ||grad F|| <= {problem.tol:g} by this time (Theorem 3.6)"
    )
    start, facts = problem.start, problem.quadratic
    if start is None:
        return Certificate(
            name, statement, "", (_NEEDS_START,), None, status=problem.status,
            note="pass w0= to have a time",
        )  # fmt: skip
    printed_time = _printed_time(problem)
    if facts is not None:
        if not facts.unique:
            return Certificate(
                name, statement, "log(||grad F(w0)||/tol)/lambda_min(G)", (), None,
                note="G is not positive definite: no rate",
            )  # fmt: skip
        bound = (
            max(math.log(start.gradient_F_norm / problem.tol), 0.0) / facts.rate
            if (start.gradient_F_norm > 0)
            else 0.0
        )
        value = facts.stationarity_time(start.w, problem.tol)
        return Certificate(
            name,
            statement,
            "log(||grad F(w0)||/tol)/lambda_min(G)",
            (),
            True,
            value=value,
            bound=bound,
            slack=bound - value,
            printed=printed_time,
            note="quadratic losses: the value is the exact time",
        )
    best, hypotheses = TimeBound(math.inf, math.inf, math.nan, math.nan), list(problem.standing())
    reach = math.nan
    for model in problem.models:
        candidate = time_bound(model, start.gradient_norm, problem.tol, start.gradient_F_norm)
        if candidate.total < best.total:
            best = candidate
            reach = max(model.level_floor, model.level(start.gradient_norm))
    finite = math.isfinite(best.total)
    hypotheses.append(Hypothesis("unique minimum by m(c_inf) > 0", True if finite else None))
    within = problem.inside(reach) if finite else None
    if within is not None:
        hypotheses.append(within)
    return Certificate(
        name,
        statement,
        "min over c of T_1(c) + int m(c(t)) dt = log(K_c/tol)",
        tuple(hypotheses),
        True if all(item.holds for item in hypotheses) else None,
        bound=best.total if finite else None,
        status=worst(problem.status, Status.BOUND),
        printed=printed_time,
        note=f"{best.approach:.4g} to reach V({best.level:.4g}), then at rate {best.rate:.4g} or better"
        if finite
        else "no time is guaranteed by this theory",
    )


def bimaml_certificate(problem: Problem) -> Certificate:
    """Return the time for BI-MAML with a switch that stays (C11, replaces Theorem 3.7)."""
    name = "bimaml_time"
    statement = f"the BI-MAML flow (one-way switch) has ||grad F|| <= {problem.tol:g} by this time (Theorem 3.7)"
    start, eps0, k = problem.start, problem.switch_tol, problem.constants
    if start is None or eps0 is None or eps0 <= 0:
        missing = _NEEDS_START if start is None else Hypothesis("switch_tol > 0 is given", None)
        return Certificate(
            name, statement, "", (missing,), None, status=problem.status,
            note="pass w0= and switch_tol= to have a time",
        )  # fmt: skip
    formula = "log(||grad f(w0)||/eps0)/mu_f + time of the second phase"
    old = None
    if k.mu > 0 and math.isfinite(k.sigma) and start.gradient_norm > 0:
        limit = printed.printed_alpha_3_7(k.mu.value, k.L.value, k.kappa.value, k.sigma.value, eps0)
        if problem.alpha < min(limit.values()):
            old = printed.printed_time_3_7(
                start.gradient_norm, k.sigma.value, k.mu.value, eps0, problem.tol
            )
    facts = problem.quadratic
    form = problem.f.quadratic_form
    if facts is not None and form is not None:
        from maml_ode.theory.quadratic_exact import QuadraticFacts

        first = QuadraticFacts(form)
        if not (facts.unique and first.unique):
            return Certificate(
                name, statement, formula, (), None, note="Hess f or Hess F is not positive definite"
            )
        switch = first.stationarity_time(start.w, eps0)
        state = first.state(switch, start.w)
        entry = float(np.linalg.norm(facts.form.gradient(state)))
        value = switch + facts.stationarity_time(state, problem.tol)
        bound = _log_plus(start.gradient_norm / eps0) / first.rate
        bound += _log_plus(entry / problem.tol) / facts.rate
        return Certificate(
            name, statement, formula, (), True, value=value, bound=bound, slack=bound - value,
            printed=old, note=f"quadratic losses: exact; the switch is at t = {switch:.6g}",
        )  # fmt: skip
    best, reach = math.inf, math.nan
    hypotheses = list(problem.standing())
    for model in problem.models:
        candidate = bimaml_time(model, start.gradient_norm, eps0, problem.tol).total
        if candidate < best:
            best = candidate
            # phase 1 descends f, and phase 2 stays in V(c), c >= c_inf
            reach = max(model.level_floor, model.level(start.gradient_norm))
    finite = math.isfinite(best)
    hypotheses.append(Hypothesis("unique minimum by m(c_inf) > 0", True if finite else None))
    within = problem.inside(reach) if finite else None
    if within is not None:
        hypotheses.append(within)
    return Certificate(
        name,
        statement,
        formula,
        tuple(hypotheses),
        True if all(item.holds for item in hypotheses) else None,
        bound=best if finite else None,
        status=worst(problem.status, Status.BOUND),
        printed=old,
        note="" if finite else "no time is guaranteed by this theory",
    )


def _log_plus(x: float) -> float:
    return math.log(x) if x > 1.0 else 0.0


def iteration_certificate(problem: Problem) -> Certificate:
    """Return a number of gradient steps on F to ||grad F|| <= tol, at a step size that it names (C12)."""
    name = "iteration_bound"
    statement = (
        f"gradient descent on F from w0 has ||grad F|| <= {problem.tol:g} after so many steps"
    )
    start, facts = problem.start, problem.quadratic
    if start is None:
        return Certificate(
            name, statement, "", (_NEEDS_START,), None, status=problem.status, note="pass w0="
        )
    if facts is not None:
        if not facts.unique:
            return Certificate(name, statement, "", (), None, note="G is not positive definite")
        step = 1.0 / facts.smoothness
        factor = 1.0 - step * facts.rate
        steps = 0.0
        if start.gradient_F_norm > problem.tol:
            ratio = math.log(start.gradient_F_norm / problem.tol)
            steps = float(math.ceil(ratio / -math.log(factor))) if factor > 0 else 1.0
        return Certificate(
            name, statement, "(1 - step_size lambda_min(G))^n ||grad F(w0)|| <= tol", (), True,
            bound=steps, note=f"with step_size = 1/lambda_max(G) = {step:.6g}",
        )  # fmt: skip
    best, step, reach = IterationBound(math.inf, math.inf, math.nan, math.nan), math.nan, math.nan
    hypotheses = list(problem.standing())
    for model in problem.certified:
        trial = min(0.5 / model.L_f, 1.0 / model.smoothness(2.0 * model.level_floor))
        candidate = iteration_bound(model, start.gradient_norm, trial, problem.tol)
        if candidate.total < best.total:
            best, step = candidate, trial
            reach = max(discrete_level_floor(model, trial), model.level(start.gradient_norm))
    finite = math.isfinite(best.total)
    hypotheses.append(Hypothesis("m(c) > 0 for some c >= c_disc", True if finite else None))
    within = problem.inside(reach) if finite else None
    if within is not None:
        hypotheses.append(within)
    return Certificate(
        name,
        statement,
        "phi - beta (P s^2 - Q s - R) until V(c), then 1 - beta m(c)",
        tuple(hypotheses),
        True if all(item.holds for item in hypotheses) else None,
        bound=best.total if finite else None,
        status=worst(problem.status, Status.BOUND),
        note=f"with step_size = {step:.6g}" if finite else "no number is guaranteed by this theory",
    )


def fallback_certificate(problem: Problem) -> Certificate:
    """Return the time by which ||grad F|| <= tol somewhere on the path, with no convexity of F (C15)."""
    statement = (
        f"some time before this one has ||grad F|| <= {problem.tol:g} (Lemma D.5, corrected)"
    )
    formula = "min over [0, t] of ||grad F|| <= sqrt((F(w0) - E min f_i)/t)"
    if problem.F.smoothness < 1:
        jumps = Hypothesis("grad F is continuous", False, "the Hessians of the losses jump")
        return Certificate("fallback_stationarity", statement, formula, (jumps,), None)
    lowest = problem.lowest_loss() if problem.start is not None else None
    if problem.start is None or lowest is None:
        missing = (
            _NEEDS_START if problem.start is None else Hypothesis("E min f_i is bounded", None)
        )
        return Certificate("fallback_stationarity", statement, formula, (missing,), None)
    gap = max(problem.F.value(problem.start.w) - lowest, 0.0)
    bound = gap / problem.tol**2
    return Certificate(
        "fallback_stationarity",
        statement,
        formula,
        (),
        True,
        bound=bound,
        status=worst(problem.constants.mu, Status.BOUND),
        printed=printed.printed_fallback_time_d5(gap, problem.tol),
        note=f"F(w0) - E min f_i <= {gap:.6g}; at t = 1 the least ||grad F|| is "
        f"{fallback_gradient_norm(1.0, gap, 0.0):.4g} at most",
    )


def local_minimum(problem: Problem) -> Certificate:
    """Return whether a computed minimiser is the only critical point of a ball (C14)."""
    name = "local_minimum"
    statement = "F has exactly one critical point in this ball, and the flow does not leave it"
    formula = "m_loc > 0 and ||grad F(z)|| < m_loc R"
    k = problem.constants
    z = problem.solution
    if z is None or not math.isfinite(k.kappa):
        missing = Hypothesis("Hess F is available and kappa is finite", None)
        return Certificate(name, statement, formula, (missing,), None, status=problem.status)
    found = local_certificate(
        problem.tasks, problem.alpha, z, mu_i=k.mu_i, L_i=k.L_i, kappa_i=k.kappa_i
    )
    hypotheses = [Hypothesis("m_loc > 0", True if found.strong_convexity > 0 else None)]
    if k.region is not None and not isinstance(k.region, Sublevel) and found.unique:
        ball = enclosing_ball(k.region, k.minimizer, k.mu_f)
        offset = float(np.linalg.norm(z - ball.center))
        move = problem.alpha * float(np.linalg.norm(problem.tasks.gradients(z), axis=1).max())
        widest = max(1.0, abs(1.0 - problem.alpha * k.mu), abs(1.0 - problem.alpha * k.L))
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


def point_certificates(problem: Problem) -> list[Certificate]:
    """Return the inequalities of the theory evaluated at w0 (C4, C5, C7)."""
    start, k = problem.start, problem.constants
    if start is None or not problem.models:
        return []
    alpha, mu, L = problem.alpha, k.mu.value, k.L.value
    inner = float(start.gradient @ start.gradient_F)
    low = float(inequalities.descent_lower(start.gradient_norm, start.deviation, alpha, mu, L))
    top = float(
        inequalities.gradient_of_F_upper(start.gradient_norm, start.deviation, alpha, mu, L)
    )
    status = worst(k.mu, k.L, Status.BOUND)
    old = float(printed.printed_gradient_of_F_b3(start.gradient_norm, start.deviation, alpha, L))
    certificates = [
        _inequality(
            "descent", "f descends along the MAML flow at w0 up to bias",
            "<grad f, grad F> >= psi ||grad f||^2 - rho sd ||grad f||",
            inner, low, inner - low, start.gradient_norm**2, status,
        ),
        _inequality(
            "gradient_transfer", "||grad F|| at w0 is bounded by ||grad f|| (replaces Lemma B.3)",
            "||grad F|| <= (1 - alpha mu)^2 ||grad f|| + rho sd",
            start.gradient_F_norm, top, top - start.gradient_F_norm, start.mean_norm, status,
            printed_value=old,
        ),
    ]  # fmt: skip
    if problem.F.has_hessian and problem.tasks.dim <= 500:
        norms = np.linalg.norm(start.gradients, axis=1)
        arguments = (norms, k.weights, alpha, k.mu_i, k.L_i, k.kappa_i)
        lower = float(inequalities.task_curvature_lower(*arguments))
        upper = float(inequalities.task_curvature_upper(*arguments))
        values = np.linalg.eigvalsh(problem.F.hessian(start.w))
        slack = min(float(values[0]) - lower, upper - float(values[-1]))
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
    holds = slack >= -1e-6 * abs(scale) - 1e-12
    note = (
        ""
        if holds
        else (
            "violated: the constants are underestimated here"
            if status is Status.ESTIMATE
            else "violated: the constants are wrong"
        )
    )
    return Certificate(
        name, statement, formula, (), holds, value=value, bound=bound, slack=slack, status=status,
        printed=printed_value, note=note,
    )  # fmt: skip
