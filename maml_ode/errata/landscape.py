"""Errata of the landscape analysis (Appendices C, D), of Figure 1 and of the experiments."""

from __future__ import annotations

import math

import numpy as np

from maml_ode.errata.erratum import Comparison, Erratum, Evidence, OneVariable, line, parabola
from maml_ode.errata.open_points import theorem_3_9
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.bounds.near_a_point import fallback_gradient_norm
from maml_ode.theory.bounds.pointwise import (
    curvature_lower,
    curvature_upper,
    gradient_of_F_upper,
    gradient_of_f_upper,
)
from maml_ode.theory.bounds.printed import (
    printed_alpha_3_10,
    printed_fallback_time_d5,
    printed_gradient_of_f_c1,
    printed_gradient_of_F_d2,
    printed_hessian_range_c2,
)
from maml_ode.theory.bounds.step_limits import alpha_limits
from maml_ode.theory.family_constants.find import constants
from maml_ode.theory.intervals.critical_points import count_critical_points

__all__ = ["LANDSCAPE"]


def _lemma_c1() -> Evidence:
    tasks = OneVariable([parabola(1.0)], 0.5)
    K, size = abs(tasks.maml_gradient(1.0)), abs(tasks.gradient(1.0))
    return Evidence(
        "f = w^2/2, alpha = 1/2 = 1/(2L), w = 1: sigma = 0",
        Comparison("||grad f||", size, "<=", "2K + sigma", float(printed_gradient_of_f_c1(K, 0.0))),
        Comparison(
            "||grad f||", size, "<=", "(K + rho sigma)/psi",
            float(gradient_of_f_upper(K, 0.0, 0.5, 1.0, 1.0)),
        ),
        {"K = ||grad F||": K},
    )  # fmt: skip


def _lemma_c2_lower() -> Evidence:
    tasks = OneVariable([line(2.0, 7.0, 1.0), line(2.0, 7.0, 1.0, -1.0)], 1 / 6)
    second = tasks.maml_curvature(0.0)
    grid = np.linspace(-4.0, 4.0, 4000)
    signs = np.sign([tasks.maml_gradient(float(w)) for w in grid])
    norm = float(np.mean(np.abs(tasks.task_gradients(0.0))))
    return Evidence(
        "f_1 = w^2 + 7w - sin w, f_2(w) = f_1(-w) (mu = 1, L = 3, kappa = 1), alpha = 1/6, w = 0, where "
        "grad f = 0, so that G -> 0 is allowed",
        Comparison("F''(0)", second, ">=", "mu/8", printed_hessian_range_c2(1.0, 3.0)[0]),
        Comparison(
            "F''(0)", second, ">=", "bound with E ||grad f_i|| = 6",
            float(curvature_lower(norm, 1 / 6, 1.0, 3.0, 1.0)),
        ),
        {"critical points of F on [-4, 4]": float(np.count_nonzero(np.diff(signs)))},
    )  # fmt: skip


def _lemma_c2_upper() -> Evidence:
    tasks = OneVariable([line(2.0, 40.0, -1.0), line(2.0, 40.0, -1.0, -1.0)], 1 / 6)
    second = tasks.maml_curvature(0.0)
    return Evidence(
        "f_1 = w^2 + 40w + sin w, f_2(w) = f_1(-w) (mu = 1, L = 3, kappa = 1), alpha = 1/6, w = 0",
        Comparison("F''(0)", second, "<=", "9L/8", printed_hessian_range_c2(1.0, 3.0)[1]),
        Comparison(
            "F''(0)", second, "<=", "bound with E ||grad f_i|| = 41",
            float(curvature_upper(41.0, 1 / 6, 1.0, 3.0, 1.0)),
        ),
    )  # fmt: skip


def _theorem_3_9() -> Evidence:
    step = _lemma_c1()
    proof = theorem_3_9()
    return Evidence(
        "the step of the proof that uses Lemma C.1: " + step.example,
        step.printed,
        Comparison(
            "boxes left undecided in the proof by interval arithmetic", 0.0 if proof.proved else 1.0,
            "<=", "0", 0.0,
        ),
        {"boxes decided": float(proof.boxes)},
    )  # fmt: skip


def _lemma_d2() -> Evidence:
    tasks = OneVariable([parabola(1.0)], 3.0)
    small = OneVariable([parabola(1.0)], 0.9)
    return Evidence(
        "f = w^2/2, alpha = 3, w = 1",
        Comparison(
            "||grad F||", abs(tasks.maml_gradient(1.0)), "<=", "sigma + sqrt(2 L (f - f*))",
            float(printed_gradient_of_F_d2(0.5, 0.0, 1.0)),
        ),
        Comparison(
            "||grad F|| at alpha = 0.9", abs(small.maml_gradient(1.0)), "<=",
            "(1 - alpha mu)^2 ||grad f|| + rho sigma",
            float(gradient_of_F_upper(1.0, 0.0, 0.9, 1.0, 1.0)),
        ),
    )  # fmt: skip


