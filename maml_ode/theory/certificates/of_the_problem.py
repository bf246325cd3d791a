"""Certificates of the problem itself: assumptions, limits on alpha, uniqueness, step size."""

from __future__ import annotations

import math
from dataclasses import replace

from maml_ode.sizes import MATRIX_ONCE
from maml_ode.theory.bounds.printed import printed_alpha_3_10
from maml_ode.theory.bounds.step_limits import alpha_limits
from maml_ode.theory.certificates.certificate import Certificate, Hypothesis, all_hold
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.evaluation import extreme_eigenvalues, objective_hessian
from maml_ode.theory.quantities import Quantity, Status, worst

__all__ = [
    "alpha_certificate",
    "assumption_certificates",
    "critical_set",
    "quadratic_exact",
    "step_size_certificate",
    "unique_minimum",
]


def assumption_certificates(setting: Setting) -> list[Certificate]:
    """Return the verdicts on Assumptions 3.2 to 3.5 (C1)."""
    k = setting.constants
    where = "" if k.region is None else f" on {k.region}"

    def assumption(
        name: str, statement: str, formula: str, constant: Quantity, holds: bool, note: str
    ) -> Certificate:
        # a bound or an estimate that fails decides nothing; an exact value does
        verdict = True if holds else (False if constant.status is Status.EXACT else None)
        return Certificate(
            name, statement + where, formula, (), verdict,
            value=constant.value, status=constant.status, note=note,
        )  # fmt: skip

    affine = f"; always: sd <= {k.sigma0:.4g} + {k.nu:.4g} ||grad f||"
    convexity = assumption(
        "strong_convexity", "Assumption 3.3, read as Hess f_i >= mu I with mu > 0",
        "lambda_min(Hess f_i) >= mu > 0", k.mu, bool(k.mu > 0),
        "the printed ||grad f_i(w) - grad f_i(u)|| >= mu ||w - u|| also holds for -w^2/2; "
        + k.mu.note,
    )  # fmt: skip
    return [
        assumption(
            "smoothness", "Assumption 3.2: every grad f_i is L-Lipschitz", "Hess f_i <= L I",
            k.L, math.isfinite(k.L), k.L.note,
        ),
        replace(convexity, bound=0.0, slack=k.mu.value),
        assumption(
            "gradient_variance", "Assumption 3.4: the task gradients have bounded deviation",
            "sum p_i ||grad f_i - grad f||^2 <= sigma^2", k.sigma, math.isfinite(k.sigma),
            k.sigma.note + (affine if math.isfinite(k.sigma0 + k.nu) else ""),
        ),
        assumption(
            "lipschitz_hessian", "Assumption 3.5: every Hess f_i is kappa-Lipschitz",
            "||Hess f_i(w) - Hess f_i(u)|| <= kappa ||w - u||", k.kappa, math.isfinite(k.kappa),
            k.kappa.note,
        ),
    ]  # fmt: skip


def quadratic_exact(setting: Setting) -> Certificate | None:
    """Return the exact facts of a quadratic family (C16), or None."""
    facts = setting.quadratic
    if facts is None:
        return None
    return Certificate(
        "quadratic_exact",
        "F is quadratic: its flow is w_F + exp(-G t)(w0 - w_F), for every alpha",
        "G = E H_i (I - alpha H_i)^2",
        (),
        None if facts.singular else True,
        value=facts.rate.value,
        bound=0.0,
        slack=facts.rate.value,
        status=facts.status,
        note=f"eigenvalues of G in [{facts.rate:.4g}, {facts.smoothness:.4g}]"
        + ("; singular to rounding" if facts.singular else ""),
    )


def _printed_limit(setting: Setting) -> float | None:
    k = setting.constants
    if not (k.mu > 0 and math.isfinite(k.sigma) and math.isfinite(k.kappa)):
        return None
    terms = printed_alpha_3_10(k.mu.value, k.L.value, k.kappa.value, k.sigma.value)
    return min(terms.values())


def alpha_certificate(setting: Setting) -> Certificate:
    """Return where alpha stands between the printed and the corrected limits (C2)."""
    facts = setting.quadratic
    statement = (
        "alpha is small enough for a unique minimum (limits of Theorems 3.6 to 3.10, corrected)"
    )
    printed = _printed_limit(setting)
    if facts is not None:
        return Certificate(
            "alpha_limits",
            statement,
            "any alpha with G = E H_i (I - alpha H_i)^2 positive definite",
            (),
            facts.definite,
            value=setting.alpha,
            bound=math.inf,
            slack=math.inf,
            printed=printed,
            note="quadratic losses: decided by the eigenvalues of G, with no limit on alpha",
        )
    k = setting.constants
    limits = alpha_limits(k, setting.switch_tol)
    if "unique minimum" not in [limit.name for limit in limits]:
        return Certificate(
            "alpha_limits",
            statement,
            "alpha < 0",
            setting.standing(),
            None,
            value=setting.alpha,
            bound=0.0,
            slack=-setting.alpha,
            status=setting.status,
            note="mu > 0 is not known, so no limit is positive",
        )
    best = max(
        (limits["unique minimum"], limits["unique minimum, per task"]), key=lambda x: x.value
    )
    respected = [limit.name for limit in limits if limit.printed and setting.alpha < limit.value]
    note = f"binding: {best.binding} ({best.name}); printed limits respected: "
    return Certificate(
        "alpha_limits",
        statement,
        "alpha < sup{alpha: m(c_inf) > 0}",
        setting.standing(),
        True if setting.certified and k.region is None else None,
        value=setting.alpha,
        bound=best.value,
        slack=best.value - setting.alpha,
        status=setting.status,
        printed=printed,
        note=note + (", ".join(respected) or "none"),
    )


