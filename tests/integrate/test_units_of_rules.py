"""A run in other units of losses, states or time is the same run; a rule may look at the time as well."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode._norms import row_norms, vector_norm, vector_norms

ORIGIN = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))


def constant(speed, until=None):
    field = mo.fields.CallableField(lambda w: np.array([speed]), 1, label="constant")
    return mo.Phase(field, until=until)


def retested(outside, inside, rule):
    return mo.Flow([constant(outside, rule), constant(inside)], objective=ORIGIN, rule="retest")


@pytest.mark.parametrize(
    ("surface", "inside", "start", "switch", "end"),
    [
        # The surface w = t/2 runs away from a state that follows it: no sliding. 1 - t = t/2; then 0.1.
        (0.5, 0.1, 1.0, 2 / 3, 1 / 3 + 0.1 * (3 - 2 / 3)),
        (0.5, -0.1, 1.0, 2 / 3, 1 / 3 - 0.1 * (3 - 2 / 3)),
        # What stands still there pushes nowhere.
        (0.5, 0.0, 1.0, 2 / 3, 1 / 3),
    ],
)
def test_a_surface_that_moves_is_crossed_where_both_motions_say_so(
    surface, inside, start, switch, end
):
    flow = retested(-1.0, inside, lambda t, w: w[0] - surface * t)
    run = mo.solve(flow, [start], t_max=3.0, tol=0.0)
    assert run.success
    np.testing.assert_allclose(run.switch_times, [switch], rtol=1e-9)
    assert run.w[0] == pytest.approx(end, rel=1e-9)


def test_a_surface_that_pushes_back_by_its_own_motion_is_slid_along():
    # w = 1 - t/2 falls faster than the inner phase does, and slower than the outer one.
    flow = retested(-1.0, -0.1, lambda t, w: w[0] + 0.5 * t - 1.0)
    run = mo.solve(flow, [1.5], t_max=3.0, tol=0.0)
    assert run.stop is mo.StopReason.CHATTERING
    np.testing.assert_allclose(run.switch_times, [1.0], rtol=1e-9)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e-12, 1e-200])
def test_a_rule_that_turns_pushes_back_in_any_unit_of_the_state(unit):
    flow = retested(-unit, 0.1 * unit, lambda t, w: (w[0] / unit - 0.5) * (2.0 - w[0] / unit))
    run = mo.solve(flow, [unit], t_max=3.0, tol=0.0, atol=1e-10 * unit)
    assert run.stop is mo.StopReason.CHATTERING
    np.testing.assert_allclose(run.switch_times, [0.5], rtol=1e-9)


def in_units(unit):
    H = np.array([[[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 1.0]]])
    b = np.array([[3.0, 0.0], [-3.0, 1.0]])
    return mo.tasks.Quadratic(unit * H, unit * b)


@pytest.mark.parametrize("unit", [1e-200, 1e-170, 1e170, 1e200])
@pytest.mark.parametrize("rule", ["one_way", "as_printed", "retest"])
def test_losses_in_any_unit_give_the_same_run(unit, rule):
    def runs(u):
        flow = mo.bimaml_flow(in_units(u), 0.1 / u, 0.5 * u, rule=rule)
        return (
            mo.solve(flow, [10.0, 1.0], t_max=3 / u, tol=0.0, method="DOP853"),
            mo.euler(flow, [10.0, 1.0], 0.1 / u, max_iter=30),
        )

    for run, right in zip(runs(unit), runs(1.0), strict=True):
        assert run.stop is right.stop
        np.testing.assert_allclose(run.switch_times * unit, right.switch_times, rtol=1e-7)
        np.testing.assert_allclose(run.w, right.w, rtol=1e-7)
        np.testing.assert_allclose(run.grad_norm[-1] / unit, right.grad_norm[-1], rtol=1e-6)


def test_norms_keep_what_their_squares_lose():
    rows = np.array([[3.0, 4.0], [3e-200, 4e-200], [3e200, 4e200], [0.0, 0.0]])
    right = [5.0, 5e-200, 5e200, 0.0]
    np.testing.assert_allclose(row_norms(rows), right, rtol=1e-15)
    np.testing.assert_allclose([vector_norm(row) for row in rows], right, rtol=1e-15)
    numbers = np.random.default_rng(0).normal(size=500) * 10.0 ** np.linspace(-300, 300, 500)
    for some in (rows, np.append(numbers, [0.0, -5e-324, np.inf, np.nan])[:, None]):
        np.testing.assert_array_equal(vector_norms(some), [vector_norm(row) for row in some])


def test_a_run_with_times_of_its_own_is_compared_at_the_last_of_them():
    def flow(curvature):
        given = [curvature]  # a list may change: what the functions are is then unknown
        tasks = mo.tasks.from_callables(
            [lambda w: given[0] * w[0] ** 2 / 2],
            [lambda w: given[0] * w],
            [lambda w: given[0] * np.eye(1)],
            n_tasks=1,
            dim=1,
        )
        return mo.maml_flow(tasks, 0.1)

    run = mo.solve(flow(1.0), [1.0], t_max=1.0, tol=0.0, t_eval=[0.0, 0.5])
    with pytest.raises(ValueError, match="at whose last point F was"):
        mo.solve(flow(3.0), resume=run, t_max=2.0, tol=0.0)
    # w' = -(1 - alpha)^2 w.
    on = mo.solve(flow(1.0), resume=run, t_max=2.0, tol=0.0)
    assert on.w[0] == pytest.approx(np.exp(-0.81 * 2.0), rel=1e-7)


@pytest.mark.parametrize("unit", [1e30, 1e200])
@pytest.mark.parametrize("method", ["Tsit5", "Rodas5P"])
def test_a_slow_phase_is_not_at_rest(unit, method):
    field = mo.fields.CallableField(lambda w: -w / unit, 1)
    ending = mo.Phase(field, until=lambda t, w: w[0] - 0.25)
    flow = mo.Flow([ending, constant(0.0)], objective=ORIGIN)
    run = mo.solve(flow, [1.0], t_max=3 * unit, tol=0.0, method=method)
    np.testing.assert_allclose(run.switch_times, [unit * np.log(4.0)], rtol=1e-6)


@pytest.mark.parametrize("method", ["Tsit5", "DOP853", "LSODA"])
@pytest.mark.parametrize("rule", [abs, np.square])
def test_a_rule_that_touches_zero_is_met_wherever_the_steps_end(method, rule):
    decay = mo.fields.CallableField(lambda w: -w, 1)
    for level in np.linspace(0.1, 0.9, 21):
        touching = mo.Phase(decay, until=lambda t, w, level=level: rule(w[0] - level))
        flow = mo.Flow([touching, constant(0.0)], objective=ORIGIN)
        run = mo.solve(flow, [1.0], t_max=3.0, tol=0.0, method=method)
        np.testing.assert_allclose(run.switch_times, [-np.log(level)], rtol=1e-5)


def test_a_run_that_its_last_rule_has_ended_stays_as_it_is():
    decay = mo.fields.CallableField(lambda w: -w, 1)
    flow = mo.Flow([mo.Phase(decay, until=lambda t, w: w[0] - 0.25)], objective=ORIGIN)
    run = mo.solve(flow, [1.0], tol=0.0)
    again = mo.solve(flow, resume=mo.solve(flow, resume=run, tol=0.0), tol=0.0)
    np.testing.assert_allclose(again.switch_times, [np.log(4.0)], rtol=1e-8)
    assert [times.size for times in again.t_events] == [1]


@pytest.mark.parametrize("start", [0.0, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("ulps", [1, 3, 20])
def test_a_closed_form_over_a_few_units_in_the_last_place_has_increasing_times(
    start, ulps, tmp_path
):
    flow = mo.maml_flow(in_units(1.0), 0.1)
    end = start + ulps * np.spacing(start)
    if start:
        before = mo.solve(flow, [10.0, 1.0], t_max=start, tol=0.0)
        run = mo.solve(flow, resume=before, t_max=end, tol=0.0)
    else:
        run = mo.solve(flow, [10.0, 1.0], t_max=end, tol=0.0)
    assert run.success
    assert run.final_time == run.t[-1] == end
    assert (np.diff(run.t) > 0).all()
    run.save(tmp_path / "run")
