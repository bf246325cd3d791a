"""The error tolerances that a run chooses, what they cost, and how a norm that hovers lowers them."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.integrate.plan import Plan, Tolerances

JUDGE = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))


def stiff_and_slow(rate):
    return mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([rate, 1.0])], [[0, 0]])))


@pytest.mark.parametrize(
    ("tol", "rtol", "atol"),
    [(1e-7, 1e-7, 1e-9), (0.0, 1e-8, 1e-10), (1e-2, 1e-6, 1e-8), (1e-14, 1e-12, 1e-14)],
)
def test_tolerances_follow_the_stationarity_asked_for(tol, rtol, atol, logistic):
    """Between 1e-12 and 1e-6, whatever is asked for; what the user gives is taken and never changed."""
    flow = mo.maml_flow(logistic, 0.1)
    chosen = Tolerances.choose(flow, tol, None, None)
    assert (chosen.rtol, chosen.atol) == pytest.approx((rtol, atol), rel=1e-15, abs=0)
    given = Tolerances.choose(flow, tol, 1e-3, 1e-5)
    assert (given.rtol, given.atol) == (1e-3, 1e-5)
    assert given.tightened() is None
    # Without a tol nothing is asked of the residual, however stiff the flow is.
    assert Tolerances.choose(stiff_and_slow(1e9), 0.0, None, None).atol == pytest.approx(
        1e-10, abs=0
    )
    with pytest.raises(ValueError, match="atol must be greater than 0"):
        Tolerances.choose(flow, tol, None, 0.0)
    assert Tolerances.choose(flow, tol, 0.0, 1.0).rtol == 0.0
    still = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[0.0]]], [[0.0]])))
    assert Tolerances.choose(still, tol, None, None) == chosen


def test_lowered_tolerances_end_at_the_smallest_that_rounding_knows(logistic):
    flow = mo.maml_flow(logistic, 0.1)
    for given, ends in (
        ({}, (1e-13, 1e-30)),
        ({"rtol": 0.5}, (0.5, 1e-30)),
        ({"atol": 2}, (1e-13, 2)),
    ):
        now, seen = Tolerances.choose(flow, 1e-7, given.get("rtol"), given.get("atol")), []
        while now is not None:
            seen.append((now.rtol, now.atol))
            now = now.tightened()
        rtols, atols = np.array(seen).T
        for values, end, fixed in zip((rtols, atols), ends, ("rtol", "atol"), strict=True):
            assert values[-1] == pytest.approx(end, rel=0 if fixed == "rtol" else 99, abs=0)
            if fixed not in given:
                steps = values[:-1] / values[1:]
                assert steps == pytest.approx(np.where(values[1:] > 1e-13, 100.0, steps))
            else:
                assert (values == values[0]).all()


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Tsit5", "RK23"])
def test_atol_is_as_small_as_the_stiffest_rate_needs_and_no_smaller(method):
    """||g||^2 = (400 exp(-400 t))^2 + exp(-2 t): 1e-6 is reached at t = log 1e6, after some 400 t/s steps.

    s is the method's interval on the negative axis. With ten times the atol RK23 hovers to twice that time, with
    a tenth of it the same path costs more.
    """
    flow, start = stiff_and_slow(400.0), [1.0, 1.0]
    run = mo.solve(flow, start, method=method, tol=1e-6)
    assert np.log(1e6) < run.final_time < np.log(1e6) + 0.02
    interval = {"RK45": 3.3, "DOP853": 6.2, "Tsit5": 3.5, "RK23": 2.5}[method]
    assert run.counts.steps == pytest.approx(400 * run.final_time / interval, rel=0.15)
    same = mo.solve(flow, start, method=method, tol=1e-6, atol=1e-6 / (15 * 400))
    np.testing.assert_array_equal(run.t, same.t)


def test_a_hovering_norm_is_named_after_fifty_steps(make_quadratic):
    flow = mo.maml_flow(make_quadratic(condition=300.0), 0.3)
    for method in ("RK45", "DOP853"):
        run = mo.solve(flow, 1e4 * np.ones(4), method=method, rtol=1e-4, atol=1e-9, tol=1e-8)
        assert run.stop is mo.StopReason.TOLERANCE_OUT_OF_REACH
        assert 50 <= len(run) - 1 - np.argmin(run.grad_norm) < 60


@pytest.mark.parametrize("method", ["RK45", "DOP853", "Tsit5", "RK23"])
def test_either_tolerance_that_is_ours_is_lowered(method):
    """At w = 0 atol decides what hovers, at w = 1 rtol: the one that the user did not give reaches tol."""
    for centre, given in ((0, {"rtol": 1e-2}), (1, {"atol": 1e-15})):
        f = mo.ExpectedLoss(mo.tasks.Symbolic(f"log(cosh(30*(w - {centre})))", "w"))
        both = {"rtol": 1e-2, "atol": 1e-6, **given}
        stuck = mo.solve(mo.gradient_flow(f), [2.0], method=method, tol=1e-9, **both)
        assert stuck.stop is mo.StopReason.TOLERANCE_OUT_OF_REACH
        run = mo.solve(mo.gradient_flow(f), [2.0], method=method, tol=1e-9, **given)
        assert run.stop is mo.StopReason.STATIONARY
        assert abs(30 * np.tanh(30 * (run.w[0] - centre))) <= 1e-9


def test_a_discontinuous_field_gets_loose_tolerances():
    class Jumps(CallableField):
        smoothness = -1

    flow = mo.Flow([mo.Phase(Jumps(lambda w: -np.sign(w), 1))], JUDGE)
    chosen = Tolerances.choose(flow, 1e-9, None, None)
    assert (chosen.rtol, chosen.atol) == (1e-4, 1e-6)


def test_tolerances_by_hand():
    """A hundredth at a time as far as rounding knows, what is ours only; in single precision 100 eps and eps."""
    ours, atol_is_ours = (
        Tolerances(3e-12, 1.5e-8, False, False),
        Tolerances(1e-6, 1.5e-28, True, False),
    )
    lower = ours.tightened()
    assert (lower.rtol, lower.atol) == pytest.approx((1e-13, 1.5e-10), rel=1e-15, abs=0)
    assert lower.tightened().rtol == 1e-13
    assert Tolerances(1e-13, 1e-30, False, True).tightened() is None
    assert Tolerances(2e-13, 1e-30, False, True).tightened().rtol == 1e-13
    least = atol_is_ours.tightened()
    assert (least.rtol, least.atol) == (1e-6, pytest.approx(1.5e-30, rel=1e-15, abs=0))
    assert least.tightened() is None
    eps = 2.0**-23
    assert ours.seen_in(2.0**-52) is ours
    single = ours.seen_in(eps)
    assert (single.rtol, single.atol, single.precision) == (100 * eps, eps, eps)
    assert single.seen_in(eps) is single
    assert single.tightened() is None
    rough = Tolerances(1e-3, 1e-4, False, False).seen_in(eps)
    assert (rough.rtol, rough.atol) == (1e-3, 1e-4)
    fixed = Tolerances(1e-9, 1e-9, True, True).seen_in(eps)
    assert (fixed.rtol, fixed.atol, fixed.precision) == (1e-9, 1e-9, eps)


def test_bounds_of_steps_end_with_their_phase():
    plan = Plan(None, Tolerances(1e-6, 1e-8, True, True), 2.0, 10, {"max_step": 0.5, "jac": 1})
    assert (plan.longest_step, plan.next_phase()) == (0.5, plan)
    shorter = plan._replace(first_step=0.1)
    assert shorter.step_options == {"max_step": 0.5, "jac": 1, "first_step": 0.1}
    assert (shorter.longest_step, shorter.next_phase()) == (0.5, plan)
    bounded = plan._replace(max_step=0.2)
    assert bounded.step_options == {"max_step": 0.2, "jac": 1}
    assert (bounded.longest_step, bounded.next_phase()) == (0.2, plan)
    assert plan._replace(options={}).longest_step == np.inf
