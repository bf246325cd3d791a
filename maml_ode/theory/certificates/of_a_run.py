"""Certificates of a run from w0: times and iterations."""

from __future__ import annotations

import math

from maml_ode._validation import Array
from maml_ode.theory.bounds import printed
from maml_ode.theory.bounds.descent_steps import (
    IterationBound,
    discrete_level_floor,
    iteration_bound,
)
from maml_ode.theory.bounds.flow_times import TimeBound, bimaml_time, time_bound
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.certificates.certificate import Certificate, Hypothesis, all_hold
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.quantities import Status, safe_side, worst

__all__ = ["bimaml_certificate", "iteration_certificate", "time_certificate"]

_OUTSIDE = "not computed: the losses are not finite at w0; pass a w0 inside their domain"
_BEYOND_FLOATS = (
    "not computed: it is beyond the range of floats; multiply the losses and the tolerances by a large "
    "number and divide alpha by it"
)
_BIMAML_FORMULA = "log(||grad f(w0)||/eps0)/mu_f + time of the second phase"
_NO_TIME = "no time is guaranteed by this theory"
_UNIQUE = "unique minimum by m(c_inf) > 0"


def _without_start(setting: Setting, name: str, statement: str, advice: str) -> Certificate:
    """Return the certificate of a run whose start is not known, or lies outside the losses' domain."""
    return Certificate(
        name, statement, "", (setting.has_start,), None, status=setting.status,
        note=advice if setting.w0 is None else _OUTSIDE,
    )  # fmt: skip


def _searched(
    setting: Setting,
    name: str,
    statement: str,
    formula: str,
    hypothesis: str,
    total: float,
    reach: float,
    printed_value: float | None = None,
    note: str = "",
) -> Certificate:
    """Return the certificate of the best ``total`` over the levels c, where the run stays within ``reach``."""
    finite = math.isfinite(total)
    hypotheses = [*setting.standing(), Hypothesis(hypothesis, True if finite else None)]
    within = setting.inside(reach) if finite else None
    if within is not None:
        hypotheses.append(within)
    return Certificate(
        name, statement, formula, tuple(hypotheses),
        all_hold(hypotheses),
        bound=total if finite else None, status=worst(setting.status, Status.BOUND),
        printed=printed_value, note=note,
    )  # fmt: skip


def _bimaml_statement(tol: float) -> str:
    return f"the BI-MAML flow (one-way switch) has ||grad F|| <= {tol:g} by this time (Theorem 3.7)"


def _printed_time(setting: Setting) -> float | None:
    k, start = setting.constants, setting.start
    usable = k.mu > 0 and 0 < k.sigma < math.inf and math.isfinite(k.kappa)
    if start is None or not usable:
        return None
    terms = printed.printed_alpha_3_6(k.mu.value, k.L.value, k.kappa.value, k.sigma.value)
    limit = min(terms.values())
    if setting.alpha >= limit:
        return None
    value = printed.printed_time_3_6(
        start.gradient_norm, k.sigma.value, setting.alpha, k.mu.value, k.L.value, setting.tol
    )
    return value if math.isfinite(value) else None


def time_certificate(setting: Setting) -> Certificate:
    """Return a time by which the MAML flow from w0 has ||grad F|| <= tol (C10, replaces Theorem 3.6)."""
    name = "time_bound"
    statement = (
        f"the MAML flow from w0 has ||grad F|| <= {setting.tol:g} by this time (Theorem 3.6)"
    )
    start, facts = setting.start, setting.quadratic
    if start is None:
        return _without_start(setting, name, statement, "pass w0= to have a time")
    printed_time = _printed_time(setting)
    if facts is not None:
        formula = "log(||grad F(w0)||/tol)/lambda_min(G)"
        if not facts.unique:
            return Certificate(
                name, statement, formula, (), None,
                note=f"G is not {'known to be ' if facts.singular else ''}positive definite: no rate",
            )  # fmt: skip
        bound = facts.time_bound(start.w, setting.tol)
        value = facts.stationarity_time(start.w, setting.tol)
        if not (math.isfinite(bound) and math.isfinite(value)):
            return Certificate(name, statement, formula, (), None, note=_BEYOND_FLOATS)
        manner = "exact" if value.status is Status.EXACT else "computed"
        return Certificate(
            name, statement, formula, (), True, value=value.value, bound=bound, slack=bound - value,
            status=value.status, printed=printed_time,
            note=f"quadratic losses: the value is the {manner} time",
        )  # fmt: skip
    best, reach = TimeBound(math.inf, math.inf, math.nan, math.nan), math.nan
    for model in setting.models:
        candidate = time_bound(model, start.gradient_norm, setting.tol, start.gradient_F_norm)
        if candidate.total < best.total:
            best = candidate
            reach = max(model.level_floor, model.level(start.gradient_norm))
    return _searched(
        setting, name, statement, "min over c of T_1(c) + int m(c(t)) dt = log(K_c/tol)", _UNIQUE,
        best.total, reach, printed_time,
        f"{best.approach:.4g} to reach V({best.level:.4g}), then at rate {best.rate:.4g} or better"
        if math.isfinite(best.total)
        else _NO_TIME,
    )  # fmt: skip


