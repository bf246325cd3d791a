"""An oracle for task families: SymPy differentiates each loss as defined, mpmath evaluates."""

import mpmath
import numpy as np
import pytest
import sympy


class Derivatives:
    """An expression in some variables and parameters, with its derivatives up to the third."""

    def __init__(self, expression, variables, parameters=()):
        def differentiate(tree):
            if isinstance(tree, list):
                return [differentiate(branch) for branch in tree]
            return [sympy.diff(tree, x) for x in variables]

        orders = [expression]
        for _ in range(3):
            orders.append(differentiate(orders[-1]))
        self._function = sympy.lambdify([*variables, *parameters], orders, "mpmath")

    def __call__(self, point, parameters):
        """Return value, gradient, Hessian and third derivative as object arrays of mpf."""
        arguments = [mpmath.mpf(float(x)) for x in (*point, *parameters)]
        return [np.array(tree, dtype=object) for tree in self._function(*arguments)]


def exact(array):
    return np.vectorize(lambda x: mpmath.mpf(float(x)), otypes=[object])(array)


def assert_close(got, expected, rtol, what):
    """Compare in the maximum norm, relative to the expected array; an expected 0 must be met."""
    got, expected = np.atleast_1d(exact(got)), np.atleast_1d(expected)
    assert got.shape == expected.shape, what
    error, size = abs(got - expected).max(), abs(expected).max()
    # 1e-300: what the oracle can represent and float64 cannot.
    assert error <= rtol * size + mpmath.mpf("1e-300"), f"{what}: {mpmath.nstr(error / size, 3)}"


def assert_matches(family, terms, w, rtol=1e-12, digits=50, seed=0):
    """Check all six evaluations of a family against f_i = sum of coefficient * expression.

    ``terms[i]`` lists (coefficient, Derivatives, parameters) for task i; ``w`` is (d,) or (M, d).
    """
    rng = np.random.default_rng(seed)
    M, d = family.n_tasks, family.dim
    v, q = rng.normal(size=(M, d)), rng.normal(size=d)
    got = {
        "losses": family.losses(w),
        "gradients": family.gradients(w),
        "hessians": family.hessians(w),
        "hvps": family.hvps(w, v),
        "third": family.third(w, q),
        "third_vectors": family.third_vectors(w, v, q),
    }
    points = np.broadcast_to(w, (M, d))
    with mpmath.workdps(digits):
        for i in range(M):
            value, gradient, hessian, third = (0, 0, 0, 0)
            for coefficient, derivatives, parameters in terms[i]:
                orders = derivatives(points[i], parameters)
                value += coefficient * orders[0][()]
                gradient += coefficient * orders[1]
                hessian += coefficient * orders[2]
                third += coefficient * orders[3]
            v_i, q_i = exact(v[i]), exact(q)
            expected = {
                "losses": value,
                "gradients": gradient,
                "hessians": hessian,
                "hvps": hessian @ v_i,
                "third": third @ q_i,
                "third_vectors": third @ q_i @ v_i,
            }
            for name, result in got.items():
                assert_close(result[i], expected[name], rtol, f"{name} of task {i}")


@pytest.fixture(scope="session")
def derivatives_of():
    return Derivatives


@pytest.fixture(scope="session", name="assert_matches")
def assert_matches_fixture():
    return assert_matches
