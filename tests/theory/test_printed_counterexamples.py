"""Each statement that is wrong in print, violated by a small example; the corrected form holds on it."""

import math

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import brentq

from maml_ode.theory import convergence, derived, inequalities, printed
from maml_ode.theory.bounds.sublevel_sets import Landscape

w = sp.symbols("w", real=True)


def maml_second_derivative(tasks, alpha, at):
    """Return F'' at a point by SymPy, for equally weighted tasks in one variable."""
    F = sum(f.subs(w, w - alpha * sp.diff(f, w)) for f in tasks) / len(tasks)
    return float(sp.diff(F, w, 2).subs(w, at))


def test_assumption_3_3_as_printed_allows_concave_tasks():
    """f = -w^2/2 expands gradients by mu = 1, yet F'' = -(1 + alpha)^2 < mu/8: signed eigenvalues matter."""
    assert maml_second_derivative([-(w**2) / 2], sp.Rational(1, 10), 0) == pytest.approx(-1.21)
    assert printed.printed_hessian_range_c2(1.0, 1.0)[0] > -1.21
    assert float(inequalities.curvature_lower(0.0, 0.1, -1.0, 1.0, 0.0)) <= -1.21


def test_proposition_3_1_has_no_single_point():
    """f = x^3/6 + y^4/12 at (6, 3), alpha = 1/3: w+ = 0, and the two coordinates need different points."""
    x, y, s = sp.symbols("x y s", positive=True)
    f = x**3 / 6 + y**4 / 12
    at = {x: 6, y: 3}
    alpha = sp.Rational(1, 3)
    gradient = [sp.diff(f, v).subs(at) for v in (x, y)]
    assert [at[v] - alpha * g for v, g in zip((x, y), gradient, strict=True)] == [0, 0]
    wanted = [sp.solve(1 - alpha * sp.diff(f, v, 2).subs(v, (1 - s) * at[v]), s)[0] for v in (x, y)]
    assert wanted[0] == sp.Rational(1, 2)
    assert float(wanted[1]) == pytest.approx(1 - 1 / math.sqrt(3))
    # the average over the segment does it, exactly
    for v, g in zip((x, y), gradient, strict=True):
        mean = sp.integrate(sp.diff(f, v, 2).subs(v, (1 - s) * at[v]), (s, 0, 1))
        assert (1 - alpha * mean) * g == 0


def test_proposition_3_1_fails_within_the_assumptions():
    """f = x^2 + y^2 - cos x - sin y (mu = 1, L = 3), alpha = 1/8 at (4, 4): residual >= .0315 everywhere."""
    alpha, point = 0.125, np.array([4.0, 4.0])
    gradient = np.array([2 * point[0] + np.sin(point[0]), 2 * point[1] - np.cos(point[1])])
    end = point - alpha * gradient
    wanted = np.array([2 * end[0] + np.sin(end[0]), 2 * end[1] - np.cos(end[1])])
    s = np.linspace(0, 1, 100_001)[:, None]
    on = point + s * (end - point)
    curvature = np.stack([2 + np.cos(on[:, 0]), 2 + np.sin(on[:, 1])], axis=1)
    residual = np.linalg.norm((1 - alpha * curvature) * gradient - wanted, axis=1)
    assert residual.min() == pytest.approx(0.0315, abs=5e-5)
    # Simpson's average over the segment
    weights = np.ones(100_001)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    mean = (weights[:, None] * curvature).sum(0) / weights.sum()
    assert np.linalg.norm((1 - alpha * mean) * gradient - wanted) < 1e-12


def test_theorem_b2_constant():
    """L = mu = 1, alpha = 1/4 respects the printed limit, but zeta < mu/2 and gamma/zeta > sigma^2/mu."""
    assert (
        0.25 < min(printed.printed_alpha_b2(1.0, 1.0).values()) == pytest.approx(0.2582, abs=5e-5)
    )
    zeta = float(printed.printed_zeta(0.25, 1.0, 1.0))
    assert zeta == pytest.approx(0.19922, abs=5e-6)
    assert 0.5 / zeta == pytest.approx(2.51, abs=5e-3)
    assert float(printed.printed_zeta(1 / 15, 1.0, 1.0)) > 0.5


def test_section_3_3_limit():
    """The limit sigma^2/(2 zeta) exceeds sigma^2/4: already sigma^2/2 for mu = 1, alpha -> 0."""
    late = printed.printed_curve_b2(1e3, 5.0, 2.0, 1e-6, 1.0, 2.0)
    assert late > printed.printed_limit_section_3_3(2.0)
    assert late == pytest.approx(0.5 * 2.0**2, rel=1e-4)
    # the true limit vanishes with alpha
    assert convergence.gradient_curve(1e3, 5.0, 2.0, 1e-6, 1.0, 2.0) < 1e-5


SINE = (w**2 + 7 * w - sp.sin(w), w**2 + 40 * w + sp.sin(w))


