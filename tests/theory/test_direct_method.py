"""Lyapunov candidates along paths whose rates have closed forms."""

from dataclasses import replace

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import direct_method

H, B = np.diag([2.0, 0.5]), np.array([1.0, 1.0])
TASKS = mo.tasks.Quadratic([H], [B])
MINIMISER = np.linalg.solve(H, B)
LOSS = mo.ExpectedLoss(TASKS)
FLOW = mo.gradient_flow(LOSS)


@pytest.fixture(scope="module")
def run():
    return mo.solve(FLOW, [3.0, -4.0], tol=1e-8, dense_output=True, rtol=1e-10, atol=1e-13)


def distance(w):
    return (w - MINIMISER) @ (w - MINIMISER)


def slope(w):
    return 2.0 * (w - MINIMISER)


@pytest.mark.parametrize("with_gradient", [True, False])
@pytest.mark.parametrize("with_flow", [True, False])
def test_all_four_ways_give_the_derivative(run, with_flow, with_gradient):
    found = mo.theory.lyapunov(
        distance, run, slope if with_gradient else None, FLOW if with_flow else None
    )
    np.testing.assert_array_equal(found.t, run.t)
    np.testing.assert_allclose(found.value, [distance(w) for w in run.y.T], rtol=1e-15)
    offset = run.y - MINIMISER[:, None]
    exact = -2.0 * np.einsum("in,ij,jn->n", offset, H, offset)
    # The dense output knows its own derivative only to the tolerance; the field is exact.
    np.testing.assert_allclose(found.derivative, exact, rtol=1e-9 if with_flow else 1e-3)
    assert found.rises.size == 0
    assert found.exponential_rate == pytest.approx(
        (-exact / found.value).min(), rel=1e-9 if with_flow else 1e-3
    )
    assert found.inverse_time_constant == pytest.approx((run.t * found.value).max(), rel=1e-14)
    assert "falls" in str(found)


def test_rounding_of_a_difference_is_read_neither_as_a_rate_nor_as_a_rise():
    # E = 1/2 sum lambda_i delta_i^2 falls at 2 lambda_min = 1 in the end; below 1e-16 it is all rounding.
    t = np.linspace(0.0, 45.0, 400)
    run = mo.solve(
        FLOW, [3.0, -4.0], tol=0.0, t_max=45.0, t_eval=t, dense_output=True, rtol=1e-12, atol=1e-15
    )
    lowest = LOSS.value(MINIMISER)
    for flow in (FLOW, None):
        found = mo.theory.lyapunov(lambda w: LOSS.value(w) - lowest, run, flow=flow)
        assert (found.value[-50:] <= 2.5e-16).all()
        assert found.exponential_rate == pytest.approx(1.0, abs=0.03)
        assert found.rises.size == 0


def test_rises_are_times(run):
    # ||w||^2 falls from |w0| = 5 until the path turns round the origin towards the minimiser (0.5, 2).
    found = mo.theory.lyapunov(lambda w: w @ w, run, flow=FLOW)
    moving = -2.0 * np.einsum("in,in->n", run.y, H @ run.y - B[:, None])
    np.testing.assert_array_equal(found.rises, run.t[moving > 1e-12])
    assert 0 < found.rises.size < run.t.size
    assert found.exponential_rate < 0
    assert "rises at" in str(found)


def test_a_negative_candidate_has_no_rates(run):
    found = mo.theory.lyapunov(LOSS.value, run, LOSS.gradient, FLOW)
    assert found.value.min() < 0
    assert np.isnan(found.exponential_rate)
    assert np.isnan(found.inverse_time_constant)
    assert found.rises.size == 0


def test_an_inverse_time_rate_has_its_constant():
    # w' = -4 w^3 from 1: w^2 = 1/(1 + 8 t), so that E = w^4 <= 1/(64 t^2) and t E is largest at t = 1/8.
    tasks = mo.tasks.Symbolic("w**4", "w")
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    run = mo.solve(
        flow, [1.0], t_max=10.0, tol=0.0, t_eval=np.linspace(0.0, 10.0, 81), rtol=1e-10, atol=1e-13
    )
    found = mo.theory.lyapunov(lambda w: w[0] ** 4, run, flow=flow)
    assert found.inverse_time_constant == pytest.approx(0.125 / 4.0, rel=1e-8)
    late = mo.solve(flow, [1.0], t_max=10.0, tol=0.0, t_eval=[1.0, 10.0], rtol=1e-10, atol=1e-13)
    found_late = mo.theory.lyapunov(lambda w: w[0] ** 4, late, flow=flow)
    assert found_late.inverse_time_constant == pytest.approx(1.0 / 81.0, rel=1e-8)
    # dE/dt = -16 w^6 = -16 w^2 E: the rate is that of the end.
    assert found.exponential_rate == pytest.approx(16.0 / 81.0, rel=1e-8)


