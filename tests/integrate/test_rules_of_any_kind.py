"""Rules that end a phase: of any shape, scale and speed, each against its exact crossing."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import GradientNormBelow
from maml_ode.integrate.methods import resolve

METHODS = ["Tsit5", "DOP853", "RKC2", "Rodas4P", "Rodas5P", "RK23", "RK45", "Radau", "BDF", "LSODA"]
JUDGE = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))


def field(function):
    return CallableField(function, 1)


def until(rule, velocity=lambda w: -w, then=lambda w: -w):
    return mo.Flow([mo.Phase(field(velocity), until=rule), mo.Phase(field(then))], JUDGE)


SHAPES = {
    "smooth": lambda x: x,
    "clipped below": lambda x: max(0.0, x),
    "clipped on both sides": lambda x: min(max(-1e-3, x), 0.1),
    "boolean": lambda x: x > 0,
    "count": lambda x: int(x > 0) + int(x > 0.3),
    "sign": np.sign,
    "jump": lambda x: x + np.sign(x),
    "flat": lambda x: x**3,
    "infinite": lambda x: np.inf if x > 0.01 else x,
    "array of one": lambda x: np.array([x]),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_shape_is_located_as_well_as_a_smooth_rule(method):
    """w' = -w from 1 passes 1/4 at log 4; SciPy's own events take the end of the step for some of these."""

    def error(shape):
        flow = until(lambda t, w: shape(w[0] - 0.25))
        run = mo.solve(flow, [1.0], t_max=5.0, tol=0, method=method)
        assert run.switch_times.size == 1
        return abs(run.switch_times[0] - np.log(4))

    smooth = error(SHAPES["smooth"])
    assert smooth < (3e-6 if method == "RKC2" else 1e-7)
    for name, shape in SHAPES.items():
        if name == "flat":  # its value is small over a long time: a cube root of the accuracy
            assert error(shape) < 1e-4, name
        else:
            assert error(shape) <= 1.01 * smooth + 1e-12, name


@pytest.mark.parametrize("method", ["Tsit5", "DOP853", "RK23", "RK45", "Rodas5P"])
def test_a_smooth_rule_is_landed_on_in_three_steps(method):
    """The interpolant's root, and two corrections by the secant rule; each is a solver that is set up anew."""
    made = []

    class Counted(resolve(method)):
        def __init__(self, *arguments, **options):
            made.append(1)
            super().__init__(*arguments, **options)

    for place in (0.25, 0.5, 0.7):
        made.clear()
        flow = until(lambda t, w, place=place: w[0] - place)
        run = mo.solve(flow, [1.0], t_max=5.0, tol=0, method=Counted)
        assert run.switch_times == pytest.approx([-np.log(place)], rel=1e-6)
        # One solver a phase aside; rounding of a linear solve may leave the rule an ulp on the other side.
        assert 2 <= len(made) - 2 <= 3 + (method == "Rodas5P")
        assert run.switch_states[0] == pytest.approx([place], rel=2e-13)


def test_random_rules_against_their_exact_crossings():
    """500 rules of random shape, size and speed along w' = -s w: met at log(1/c)/s."""
    rng = np.random.default_rng(0)
    names = [name for name in SHAPES if name not in ("flat", "infinite")]
    for _ in range(500):
        c, size = rng.uniform(0.05, 0.95), 10.0 ** rng.uniform(-280, 280)
        speed = 10.0 ** rng.uniform(-9, 12)
        shape = SHAPES[names[rng.integers(len(names))]]
        method = ["Tsit5", "DOP853", "Rodas5P", "RK45", "LSODA"][rng.integers(5)]
        unit = size if shape is not SHAPES["jump"] else 1.0
        flow = until(
            lambda t, w, shape=shape, c=c, unit=unit: unit * shape(w[0] - c),
            lambda w, speed=speed: -speed * w,
            lambda w: 0.0 * w,
        )
        run = mo.solve(
            flow, [1.0], t_max=5.0 / speed, tol=0, method=method, rtol=1e-9, atol=1e-12,
            diagnostics=False,
        )  # fmt: skip
        exact = -np.log(c) / speed
        assert run.switch_times == pytest.approx([exact], rel=2e-7), (c, unit, speed, method)


