"""A phase before the last that comes to rest: one answer, whatever the method."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.flows import GradientNormBelow

METHODS = ("auto", "Tsit5", "DOP853", "RK45", "RK23", "RKC2", "Rodas5P", "Radau", "BDF", "LSODA")
RULES = {
    "elsewhere": lambda f, F: lambda t, w: w[0] + 5.0,
    "another norm": lambda f, F: GradientNormBelow(F, 1e-12),
    "its own norm at 0": lambda f, F: GradientNormBelow(f, 0.0),
}


def flow_of(tasks, rule):
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.1)
    return mo.Flow([mo.Phase(f, until=rule(f, F)), mo.Phase(F)])


W0 = np.array([3.0, -2.0, 1.0])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("method", METHODS)
def test_a_rest_before_the_horizon_is_no_success_and_a_motion_is(make_logistic, method, rule):
    """Rates of some 0.5: at t = 3 all moves, at t = 300 nothing has moved for long."""
    flow = flow_of(make_logistic(l2=0.5), RULES[rule])
    moving = mo.solve(flow, W0, method=method, t_max=3.0)
    assert (moving.stop, moving.success) == (mo.StopReason.HORIZON, True)
    assert moving.final_time == 3.0
    resting = mo.solve(flow, W0, method=method, t_max=300.0)
    assert (resting.stop, resting.success) == (mo.StopReason.STATIONARY, False)
    assert "its ending rule is not met" in resting.message
    assert resting.final_time <= 300.0
    assert np.linalg.norm(flow.legs[0].field(resting.w)) < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_a_rest_that_waits_for_a_time_after_the_horizon_lasts_until_it(make_quadratic, method):
    flow = flow_of(make_quadratic(d=3, condition=2.0), lambda f, F: lambda t, w: 1e9 - t)
    run = mo.solve(flow, W0, method=method, t_max=300.0)
    assert (run.stop, run.success, run.final_time) == (mo.StopReason.HORIZON, True, 300.0)
    assert run.switch_times.size == 0


def two_ways(speed, low):
    """w goes up at a speed until 1 and down until ``low(t)``, again and again."""
    up = mo.fields.CallableField(lambda w: np.array([speed]), 1)
    down = mo.fields.CallableField(lambda w: np.array([-speed]), 1)
    return mo.Flow(
        [
            mo.Phase(up, until=lambda t, w: 1.0 - w[0]),
            mo.Phase(down, until=lambda t, w: w[0] - low(t), then=0),
        ],
        mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]])),
    )


def test_many_switches_in_a_short_run_are_progress():
    """250 ways of 1e-8 each: short, but all that there is of the run."""
    flow = two_ways(1e8, lambda t: 0.0)
    run = mo.solve(flow, [0.0], method="RK45", t_max=250.5e-8, tol=0)
    assert run.stop is mo.StopReason.HORIZON
    np.testing.assert_allclose(run.switch_times, 1e-8 * np.arange(1, 251), rtol=1e-9)


def test_ways_that_become_ever_shorter_are_chattering():
    """Down to 1 - (10 - t)/20: the way is over at 10, after infinitely many switches."""
    flow = two_ways(1.0, lambda t: 1.0 - 0.05 * (10.0 - t))
    run = mo.solve(flow, [0.0], method="RK45", t_max=20.0, tol=0, max_steps=3000)
    assert run.stop is mo.StopReason.CHATTERING
    assert run.final_time == pytest.approx(10.0, abs=1e-7)
    assert "have followed each other" in run.message


@pytest.mark.parametrize(("way", "progress"), [(0.998e-11, False), (1.002e-11, True)])
def test_a_hundred_ways_in_a_billionth_of_the_run_are_chattering(way, progress):
    """Up to 1 at t = 1, down by ``way`` and up again: 100 ways take 1e-9 of the time or a little more."""
    flow = two_ways(1.0, lambda t: 1.0 - way)
    run = mo.solve(flow, [0.0], method="RK45", t_max=1.0 + 150 * way, tol=0, diagnostics=False)
    assert (run.stop is mo.StopReason.HORIZON) == progress
    if not progress:
        assert run.stop is mo.StopReason.CHATTERING
        assert run.switch_times.size == 101


def test_euler_passes_over_every_phase_once_where_all_are_over():
    """Of two phases that are always over only the one that was just left is followed, by one step."""
    fields = [mo.fields.CallableField(lambda w, v=v: np.array([v]), 1) for v in (1.0, 10.0)]
    phases = [
        mo.Phase(field, until=lambda t, w: -1.0, then=1 - k) for k, field in enumerate(fields)
    ]
    flow = mo.Flow(phases, mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]])))
    run = mo.euler(flow, [0.0], 0.5, max_iter=4)
    np.testing.assert_array_equal(run.switch_times, np.repeat([0.0, 0.5, 1.0, 1.5, 2.0], 2))
    assert run.w == [2.0]
