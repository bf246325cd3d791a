"""The problems that SciPy tests its own methods on, on every class of METHODS.

The problems are those of scipy/integrate/_ivp/tests/test_ivp.py; the tests are written anew.
"""

import numpy as np
import pytest
from scipy.integrate import OdeSolution, solve_ivp
from scipy.optimize import brentq

from maml_ode.integrate.solvers import METHODS

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def rational(t, y):
    return np.array([y[1] / t, y[1] * (y[0] + 2 * y[1] - 1) / (t * (y[0] - 1))])


def rational_jacobian(t, y):
    return np.array(
        [
            [0, 1 / t],
            [-2 * y[1] ** 2 / (t * (y[0] - 1) ** 2), (y[0] + 4 * y[1] - 1) / (t * (y[0] - 1))],
        ]
    )


def rational_solution(t):
    return np.array([t / (t + 10), 10 * t / (t + 10) ** 2])


def relative_error(run, rtol=1e-3, atol=1e-6, t=None, y=None):
    t, y = (run.t, run.y) if t is None else (t, y)
    exact = rational_solution(t)
    return (np.abs(y - exact) / (atol + rtol * np.abs(exact))).max()


@every_method
@pytest.mark.parametrize("span", [(5.0, 9.0), (9.0, 5.0)], ids=["forwards", "backwards"])
@pytest.mark.parametrize("vectorized", [False, True])
def test_rational_problem(method, span, vectorized):
    run = solve_ivp(
        rational, span, rational_solution(span[0]), method=method, rtol=1e-3, atol=1e-6,
        dense_output=True, vectorized=vectorized,
    )  # fmt: skip
    assert (run.status, run.t[0], run.t[-1]) == (0, *span)
    assert run.message.startswith("The solver successfully")
    assert relative_error(run) < 5
    inside = np.linspace(*span, 67)
    assert relative_error(run, t=inside, y=run.sol(inside)) < 10
    middle = (span[0] + span[1]) / 2
    assert run.sol(middle).shape == (2,)
    assert relative_error(run, t=np.array([middle]), y=run.sol(middle)[:, None]) < 10
    np.testing.assert_allclose(run.sol(run.t), run.y, rtol=1e-13, atol=1e-13)
    assert run.nfev < 120
    if "Rodas" in method.__name__:
        assert run.njev > 0
        assert run.nlu >= run.njev
    else:
        assert run.njev == run.nlu == 0


@pytest.mark.parametrize("name", ["Rodas4P", "Rodas5P"])
def test_rational_problem_with_its_jacobian(name):
    run = solve_ivp(
        rational, (5, 9), rational_solution(5.0), method=METHODS[name], jac=rational_jacobian
    )
    assert relative_error(run) < 5


def crossing(t, y):
    return y[0] - y[1] ** 0.7


def other_crossing(t, y):
    return y[1] ** 0.6 - y[0]


def at_time(t, y):
    return t - 7.4


@every_method
@pytest.mark.parametrize("span", [(5.0, 8.0), (8.0, 5.0)], ids=["forwards", "backwards"])
def test_events(method, span):
    start = rational_solution(span[0])
    tight = {"method": method, "rtol": 1e-6, "atol": 1e-9}
    run = solve_ivp(rational, span, start, events=(crossing, other_crossing), **tight)
    assert run.status == 0
    roots = [
        brentq(lambda t, g=g: g(t, rational_solution(t)), 5, 8) for g in (crossing, other_crossing)
    ]
    np.testing.assert_allclose(np.concatenate(run.t_events), roots, rtol=1e-4)
    for times, states, rule in zip(
        run.t_events, run.y_events, (crossing, other_crossing), strict=True
    ):
        assert states.shape == (1, 2)
        assert abs(rule(times[0], rational_solution(times[0]))) < 1e-5
        np.testing.assert_allclose(states[0], rational_solution(times[0]), rtol=1e-4)
    # A direction that is never taken finds nothing; a terminal event ends the run.
    for direction in (1, -1):
        rule = lambda t, y: crossing(t, y)  # noqa: E731
        rule.direction = direction
        found = solve_ivp(rational, span, start, events=rule, **tight).t_events[0].size
        assert found == (1 if (direction > 0) == (span[1] > span[0]) else 0)
    ending = lambda t, y: at_time(t, y)  # noqa: E731
    ending.terminal = True
    run = solve_ivp(rational, span, start, events=ending, dense_output=True, **tight)
    assert run.status == 1
    assert run.t[-1] == pytest.approx(7.4, abs=1e-12)
    assert run.sol.t_max == max(run.t[0], run.t[-1])
    np.testing.assert_allclose(run.y[:, -1], rational_solution(7.4), rtol=1e-4)


@every_method
@pytest.mark.parametrize("span", [(5.0, 9.0), (9.0, 5.0)], ids=["forwards", "backwards"])
def test_max_step_and_first_step(method, span):
    start = rational_solution(span[0])
    run = solve_ivp(rational, span, start, method=method, max_step=0.5, dense_output=True)
    assert np.abs(np.diff(run.t)).max() <= 0.5 + 1e-15
    assert relative_error(run) < 5
    run = solve_ivp(rational, span, start, method=method, first_step=0.1, max_step=0.5)
    assert abs(run.t[1] - span[0]) == pytest.approx(0.1)
    assert relative_error(run) < 5