@pytest.mark.parametrize("unit", [1e-100, 1e-40, 1e100])
def test_a_rate_does_not_hang_on_the_unit_of_w(unit):
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[2.0]]], [[0.0]])))
    run = mo.solve(flow, [unit], t_max=5.0, tol=0.0)
    found = mo.theory.lyapunov(lambda w: w @ w, run, flow=flow)
    assert found.exponential_rate == pytest.approx(4.0, rel=1e-9)
    assert found.rises.size == 0


def test_each_phase_has_its_own_derivative():
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    flow = mo.bimaml_flow(tasks, 0.1, 1.0)
    run = mo.solve(flow, [10.0], dense_output=True, rtol=1e-10, atol=1e-13)
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.1)
    by_field = mo.theory.lyapunov(lambda w: w @ w, run, flow=flow)
    fields = [
        (-f.gradient(w) if k == 0 else -F.gradient(w))
        for k, w in zip(run.phase, run.y.T, strict=True)
    ]
    exact = 2.0 * run.y[0] * np.ravel(fields)
    np.testing.assert_allclose(by_field.derivative, exact, rtol=1e-9, atol=1e-12)
    by_path = mo.theory.lyapunov(lambda w: w @ w, run)
    switch = int(np.searchsorted(run.t, run.switch_times[0]))
    assert abs(exact[switch] / exact[switch - 1] - 1.0) > 0.05  # the slope breaks there
    np.testing.assert_allclose(by_path.derivative[:-1], exact[:-1], rtol=1e-3, atol=1e-9)


def test_iterates_are_read_by_the_flow():
    steps = mo.euler(FLOW, [3.0, -4.0], 0.1, max_iter=20)
    found = mo.theory.lyapunov(distance, steps, flow=FLOW)
    assert found.t.size == 21
    assert found.exponential_rate >= 1.0 - 1e-9


def test_what_cannot_be_read_is_refused(run):
    bare = mo.solve(FLOW, [3.0, -4.0], tol=1e-3)
    with pytest.raises(
        ValueError, match="needs flow=, whose field is then followed, or a trajectory solved with"
    ):
        mo.theory.lyapunov(distance, bare)
    with pytest.raises(TypeError, match="candidate must be callable"):
        mo.theory.lyapunov(None, run)
    with pytest.raises(TypeError, match="trajectory must be a Trajectory"):
        mo.theory.lyapunov(distance, run.y, flow=FLOW)
    with pytest.raises(TypeError, match="flow must be a Flow"):
        mo.theory.lyapunov(distance, run, flow=LOSS)
    other = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([H], [2.0 * B])))
    with pytest.raises(ValueError, match="flow must be the one of the trajectory; its tasks"):
        mo.theory.lyapunov(distance, run, flow=other)
    line = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[1.0]])))
    with pytest.raises(ValueError, match="its dimension or number of phases differs"):
        mo.theory.lyapunov(distance, run, flow=line)
    with pytest.raises(ValueError, match=r"candidate\(w\) must be finite"):
        mo.theory.lyapunov(lambda w: np.nan, run)
    with pytest.raises(ValueError, match=r"gradient\(w\) must have shape \(2,\)"):
        mo.theory.lyapunov(distance, run, lambda w: w[:1])
    single = replace(
        run, **{name: getattr(run, name)[:1] for name in ("t", "phase")}, y=run.y[:, :1]
    )
    with pytest.raises(ValueError, match="single point"):
        mo.theory.lyapunov(distance, single)


# --- the parts by hand -----------------------------------------------------------------------


def test_differences_of_a_fifth_power_and_what_they_say_of_themselves():
    """Five values leave -4 h^4 of s^5; at half the step -h^4/4, so that they differ by 15/4 h^4."""
    w, slope = np.array([0.0, 0.0]), np.array([0.0, 3.0])  # a speed of 3

    def fifth(point):
        return float(point[1]) ** 5

    derivative, error = direct_method._along(fifth, w, slope, 1.0, 0.0)
    assert derivative == pytest.approx(-0.25 * 3.0, rel=1e-13)
    assert error == pytest.approx(3.75 * 3.0, rel=1e-12)
    _, noisy = direct_method._along(fifth, w, slope, 0.5, 0.25)
    assert noisy == pytest.approx((3.75 / 16 + 8.0 * 0.25 / 0.5) * 3.0, rel=1e-12)
    # a constant: nothing but the rounding of its size is left
    derivative, error = direct_method._along(lambda point: 7.0, w, slope, 0.5, 0.0)
    assert (
        abs(derivative)
        <= error
        == pytest.approx(8.0 * 7.0 * 2.0**-52 / 0.5 * 3.0, rel=0.5, abs=0.0)
    )
    assert direct_method._along(fifth, w, 0.0 * slope, 1.0, 0.0) == (0.0, 0.0)