@pytest.mark.parametrize("method", ["Tsit5", "DOP853", "RK45", "Rodas5P"])
@pytest.mark.parametrize("speed", [1.0, 1e-100, 1e14, 1e100])
def test_dips_and_touches_inside_a_step(method, speed):
    """Along w = s t: the first root of a parabola, of |w - 5.2|, of a fast cosine, of a short False."""
    dips = {
        "two roots": (lambda x: (x - 5.3) ** 2 - 0.01, 5.2),
        "touch": (lambda x: abs(x - 5.2), 5.2),
        "small touch": (lambda x: 1e-6 * abs(x - 5.2), 5.2),
        "large touch": (lambda x: 1e6 * abs(x - 5.2), 5.2),
        "fast": (lambda x: 0.999 + np.cos(10 * (x - 0.3)), 0.3 + np.pi / 10 - 0.004473),
    }
    for name, (shape, place) in dips.items():
        flow = until(
            lambda t, w, shape=shape: shape(w[0]), lambda w: speed + 0 * w, lambda w: 0.0 * w
        )
        run = mo.solve(flow, [0.0], t_max=9.0 / speed, tol=0, method=method, diagnostics=False)
        assert run.w == pytest.approx([place], abs=1e-5 if name == "fast" else 1e-7), name


def test_a_function_is_looked_at_eight_times_a_step_and_more_often_where_it_turns():
    """Steps of 1 along w' = 1: looks at ninths; three turns a step take looks at 36ths, 144ths and 576ths."""
    for shape, parts in ((lambda x: 5 + x, 9), (lambda x: 5 + np.cos(10 * x), 576)):
        looks = []

        def rule(t, w, shape=shape, looks=looks):
            looks.append(t)
            return shape(w[0])

        flow = until(rule, lambda w: 1.0 + 0 * w)
        run = mo.solve(
            flow, [0.0], t_max=3.0, tol=0, method="RK45", first_step=1.0, max_step=1.0,
            diagnostics=False,
        )  # fmt: skip
        assert run.counts.steps == 3
        inside = np.unique(np.round(looks, 9))
        wanted = np.round(np.arange(3 * parts + 1) / parts, 9)
        assert set(wanted) <= set(inside)
        if parts == 9:  # and at most one look beside each end of a step
            assert len(inside) <= len(wanted) + 2 * 3


@pytest.mark.parametrize("method", ["exact", "DOP853", "Tsit5", "Rodas5P"])
@pytest.mark.parametrize("s", [1.0, 1e13, 1e100, 1e-100])
def test_a_dip_of_the_phases_own_norm_in_any_units(method, s):
    """||grad f||/s = hypot(10 exp(-s t), 1e-4 exp(s t/10)) has its minimum near s t = 11.7."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([s * np.diag([1.0, -0.1])], [[0.0, 0.0]]))
    grid = np.linspace(10.0, 13.0, 3_000_001)
    norm = np.hypot(10 * np.exp(-grid), 1e-4 * np.exp(0.1 * grid))
    threshold = 1.001 * norm.min()
    exact = grid[np.argmax(norm <= threshold)]
    flow = mo.Flow([mo.Phase(f, until=GradientNormBelow(f, s * threshold)), mo.Phase(f)])
    run = mo.solve(flow, [10.0, 1e-3], t_max=30.0 / s, tol=0, method=method)
    assert s * run.switch_times == pytest.approx([exact], abs=3e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e-12, 1e-200, 1e200])
def test_phases_that_come_again_in_any_units(unit):
    """Down until w = 1/2, up until w = 1, and again: switches at k log 2; and a retest across a jump."""
    down = mo.Phase(field(lambda w: -w), until=lambda t, w: unit * (w[0] - 0.5))
    up = mo.Phase(field(lambda w: w), until=lambda t, w: unit * (1 - w[0]), then=0)
    run = mo.solve(mo.Flow([down, up], JUDGE), [1.0], t_max=5.0, tol=0, method="DOP853")
    np.testing.assert_allclose(run.switch_times, np.log(2) * np.arange(1, 8), rtol=1e-7)
    retest = mo.Flow(
        [
            mo.Phase(field(lambda w: -1 + 0 * w), until=lambda t, w: unit * (w[0] - 0.5)),
            mo.Phase(field(lambda w: -0.1 + 0 * w)),
        ],
        JUDGE,
        rule="retest",
    )
    run = mo.solve(retest, [1.0], t_max=3.0, tol=0, method="DOP853")
    assert run.switch_times == pytest.approx([0.5], rel=1e-12)
    assert run.w == pytest.approx([0.25], rel=1e-12)


def test_a_rule_that_is_met_at_the_start_beside_scipy():
    """w(5 - w) along w' = 1 from 0: over at once here, at t = 5 for SciPy, which waits for a fall."""

    def event(t, w):
        return w[0] * (5 - w[0])

    event.terminal, event.direction = True, -1
    scipys = solve_ivp(lambda t, w: [1.0], (0, 9), [0.0], events=event)
    assert scipys.t[-1] == pytest.approx(5.0)
    for start, value in ((0.0, 0.0), (-2.0, -14.0)):
        assert event(0.0, [start]) == value
        flow = until(event, lambda w: 1 + 0 * w, lambda w: 0.0 * w)
        for run in (
            mo.solve(flow, [start], t_max=9.0, tol=0),
            mo.euler(flow, [start], 0.5, max_iter=4),
        ):
            assert run.switch_times == [0.0]
            assert (run.phase == 1).all()
    # Where phases come again the value must first have been above 0.
    again = [
        mo.Phase(field(lambda w: 1 + 0 * w), until=event),
        mo.Phase(field(lambda w: -1 + 0 * w), until=lambda t, w: w[0] + 1, then=0),
    ]
    run = mo.solve(mo.Flow(again, JUDGE), [-1.0], t_max=13.0, tol=0)
    np.testing.assert_allclose(run.switch_times, [6.0, 12.0], rtol=1e-9)


