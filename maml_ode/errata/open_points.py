r"""Questions that the paper and its correction leave open, settled as far as we could.

Each comes with what is claimed, how strongly (a proof, a counterexample, or evidence), and a
function that computes the decisive numbers. The searches look for violations over task families and
are able to find them: with a hypothesis relaxed they do.

1. Theorem 3.9 for 1/(4L) < alpha <= 1/(2L), where its printed proof fails: true (``theorem_3_9``).
2. The printed curve of Theorem B.2 from a start below its limit: valid (``printed_curve_slack``).
3. (E ||g_i^+||^2)^(1/2) <= ||grad F||/(1 - alpha L) + (1 - alpha mu) sigma, which holds for
   quadratic tasks: false in general (``conjecture_counterexample``).
4. The smallest constant rho in the noise terms: found in closed form, and attained
   (``noise_constant.optimal_rho``).
5. How convex F is within the ranges of Theorems 3.6, 3.9 and of the closed form: constants that used
   to be read off a grid, now proved (``convexity_in_range``).

Statement numbers refer to Xu, Chen and Karbasi, Meta Learning in the Continuous Time Limit, AISTATS
2021. sigma is the global bound of Assumption 3.4, mu > 0 the smallest eigenvalue of the Hess f_i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_real
from maml_ode.errata.adversary import BumpTasks, Search, search
from maml_ode.errata.box_proof import BoxProof, Interval, prove_above
from maml_ode.errata.noise_constant import optimal_rho
from maml_ode.theory.bounds.printed import printed_zeta
from maml_ode.theory.bounds.products import contraction_range, rho, zeta_corrected
from maml_ode.theory.intervals.arrays import IntervalArray

__all__ = [
    "OpenPoint",
    "conjecture_counterexample",
    "convexity_in_range",
    "curvature_in_theorem_3_9",
    "open_points",
    "printed_curve_slack",
    "search_conjecture",
    "search_printed_curve",
    "search_theorem_3_9",
    "theorem_3_9",
]


@dataclass(frozen=True)
class OpenPoint:
    """A question and how far it is settled.

    Attributes
    ----------
    question : str
    verdict : {"proved", "refuted", "improved"}
    answer : str
    proof : str
        The argument; every number in it is computed by ``evidence``.
    evidence : callable
        Returns the decisive numbers by name.
    """

    question: str
    verdict: str
    answer: str
    proof: str
    evidence: Callable[[], dict[str, float]]


def curvature_in_theorem_3_9(x: Interval, ratio: Interval, noise: Interval) -> Interval:
    r"""Return a lower bound of lambda_min(Hess F)/mu under the hypotheses of Theorem 3.9.

    Parameters
    ----------
    x, ratio, noise : IntervalArray or Enclosure
        alpha L in [0, 1/2], mu/L in [0, 1] and sigma/(2K + sigma) in [0, 1].

    Notes
    -----
    Measure gradients in units of 2K + sigma = 1, so that K = (1 - noise)/2 and alpha kappa <= mu/8.
    With v_i = grad f_i(u_i), v = E v_i, tau^2 = E ||v_i - v||^2, a = 1 - alpha L, b = 1 - alpha mu:

    - psi ||grad f|| <= K + rho sigma with psi = a^2 bounds G = ||grad f|| and E ||grad f_i|| <= (G^2
      + sigma^2)^(1/2).
    - tau <= (1 + alpha L) sigma: v_i is grad f_i(w - alpha grad f) less alpha times an averaged
      Hessian times grad f_i - grad f, and Assumption 3.4 holds at w - alpha grad f too.
    - tau <= b sigma + alpha (L - mu) G/2: v_i = grad f + (I - alpha H)(grad f_i - grad f) - alpha H grad
      f with an averaged Hessian H = H_i, and only its deviation from (L + mu)/2 counts in the last term.
    - a ||v|| <= K + (b - a) tau/2, as grad F = E A_i v + E (A_i - (a + b)/2)(v_i - v).
    - E ||v_i|| <= (||v||^2 + tau^2)^(1/2), and <= b E ||grad f_i||.
    - Hess F >= E A_i Hess f_i(u_i) A_i - alpha kappa E ||v_i||, and the first term is at least mu a^2,
      and at least min h - alpha kappa b^2 E ||grad f_i||, h(s) = s (1 - alpha s)^2 on [mu, L].
    """
    gap = x * (1.0 - ratio)
    a, b = 1.0 - x, 1.0 - ratio * x
    K = 0.5 * (1.0 - noise)
    bias = gap * (0.5 * (a.square() + b.square())).sqrt()
    G = (K + bias * noise) / a.square()
    mean_norm = (G.square() + noise.square()).sqrt()
    tau = ((1.0 + x) * noise).minimum(b * noise + 0.5 * gap * G)
    v = (K + 0.5 * gap * tau) / a
    adapted = (v.square() + tau.square()).sqrt().minimum(b * mean_norm)
    # for mu/L < 1/1000 the second of the two is the smaller one anyway
    least = b.square().minimum(a.square() / ratio.clip_lower(1e-3))
    first = a.square() - 0.125 * adapted
    return first.maximum(least - 0.125 * b.square() * mean_norm - 0.125 * adapted)


def theorem_3_9(noise_from: float = 0.2) -> BoxProof:
    """Prove lambda_min(Hess F) > mu/8 for alpha <= min{1/(2L), mu/(8 kappa (2K + sigma))}.

    For sigma/(2K + sigma) >= ``noise_from``, by interval arithmetic on ``curvature_in_theorem_3_9``.
    Below .216, by hand: ||v|| <= (1 - s/4)/(2a) and tau <= 3s/2 for s = sigma/(2K + sigma) and alpha
    L <= 1/2, so that E ||v_i||^2 <= (1 - s/4)^2 + 9 s^2/4 <= 1 for s <= 8/37, and a^2 - 1/8 >= 1/8.
    Equality needs alpha L = 1/2 and s = 0. (lambda_max(Hess F) <= 9L/8 follows from E ||v_i|| <= 1 + 7
    alpha L and L b^2 + mu E ||v_i||/8.)
    """
    low = check_real("noise_from", noise_from, minimum=0.0)
    box = [(0.0, 0.5), (0.0, 1.0), (low, 1.0)]
    return prove_above(curvature_in_theorem_3_9, box, 0.125)


def convexity_in_range() -> dict[str, tuple[float, BoxProof]]:
    """Prove lambda_min(Hess F) > c mu in three ranges of alpha; return c and the proof of each.

    On {||grad F|| <= K}, alpha kappa (2K + sigma) <= mu/8: c = .46 for alpha <= 1/(4L); c = .80 for alpha
    <= 1/(15L) and K >= 2 sigma, which holds in Theorem 3.6 (corrected: alpha <= mu/(15 L^2)). On {f - f*
    <= sigma^2/(2L)}, where E ||grad f_i|| <= sqrt(2) sigma, c = .29 for alpha <= min{1/(4L), sqrt(mu/L)/(4L),
    mu/(4 kappa sigma)}; at mu = L the bound is .2973.
    """

    def closed_form(share: Interval, root: Interval) -> Interval:
        x = 0.25 * share * root  # root = sqrt(mu/L)
        return (1.0 - x).square() - (1.0 - x * root.square()) * (0.25 * root.of(2.0).sqrt())

    unit = (0.0, 1.0)
    boxes = {
        "alpha L <= 1/4": (0.46, [(0.0, 0.25), unit, unit]),
        "alpha L <= 1/15, K >= 2 sigma": (0.80, [(0.0, 1.0 / 15.0), unit, (0.0, 0.2)]),
    }
    proofs = {
        name: (c, prove_above(curvature_in_theorem_3_9, box, c)) for name, (c, box) in boxes.items()
    }
    return {**proofs, "closed form": (0.29, prove_above(closed_form, [unit, unit], 0.29))}


def search_theorem_3_9(
    n_tasks: int = 2, *, budget: int = 20_000, seed: int = 0, excess: float = 1.0
) -> Search:
    """Search for lambda_min(Hess F) < mu/8 with 1/(4L) < alpha <= 1/(2L) in one dimension.

    ``excess`` above 1 relaxes the hypothesis to alpha kappa (2K + sigma) <= excess mu/8: from about
    5 on there are violations. The margin is F''/mu - 1/8.
    """

    def measure(tasks: BumpTasks) -> tuple[Array, Array]:
        size = 2.0 * np.abs(tasks.gradient_of_F) + tasks.sigma
        load = 8.0 * tasks.alpha * tasks.kappa * size / tasks.mu
        return tasks.hessian_of_F / tasks.mu - 0.125, np.log(load / excess)

    return search(measure, n_tasks=n_tasks, alpha_L=(0.25, 0.5), budget=budget, seed=seed)


def printed_curve_slack(alpha: npt.ArrayLike, mu: npt.ArrayLike, L: npt.ArrayLike) -> Array:
    r"""Return zeta_1 - zeta/2 - (L rho)^2, which makes the printed curve of Theorem B.2 a bound.

    The corrected inequality d/dt ||g||^2 <= -2 zeta_1 ||g||^2 + 2 L rho sigma ||g|| implies d/dt ||g||^2
    <= -zeta ||g||^2 + sigma^2/2, whose solution is the printed y(t), for every ||g|| iff this slack is
    not negative (the discriminant of a quadratic form in ||g|| and sigma).

    It is positive whenever zeta > 0: with q = alpha L^2, zeta > 0 gives mu > 5q/2 + 5q^2/2 and alpha L <
    2/5, hence psi = (1 - alpha L)^2 and zeta_1 >= mu - alpha (L^2 + mu^2) >= mu - 2q. So zeta_1 -
    zeta/2 >= mu/2 - 2q + 5q/4 + 5q^2/4 >= q/2 + 5q^2/2, and (L rho)^2 <= q^2. Hence ||grad f(w(t))||^2
    <= y(t) from every start, also below the limit, where y rises at half the rate of Lemma 3.8's
    bound. (q and q^2 have different units, as in the paper; the statement is one of numbers.)
    """
    zeta = printed_zeta(alpha, mu, L)
    bias = np.asarray(L, dtype=np.float64) * rho(alpha, mu, L)
    result: Array = zeta_corrected(alpha, mu, L) - 0.5 * zeta - bias**2
    return result


def search_printed_curve(
    n_tasks: int = 2, *, budget: int = 20_000, seed: int = 0, noise: float = 1.0
) -> Search:
    """Search for d/dt ||grad f||^2 > -zeta ||grad f||^2 + noise sigma^2/2 along the MAML flow.

    Nowhere for ``noise`` = 1, by ``printed_curve_slack``. The margin is in units of sigma^2 mu.
    """

    def measure(tasks: BumpTasks) -> tuple[Array, Array]:
        g = tasks.mean(tasks.first(0.0))
        growth = -2.0 * g * tasks.mean(tasks.second(0.0)) * tasks.gradient_of_F
        zeta = printed_zeta(tasks.alpha, tasks.mu, tasks.L)
        variance = np.maximum(tasks.sigma, 1e-12) ** 2
        margin = (-zeta * g**2 + 0.5 * noise * variance - growth) / (variance * tasks.mu)
        return margin, np.where(zeta > 0, -1.0, -zeta / tasks.mu)

    return search(
        measure, n_tasks=n_tasks, alpha_L=(1e-3, 0.3), curvature=(-3.0, 1.0), budget=budget, seed=seed
    )  # fmt: skip


def _conjecture_margin(tasks: BumpTasks, repaired: bool) -> Array:
    size = np.sqrt(tasks.mean(tasks.adapted**2))
    a, b = contraction_range(tasks.alpha, tasks.mu, tasks.L)
    bound = np.abs(tasks.gradient_of_F) / a + b * tasks.sigma
    if repaired:
        third = tasks.mean(tasks.first(0.0) ** 2 * np.abs(tasks.adapted))
        bound = bound + 0.5 * tasks.alpha**2 * tasks.kappa * third / np.maximum(size, 1e-300)
    return np.asarray((bound - size) / np.maximum(tasks.sigma, 1e-9 * size + 1e-300))


def search_conjecture(
    n_tasks: int = 2, *, budget: int = 20_000, seed: int = 0, repaired: bool = False
) -> Search:
    r"""Search for V := (E ||g_i^+||^2)^(1/2) > ||grad F||/(1 - alpha L) + (1 - alpha mu) sigma.

    With ``repaired``, alpha^2 kappa E ||g_i||^2 ||g_i^+||/(2 V) is added to the right side. That holds:
    V^2 = E <g_i, A_i g_i^+> + E <g_i, (A'_i - A_i) g_i^+> where A'_i averages I - alpha Hess f_i over the
    step, so that ||A'_i - A_i|| <= alpha^2 kappa ||g_i||/2; the first term is <g, grad F> + E <g_i - g,
    A_i g_i^+> <= V ||grad F||/a + b sigma V. The margin is in units of sigma.
    """

    def measure(tasks: BumpTasks) -> tuple[Array, Array]:
        return _conjecture_margin(tasks, repaired), np.full(tasks.mu.shape, -1.0)

    return search(measure, n_tasks=n_tasks, alpha_L=(0.05, 0.9), budget=budget, seed=seed)


def conjecture_counterexample(mu: float = 0.01, width: float = 0.01) -> BumpTasks:
    """Return two tasks in one dimension that violate the conjecture at w = 0.

    f_1' = 1 + mu w + (1 - mu) e tanh(w/e) and f_2' = -1 + mu w, with weights 2/3 and 1/3, L = 1 and alpha
    = 1/2. Task 1 has its largest Hessian at w and its smallest nearly all along the step, so A_1 = 1/2
    and A'_1 is almost 1. F' nearly vanishes, |g_i^+| is almost 1, and sigma is near 2 sqrt(2)/3 =
    .943. For mu, e -> 0 the ratio of the two sides tends to 3/sqrt 8 = 1.061.
    """
    one = np.ones(1)
    return BumpTasks(
        alpha=0.5 * one,
        mu=mu * one,
        weights=np.array([[2.0], [1.0]]) / 3.0,
        linear=np.array([[1.0], [-1.0]]),
        height=np.array([[1.0 - mu], [0.0]]),
        width=np.full((2, 1), width),
        place=np.zeros((2, 1)),
    )


def open_points() -> tuple[OpenPoint, ...]:
    """Return the questions with their answers, in the order of the module's description."""
    return (
        OpenPoint(
            "Theorem 3.9 claims mu/8 <= Hess F <= 9L/8 where ||grad F|| <= K, for alpha <= min{1/(2L), "
            "mu/(8 kappa (2K + sigma))}. Its proof uses Lemma C.1 beyond the range of that lemma. Is "
            "the theorem true for 1/(4L) < alpha <= 1/(2L)?",
            "proved",
            "Yes, given true strong convexity and Assumptions 3.4 and 3.5 everywhere; mu/8 is attained in "
            "the limit alpha = 1/(2L), sigma = 0.",
            "Bound E ||grad f_i(u_i)|| by its mean and its deviation instead of by ||grad f|| (see "
            "curvature_in_theorem_3_9). By hand for sigma <= .216 (2K + sigma); interval arithmetic over "
            "alpha L, mu/L and sigma/(2K + sigma) for the rest.",
            _evidence_3_9,
        ),
        OpenPoint(
            "Theorem B.2 prints y(t) = gamma/zeta + (y(0) - gamma/zeta) exp(-zeta t), half the rate of "
            "Lemma 3.8. For y(0) < gamma/zeta that is the lower of the two curves. Is it still a bound?",
            "proved",
            "Yes, from every start, whenever zeta > 0.",
            "The corrected inequality d/dt ||g||^2 <= -2 zeta_1 ||g||^2 + 2 L rho sigma ||g|| is stronger "
            "than d/dt ||g||^2 <= -zeta ||g||^2 + sigma^2/2 since (L rho)^2 <= zeta_1 - zeta/2 (see "
            "printed_curve_slack).",
            _evidence_b2,
        ),
        OpenPoint(
            "Is (E ||g_i^+||^2)^(1/2) <= ||grad F||/(1 - alpha L) + (1 - alpha mu) sigma beyond quadratic "
            "tasks?",
            "refuted",
            "No: two tasks in one dimension violate it by 4 %. With alpha^2 kappa E ||g_i||^2 ||g_i^+||/2 "
            "divided by the left side added on the right it holds.",
            "conjecture_counterexample; the proof of the repaired form is in search_conjecture.",
            _evidence_conjecture,
        ),
        OpenPoint(
            "What is the smallest rho with ||grad F - E[A_i A'_i] grad f|| <= rho sigma for all tasks with "
            "spectra in [mu, L], d >= 2?",
            "improved",
            "(j + r^2) sqrt(1 + c0^2/j) with c0 = 1 - alpha (L + mu)/2, r = alpha (L - mu)/2 and j = c0^2 "
            "(sqrt(1 + 8 r^2/c0^2) - 1)/4; two tasks in two dimensions attain it.",
            "See the module noise_constant.",
            _evidence_rho,
        ),
        OpenPoint(
            "How convex is F within the ranges of alpha of Theorems 3.6 and 3.9 and of the closed form alpha <= "
            "min{1/(4L), sqrt(mu/L)/(4L), mu/(4 kappa sigma)}? The paper has mu/8.",
            "improved",
            "At least .80 mu, .46 mu (for alpha <= 1/(4L)) and .29 mu, on the sets that each of them uses.",
            "Interval arithmetic on the bounds of convexity_in_range.",
            _evidence_range,
        ),
    )


def _evidence_3_9() -> dict[str, float]:
    proof = theorem_3_9()
    return {
        "proved": float(proof.proved),
        "boxes": float(proof.boxes),
        "attained at alpha L = 1/2, sigma = 0": float(
            curvature_in_theorem_3_9(*map(IntervalArray.of, (0.5, 0.9, 0.0))).lower
        ),
    }


def _evidence_b2() -> dict[str, float]:
    mu = np.geomspace(1e-4, 10.0, 60)[:, None, None]
    L = mu * np.geomspace(1.0, 1e3, 60)[None, :, None]
    q = np.linspace(1e-3, 1.0, 40)[None, None, :]
    alpha = 0.4 * q * mu / L**2
    valid = printed_zeta(alpha, mu, L) > 0
    slack = printed_curve_slack(np.minimum(alpha, 1.0 / L), mu, L) / mu
    return {"least slack/mu where zeta > 0": float(slack[valid].min())}


def _evidence_conjecture() -> dict[str, float]:
    tasks = conjecture_counterexample()
    a, b = contraction_range(tasks.alpha, tasks.mu, tasks.L)
    size = np.sqrt(tasks.mean(tasks.adapted**2))
    bound = np.abs(tasks.gradient_of_F) / a + b * tasks.sigma
    return {
        "(E ||g_i^+||^2)^(1/2)": float(size[0]),
        "||grad F||/(1 - alpha L) + (1 - alpha mu) sigma": float(bound[0]),
    }


def _evidence_rho() -> dict[str, float]:
    return {
        "rho, alpha L = 1, mu = 0": float(rho(1.0, 0.0, 1.0)),
        "smallest rho, alpha L = 1, mu = 0": float(optimal_rho(1.0, 0.0, 1.0)),
        "rho, alpha L = 1/2, mu = 0": float(rho(0.5, 0.0, 1.0)),
        "smallest rho, alpha L = 1/2, mu = 0": float(optimal_rho(0.5, 0.0, 1.0)),
    }


def _evidence_range() -> dict[str, float]:
    return {
        f"boxes for {c:g} mu, {name}": float(proof.boxes if proof.proved else np.nan)
        for name, (c, proof) in convexity_in_range().items()
    }
