"""The coefficients of our methods against the order conditions of all rooted trees, and stability functions."""

from functools import cache
from math import prod

import numpy as np
import pytest

from maml_ode.integrate.solvers.dop853_tableau import DOP853_ERROR_3, DOP853_TABLEAU
from maml_ode.integrate.solvers.kernels import chebyshev
from maml_ode.integrate.solvers.rkc2 import DAMPING, coefficient_table
from maml_ode.integrate.solvers.rosenbrock_tableaux import RODAS4P, RODAS5P
from maml_ode.integrate.solvers.tableaux import TSIT5

# A rooted tree is the sorted tuple of the subtrees at its root; () is the tree of one vertex.
POINTS = (0.0, 0.23, 0.5, 0.81, 1.0)


@cache
def trees(order):
    """All rooted trees with `order` vertices."""
    if order == 1:
        return ((),)
    found = set()

    def grow(left, largest, chosen):
        if left == 0:
            found.add(tuple(sorted(chosen)))
        for size in range(1, min(left, largest) + 1):
            for tree in trees(size):
                grow(left - size, size, [*chosen, tree])

    grow(order - 1, order - 1, [])
    return tuple(sorted(found))


def vertices(tree):
    return 1 + sum(vertices(t) for t in tree)


def density(tree):
    return vertices(tree) * prod(density(t) for t in tree)


def runge_kutta_weight(tree, A):
    """The elementary weights of the stages: prod over subtrees of A times theirs."""
    return prod((A @ runge_kutta_weight(t, A) for t in tree), start=np.ones(len(A)))


def rosenbrock_weight(tree, alpha, beta):
    """As above; a vertex with one subtree sees beta = alpha + Gamma (Hairer and Wanner II, theorem IV.7.3)."""
    matrix = beta if len(tree) == 1 else alpha
    return prod(
        (matrix @ rosenbrock_weight(t, alpha, beta) for t in tree), start=np.ones(len(alpha))
    )


def residuals(weights, order, x=1.0, rosenbrock=None, A=None):
    """|b(x) . Phi(t) - x^|t| / gamma(t)| over the trees of one order."""
    out = []
    for tree in trees(order):
        phi = (
            runge_kutta_weight(tree, A)
            if rosenbrock is None
            else rosenbrock_weight(tree, *rosenbrock)
        )
        out.append(abs(weights @ phi - x**order / density(tree)))
    return max(out)


def test_number_of_rooted_trees():
    # Cayley 1857; OEIS A000081
    assert [len(trees(n)) for n in range(1, 10)] == [1, 1, 2, 4, 9, 20, 48, 115, 286]


@pytest.mark.parametrize(("tableau", "order"), [(TSIT5, 5), (DOP853_TABLEAU, 8)])
def test_explicit_formula_has_exactly_its_order(tableau, order):
    s = tableau.n_stages
    A, b = tableau.A[:s, :s], np.append(tableau.A[s - 1, : s - 1], 0.0)
    assert np.abs(tableau.A.sum(axis=1) - tableau.c).max() < 1e-14
    for n in range(1, order + 1):
        assert residuals(b, n, A=A) < 2e-14
    assert residuals(b, order + 1, A=A) > 1e-7


@pytest.mark.parametrize(
    ("tableau", "error", "order"),
    [
        (TSIT5, TSIT5.error, 4),
        (DOP853_TABLEAU, DOP853_TABLEAU.error, 5),
        (DOP853_TABLEAU, DOP853_ERROR_3, 3),
    ],
)
def test_embedded_formula_has_exactly_its_order(tableau, error, order):
    s = tableau.n_stages
    A, b = tableau.A[:s, :s], np.append(tableau.A[s - 1, : s - 1], 0.0)
    for n in range(1, order + 1):
        assert residuals(b - error, n, A=A) < 2e-14
    assert residuals(b - error, order + 1, A=A) > 1e-5


@pytest.mark.parametrize(("tableau", "order"), [(TSIT5, 4), (DOP853_TABLEAU, 7)])
def test_explicit_interpolant_has_exactly_its_order(tableau, order):
    assert np.abs(tableau.weights(0.0)).max() == 0.0
    assert np.abs(tableau.weights(1.0) - tableau.A[tableau.n_stages - 1]).max() < 1e-13
    for x in POINTS:
        for n in range(1, order + 1):
            assert residuals(tableau.weights(x), n, x, A=tableau.A) < 1e-12
    assert residuals(tableau.weights(0.5), order + 1, 0.5, A=tableau.A) > 1e-7


def rosenbrock_matrices(t):
    """alpha, beta and b of the method's usual form from the form without products with J."""
    s = len(t.c)
    Gamma = np.linalg.inv(np.eye(s) / t.gamma - t.C)
    return t.A @ Gamma, t.A @ Gamma + Gamma, Gamma.T @ t.m, Gamma


