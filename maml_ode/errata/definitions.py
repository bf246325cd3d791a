"""Errata of the paper's assumptions, of Proposition 3.1, of the algorithms and of its units."""

from __future__ import annotations

import math

import numpy as np

from maml_ode.errata.erratum import Comparison, Erratum, Evidence, OneVariable, parabola
from maml_ode.theory.bounds.pointwise import curvature_lower
from maml_ode.theory.bounds.printed import printed_alpha_3_6
from maml_ode.theory.bounds.products import zeta_corrected_limit

__all__ = ["DEFINITIONS"]


def _assumption_3_3() -> Evidence:
    tasks = OneVariable([(lambda w: -w, lambda w: -1.0, lambda w: 0.0)], 0.1)
    curvature = tasks.maml_curvature(0.0)
    return Evidence(
        "f(w) = -w^2/2 (M = 1, mu = L = 1, kappa = sigma = 0), alpha = 0.1; it meets Assumptions 3.2 to 3.5 "
        "as printed, and Theorem 3.9 should hold",
        Comparison("F''(0)", curvature, ">=", "mu/8", 0.125),
        Comparison(
            "F''(0)", curvature, ">=", "bound with the signed mu = -1",
            float(curvature_lower(0.0, 0.1, -1.0, 1.0, 0.0)),
        ),
        {"|f'(1) - f'(0)|": abs(tasks.gradient(1.0) - tasks.gradient(0.0))},
    )  # fmt: skip


def _assumption_3_4() -> Evidence:
    tasks = OneVariable([parabola(1.0), parabola(2.0)], 0.1)

    def deviation(w: float) -> float:
        g = tasks.task_gradients(w)
        return 0.5 * abs(g[1] - g[0])

    return Evidence(
        "f_1 = w^2/2, f_2 = w^2; sigma taken from |w| <= 10",
        Comparison(
            "sd at w = 1000", deviation(1000.0), "<=", "sup of sd over |w| <= 10", deviation(10.0)
        ),
        Comparison(
            "sd at w = 1000", deviation(1000.0), "<=", "(L - mu)/(2 mu_f) |f'(1000)|",
            (2.0 - 1.0) / (2.0 * 1.5) * abs(tasks.gradient(1000.0)),
        ),
    )  # fmt: skip


def _assumption_3_5() -> Evidence:
    tasks = OneVariable(
        [(lambda w: w - 1.0 + 0.5 * w * abs(w), lambda w: 1.0 + abs(w), lambda w: math.copysign(1, w))],
        0.1,
    )  # fmt: skip
    h = 1e-6
    right = (tasks.maml_gradient(h) - tasks.maml_gradient(0.0)) / h
    left = (tasks.maml_gradient(0.0) - tasks.maml_gradient(-h)) / h
    at_image = abs(tasks.gradient(0.0 - 0.1 * tasks.gradient(0.0)))
    return Evidence(
        "f' = w - 1 + w|w|/2 near 0 (f'' is 1-Lipschitz), alpha = 0.1, at w = 0",
        Comparison("jump of the slope of F' at 0", abs(right - left), "<=", "1e-4", 1e-4),
        Comparison(
            "jump of the slope of F'", abs(right - left), "<=", "2 alpha kappa |f'(u)| (1 + 1e-4)",
            0.2 * at_image * 1.0001,
        ),
    )  # fmt: skip


def _proposition_3_1() -> Evidence:
    alpha, point = 0.125, np.array([4.0, 4.0])

    def gradient(w: np.ndarray) -> np.ndarray:
        return np.array([2 * w[0] + np.sin(w[0]), 2 * w[1] - np.cos(w[1])])

    def curvature(s: np.ndarray) -> np.ndarray:
        on = point - s[:, None] * alpha * gradient(point)
        return np.stack([2 + np.cos(on[:, 0]), 2 + np.sin(on[:, 1])], axis=1)

    wanted = gradient(point - alpha * gradient(point))

    def residual(rows: np.ndarray) -> np.ndarray:
        gaps = (1 - alpha * rows) * gradient(point) - wanted
        return np.asarray(np.linalg.norm(gaps, axis=1))

    nodes, weights = np.polynomial.legendre.leggauss(20)
    mean = 0.5 * weights @ curvature(0.5 + 0.5 * nodes)
    single = float(residual(curvature(np.linspace(0, 1, 20_001))).min())
    return Evidence(
        "f = x^2 + y^2 - cos x - sin y (mu = 1, L = 3, kappa = 1), alpha = 1/8, w = (4, 4)",
        Comparison(
            "least ||(I - alpha Hess f(z)) grad f(w) - grad f(w^+)|| over z in the segment",
            single, "=", "0", 0.0,
        ),
        Comparison(
            "the same with the averaged Hessian", float(residual(mean[None])[0]), "=", "0", 0.0
        ),
    )  # fmt: skip