def bimaml_certificate(setting: Setting) -> Certificate:
    """Return the time for BI-MAML with a switch that stays (C11, replaces Theorem 3.7)."""
    name = "bimaml_time"
    statement = _bimaml_statement(setting.tol)
    start, eps0, k = setting.start, setting.switch_tol, setting.constants
    advice = "pass w0= and switch_tol= to have a time"
    if start is None:
        return _without_start(setting, name, statement, advice)
    if eps0 is None or eps0 <= 0:
        missing = Hypothesis("switch_tol > 0 is given", None)
        return Certificate(
            name, statement, "", (missing,), None, status=setting.status, note=advice
        )
    old = None
    if k.mu > 0 and math.isfinite(k.sigma) and start.gradient_norm > 0:
        limit = printed.printed_alpha_3_7(k.mu.value, k.L.value, k.kappa.value, k.sigma.value, eps0)
        if setting.alpha < min(limit.values()):
            old = printed.printed_time_3_7(
                start.gradient_norm, k.sigma.value, k.mu.value, eps0, setting.tol
            )
    facts = setting.quadratic
    form = setting.f.quadratic_form
    if facts is not None and form is not None:
        return _quadratic_bimaml(setting, start.w, eps0, QuadraticFacts(form), facts, old)
    best, reach = math.inf, math.nan
    for model in setting.models:
        candidate = bimaml_time(model, start.gradient_norm, eps0, setting.tol).total
        if candidate < best:
            best = candidate
            # phase 1 descends f, and phase 2 stays in V(c), c >= c_inf
            reach = max(model.level_floor, model.level(start.gradient_norm))
    return _searched(
        setting, name, statement, _BIMAML_FORMULA, _UNIQUE, best, reach, old,
        "" if math.isfinite(best) else _NO_TIME,
    )  # fmt: skip


def _quadratic_bimaml(
    setting: Setting,
    w0: Array,
    eps0: float,
    first: QuadraticFacts,
    second: QuadraticFacts,
    printed_time: float | None,
) -> Certificate:
    """Return the certificate of quadratic losses: both phases are linear flows."""
    name = "bimaml_time"
    statement, formula = _bimaml_statement(setting.tol), _BIMAML_FORMULA
    if not (second.unique and first.unique):
        note = "Hess f or Hess F is not known to be positive definite"
        return Certificate(name, statement, formula, (), None, note=note)
    switch = first.stationarity_time(w0, eps0)
    if not math.isfinite(switch):
        return Certificate(name, statement, formula, (), None, note=_BEYOND_FLOATS)
    state = first.state(switch, w0)
    rest = second.stationarity_time(state, setting.tol)
    error = second.smoothness * 2.0 * first.state_error(switch, w0) if switch > 0 else 0.0
    entry = second.gradient_norm(state) + error
    value = switch + rest
    bound = first.time_bound(w0, eps0) + second.decay_time(entry, setting.tol)
    if not (math.isfinite(value) and math.isfinite(bound)):
        return Certificate(name, statement, formula, (), None, note=_BEYOND_FLOATS)
    status = worst(switch, rest, safe_side(entry, error, above=True))
    manner = "exact" if status is Status.EXACT else "computed"
    return Certificate(
        name, statement, formula, (), True, value=value, bound=bound, slack=bound - value,
        status=status, printed=printed_time,
        note=f"quadratic losses: {manner}; the switch is at t = {switch:.6g}",
    )  # fmt: skip


def iteration_certificate(setting: Setting) -> Certificate:
    """Return a number of gradient steps on F to ||grad F|| <= tol, at a step size that it names (C12)."""
    name = "iteration_bound"
    statement = (
        f"gradient descent on F from w0 has ||grad F|| <= {setting.tol:g} after so many steps"
    )
    start, facts = setting.start, setting.quadratic
    if start is None:
        return _without_start(setting, name, statement, "pass w0=")
    if facts is not None:
        if not facts.unique:
            return Certificate(name, statement, "", (), None, note="G is not positive definite")
        step = 1.0 / float(facts.smoothness)
        formula = "(1 - step_size lambda_min(G))^n ||grad F(w0)|| <= tol"
        if not math.isfinite(step):
            return Certificate(name, statement, formula, (), None, note=_BEYOND_FLOATS)
        total = facts.iterations(start.w, setting.tol, step)
        finite = math.isfinite(total)
        return Certificate(
            name, statement, formula, (), True if finite else None,
            bound=total if finite else None, status=Status.BOUND,
            note=f"with step_size = 1/lambda_max(G) = {step!r}"
            if finite
            else "rounding hides that a step contracts",
        )  # fmt: skip
    best, step, reach = IterationBound(math.inf, math.inf, math.nan, math.nan), math.nan, math.nan
    for model in setting.certified:
        trial = min(0.5 / model.L_f, 1.0 / model.smoothness(2.0 * model.level_floor))
        if not math.isfinite(trial):
            continue
        candidate = iteration_bound(model, start.gradient_norm, trial, setting.tol)
        if candidate.total < best.total:
            best, step = candidate, trial
            reach = max(discrete_level_floor(model, trial), model.level(start.gradient_norm))
    return _searched(
        setting, name, statement, "phi - beta (P s^2 - Q s - R) until V(c), then 1 - beta m(c)",
        "m(c) > 0 for some c >= c_disc", best.total, reach,
        note=f"with step_size = {step!r}"
        if math.isfinite(best.total)
        else "no number is guaranteed by this theory",
    )  # fmt: skip