@every_method
@pytest.mark.parametrize("span", [(5.0, 9.0), (9.0, 5.0)], ids=["forwards", "backwards"])
def test_t_eval(method, span):
    start = rational_solution(span[0])
    times = np.linspace(*span, 13)
    run = solve_ivp(rational, span, start, method=method, t_eval=times)
    np.testing.assert_array_equal(run.t, times)
    assert relative_error(run) < 5
    inner = times[[2, 3, 11]]
    run = solve_ivp(rational, span, start, method=method, t_eval=inner, dense_output=True)
    np.testing.assert_array_equal(run.t, inner)
    np.testing.assert_allclose(run.sol(inner), run.y, rtol=1e-14)


@every_method
def test_args_are_handed_on(method):
    def oscillator(t, y, omega, shift):
        return np.array([omega * (y[1] - shift), -omega * y[0]])

    def node(t, y, omega, shift):
        return y[0]

    run = solve_ivp(
        oscillator, (0, 3), [0.0, 2.0], method=method, args=(2.0, 1.0), events=node,
        rtol=1e-7, atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(run.y[:, -1], [np.sin(6), 1 + np.cos(6)], atol=1e-4)
    np.testing.assert_allclose([t for t in run.t_events[0] if t > 0.1], [np.pi / 2], atol=1e-4)


@every_method
def test_no_integration(method):
    run = solve_ivp(lambda t, y: -y, (4.0, 4.0), [2.0, 3.0], method=method, dense_output=True)
    np.testing.assert_array_equal(run.sol(4.0), [2.0, 3.0])
    np.testing.assert_array_equal(run.sol([4.0, 5.0, 6.0]), [[2, 2, 2], [3, 3, 3]])
    assert run.status == 0


@every_method
def test_no_equations(method):
    run = solve_ivp(
        lambda t, y: np.zeros(0), (0, 10), np.zeros(0), method=method, dense_output=True
    )
    assert run.status == 0
    assert run.sol(10.0).shape == (0,)
    assert run.sol([1.0, 2.0, 3.0]).shape == (0, 3)


@every_method
def test_nothing_moves(method):
    run = solve_ivp(lambda t, y: np.zeros(3), (0, 10), np.ones(3), method=method)
    assert run.success
    np.testing.assert_array_equal(run.y, 1.0)


@every_method
def test_tolerances_per_component(method):
    # Two copies of one decay, one held to a tolerance a thousand times tighter.
    def decay(t, y):
        return -y

    run = solve_ivp(decay, (0, 2), [1.0, 1.0], method=method, rtol=[1e-3, 1e-6], atol=[1e-3, 1e-9])
    loose = solve_ivp(decay, (0, 2), [1.0, 1.0], method=method, rtol=1e-3, atol=1e-3)
    assert np.abs(run.y[1, -1] - np.exp(-2)) < 2e-5
    assert len(run.t) > len(loose.t)


@every_method
def test_solver_class_by_hand(method):
    solver = method(lambda t, y: -y, 0.0, [1.0, -2.0], 1.5, rtol=1e-6, atol=1e-9)
    assert (solver.n, solver.status, solver.t, solver.t_old, solver.step_size) == (
        2, "running", 0.0, None, None,
    )  # fmt: skip
    with pytest.raises(RuntimeError):
        solver.dense_output()
    times, pieces = [0.0], []
    while solver.status == "running":
        before = solver.t
        assert solver.step() is None
        assert solver.t_old == before
        assert solver.step_size == pytest.approx(solver.t - before)
        evaluations = solver.nfev
        pieces.append(solver.dense_output())
        assert solver.dense_output() is pieces[-1]
        assert solver.nfev - evaluations in (0, 3)  # DOP853's interpolant, made once
        np.testing.assert_allclose(pieces[-1](solver.t), solver.y, rtol=1e-14)
        times.append(solver.t)
    assert solver.status == "finished"
    with pytest.raises(RuntimeError):
        solver.step()
    sol = OdeSolution(times, pieces)
    grid = np.linspace(0, 1.5, 50)
    np.testing.assert_allclose(sol(grid), np.outer([1.0, -2.0], np.exp(-grid)), rtol=1e-4)


@every_method
def test_interpolant_is_continuous_and_its_slope_is_the_field(method):
    run = solve_ivp(
        rational, (5, 9), rational_solution(5.0), method=method, rtol=1e-8, atol=1e-10,
        dense_output=True,
    )  # fmt: skip
    for piece, following in zip(run.sol.interpolants, run.sol.interpolants[1:], strict=False):
        np.testing.assert_allclose(piece(piece.t), following(piece.t), rtol=1e-14)
    times = np.linspace(5.1, 8.9, 20)
    slope = (run.sol(times + 1e-5) - run.sol(times - 1e-5)) / 2e-5
    exact = np.array(
        [rational(t, y) for t, y in zip(times, rational_solution(times).T, strict=True)]
    )
    np.testing.assert_allclose(slope.T, exact, rtol=2e-4)


@every_method
def test_initial_maximal_and_final_events_at_the_ends_of_steps(method):
    # An event exactly at the start is no crossing; one at the horizon is found.
    def at_start(t, y):
        return t

    def at_end(t, y):
        return t - 3.0

    run = solve_ivp(lambda t, y: -y, (0, 3), [1.0], method=method, events=(at_start, at_end))
    assert run.t_events[1] == pytest.approx([3.0])
    assert run.success
