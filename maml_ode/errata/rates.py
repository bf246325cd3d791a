"""Errata of the Lyapunov analysis and of the times: Sections 3.2, 3.3 and Appendix B."""

from __future__ import annotations

import math

from scipy.optimize import brentq

from maml_ode.errata.erratum import Comparison, Erratum, Evidence, OneVariable, line
from maml_ode.errata.open_points import printed_curve_slack
from maml_ode.theory.bounds.flow_times import bimaml_time, time_bound
from maml_ode.theory.bounds.lemmas import coupling_upper, printed_coupling_b1
from maml_ode.theory.bounds.printed import (
    printed_alpha_3_7,
    printed_alpha_b2,
    printed_curve_b2,
    printed_lemma_3_8,
    printed_limit_section_3_3,
    printed_time_3_6,
    printed_time_3_7,
    printed_zeta,
)
from maml_ode.theory.bounds.products import rho, zeta_corrected
from maml_ode.theory.bounds.sublevel_sets import Landscape

__all__ = ["RATES"]


def _lemma_b1() -> Evidence:
    def printed(s: float) -> float:
        return float(printed_coupling_b1(s, s, 0.01 / s, 2.0 * s)) / s**3

    def corrected(s: float) -> float:
        return float(coupling_upper(s, s, 0.01 / s, s, 2.0 * s)) / s**3

    return Evidence(
        "mu = 1, L = 2, ||grad f|| = sigma = 1, alpha = 0.01; f is multiplied by s = 10 and alpha divided by it, "
        "which multiplies the left side by s^3",
        Comparison("the printed bound over s^3, s = 10", printed(10.0), "=", "the same, s = 1", printed(1.0)),
        Comparison("corrected, s = 10", corrected(10.0), "=", "the same, s = 1", corrected(1.0)),
        {"printed with alpha = 1e-9": float(printed_coupling_b1(1.0, 1.0, 1e-9, 2.0)),
         "corrected with alpha = 1e-9": float(coupling_upper(1.0, 1.0, 1e-9, 1.0, 2.0))},
    )  # fmt: skip


def _lemma_3_8() -> Evidence:
    mu, L, sigma, alpha = 1.0, 2.0, 1.0, 1e-3
    growth = 2.0 * L * float(rho(alpha, mu, L)) * sigma
    zeta = float(zeta_corrected(alpha, mu, L))
    size = 0.25 * growth / zeta  # where growth z - 2 zeta z^2 is largest
    largest = growth * size - 2.0 * zeta * size**2
    printed = 2.0 * float(printed_lemma_3_8(0.0, sigma, alpha, mu, L))
    return Evidence(
        "mu = 1, L = 2, sigma = 1, alpha = 1e-3: the largest growth of ||grad f||^2 that is allowed",
        None,
        Comparison("corrected", largest, "<=", "printed (at grad f = 0)", printed),
    )


def _section_3_3() -> Evidence:
    mu, L, alpha = 1.0, 2.0, 1e-6
    limit = float(printed_curve_b2(math.inf, 0.0, 1.0, alpha, mu, L))
    true = (L * float(rho(alpha, mu, L)) / float(zeta_corrected(alpha, mu, L))) ** 2
    bound = printed_limit_section_3_3(1.0)
    return Evidence(
        "mu = 1, L = 2, sigma = 1, alpha = 1e-6",
        Comparison("limit of the solution of (3.3)", limit, "<=", "sigma^2/4", bound),
        Comparison("corrected limit (L rho sigma/zeta_1)^2", true, "<=", "sigma^2/4", bound),
    )


def _theorem_b2() -> Evidence:
    zeta = float(printed_zeta(0.25, 1.0, 1.0))
    return Evidence(
        "L = mu = 1, alpha = 1/4, below the printed limit "
        f"{min(printed_alpha_b2(1.0, 1.0).values()):.4f}",
        Comparison("limit gamma/zeta with sigma = 1", 0.5 / zeta, "<=", "sigma^2/mu", 1.0),
        Comparison(
            "the same at alpha = mu/(15 L^2)", 0.5 / float(printed_zeta(1 / 15, 1.0, 1.0)), "<=",
            "sigma^2/mu", 1.0,
        ),
        {"zeta at alpha = 1/4": zeta},
    )  # fmt: skip


def _theorem_b2_curve() -> Evidence:
    mu, L, alpha = 1.0, 2.0, 0.01
    zeta = float(printed_zeta(alpha, mu, L))
    return Evidence(
        "mu = 1, L = 2, sigma = 1, alpha = 0.01, started at argmin f: y(0) = 0",
        Comparison(
            "exp(-zeta c_0) = zeta y(0) - gamma", -0.5, ">=", "0", 0.0
        ),
        Comparison(
            "(L rho)^2", (L * float(rho(alpha, mu, L))) ** 2, "<=", "zeta_1 - zeta/2",
            float(zeta_corrected(alpha, mu, L)) - 0.5 * zeta,
        ),
        {"zeta_1 - zeta/2 - (L rho)^2": float(printed_curve_slack(alpha, mu, L))},
    )  # fmt: skip