def test_lemma_c2_lower():
    """f_1 = w^2 + 7w - sin w, f_2(w) = f_1(-w): grad f(0) = 0, F''(0) < 0 and three critical points."""
    f1 = SINE[0]
    tasks, alpha = (f1, f1.subs(w, -w)), sp.Rational(1, 6)
    second = maml_second_derivative(tasks, alpha, 0)
    assert second == pytest.approx(-0.228, abs=5e-4)
    assert second < printed.printed_hessian_range_c2(1.0, 3.0)[0]
    norms = np.full(1, 6.0)  # |f_i'(0)| = 6
    assert inequalities.curvature_lower(norms, 1 / 6, 1.0, 3.0, 1.0)[0] <= second
    F = sum(f.subs(w, w - alpha * sp.diff(f, w)) for f in tasks) / 2
    slope = sp.lambdify(w, sp.diff(F, w), "numpy")
    grid = np.linspace(-4, 4, 8002)
    roots = grid[:-1][np.diff(np.sign(slope(grid))) != 0]
    assert roots == pytest.approx([-1.350, 0.0, 1.350], abs=2e-3)
    # the certificate does not claim uniqueness: sigma = sup sd of +-(7 - cos w) + ... = 8
    model = Landscape(alpha=1 / 6, mu=1.0, L=3.0, kappa=1.0, mu_f=1.0, L_f=3.0, sigma=8.0)
    assert convergence.unique_minimum_level(model) is None


def test_lemma_c2_upper():
    """f_1 = w^2 + 40w + sin w, f_2(w) = f_1(-w): F''(0) = 5.65 > 9L/8."""
    f1 = SINE[1]
    second = maml_second_derivative((f1, f1.subs(w, -w)), sp.Rational(1, 6), 0)
    assert second == pytest.approx(5.65, abs=5e-3)
    assert second > printed.printed_hessian_range_c2(1.0, 3.0)[1]
    assert inequalities.curvature_upper(41.0, 1 / 6, 1.0, 3.0, 1.0) >= second


def test_lemma_d2_needs_small_alpha():
    """f = w^2/2, alpha = 3: |F'| = 4 |w| > |w|; the corrected bound refuses alpha > 1/L."""
    assert printed.printed_gradient_of_F_d2(0.5, 0.0, 1.0) < (1 - 3.0) ** 2
    with pytest.raises(ValueError, match="at most 1/L"):
        inequalities.gradient_of_F_upper(1.0, 0.0, 3.0, 1.0, 1.0)


def test_lemma_d5_time():
    """f = w^2/2, alpha = K = .1, w0 = .2/.81: ||grad F|| > K at sqrt(E/K), below K at E/K^2."""
    start, K = 0.2 / 0.81, 0.1
    energy = 0.5 * 0.81 * start**2
    early = printed.printed_fallback_time_d5(energy, K)

    def slope(t):
        return 0.81 * start * math.exp(-0.81 * t)

    assert early == pytest.approx(0.497, abs=5e-4)
    assert slope(early) == pytest.approx(0.134, abs=5e-4)
    assert slope(early) > K > slope(energy / K**2)
    assert slope(energy / K**2) == pytest.approx(0.027, abs=5e-4)


def test_theorem_3_7_at_the_minimiser_of_f():
    """Started at argmin f the printed time is minus infinity; the corrected one is positive."""
    assert printed.printed_time_3_7(0.0, 1.0, 1.0, 0.1, 1e-6) == -math.inf
    model = Landscape(alpha=0.05, mu=1.0, L=2.0, kappa=0.5, mu_f=1.0, L_f=2.0, sigma=1.0)
    assert convergence.bimaml_time(model, 0.0, 0.1, 1e-6).total > 0


@pytest.mark.parametrize(("b", "first"), [(1.0, 1.106), (0.01, 1.008), (0.001, 0.9997)])
def test_uniqueness_condition_is_sharp(b, first):
    """f_1 = (mu + b) w^2/2 + c w - b sin w, f_2(w) = f_1(-w): F''(0) = 0 at alpha kappa sigma -> mu.

    The certificate reaches 95% of that when b is small, and never accepts where F''(0) < 0.
    """
    mu, alpha = 1.0, sp.Rational(1, 1000)
    L, kappa = mu + 2 * b, b
    c = sp.symbols("c")
    f1 = (mu + sp.Float(b)) * w**2 / 2 + c * w - sp.Float(b) * sp.sin(w)
    F = sum(f.subs(w, w - alpha * sp.diff(f, w)) for f in (f1, f1.subs(w, -w))) / 2
    curvature = sp.lambdify(c, sp.diff(F, w, 2).subs(w, 0), "math")
    root = brentq(curvature, 0.5 * mu / (0.001 * kappa), 1.5 * mu / (0.001 * kappa))
    # sigma = sup |c - b cos w| = c + b
    assert 0.001 * kappa * (root + b) / mu == pytest.approx(first, abs=2e-3)

    def certified(c):
        model = Landscape(alpha=0.001, mu=mu, L=L, kappa=kappa, mu_f=mu, L_f=L, sigma=c + b)
        return convergence.unique_minimum_level(model) is not None

    assert not certified(root)
    if b <= 0.01:
        assert certified(0.95 * root)


def test_figure_1_zeta_limit_is_needed():
    limit = derived.zeta_corrected_limit(0.01, 2.01)
    assert limit == pytest.approx(2.481e-3, rel=2e-4)