def _lemma_d5() -> Evidence:
    rate, K = 0.81, 0.1  # f = w^2/2, alpha = .1
    start = 0.2 / rate
    energy = 0.5 * rate * start**2
    early, late = printed_fallback_time_d5(energy, K), energy / K**2

    def slope(t: float) -> float:
        return rate * start * math.exp(-rate * t)

    return Evidence(
        "f = w^2/2, alpha = K = 0.1, w(0) = 0.2/0.81",
        Comparison("least ||grad F|| up to sqrt(E(0)/K)", slope(early), "<=", "K", K),
        Comparison("least ||grad F|| up to E(0)/K^2", slope(late), "<=", "K", K),
        {
            "sqrt(E(0)/K)": early,
            "E(0)/K^2": late,
            "bound at E(0)/K^2": fallback_gradient_norm(late, energy, 0.0),
        },
    )


def _proved(count: int | None) -> float:
    return math.nan if count is None else float(count)


def _figure_1_tasks() -> Sinusoid:
    return Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])


def _theorem_3_10() -> Evidence:
    k = constants(_figure_1_tasks())
    printed = min(printed_alpha_3_10(k.mu.value, k.L.value, k.kappa.value, k.sigma.value).values())
    corrected = alpha_limits(k)["unique minimum"].value
    count = count_critical_points(_figure_1_tasks(), corrected).count
    return Evidence(
        "the tasks of Figure 1",
        None,
        Comparison("critical points of F at the corrected limit", _proved(count), "=", "1", 1.0),
        {"printed limit of alpha": printed, "corrected limit of alpha": corrected},
    )


def _figure_1() -> Evidence:
    tasks = _figure_1_tasks()
    at_figure = count_critical_points(tasks, 0.4)
    k = constants(tasks)
    corrected = alpha_limits(k)["unique minimum"].value
    safe = count_critical_points(tasks, corrected)
    return Evidence(
        "f_1 = 0.505 w^2 - sin w, f_2 = 0.505 w^2 - 1e-4 sin 100w, alpha = 0.4",
        Comparison("critical points of F", _proved(at_figure.count), "=", "1", 1.0),
        Comparison(
            f"critical points at alpha = {corrected:.4g}", _proved(safe.count), "=", "1", 1.0
        ),
        {
            "minima at alpha = 0.4": float(at_figure.kinds.count("minimum")),
            "1/(2L)": 0.5 / k.L.value,
        },
    )


def _experiments() -> Evidence:
    rng = np.random.default_rng(0)
    n, d, M, alpha = 100, 20, 10, 0.3
    X = rng.standard_normal((M, n, d))
    H = 2.0 * np.einsum("mni,mnj->mij", X, X) / n
    largest = float(np.linalg.eigvalsh(H)[:, -1].max())
    A = np.eye(d) - alpha * H
    G = np.mean(H @ A @ A, axis=0)
    return Evidence(
        "linear regression as in Section 4: M = 10, n = 100, d = 20, standard normal data (seed 0), alpha = 0.3",
        Comparison("alpha L with 1/n before the sum", alpha * largest, "<=", "1/2", 0.5),
        Comparison(
            "smallest eigenvalue of E H_i (I - alpha H_i)^2", float(np.linalg.eigvalsh(G)[0]), ">=",
            "0", 0.0,
        ),
        {"alpha L with the sum, as printed": alpha * largest * n},
    )  # fmt: skip