def _theorem_3_6() -> Evidence:
    mu = L = 1.0
    alpha, sigma, tol, start = 0.25, 1.0, 1e-6, 10.0
    iota = float(printed_zeta(alpha, mu, L)) - 0.5 * mu
    model = Landscape(alpha=alpha, mu=mu, L=L, kappa=0.0, mu_f=mu, L_f=L, sigma=sigma)
    rate = (1.0 - alpha) ** 2
    needed = math.log(rate * start / tol) / rate
    small = Landscape(alpha=0.06, mu=mu, L=L, kappa=0.0, mu_f=mu, L_f=L, sigma=sigma)
    return Evidence(
        "f_i = w^2/2 -+ w (mu = L = sigma = 1, kappa = 0), alpha = 1/4 < 0.2582, w(0) = 10, eps = 1e-6",
        Comparison("iota = zeta - mu/2", iota, ">=", "0", 0.0),
        Comparison(
            "time needed", needed, "<=", "corrected bound", time_bound(model, start, tol).total
        ),
        {
            "printed time at alpha = 0.06": printed_time_3_6(start, sigma, 0.06, mu, L, tol),
            "corrected time at alpha = 0.06": time_bound(small, start, tol).total,
        },
    )


def _theorem_3_7() -> Evidence:
    alpha, eps0, tol = 0.05, 0.1, 1e-4
    # of f_1 = w^2 + w - sin(w)/2 and f_2 = w^2 - w
    mu, L, kappa, sigma = 1.5, 2.5, 0.5, 1.25
    tasks = OneVariable([line(2.0, 1.0, 0.5), line(2.0, -1.0, 0.0)], alpha)
    start = float(brentq(tasks.gradient, -1.0, 1.0))
    needed = tasks.maml_decrease_time(start, tol, 1e-3)
    printed = printed_time_3_7(0.0, sigma, mu, eps0, tol)
    limit = min(printed_alpha_3_7(mu, L, kappa, sigma, eps0).values())
    model = Landscape(alpha=alpha, mu=mu, L=L, kappa=kappa, mu_f=1.75, L_f=2.25, sigma=sigma)
    return Evidence(
        "f_1 = w^2 + w - sin(w)/2, f_2 = w^2 - w, alpha = 0.05, eps_0 = 0.1, eps = 1e-4, started at argmin f",
        Comparison("time needed", needed, "<=", "printed time", printed),
        Comparison(
            "time needed", needed, "<=", "corrected bound", bimaml_time(model, 0.0, eps0, tol).total
        ),
        {"|F'| at argmin f": abs(tasks.maml_gradient(start)), "printed limit of alpha": limit},
    )  # fmt: skip


def _iteration_complexity() -> Evidence:
    rate = 0.81
    beta = 2.6
    return Evidence(
        "f = w^2/2, alpha = 0.1, gradient descent on F with beta = 2.6: the flow converges at rate 0.81",
        Comparison("|1 - beta F''|", abs(1 - beta * rate), "<=", "1", 1.0),
        Comparison("|1 - beta F''| with beta = 2.4 < 2/F''", abs(1 - 2.4 * rate), "<=", "1", 1.0),
    )


