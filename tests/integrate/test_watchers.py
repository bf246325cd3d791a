"""The watchers, each by itself: what they find in steps made by hand, and the plans that they mend."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.switch_rules import Reversed, as_rule
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator
from maml_ode.integrate.methods import facts_of, resolve
from maml_ode.integrate.plan import Plan, Tolerances
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.clockless import timeless, without_clock
from maml_ode.integrate.watch.crossing import CrossingWatch
from maml_ode.integrate.watch.energy import EnergyWatch
from maml_ode.integrate.watch.finding import Batch, Step
from maml_ode.integrate.watch.finite import FiniteWatch
from maml_ode.integrate.watch.stall import Hovering, RestWatch, StallWatch
from maml_ode.integrate.watch.stationarity import StationarityWatch
from maml_ode.integrate.watch.stiffness import StiffnessWatch

OURS = Tolerances(1e-6, 1e-8, False, False)


def plan_of(method="RK45", tolerances=OURS, **more):
    return Plan(resolve(method), tolerances, t_max=math.inf, max_steps=1000, **more)


def step_to(t, w, value, t_old=0.0, w_old=(0.0,), value_old=(0.0,), count=1):
    arrays = [np.asarray(x, float) for x in (w_old, value_old, w, value)]
    norm = float(np.linalg.norm(arrays[3]))
    return Step(
        t_old, arrays[0], arrays[1], t, arrays[2], arrays[3], norm, lambda: None,
        Batch(np.linspace(t_old, t, count + 1)[1:], np.ones((count, 1)), np.full(count, norm)),
    )  # fmt: skip


def test_a_step_by_itself_has_none_before_it():
    step = Step(1.0, *np.ones((2, 1)), 1.5, *np.ones((2, 1)), 1.0, lambda: None)
    assert (step.steps, step.length, step.batch) == (1, 0.5, None)


def hovering_step(norm, count=1):
    """Return a step of curvature 2 near w = 1, where OURS account for a norm of 2 (1e-8 + 1e-6)."""
    return step_to(1.0, [1.0], [norm], 0.5, [1.0 + norm], [3 * norm], count)


def test_a_norm_hovers_that_has_not_fallen_for_fifty_steps():
    hovering = Hovering(OURS)
    assert not any(hovering.sees(hovering_step(x)) for x in np.geomspace(1.0, 1e-6, 200))
    seen = [hovering.sees(hovering_step(1e-6 * (1 + k % 7))) for k in range(60)]
    assert seen == [False] * 49 + [True] * 11
    assert hovering.best == 1e-6
    batches = Hovering(OURS)
    assert not batches.sees(hovering_step(1e-6))
    assert [batches.sees(hovering_step(2e-6, count=25)) for _ in range(3)] == [False, True, True]


def test_a_norm_far_above_the_tolerances_does_not_hover():
    """The floor is 1,000 times what the tolerances account for: 2.02e-3 here."""
    for size, found in ((1.9e-3, True), (2.1e-3, False)):
        hovering = Hovering(OURS)
        assert [hovering.sees(hovering_step(size)) for _ in range(60)][-1] == found
    still = Hovering(OURS)
    assert [still.sees(step_to(1.0, [1.0], [9.0], 0.5, [1.0])) for _ in range(60)][-1]


def test_the_floor_is_a_thousand_times_what_the_tolerances_account_for_to_the_last_bit():
    floor = 1000 * 2 * 2.0**-20
    for size, found in ((floor, True), (floor * (1 + 2.0**-30), False)):
        hovering = Hovering(Tolerances(0.0, 2.0**-20, True, True))
        assert [hovering.sees(hovering_step(size)) for _ in range(60)][-1] == found


@pytest.mark.parametrize(("ratio", "found"), [(1.9, True), (2.0, True), (2.1, False)])
def test_a_slow_state_is_waited_for_where_steps_have_doubled_since_the_lowest_norm(ratio, found):
    """The lowest norm stands at the second of three steps of lengths 4, 1 and 2, or at the only one, of 1."""
    last = step_to(7.0, [1.0], [2e-17], 5.0, [1.0])
    batch = Batch(np.array([4.0, 5.0, 7.0]), np.ones((3, 1)), np.array([2e-17, 1e-17, 2e-17]))
    for first in (last._replace(batch=batch), step_to(1.0, [1.0], [1e-17], 0.0, [1.0])):
        hovering = Hovering(OURS)
        hovering.sees(first)
        following = step_to(10.0 + ratio, [1.0], [2e-17], 10.0, [1.0])
        assert [hovering.sees(following) for _ in range(60)][-1] == found


def test_a_norm_at_the_rounding_of_the_largest_one_is_at_rest_and_not_slow():
    for share, slow in ((3.9, False), (4.1, True)):
        for unit in (1.0, 1e9):
            hovering = Hovering(OURS)
            hovering.sees(step_to(1.0, [10 * unit], [unit], 0.0, [11 * unit]))
            norm = share * 2.0**-52 * unit
            for lost, length in ((True, 39.9 / share), (False, 40.1 / share)):
                step = step_to(1.0 + length, [10 * unit], [norm], 1.0)
                assert hovering.slow(step) == (slow and lost)


def test_growth_is_forgotten_and_dips_are_not():
    grows = Hovering(OURS)
    assert not any(grows.sees(hovering_step(1e-9 * 1.5**k)) for k in range(60))
    # It stays 40 times above: after fifty steps that is its level, and after fifty more it hovers there.
    grown = Hovering(OURS)
    grown.sees(hovering_step(1e-9))
    seen = [grown.sees(hovering_step(4e-8)) for _ in range(100)]
    assert seen == [False] * 99 + [True]
    assert grown.best == 4e-8
    rng = np.random.default_rng(0)
    dips = Hovering(OURS)
    assert any(dips.sees(hovering_step(1e-7 * rng.random())) for _ in range(1000))


def test_a_stall_lowers_what_is_ours_or_is_named_or_waits():
    def found(tolerances, patient):
        watch = StallWatch(plan_of(tolerances=tolerances), 1e-9, patient)
        findings = [watch.look(hovering_step(1e-6)) for _ in range(51)]
        assert findings[:50] == [None] * 50
        return findings[50]

    for patient in (True, False):
        finding = found(OURS, patient)
        better = finding.remedy(plan_of("DOP853", max_step=0.5))
        assert (better.tolerances.rtol, better.tolerances.atol) == pytest.approx(
            (1e-8, 1e-10), abs=0
        )
        assert (better.method, better.max_step) == (resolve("DOP853"), 0.5)
    fixed = Tolerances(1e-6, 1e-8, True, True)
    assert found(fixed, True) is None
    finding = found(fixed, False)
    assert finding.remedy is None
    assert finding.stop.reason is mo.StopReason.TOLERANCE_OUT_OF_REACH
    assert "hovers near 1e-06, above the wanted 1e-09" in finding.stop.message
    assert not finding.stop.asked_for


def test_at_rest_is_a_field_of_zero_or_a_state_that_ten_longer_steps_leave():
    assert RestWatch(plan_of()).look(step_to(1.0, [1.0], [0.0])) is not None

    def first(lengths, moves=(), size=1.0):
        watch, t = RestWatch(plan_of()), 0.0
        for k, length in enumerate(lengths):
            w_old = [size * (1.0 + (2e-15 if k in moves else 4e-16))]
            if watch.look(step_to(t + length, [size], [size], t, w_old)) is not None:
                return k
            t += length
        return None

    assert first([1.0] * 9 + [1.9, 2.0, 2.5]) == 10
    for unit in (1e-3, 1e3):
        assert first(unit * np.array([1.0] * 9 + [1.9, 2.0, 2.5])) == 10
        assert first(1.2 ** np.arange(30), moves=[4], size=unit) == 14
    assert first([1.0] * 30) is None
    assert first(1.2 ** np.arange(30)) == 9
    assert first(1.2 ** np.arange(30), moves=[4]) == 14


def test_stationarity_is_a_norm_at_or_below_tol():
    for norm, found in ((1e-3, True), (1.01e-3, False), (np.nan, False)):
        finding = StationarityWatch(1e-3, True).look(step_to(2.0, [1.0], [norm]))
        assert (finding is not None) == found
    finding = StationarityWatch(1e-3, True).look(step_to(2.0, [1.0], [1e-4]))
    assert finding.stop.asked_for
    assert finding.stop.detail == "0.0001 <= tol = 0.001 at t = 2."
    assert StationarityWatch(0.0, True).look(step_to(2.0, [1.0], [0.0])) is None


def test_what_is_not_finite_is_refused_and_the_steps_are_shortened():
    """A guess of the first step, 1e-8 |w|/|v|, then a thousandth; bounds of 10, 1, ... of the last step."""
    watch = FiniteWatch(1.0, np.array([3.0, 4.0]), np.array([0.0, -2.0]))
    assert watch.look(step_to(1.5, [np.inf, 1.0], [1.0, 1.0])).keep is False
    finding = watch.look(step_to(1.5, [1.0, 1.0], [np.nan, 1.0]))
    assert finding.stop.reason is mo.StopReason.NON_FINITE
    assert finding.stop.detail == "The field was not finite at t = 1.5."
    plan, firsts = plan_of(), []
    while (plan := finding.remedy(plan)) is not None:
        firsts.append(plan.first_step)
        assert plan.max_step is None
    np.testing.assert_allclose(firsts, [2.5e-8, 2.5e-11, 2.5e-14])
    assert finding.remedy(plan_of(options={"first_step": 1.0})) is None
    zero = FiniteWatch(0.0, np.zeros(2), np.array([2.0, 0.0])).failed("x").remedy(plan_of())
    assert zero.first_step == pytest.approx(0.5e-8)

    # At t = 100 no bound is shorter than 0.01.
    assert watch.look(step_to(100.0, [1.0, 1.0], [1.0, 1.0], 99.85)) is None
    plan, bounds = plan_of(), []
    while (plan := watch.failed("x").remedy(plan)) is not None:
        bounds.append(plan.max_step)
        assert plan.first_step == pytest.approx(0.1 * plan.max_step)
    np.testing.assert_allclose(bounds, [1.5, 0.15, 1.5e-2])
    given = watch.failed("x").remedy(plan_of(options={"max_step": 0.2}))
    assert given.max_step == pytest.approx(0.02)
    assert given.step_options == {"max_step": given.max_step, "first_step": given.first_step}
    same = watch.look(step_to(200.0, [1.0, 1.0], [1.0, 1.0], 200.0))
    assert (same.stop.reason, same.keep) == (mo.StopReason.STEP_TOO_SMALL, True)


@pytest.mark.parametrize(("rate", "stiff"), [(2.55, True), (2.45, False)])
def test_steps_that_keep_to_the_stability_limit_are_seen_after_fifty(rate, stiff):
    """Steps of length 1 on w' = -rate w: RK45's limit is taken as 2.5."""
    field = mo.gradient_flow(
        mo.ExpectedLoss(mo.tasks.from_callables(
            lambda i, w: 0.5 * rate * float(w @ w), lambda i, w: rate * w,
            lambda i, w: rate * np.eye(1), n_tasks=1, dim=1,
        ))
    ).legs[0].field  # fmt: skip
    tally = Tally()
    plan = plan_of("RK45", stiff_method=resolve("Rodas5P"), first_step=0.5, note="RK45")
    watch = StiffnessWatch(FieldEvaluator(field, tally), plan, 10.0)
    findings = [watch.look(step_to(11.0 + k, [1.0], [1.0], 10.0 + k)) for k in range(50)]
    assert findings[:49] == [None] * 49
    assert (findings[49] is not None) == stiff
    assert tally.njev == 1
    if stiff:
        better = findings[49].remedy(plan)
        assert (better.method, better.stiff_method) == (resolve("Rodas5P"), None)
        assert better.first_step is None
        assert better.note.startswith("RK45; Rodas5P from t = 60 on")
        assert f"lambda_max = {rate:.3g}" in better.note
        assert findings[49].remedy(better) is None
    bare = StiffnessWatch(FieldEvaluator(CallableField(lambda w: -w, 1), tally), plan, 0.0)
    assert bare.look(step_to(100.0, [1.0], [1.0], count=100)) is None


@pytest.mark.parametrize("counts", [[1] * 300, [50] * 6])
@pytest.mark.parametrize(("share", "stiff"), [(0.999, False), (1.0, False), (1.001, True)])
def test_every_window_is_measured_by_the_steps_it_spans(share, stiff, counts):
    """Steps of one length, short of the limit or beyond it by a thousandth: no window may see it otherwise."""
    field = mo.maml_flow(mo.tasks.Quadratic([[[4.0]]], [[0.0]]), 0.0).legs[0].field
    plan = plan_of("RK45", stiff_method=resolve("Rodas5P"))
    h = share * facts_of(plan.method).stiff_from / 4.0
    watch = StiffnessWatch(FieldEvaluator(field, Tally()), plan, 0.0)
    k, found = 0, []
    for count in counts:
        k += count
        step = step_to(k * h, [1.0], [1.0], (k - 1) * h, count=count)
        found.append(watch.look(step) is not None)
    assert found == [stiff and n % (50 // counts[0]) == 0 for n in range(1, len(counts) + 1)]


def test_a_step_that_raises_the_objective_is_refused_and_shortened():
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    tally = Tally()
    watch = EnergyWatch(f, tally, np.array([1.0]))
    assert watch.look(step_to(0.5, [0.5], [0.5], 0.25, [1.0])) is None
    finding = watch.look(step_to(1.5, [0.6], [0.6], 0.5, [0.5]))
    assert (finding.keep, finding.stop.reason) == (False, mo.StopReason.STEP_TOO_SMALL)
    assert finding.remedy(plan_of()).first_step == 0.25
    assert tally.rejected == 1
    assert tally.total(None).losses == 3
    assert watch.look(step_to(0.75, [0.4], [0.4], 0.5, [0.5])) is None
    tiny = watch.look(step_to(1.0 + 2.0**-51, [0.6], [0.6], 1.0, [0.4]))
    assert tiny.remedy(plan_of()) is None
    assert tally.rejected == 1


def test_the_slope_inside_a_step_is_that_of_the_cubic_through_its_ends():
    """Along w = t^3 - 2 t from t = 1 to 3."""
    step = step_to(3.0, [21.0], [25.0], 1.0, [-1.0], [1.0])
    for share in (0.0, 0.25, 0.5, 0.9, 1.0):
        t = 1.0 + 2.0 * share
        assert CrossingWatch._slope(step, share) == pytest.approx([3 * t**2 - 2], rel=1e-14)


def first_in_a_step(function):
    """Return the bracket that is found in a step from 0 to 9 along w = t, with looks at 1, 2, ... 8."""
    field = FieldEvaluator(CallableField(lambda w: 1.0 + 0.0 * w, 1), Tally())
    rule = RuleEvaluator(as_rule(lambda t, w: function(w[0])), field, False)
    watch = CrossingWatch(rule, 0.0, np.array([0.0]), False)
    step = step_to(9.0, [9.0], [1.0])._replace(interpolant=lambda: lambda t: np.array([t]))
    finding = watch.look(step)
    return None if finding is None else (finding.crossing.low, finding.crossing.high)


def low(x, place, depth):
    """Return a parabola about ``place`` that comes down to ``depth``."""
    return (x - place) ** 2 + depth


DIPS = {  # where the rule touches 0, a second dip that does not, the bracket's start, the size beside the touch
    "at the start": (0.1, 2.0, 0.0, 0.81),
    "at the end": (8.9, 6.0, 8.0, 0.81),
    "after a look": (4.4, 4.4, 3.0, 1.96),
    "before a look": (4.6, 4.6, 4.0, 1.96),
    "amid two looks": (4.5, 4.5, 3.0, 2.25),
}


@pytest.mark.parametrize("share", [0.0, 0.99e-10, 1.01e-10])
@pytest.mark.parametrize("name", DIPS)
def test_a_touch_between_two_looks_is_measured_by_the_values_beside_it(name, share):
    """Down to 1e-10 of the larger neighbour is a touch; a dip to 0.005 is none."""
    place, elsewhere, start, size = DIPS[name]
    found = first_in_a_step(lambda x: min(low(x, place, share * size), low(x, elsewhere, 5e-3)))
    if share > 1e-10:
        assert found is None
    else:
        assert found == (start, pytest.approx(place, abs=1e-6))


def test_a_rule_that_may_have_begun_its_phase_must_first_rise_above_zero():
    field = FieldEvaluator(CallableField(lambda w: 0.0 * w, 1), Tally())
    rule = RuleEvaluator(as_rule(lambda t, w: w[0]), field, True)
    watch = CrossingWatch(rule, 0.0, np.array([0.0]), False)
    found = []
    for value in (0.0, -1.0, 1.0, -1.0):
        step = step_to(1.0, [value], [0.0])
        step = step._replace(interpolant=lambda v=value: lambda t: np.array([v * t]))
        found.append(watch.look(step) is not None)
    assert found == [False, False, False, True]


@pytest.mark.parametrize(("threshold", "looks"), [(0.5, True), (0.4999, False)])
@pytest.mark.parametrize(
    ("end", "start", "way"),
    [  # v along the step is 0.65 + 0.1 ((s - 0.94)/0.06)^2, which is 0.75 at its end; 0.75 + 12 (s - 0.75)^2
        (0.75, 0.65 + 0.1 * (0.94 / 0.06) ** 2, 0.65 + 0.1 / 0.06**2 * (0.06**3 + 0.94**3) / 3),
        (1.5, 7.5, 2.5),
    ],
)
def test_a_norm_is_near_at_one_and_a_half_times_its_threshold(end, start, way, threshold, looks):
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    field = FieldEvaluator(mo.fields.GradientField(f), Tally())
    asked = []

    def look(rule):
        watch = CrossingWatch(RuleEvaluator(rule, field, False), 0.0, np.array([end]), False)
        step = step_to(1.0, [end], [-end], 0.0, [end + way], [-start])
        # As far as it is asked the path itself stays above.
        interpolant = lambda t: asked.append(t) or np.array([2.0])  # noqa: E731
        return watch.look(step._replace(interpolant=lambda: interpolant))

    assert look(GradientNormBelow(f, threshold)) is None
    assert bool(asked) == looks
    asked.clear()
    assert look(Reversed(GradientNormBelow(f, 1.6))) is None  # a rise to 1.6 is seen at its end
    assert asked == []


def test_the_first_look_that_meets_the_rule_ends_the_bracket():
    assert first_in_a_step(lambda x: 4.5 - x) == (4.0, 5.0)
    assert first_in_a_step(lambda x: min(4.5 - x, low(x, 1.4, 0.0))) == (0.0, pytest.approx(1.4))
    assert first_in_a_step(lambda x: 9.0 - x) == (8.0, 9.0)
    assert first_in_a_step(lambda x: 9.1 - x) is None


def test_a_watcher_is_shown_no_clock():
    """States of Nesterov's flow end with the time, which goes on at rest; those of others have none."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    state, shown = np.array([1.0, 2.0, 3.0]), []
    watcher = SimpleNamespace(look=shown.append)
    for flow in (mo.gradient_flow(f), mo.momentum_flow(f, 1.0)):
        field = flow.phases[0].field
        assert without_clock(field, state) is state
        assert timeless(watcher, field) is watcher
    field = mo.nesterov_flow(f).phases[0].field
    np.testing.assert_array_equal(without_clock(field, state), [1.0, 2.0])
    timeless(watcher, field).look(step_to(2.0, state, 2 * state, 1.0, 3 * state, 4 * state))
    (step,) = shown
    for part, size in ((step.w, 1), (step.value, 2), (step.w_old, 3), (step.value_old, 4)):
        np.testing.assert_array_equal(part, size * np.array([1.0, 2.0]))
    assert (step.t, step.t_old, step.norm) == (2.0, 1.0, np.linalg.norm(2 * state))