def test_the_digit_to_which_all_values_are_rounded():
    assert direct_method._quantum(np.array([0.5, 0.75, 0.0, 1.0])) == 0.25
    assert direct_method._quantum(np.array([3.0, 5.0, -7.0])) == 1.0
    assert direct_method._quantum(np.array([3.0, 5.0])) == 0.0  # too few to tell
    assert direct_method._quantum(np.array([0.1, 0.2, 0.3])) <= 2.0**-54
    assert direct_method._quantum(np.zeros(3)) == 0.0


def test_rates_from_values_and_derivatives():
    t, values, fall = (
        np.array([1.0, 2.0, 4.0]),
        np.array([4.0, 2.0, 1.0]),
        -np.array([8.0, 3.0, 3.0]),
    )
    zero = np.zeros(3)
    assert direct_method._rates(t, values, fall, 0.0, zero) == (1.5, 4.0)  # 3/2; 1 * 4
    # a value within 100 times the noise does not count, nor does a derivative of less than two digits
    assert direct_method._rates(t, values, fall, 0.0199, zero) == (1.5, 4.0)
    assert direct_method._rates(t, values, fall, 0.02, zero)[0] == 2.0
    assert direct_method._rates(t, values, fall, 0.0, np.array([0.0, 0.0401, 0.0]))[0] == 2.0
    assert direct_method._rates(t, values, fall, 0.0, np.array([0.0, 0.0399, 0.0]))[0] == 1.5
    assert np.isnan(direct_method._rates(t, values - 1.01, fall, 0.0, zero)).all()
    below = values - np.array([0.0, 0.0, 1.5])
    assert direct_method._rates(t, below, fall, 0.006, zero)[0] == 1.5
    assert np.isnan(direct_method._rates(t, below, fall, 0.004, zero)).all()
    assert direct_method._rates(t, zero, fall, 0.0, zero) == (np.inf, 0.0)


def test_the_error_of_each_way(run):
    eps = 2.0**-52
    known = mo.theory.lyapunov(distance, run, slope, FLOW)
    speeds = [np.linalg.norm(slope(w)) * np.linalg.norm(FLOW.phases[0].field(w)) for w in run.y.T]
    np.testing.assert_allclose(known.derivative_error, 64.0 * eps * np.array(speeds), rtol=1e-12)
    # by the path alone: E at five points a fiftieth of the way to the next state
    found = mo.theory.lyapunov(distance, run)
    for k in (0, 3, run.t.size - 1):
        other = k + 1 if k + 1 < run.t.size else k - 1
        step = 0.02 * (run.t[other] - run.t[k])
        near = [distance(w) for w in run.sol(run.t[k] + step * np.arange(5)).T]
        wanted = np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12.0 @ near / step
        assert found.derivative[k] == pytest.approx(wanted, rel=1e-12, abs=0.0)
        rounding = 64.0 * eps * max(near) / abs(step)
        # In the last state E is so small that its smallest difference counts beside its rounding.
        assert found.derivative_error[k] >= rounding
        if k < 4:
            assert found.derivative_error[k] == pytest.approx(rounding, rel=0.01, abs=0.0)


def test_a_path_at_rest_does_not_rise():
    rest = mo.euler(FLOW, MINIMISER, 0.1, max_iter=3)
    found = mo.theory.lyapunov(distance, rest, slope, FLOW)
    assert found.rises.size == 0
    assert (found.derivative == 0.0).all()


def test_a_difference_allows_for_the_digits_of_what_it_subtracts():
    slope, error = direct_method._along(
        lambda w: 1e6 + 3.0 * w[0], np.zeros(1), np.array([2.0]), 0.01, 0.0
    )
    allowed = 2.0 * 8 * np.finfo(float).eps * 1e6 / 0.01
    assert allowed * (1 - 1e-6) <= error <= 2.0 * allowed
    assert abs(slope - 6.0) <= error