RATES = (
    Erratum(
        "Lemma B.1",
        "grad f' Hess f E[B_i grad f_i] <= (5/4) L^2 alpha (L^3 alpha^2 + 2 L^2 alpha + 2) ||grad f||^2 + "
        "sigma^2/2 under Assumptions 3.2 and 3.3.",
        "true after repair",
        _lemma_b1,
        "Assumption 3.4 belongs to the hypotheses, and B_i = I - A_i A'_i has the Hessian averaged over the inner "
        "step. Sharper, of one unit and 0 with alpha: L ||grad f|| (max ||I - A A'|| ||grad f|| + rho sigma).",
        "E[B_i g_i] = E[B_i] g - E[(A_i A'_i - c I)(g_i - g)] for any c. The printed proof uses Young's "
        "inequality with weights 1/2, 1/2 on terms of different units; sigma^2/2 stays when alpha vanishes.",
        ("mo.theory.lemmas.coupling_upper",),
    ),
    Erratum(
        "Lemma 3.8",
        "(1/2) d/dt ||grad f||^2 <= -zeta ||grad f||^2 + sigma^2/2 under Assumptions 3.2 and 3.3.",
        "true after repair",
        _lemma_3_8,
        "Needs Assumption 3.4 and alpha <= 1/(2L) as well. Sharper: (1/2) d/dt ||grad f||^2 <= -zeta_1 ||grad "
        "f||^2 + L rho sigma ||grad f||, whose residual vanishes with alpha.",
        "grad f' Hess f grad F with grad F = E[A A'] grad f + E[(A A' - c)(grad f_i - grad f)]. Here and "
        "elsewhere A' averages I - alpha Hess f_i over the step.",
        ("mo.theory.derived.zeta_corrected", "mo.theory.derived.rho"),
    ),
    Erratum(
        "Section 3.3, the limit",
        "The bound of ||grad f||^2 converges to a constant smaller than sigma^2/4 for small alpha.",
        "false",
        _section_3_3,
        "The printed bound converges to sigma^2/(2 zeta) >= sigma^2/(2 mu). The true limit of ||grad f||^2 is "
        "at most (L rho sigma/zeta_1)^2 = O(alpha^2).",
        "zeta <= mu.",
        ("mo.theory.convergence.gradient_curve",),
    ),
    Erratum(
        "Theorem B.2, the limit on alpha",
        "alpha < sqrt(1/15) mu/L^2 (third term) gives zeta > mu/2 and a limit below sigma^2/mu.",
        "false",
        _theorem_b2,
        "alpha < mu/(15 L^2). The same term is copied into Theorem 3.6.",
        "The condition is (5/2) L^2 alpha < mu/6, without a root.",
        ("mo.theory.alpha_limits",),
    ),
    Erratum(
        "Theorem B.2, the curve",
        "||grad f(w(t))||^2 <= y(t) = (exp(-zeta (t + c_0)) + gamma)/zeta, y' = -zeta y + gamma.",
        "gap",
        _theorem_b2_curve,
        "y(t) = gamma/zeta + (y(0) - gamma/zeta) exp(-zeta t), from every start. From Lemma 3.8 the rate is 2 "
        "zeta with the same limit.",
        "The printed solution exists only for y(0) > gamma/zeta, and half the rate is the wrong side below "
        "that. It is a bound all the same: (L rho)^2 <= zeta_1 - zeta/2 whenever zeta > 0, and then the "
        "corrected inequality is stronger.",
        ("mo.errata.open_points.printed_curve_slack",),
    ),
    Erratum(
        "Theorem 3.6",
        "||grad F|| <= eps after (2/mu) log(...) + (16/mu) log(...), with a small constant iota > 0.",
        "true after repair",
        _theorem_3_6,
        "With 1/15 for sqrt(1/15), iota = zeta - mu/2, and log+ in each phase. With s_inf = rho sigma/psi and "
        "m(c) <= lambda_min(Hess F) on {f - f* <= c}: (1/(mu_f psi)) log+((s_0 - s_inf)/(s_c - s_inf)) + (1/m(c)) "
        "log+(K_c/eps), for much larger alpha.",
        "sqrt(2 mu_f (f - f*)) falls to s_inf at the rate mu_f psi; inside the sublevel set ||grad F|| decays at "
        "the rate m(c), not m(c)/2.",
        ("mo.theory.convergence.time_bound",),
    ),
    Erratum(
        "Theorem 3.7",
        "BI-MAML needs (2/mu) log(||grad f(w(0))||^2/eps_0^2) + (16/mu) log((9 eps_0 + 5 sigma)/(4 eps)).",
        "true after repair",
        _theorem_3_7,
        "(1/mu_f) log+(||grad f(w(0))||/eps_0) + (1/m(c)) log+(((1 - alpha mu)^2 eps_0 + rho sigma)/eps), c = "
        "max(eps_0^2/(2 mu_f), s_inf^2/(2 mu_f)), for a one-way switch and unit speed.",
        "In phase 1 ||grad f|| decays at the rate mu_f. Without log+ a start near argmin f makes the time "
        "negative, although argmin f is not stationary for F.",
        ("mo.theory.convergence.bimaml_time",),
    ),
    Erratum(
        "Iteration complexity (Theorem 3.6 and its comparison with O(1/eps^2))",
        "The ODE's time is called an iteration complexity, and compared with a count of stochastic iterations.",
        "gap",
        _iteration_complexity,
        "Gradient descent on F with beta <= 2/(m + M) contracts by 1 - beta m where m <= Hess F <= M; F is not "
        "globally smooth if kappa > 0, so M depends on the level set.",
        "O(log 1/eps) is for full gradients and strongly convex tasks, O(1/eps^2) for stochastic gradients and "
        "tasks that need not be convex.",
        ("mo.theory.discrete.iteration_bound",),
    ),
)