def _biphasic(rule: str, eps0: float, most: int = 3000) -> tuple[int, int, float]:
    """Run Algorithm 1 on f_1 = (w - 3)^2/2, f_2 = 3 (w + 1)^2/2; return steps, switches and |F'|."""
    tasks = OneVariable([parabola(1.0, 3.0), parabola(3.0, -1.0)], 0.1)
    w, step, tolerance = 10.0, 0.1, 1e-6
    switches, latched, last = 0, False, None
    for k in range(most):
        small = abs(tasks.gradient(w)) <= eps0
        latched = latched or small
        on_f = {"as printed": small, "tested again": not small, "once": not latched}[rule]
        slope = tasks.maml_gradient(w)
        if abs(slope) <= tolerance:
            return k, switches, abs(slope)
        switches += last is not None and last != on_f
        last = on_f
        w -= step * (tasks.gradient(w) if on_f else slope)
    return most, switches, abs(tasks.maml_gradient(w))


_ALGORITHM_PROBLEM = (
    "f_1 = (w - 3)^2/2, f_2 = 3 (w + 1)^2/2, alpha = beta = 0.1, w(0) = 10, eps = 1e-6"
)


def _algorithm_test() -> Evidence:
    _, _, slope = _biphasic("as printed", 1.0)
    steps, _, good = _biphasic("once", 1.0)
    return Evidence(
        f"{_ALGORITHM_PROBLEM}, eps_0 = 1, 3000 steps",
        Comparison("|F'| at the end, test as printed", slope, "<=", "eps", 1e-6),
        Comparison("|F'| at the end, one-way switch", good, "<=", "eps", 1e-6),
        {"steps with the one-way switch": float(steps)},
    )


def _algorithm_latch() -> Evidence:
    _, switches, slope = _biphasic("tested again", 0.5)
    steps, _, good = _biphasic("once", 0.5)
    return Evidence(
        f"{_ALGORITHM_PROBLEM}, eps_0 = 0.5, order of the text (f first), 3000 steps",
        Comparison("|F'| at the end, test in every step", slope, "<=", "eps", 1e-6),
        Comparison("|F'| at the end, one-way switch", good, "<=", "eps", 1e-6),
        {"switches": float(switches), "steps with the one-way switch": float(steps)},
    )


def _equation_3_4() -> Evidence:
    h, rate = 1e-4, 0.81  # f = w^2/2, alpha = .1: w' = -(1 - alpha)^2 w
    derivative = (math.exp(-2 * rate * h) - math.exp(2 * rate * h)) / (2 * h)
    return Evidence(
        "f = w^2/2, alpha = 0.1, w(0) = 1: w(t) = exp(-0.81 t)",
        Comparison("d/dt ||grad f||^2 at t = 0", round(derivative, 7), "=", "printed", -rate),
        Comparison(
            "d/dt ||grad f||^2 at t = 0", round(derivative, 7), "=", "twice that", -2 * rate
        ),
    )


def _units() -> Evidence:
    def printed(s: float) -> float:
        return 2.0 * s * min(printed_alpha_3_6(s, 2.0 * s, 0.0, 0.0).values())

    def corrected(s: float) -> float:
        return 2.0 * s * zeta_corrected_limit(s, 2.0 * s)

    return Evidence(
        "L = 2 mu, kappa = 0; f is multiplied by s = 1000 and alpha divided by it, which changes nothing",
        Comparison(
            "Theorem 3.6's limit of alpha L, s = 1000", printed(1000.0), "=", "the same, s = 1",
            printed(1.0),
        ),
        Comparison(
            "limit of alpha L for zeta_1 > 0, s = 1000", corrected(1000.0), "=", "the same, s = 1",
            corrected(1.0),
        ),
        {"Theorem 3.6's limit, s = 10": printed(10.0), "s = 100": printed(100.0)},
    )  # fmt: skip