@pytest.mark.parametrize(("tableau", "order"), [(RODAS4P, 4), (RODAS5P, 5)])
def test_rosenbrock_formulas_have_exactly_their_orders(tableau, order):
    alpha, beta, b, Gamma = rosenbrock_matrices(tableau)
    assert np.abs(alpha.sum(axis=1) - tableau.c).max() < 2e-13
    assert np.abs(Gamma.sum(axis=1) - tableau.d).max() < 2e-13
    for n in range(1, order + 1):
        assert residuals(b, n, rosenbrock=(alpha, beta)) < 2e-12
    assert residuals(b, order + 1, rosenbrock=(alpha, beta)) > 1e-6
    embedded = b - Gamma[-1]
    for n in range(1, order):
        assert residuals(embedded, n, rosenbrock=(alpha, beta)) < 2e-12
    assert residuals(embedded, order, rosenbrock=(alpha, beta)) > 1e-6


@pytest.mark.parametrize(("tableau", "order"), [(RODAS4P, 3), (RODAS5P, 4)])
def test_rosenbrock_interpolant_has_exactly_its_order(tableau, order):
    alpha, beta, _, Gamma = rosenbrock_matrices(tableau)
    rows = np.vstack([tableau.m, tableau.dense])

    def weights(x):
        nested = 0.0
        for number in reversed(range(len(rows))):
            nested = (nested + rows[number]) * (x if number % 2 == 0 else 1 - x)
        return Gamma.T @ nested

    for x in POINTS:
        for n in range(1, order + 1):
            assert residuals(weights(x), n, x, rosenbrock=(alpha, beta)) < 5e-12
    assert residuals(weights(0.5), order + 1, 0.5, rosenbrock=(alpha, beta)) > 1e-6


@pytest.mark.parametrize("tableau", [RODAS4P, RODAS5P])
def test_rosenbrock_methods_are_L_stable(tableau):
    _, beta, b, _ = rosenbrock_matrices(tableau)
    s = len(b)
    ones = np.ones(s)

    def R(z):
        return 1 + z * (b @ np.linalg.solve(np.eye(s) - z * beta, ones))

    assert abs(1 - b @ np.linalg.solve(beta, ones)) < 1e-11  # R(infinity)
    axis = np.concatenate([[0.0], np.logspace(-3, 4, 2001)])
    # Every pole is at 1/gamma > 0, so by the maximum principle the imaginary axis decides.
    assert max(abs(R(1j * y)) for y in axis) <= 1 + 1e-12
    # Each step contracts every mode of a convex quadratic flow, however large the step.
    assert max(abs(R(-x)) for x in axis[1:]) < 1


@pytest.mark.parametrize("stages", [2, 3, 5, 10, 50, 200])
def test_chebyshev_method_is_its_stability_polynomial(stages):
    table = coefficient_table(stages)
    w0 = 1 + DAMPING / stages**2
    T = np.polynomial.chebyshev.Chebyshev.basis(stages)
    d1, d2 = T.deriv(1)(w0), T.deriv(2)(w0)
    w1, b = d1 / d2, d2 / d1**2
    beta = (w0 + 1) / w1  # where w0 + w1 z = -1

    def P(z):
        argument = w0 + w1 * z
        values = np.where(
            np.abs(argument) <= 1,
            np.cos(stages * np.arccos(np.clip(argument, -1, 1))),
            np.cosh(stages * np.arccosh(np.maximum(np.abs(argument), 1)))
            * np.where(argument < -1, (-1.0) ** stages, 1.0),
        )
        return 1 + b * (values - T(w0))

    def step(z):
        before = last = y = np.ones(1)
        derivative = f = np.array([z])
        for j in range(1, stages + 1):
            out = np.empty(1)
            chebyshev.stage_state(j, table, y, f, 1.0, before, last, derivative, out)
            before, last, derivative = last, out, z * out
        return last[0]

    inside = -beta * np.linspace(1e-3, 1.0, 400)
    assert max(abs(step(z) - P(z)) for z in inside[::7]) < 1e-14 * stages**2
    assert np.abs(P(inside)).max() < 1
    if (
        stages % 2 == 0
    ):  # with an odd number the polynomial starts from about 0 there and reaches further
        assert abs(P(-1.02 * beta)) > 1
    assert abs(P(-2.5 * beta)) > 1
    assert (
        0.65 <= beta / (stages**2 - 1) <= 0.67
    )  # about 0.653 s^2 of Sommeijer, Shampine and Verwer
    # Consistency of order 2: P = 1 + z + z^2/2 + O(z^3).
    assert b * d1 * w1 == pytest.approx(1, abs=1e-12)
    assert b * d2 * w1**2 == pytest.approx(1, abs=1e-12)
    # Damping: away from 0 the polynomial stays below 1 by about a third of the damping parameter.
    assert np.abs(P(inside[inside < -3])).max(initial=0.0) < 1 - 0.8 * DAMPING / 3