def unique_minimum(setting: Setting) -> Certificate:
    """Return whether F has exactly one critical point (C9, replaces Theorem 3.10)."""
    name = "unique_minimum"
    statement = "F has exactly one critical point, its global minimiser (replaces Theorem 3.10)"
    facts = setting.quadratic
    printed = _printed_limit(setting)
    if facts is not None:
        return Certificate(
            name,
            statement,
            "lambda_min(G) > 0",
            (),
            facts.definite,
            value=facts.rate.value,
            bound=0.0,
            slack=facts.rate.value,
            status=facts.rate.status,
            printed=printed,
            note="by the eigenvalues of G" + (": singular to rounding" if facts.singular else ""),
        )
    hypotheses = list(setting.standing())
    formula = "m(c_inf) > 0 on V(c_inf) = {f - f* <= c_inf}, c_inf = (rho sigma/psi)^2/(2 mu_f)"
    model = setting.best
    if model is None:
        hypotheses.append(Hypothesis("psi > 0 and c_inf finite", False))
        return Certificate(
            name, statement, formula, tuple(hypotheses), None, status=setting.status,
            printed=printed, note="not certified: this theory does not apply",
        )  # fmt: skip
    level = model.level_floor
    m = model.strong_convexity(level)
    hypotheses.append(Hypothesis("m(c_inf) > 0", True if m > 0 else None, f"m = {m:.4g}"))
    within = setting.inside(level)
    note = f"critical points lie within {model.minimizer_distance:.4g} of argmin f"
    if within is not None:
        hypotheses.append(within)
        note += "; only among the points whose one-step images lie in the region"
    holds = all_hold(hypotheses)
    return Certificate(
        name,
        statement,
        formula,
        tuple(hypotheses),
        holds,
        value=m,
        bound=0.0,
        slack=m,
        status=worst(setting.status, Status.BOUND),
        printed=printed,
        note=note if holds else f"not certified; {note}",
    )


def critical_set(setting: Setting) -> Certificate:
    """Return how far critical points of F can be from argmin f (C8)."""
    hypotheses = list(setting.standing())
    usable = [model for model in setting.models if math.isfinite(model.gap_floor)]
    model = min(usable, key=lambda x: x.gap_floor, default=None)
    hypotheses.append(Hypothesis("psi > 0", model is not None))
    bound = None if model is None else model.minimizer_distance
    within = None if model is None else setting.inside(model.level_floor)
    if within is not None:
        hypotheses.append(within)
    value = None
    if (
        bound is not None
        and setting.constants.minimizer is not None
        and setting.solution is not None
    ):
        value = float(((setting.solution - setting.constants.minimizer) ** 2).sum() ** 0.5)
    holds = all_hold(hypotheses)
    return Certificate(
        "critical_set",
        "every critical point of F lies this close to argmin f (replaces Lemmas D.1 to D.4)",
        "||w - argmin f|| <= rho sigma/(mu_f psi)",
        tuple(hypotheses),
        holds,
        value=value,
        bound=bound,
        slack=None if value is None or bound is None else bound - value,
        status=worst(setting.status, Status.BOUND),
        note="the value is the distance of a computed minimiser" if value is not None else "",
    )


def step_size_certificate(setting: Setting) -> Certificate:
    """Return the largest stable step size of gradient descent on F (C13)."""
    facts = setting.quadratic
    certificate = Certificate(
        "step_size_limit",
        "no eigenvalue of Hess F makes Euler's step unstable below this step size (not in the paper)",
        "step_size < 2/lambda_max(Hess F)",
        (),
        None,
    )
    if facts is not None:
        limit = facts.step_size_limit
        note = "exact, everywhere" if limit.status is Status.EXACT else "a lower bound, everywhere"
        return replace(
            certificate, holds=True, value=limit.value, bound=limit.value, slack=0.0,
            status=limit.status, note=note,
        )  # fmt: skip
    value = None
    small = setting.tasks.dim <= MATRIX_ONCE
    if setting.start is not None and setting.F.has_hessian and small:
        top = float(extreme_eigenvalues(objective_hessian(setting.F, setting.start.w))[1])
        value = 2.0 / top if top > 0 else math.inf
    hypotheses = list(setting.standing())
    best: tuple[float, float] | None = None
    for model in setting.models:
        level = model.level_floor
        if setting.start is not None:
            level = max(level, model.level(setting.start.gradient_norm))
        if math.isfinite(level) and (best is None or model.smoothness(level) < best[0]):
            best = model.smoothness(level), level
    if best is None:
        return replace(
            certificate, hypotheses=tuple(hypotheses), value=value, status=setting.status,
            note="no bound of Hess F here; the value is the limit at w0 only",
        )  # fmt: skip
    within = setting.inside(best[1])
    if within is not None:
        hypotheses.append(within)
    holds = all_hold(hypotheses)
    where = "V(c) with c from w0" if setting.start is not None else "V(c_inf)"
    return replace(
        certificate,
        hypotheses=tuple(hypotheses),
        holds=holds,
        value=value,
        bound=2.0 / best[0],
        slack=None if value is None else value - 2.0 / best[0],
        status=worst(setting.status, Status.BOUND),
        note=f"bound: 2/M(c) on {where}, c = {best[1]:.4g}; value: 2/lambda_max at w0",
    )