DEFINITIONS = (
    Erratum(
        "Assumption 3.3",
        "For every w and u there is a mu with ||grad f_i(w) - grad f_i(u)|| >= mu_i ||w - u||; called "
        "strong convexity.",
        "false",
        _assumption_3_3,
        "<grad f_i(w) - grad f_i(u), w - u> >= mu_i ||w - u||^2 with one mu_i > 0 for all w, u; "
        "equivalently Hess f_i >= mu_i I.",
        "An expansive gradient says that no eigenvalue of the Hessian is small, not that none is "
        "negative. Test the smallest eigenvalue with its sign.",
        ("mo.theory.constants",),
    ),
    Erratum(
        "Assumption 3.4",
        "The variance of the task gradients is bounded over all w by one sigma^2.",
        "gap",
        _assumption_3_4,
        "sd(w) <= sigma_0 + nu ||grad f(w)|| with sigma_0 = sd(argmin f) and nu = (L - mu)/(2 mu_f) always "
        "holds; or take sup sd over a sublevel set of f.",
        "Regression tasks with different data violate the assumption. With averaged Hessians H_i between "
        "argmin f and w, g_i - g = (H_i - E H_i)(w - x*) + g_i(x*), and E ||(H_i - E H)v||^2 <= ((L - mu)/2)^2 "
        "||v||^2.",
        ("mo.theory.constants",),
    ),
    Erratum(
        "Assumption 3.5 and Hess F",
        "f_i is twice differentiable with Lipschitz Hessian, and Hess F is used throughout.",
        "gap",
        _assumption_3_5,
        "Assume C^3, or read Hess F almost everywhere: grad F is locally Lipschitz. All bounds of Hess F then "
        "hold for differences of grad F on convex sets.",
        "Hess F contains -alpha D^3 f_i[grad f_i(u_i)], which need not exist; ||D^3 f_i|| <= kappa_i where "
        "it does.",
        ("mo.theory.inequalities.curvature_lower", "mo.theory.inequalities.curvature_upper"),
    ),
    Erratum(
        "Proposition 3.1",
        "grad f_i(w - alpha grad f_i(w)) = (I - alpha Hess f_i(z)) grad f_i(w) at one point z of the segment "
        "(mean value theorem).",
        "false",
        _proposition_3_1,
        "The Hessian averaged over the segment takes the place of Hess f_i(z). Existence and uniqueness of the "
        "flow need Hess f_i continuous and locally Lipschitz.",
        "The mean value theorem holds for each coordinate with a point of its own. Only mu I <= Hess f_i(z) "
        "<= L I was used of z, which averages satisfy too.",
        ("mo.theory.derived.contraction_range",),
    ),
    Erratum(
        "Algorithms 1 and 2, line 3",
        "Descend f if ||grad f|| <= eps_0, else F.",
        "false",
        _algorithm_test,
        "Descend f until ||grad f|| <= eps_0, then F (as the text says). Test ||grad F|| <= eps in the second "
        "phase only: in the first it costs what the phase saves. Return the w that was tested.",
        "As printed the iteration stops at argmin f once it comes near it. (Algorithm 2 also multiplies the "
        "flow by beta, which only stretches time and contradicts (3.2).)",
        ("mo.bimaml_flow",),
    ),
    Erratum(
        "Algorithms 1 and 2, the test in every step",
        "Which of f and F is descended is decided anew in every step.",
        "false",
        _algorithm_latch,
        "A one-way switch.",
        "If eps_0 < ||grad f|| at the minimiser of F, both fields point at {||grad f|| = eps_0}: the iterates "
        "chatter about it and the flow slides along it. The printed order fails iff eps_0 exceeds that norm.",
        ("mo.bimaml_flow",),
    ),
    Erratum(
        "Equation (3.4)",
        "d/dt ||grad f||^2 = grad f' Hess f w'.",
        "false",
        _equation_3_4,
        "d/dt ||grad f||^2 = 2 grad f' Hess f w'. The same factor is missing for ||grad F||^2 in the proofs of "
        "Theorems 3.6 and 3.7, where it costs half of the rate.",
        "The chain rule.",
        ("mo.theory.convergence.gradient_curve",),
    ),
    Erratum(
        "Units (Lemma 3.8, Theorems B.2, 3.6, 3.7)",
        "zeta = mu - (5/4) L^2 alpha (L^3 alpha^2 + 2 L^2 alpha + 2), and limits on alpha made from it.",
        "true after repair",
        _units,
        "zeta_1 = (L + mu) psi/2 - (L - mu)(1 - alpha mu)^2/2 and ||grad f||' <= -zeta_1 ||grad f|| + L rho "
        "sigma: only alpha L, mu/L and alpha kappa sigma/mu enter.",
        "Young's inequality was used with weights 1/2, 1/2 on terms of different units, which adds L to 1. In "
        "fixed units the statements hold; their limits on alpha depend on the units.",
        ("mo.theory.derived.zeta_corrected", "mo.theory.derived.zeta_corrected_limit"),
    ),
)