def test_what_a_rule_may_return_and_that_it_gets_a_copy():
    for wrong in (None, np.ones(2), 1j, "1", np.array("2020", dtype="M8[D]")):
        for verb in (
            lambda flow: mo.solve(flow, [1.0], t_max=1.0),
            lambda f: mo.euler(f, [1.0], 0.1),
        ):
            with pytest.raises(TypeError, match=r"until\(t, w\) must return one real number"):
                verb(until(lambda t, w, wrong=wrong: wrong))

    def greedy(t, w):
        value = w[0] - 0.5
        w -= 0.25
        return value

    for method in METHODS:
        run = mo.solve(until(greedy), [1.0], t_max=3.0, tol=0, method=method)
        assert run.w == pytest.approx([np.exp(-3)], rel=1e-5), method
    assert mo.euler(until(greedy), [1.0], 1e-3, max_iter=3000).w == pytest.approx(
        [0.0497], rel=1e-2
    )


@pytest.mark.parametrize("method", [m for m in METHODS if m != "RKC2"] + ["auto"])
@pytest.mark.parametrize("t_max", [np.inf, 500.0])
def test_a_phase_at_rest_is_named_or_waits_for_a_rule_of_time(method, t_max):
    tasks = mo.tasks.Quadratic([np.diag([1.0, 2.0])], [[1.0, 1.0]])
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.1)

    def run(rule):
        flow = mo.Flow([mo.Phase(f, until=rule), mo.Phase(F)])
        return mo.solve(flow, [3.0, 2.0], method=method, t_max=t_max, max_steps=20_000)

    waits = run(lambda t, w: w[0] + 0.5)  # w[0] ends at 1
    assert waits.stop is mo.StopReason.STATIONARY
    assert not waits.success
    assert "at rest" in waits.message
    assert "its ending rule is not met" in waits.message
    timed = run(lambda t, w: 400.0 - t)
    assert timed.success
    assert timed.switch_times == pytest.approx([400.0], rel=1e-12)