LANDSCAPE = (
    Erratum(
        "Lemma C.1 and its use",
        "||grad f|| <= 2K + sigma where ||grad F|| <= K, for alpha < 1/(4L); used for alpha <= 1/(2L).",
        "false",
        _lemma_c1,
        "True up to (1 - 1/sqrt 2)/L = .293/L. For alpha L <= 2/3: ||grad f|| <= (K + rho sigma)/(1 - alpha "
        "L)^2.",
        "<grad f, grad F> >= psi ||grad f||^2 - rho sigma ||grad f||, psi = min lambda_min of the symmetric part "
        "of A A'. (The verdict is on its use in Theorems 3.6, 3.7 and 3.9.)",
        ("mo.theory.inequalities.gradient_of_f_upper",),
    ),
    Erratum(
        "Lemma C.2, lower bound",
        "Hess F >= mu/8 where ||grad f|| <= G and alpha <= min{1/(2L), mu/(8 kappa G)}.",
        "false",
        _lemma_c2_lower,
        "lambda_min(Hess F) >= mu (1 - alpha L)^2 - alpha kappa (1 - alpha mu) E ||grad f_i||.",
        "The proof treats f(w - alpha grad f(w)), one gradient step on the mean task, instead of the mean of "
        "f_i(w - alpha grad f_i(w)): E ||grad f_i|| is needed, not ||grad f||. Also, ||grad F(w) - grad F(u)|| >= "
        "c ||w - u|| does not make an eigenvalue positive.",
        ("mo.theory.inequalities.curvature_lower",),
    ),
    Erratum(
        "Lemma C.2, upper bound",
        "Hess F <= 9L/8 under the same conditions.",
        "false",
        _lemma_c2_upper,
        "lambda_max(Hess F) <= L (1 - alpha mu)^2 + alpha kappa (1 - alpha mu) E ||grad f_i||. F is not globally "
        "smooth if kappa > 0.",
        "As for the lower bound.",
        ("mo.theory.inequalities.curvature_upper",),
    ),
    Erratum(
        "Theorem 3.9",
        "mu/8 <= Hess F <= 9L/8 where ||grad F|| <= K, alpha <= min{1/(2L), mu/(8 kappa (2K + sigma))}, under "
        "Assumptions 3.2 and 3.3.",
        "true after repair",
        _theorem_3_9,
        "With Assumptions 3.4 and 3.5 (and true strong convexity) it holds as printed. For alpha <= 1/(4L) the "
        "lower bound can be .46 mu.",
        "Its proof rests on Lemmas C.1 and C.2. Ours bounds E ||grad f_i(u_i)|| by its mean and deviation; see "
        "mo.errata.open_points.",
        ("mo.errata.open_points.theorem_3_9",),
    ),
    Erratum(
        "Lemma D.2",
        "||grad F|| <= sigma + sqrt(2 L (f - f*)), for every alpha.",
        "false",
        _lemma_d2,
        "For alpha <= 1/L: ||grad F|| <= (1 - alpha mu)^2 ||grad f|| + rho sigma.",
        "||I - alpha Hess f_i|| <= 1 needs alpha <= 2/L.",
        ("mo.theory.inequalities.gradient_of_F_upper",),
    ),
    Erratum(
        "Lemma D.5",
        "The flow has met ||grad F|| <= K by the time sqrt(E(0)/K), E = F - inf F.",
        "false",
        _lemma_d5,
        "By the time E(0)/K^2.",
        "t min ||grad F||^2 <= E(0), equation (D.2).",
        ("mo.theory.local.fallback_gradient_norm",),
    ),
    Erratum(
        "Theorem 3.10",
        "F has a unique critical point for alpha <= min{1/(4L), mu/(8 kappa (2K + sigma))}, K > (1 + "
        "sqrt(L/mu)) sigma.",
        "true after repair",
        _theorem_3_10,
        "Needs Assumptions 3.4 and 3.5 and the set {f - f* <= c}, c >= c_inf = (rho sigma/psi)^2/(2 mu_f), "
        "on which m(c) > 0. That allows alpha kappa sigma < mu (1 - o(1)), where the printed condition asks "
        "for at most .025 mu; the order and the constant are sharp.",
        "Critical points lie in {f - f* <= c_inf} by the descent inequality; F is m(c)-strongly convex there and "
        "coercive.",
        ("mo.theory.convergence.unique_minimum_level",),
    ),
    Erratum(
        "Figure 1",
        "F at alpha = 0.4 is shown as a loss that is not convex; the text about it claims a unique critical "
        "point.",
        "false",
        _figure_1,
        "alpha = 0.4 exceeds 1/(2L) and is outside every theorem; F has seven critical points there, four of them "
        "minima. Uniqueness fails first near alpha = 0.0367, below 1/(4L), holds again from 0.0395 and fails "
        "from 0.1465 on.",
        "Interval arithmetic for F' and F'' (mo.theory.count_critical_points); for alpha < 1/L all critical "
        "points lie between the minimisers of the tasks.",
        ("mo.theory.count_critical_points", "mo.theory.count_by_alpha"),
    ),
    Erratum(
        "Section 4, the experiments",
        "Least squares ||y - X w||^2 with alpha = 0.3, and support vector machines with the hinge loss.",
        "gap",
        _experiments,
        "No theorem of the paper covers the regressions: alpha L > 1/2 even after division by n. The MAML loss of "
        "quadratic tasks is quadratic, with one minimum if E H_i (I - alpha H_i)^2 > 0, at any alpha.",
        "grad F = G (w - w_F) with that G. (The plain hinge has Hess f_i = 0 almost everywhere, so MAML and "
        "first-order MAML coincide, and F jumps; the printed ReLU(y - Xw) should be ReLU(1 - y Xw).)",
        ("mo.theory.certify",),
    ),
)
