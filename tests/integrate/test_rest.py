"""A phase before the last that comes to rest: one answer, whatever the method."""

from types import SimpleNamespace

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.flow import Leg
from maml_ode.flows.switch_rules import as_rule
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.rest import time_at_rest, waits_for_ever
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.tally import Tally

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


@pytest.mark.parametrize("end", [1e5, 2.0001e5])
def test_the_solution_of_a_rest_that_waits_is_known_at_all_times_of_it(make_quadratic, end):
    """The rule is met at 2e5: before that the horizon ends the wait, after it a phase follows that rests too."""
    flow = flow_of(make_quadratic(d=3, condition=2.0), lambda f, F: lambda t, w: 2e5 - t)
    run = mo.solve(flow, W0, method="Tsit5", t_max=end, dense_output=True, tol=0)
    waited = min(end, 2e5)
    assert waited in run.t
    at_rest = run.y[:, list(run.t).index(waited)]
    long_before = max(t for t in run.t if t < waited)
    assert long_before < 1e4
    for share in (0.1, 0.5, 1.0):
        t = long_before + share * (waited - long_before)
        np.testing.assert_array_equal(run.sol(t), at_rest)
    assert run.switch_times.tolist() == ([2e5] if end > 2e5 else [])


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
        assert run.final_phase == 1  # which the 101st switch enters


def test_the_phase_that_chattering_leaves_a_run_in_is_the_one_it_enters():
    """After a phase of its own, two that follow each other: the 101st switch enters the first of them."""
    up, down = two_ways(1.0, lambda t: 1.0 - 0.998e-11).phases
    wait = mo.Phase(mo.fields.CallableField(lambda w: np.ones(1), 1), until=lambda t, w: 1.0 - t)
    phases = [wait, mo.Phase(down.field, down.until), mo.Phase(up.field, up.until, then=1)]
    flow = mo.Flow(phases, mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]])))
    run = mo.solve(flow, [0.0], method="RK45", t_max=2.0, tol=0, diagnostics=False)
    assert run.stop is mo.StopReason.CHATTERING
    assert run.switch_times.size == 101
    assert run.final_phase == 1


@pytest.mark.parametrize("again", [False, True])
def test_only_phases_that_come_again_chatter(again):
    """120 ways up and down in 1e-10 of the time, one after the other or then from the first."""
    up, down = two_ways(1.0, lambda t: 1.0 - 1e-12).phases
    phases = [mo.Phase(way.field, until=way.until) for way in (up, down)] * 60
    if again:
        phases[-1] = mo.Phase(down.field, until=down.until, then=0)
    flow = mo.Flow(phases, mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]])))
    run = mo.solve(flow, [0.0], method="RK45", t_max=2.0, tol=0, diagnostics=False)
    assert run.stop is (mo.StopReason.CHATTERING if again else mo.StopReason.SWITCHED)
    assert run.switch_times.size == 120 + again
    assert run.final_phase == (1 if again else 119)
    assert ("the last 120 of them without progress" in run.message) == again


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


@pytest.mark.parametrize(
    ("start", "t_max", "window", "found"),
    [  # 256 looks up to a horizon: at whole times; without one at start + max(|start|, 1) 2^k
        (0.0, 256.0, (10.3, 11.2), 10.3),
        (0.0, 256.0, (10.3, 10.7), None),
        (0.0, 256.0, (100.2, 100.8), None),
        (0.0, 256.0, (0.3, 1.2), 0.3),
        (0.0, 256.0, (255.5, 257.0), 255.5),
        (0.0, np.inf, (3.0, 9.0), 3.0),
        (0.0, np.inf, (1.5e-6, 2.5e-6), 1.5e-6),
        (0.0, np.inf, (5.0, 7.5), None),
        (-16.0, np.inf, (15.0, 50.0), 15.0),
        (-16.0, np.inf, (17.0, 47.0), None),
        (0.0, np.inf, (2.0**198.5, np.inf), 2.0**198.5),
        (0.0, np.inf, (2.0**199.5, np.inf), None),
    ],
)
def test_a_rule_of_time_is_looked_at_in_even_or_doubling_distances(start, t_max, window, found):
    field = FieldEvaluator(mo.fields.CallableField(lambda w: 0.0 * w, 1), Tally())
    rule = RuleEvaluator(as_rule(lambda t, w: not window[0] <= t <= window[1]), field, False)
    assert time_at_rest(rule, start, np.zeros(1), t_max) == found


@pytest.mark.parametrize(
    ("way", "tolerances", "tol", "most"),
    [  # a state of size 100 after a time of 10: what is resolved, what tol allows, a share of the way, rounding
        (10.0, (1e-8, 1e-6), 0.0, 2e-6),
        (10.0, (1e-8, 1e-6), 1e-6, 1e-5),
        (1e-4, (1e-8, 1e-6), 1e-6, 1e-7),
        (10.0, (1e-18, 1e-20), 0.0, 1e-11),
    ],
)
def test_a_phase_waits_for_ever_where_as_much_time_again_would_not_move_it(
    way, tolerances, tol, most
):
    def waits(ahead, rule=lambda t, w: 1.0, final=False):
        f = mo.ExpectedLoss(
            mo.tasks.Quadratic([ahead / 10.0 / 100.0 * np.eye(2)], np.zeros((1, 2)))
        )
        evaluator = FieldEvaluator(mo.fields.GradientField(f), Tally())
        ends = (
            None
            if rule is None
            else RuleEvaluator(as_rule(rule(f) if rule is by_norm else rule), evaluator, False)
        )
        leg = Leg(evaluator.field, None, 1, final)
        record = SimpleNamespace(t=15.0, w=np.array([100.0, 0.0]))
        return waits_for_ever(
            Segment(0, leg, evaluator, ends, 0.0, True), 5.0, np.array([100.0, way]), record,
            Tolerances(*tolerances, True, True), tol,
        )  # fmt: skip

    def by_norm(f):
        return GradientNormBelow(f, threshold)

    assert waits(0.999 * most)
    assert not waits(1.001 * most)
    assert not waits(0.999 * most, rule=None)
    assert not waits(0.999 * most, final=True)
    assert not waits(0.999 * most, rule=lambda t, w: 20.0 - t)
    for threshold in (0.0, 1e-300):  # a norm above 0 is come to
        assert waits(0.999 * most, by_norm) == (threshold == 0.0)


@pytest.mark.parametrize("method", ["Tsit5", "RK45", "RKC2"])
def test_a_limit_of_steps_is_how_many_are_taken(make_logistic, method):
    flow = mo.maml_flow(make_logistic(), 0.1)
    for most in (1, 7):
        run = mo.solve(flow, W0, method=method, tol=1e-9, max_steps=most)
        assert (run.stop, run.counts.steps) == (mo.StopReason.STEP_LIMIT, most)


def test_a_lifted_flow_may_end_by_its_last_rule():
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    flow = mo.Flow([mo.Phase(mo.fields.MomentumField(f, 1.0), until=GradientNormBelow(f, 0.1))])
    for method in ("DOP853", "RK45"):
        run = mo.solve(flow, [1.0], method=method, tol=0, t_max=50.0)
        assert (run.stop, run.final_phase) == (mo.StopReason.SWITCHED, 0)
        assert abs(run.w[0]) == pytest.approx(0.1, rel=1e-4)