def test_a_phase_at_rest_at_the_horizon_is_named_too():
    """At t = 35 the way left is exp(-35); the norm of another objective's gradient stays above 3 there."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, 2.0])], [[1.0, 1.0]]))
    g = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[5.0, 5.0]]))
    flow = mo.Flow([mo.Phase(f, until=GradientNormBelow(g, 3.0)), mo.Phase(g)])
    for t_max, reason in ((5.0, mo.StopReason.HORIZON), (35.0, mo.StopReason.STATIONARY)):
        run = mo.solve(flow, [3.0, 2.0], method="Radau", t_max=t_max)
        assert (run.stop, run.final_time) == (reason, t_max)
        assert run.success == (t_max == 5.0)


def test_a_phase_that_waits_at_rest_has_its_state_at_every_time():
    """w' = 1 - w has come to 1 long before t = 400, when w' = -(1 - w) + 1e-3 begins."""
    phases = [
        mo.Phase(field(lambda w: 1 - w), until=lambda t, w: 400.0 - t),
        mo.Phase(field(lambda w: w - 1 + 1e-3)),
    ]
    asked = np.array([0.0, 100.0, 399.0, 400.5, 401.0])
    options = {"t_max": 401.0, "tol": 1e-9, "dense_output": True}
    run = mo.solve(mo.Flow(phases, JUDGE), [3.0], t_eval=asked, **options)
    expected = [3.0, 1.0, 1.0, 1 + 1e-3 * np.expm1(0.5), 1 + 1e-3 * np.expm1(1.0)]
    np.testing.assert_allclose(run.y[0], expected, atol=1e-7)
    np.testing.assert_allclose(run.sol([250.0, 399.9])[0], 1.0, atol=1e-7)
    still = [mo.Phase(field(lambda w: 0.0 * w), until=phases[0].until), phases[1]]
    run = mo.solve(mo.Flow(still, JUDGE), [1.0], t_eval=asked, **options)
    np.testing.assert_allclose(run.y[0], [1.0, *expected[1:]], atol=1e-7)


@pytest.mark.parametrize("rule", ["one_way", "retest", "as_printed"])
def test_a_final_phase_at_rest_goes_on_to_its_horizon_without_a_tol(rule):
    """From 3 to 1 while w > 1.5 and, under as_printed, from 0 to 1 while w < 1.5: the last phase rests there."""
    phases = [mo.Phase(field(lambda w: 1 - w), until=lambda t, w: w[0] - 1.5)]
    phases.append(mo.Phase(field(lambda w: 1 - w)))
    start = 0.0 if rule == "as_printed" else 3.0
    flow = mo.Flow(phases, JUDGE, rule)
    run = mo.solve(flow, [start], t_max=1e5, tol=0, method="Radau")
    assert (run.stop, run.final_time) == (mo.StopReason.HORIZON, 1e5)
    assert run.w == pytest.approx([1.0])


@pytest.mark.parametrize("verb", ["solve", "euler"])
def test_a_last_phase_that_is_over_at_once_is_the_one_that_the_run_ends_in(verb):
    first = mo.Phase(field(lambda w: -1 + 0 * w), until=lambda t, w: w[0] - 0.5)
    last = mo.Phase(field(lambda w: -w), until=lambda t, w: w[0] - 0.75)
    for phases, start, times in (([first, last], 1.0, [0.5, 0.5]), ([last], 0.5, [0.0])):
        flow = mo.Flow(phases, JUDGE)
        if verb == "solve":
            run = mo.solve(flow, [start], t_max=3.0, tol=0)
        else:
            run = mo.euler(flow, [start], 0.125, max_iter=30)
        assert run.stop is mo.StopReason.SWITCHED
        np.testing.assert_allclose(run.switch_times, times)
        assert run.phase[-1] == run.final_phase == len(phases) - 1
        assert (run.t[-1], run.final_time) == pytest.approx((times[-1], times[-1]))


@pytest.mark.parametrize("verb", ["solve", "euler"])
@pytest.mark.parametrize("rule", ["retest", "as_printed"])
def test_the_side_of_the_start_chooses_the_first_phase(rule, verb):
    """With s = w - 1: retest begins in phase 0 where s > 0, in phase 1 where s <= 0; as_printed the other way."""
    phases = [mo.Phase(field(lambda w: 0.0 * w), until=lambda t, w: w[0] - 1.0)]
    flow = mo.Flow([*phases, mo.Phase(field(lambda w: 0.0 * w))], JUDGE, rule)
    for start, above in ((1.5, True), (1.0, False), (0.5, False)):
        if verb == "solve":
            run = mo.solve(flow, [start], t_max=1.0, tol=0)
        else:
            run = mo.euler(flow, [start], 0.5, max_iter=2)
        assert set(run.phase) == {int(above == (rule == "as_printed"))}
        assert run.switch_times.size == 0


def test_circles_end_where_they_make_no_progress():
    """Two phases that push at w = 0, each until the other's side; and one that goes on for 302 switches."""
    towards = [
        mo.Phase(field(lambda w: -1 + 0 * w), until=lambda t, w: w[0]),
        mo.Phase(field(lambda w: 1 + 0 * w), until=lambda t, w: 1e-12 - w[0], then=0),
    ]
    run = mo.solve(mo.Flow(towards, JUDGE), [1.0], t_max=20.0, tol=0, diagnostics=False)
    assert run.stop is mo.StopReason.CHATTERING
    assert run.final_time == pytest.approx(1.0, abs=1e-9)
    assert "move their ending rules apart" in run.message
    apart = [
        mo.Phase(field(lambda w: -1 + 0 * w), until=lambda t, w: w[0]),
        mo.Phase(field(lambda w: 1 + 0 * w), until=lambda t, w: 0.1 - w[0], then=0),
    ]
    run = mo.solve(mo.Flow(apart, JUDGE), [1.0], t_max=31.15, tol=0, diagnostics=False)
    assert run.stop is mo.StopReason.HORIZON
    assert run.switch_times.size == 302
    np.testing.assert_allclose(np.diff(run.switch_times), 0.1, rtol=1e-8)
