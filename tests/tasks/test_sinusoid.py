"""One-dimensional sinusoid families against their definition."""

import pickle

import numpy as np
import pytest
import sympy

import maml_ode as mo


@pytest.fixture(scope="module")
def oracle(derivatives_of):
    w, a, b, omega = sympy.symbols("w a b omega")
    return derivatives_of(a * w**2 - b * sympy.sin(omega * w), [w], [a, b, omega])


@pytest.mark.parametrize("M", [1, 2, 5])
def test_all_derivatives_equal_the_symbolic_ones(M, oracle, assert_matches):
    rng = np.random.default_rng(M)
    a, b, omega = rng.normal(size=(3, M)) * [[1.0], [1.0], [10.0]]
    tasks = mo.tasks.Sinusoid(a, b, omega, weights=rng.dirichlet(np.ones(M)))
    terms = [[(1, oracle, row)] for row in zip(a, b, omega, strict=True)]
    assert_matches(tasks, terms, rng.normal(size=1))
    assert_matches(tasks, terms, rng.normal(size=(M, 1)))


def test_constants_of_the_first_figure_of_the_paper(oracle, assert_matches):
    # f1 = .505 w^2 - sin w and f2 = .505 w^2 - 1e-4 sin 100 w have curvatures between .01 and
    # 2.01: 1.01 -+ 1, attained at w = -pi/2 + 2 pi k, w = pi/2 + 2 pi k and their hundredths.
    tasks = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    terms = [[(1, oracle, (0.505, 1.0, 1.0))], [(1, oracle, (0.505, 1e-4, 100.0))]]
    for w in (-5.0, -1.0, 0.0, 0.25, 1.0):
        assert_matches(tasks, terms, np.array([w]))
    flat, steep = np.array([[-np.pi / 2], [-np.pi / 200]]), np.array([[np.pi / 2], [np.pi / 200]])
    np.testing.assert_allclose(tasks.hessians(flat).ravel(), 0.01, rtol=1e-13)
    np.testing.assert_allclose(tasks.hessians(steep).ravel(), 2.01, rtol=1e-13)


def test_parameters_are_read_only_and_survive_pickling():
    a = np.array([1.0, 2.0])
    tasks = mo.tasks.Sinusoid(a, [3.0, 4.0], [5, 6], weights=[0.25, 0.75])
    gradients = tasks.gradients([0.3])
    a[:] = 0.0
    copy = pickle.loads(pickle.dumps(tasks))
    for family in (tasks, copy):
        np.testing.assert_array_equal(family.gradients([0.3]), gradients)
        assert (family.a.tolist(), family.b.tolist()) == ([1.0, 2.0], [3.0, 4.0])
        assert family.omega.tolist() == [5.0, 6.0]
        assert family.weights.tolist() == [0.25, 0.75]
        with pytest.raises(ValueError, match="read-only"):
            family.a[0] = 7.0
    assert tasks.dim == 1
    assert tasks.quadratic is None


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (([], [], []), ValueError, r"a must have shape \(M,\) with M >= 1.*\(0,\)"),
        ((1.0, 1.0, 1.0), ValueError, r"a must have shape \(any,\).*shape \(\)"),
        (([1.0, 2.0], [1.0], [1.0, 2.0]), ValueError, r"b must have shape \(2,\).*\(1,\)"),
        (([1.0], [1.0], [1.0, 2.0]), ValueError, r"omega must have shape \(1,\).*\(2,\)"),
        (([1.0], [1.0], [np.inf]), ValueError, r"omega\[0\] is inf"),
        (([1.0], ["b"], [1.0]), TypeError, "b must hold real numbers"),
        (([1.0], [1.0], [1.0], [0.5]), ValueError, "weights must sum to 1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        mo.tasks.Sinusoid(*arguments)


def _looks(loops, support, query, alpha, inner_steps, points):
    """Return what the loops say at the points, and of some at one point at a time."""
    handles, M = (support.problem, query.problem), len(points)
    values, losses = np.empty((2, M))
    gradients, slopes, single, first_order = np.empty((4, M, 1))
    loops.values(*handles, points, alpha, inner_steps, values)
    loops.gradients(*handles, points, alpha, inner_steps, gradients)
    alphas = alpha * np.linspace(0.0, 1.0, M)
    loops.looks_with(*handles, points, alphas, inner_steps, losses, slopes)
    for k, w in enumerate(points):
        loops.gradient(*handles, w, alpha, inner_steps, single[k])
        loops.first_order_gradient(*handles, w, alpha, inner_steps, first_order[k])
    return values, losses, gradients, slopes, single, first_order


@pytest.mark.parametrize("inner_steps", [0, 1, 3, 300])
def test_its_own_loops_say_to_the_last_bit_what_those_for_all_families_say(inner_steps):
    from maml_ode.compiled.loops import FOR_ALL

    rng = np.random.default_rng(inner_steps)
    support, query = (
        mo.tasks.Sinusoid(
            *rng.normal(size=(3, 4)) * [[1.0], [1.0], [9.0]], weights=rng.dirichlet(np.ones(4))
        )
        for _ in range(2)
    )
    beyond = [0.0, -0.0, 1e-300, 1e5, -1e300, np.inf, np.nan]
    points = np.concatenate([rng.normal(size=9) * 3, beyond])[:, None]
    for other in (support, query):
        assert support.loops is other.loops
        ours, theirs = (
            _looks(loops, support, other, 0.07, inner_steps, points)
            for loops in (support.loops, FOR_ALL)
        )
        for one, another in zip(ours, theirs, strict=True):
            assert np.isfinite(one[:9]).all()
            np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_query_of_another_family_is_asked_for_its_own_losses(threads):
    support = mo.tasks.Sinusoid([0.4, 0.7], [1.0, -0.5], [1.0, 3.0], weights=[0.25, 0.75])
    query = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[1.0], [2.0]], weights=[0.25, 0.75])
    F = mo.MAMLLoss(support, 0.1, query=query, threads=threads)
    (a, b, omega), w = (support.a, support.b, support.omega), 0.3
    u = w - 0.1 * (2 * a * w - b * omega * np.cos(omega * w))
    expected = (np.array([1.0, 3.0]) * u - [1.0, 2.0]) * (
        1 - 0.1 * (2 * a + b * omega**2 * np.sin(omega * w))
    )
    np.testing.assert_allclose(F.gradient([w]), [support.weights @ expected], rtol=1e-14)
    np.testing.assert_allclose(F.gradients([[w]]), [[support.weights @ expected]], rtol=1e-14)
