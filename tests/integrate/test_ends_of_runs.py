"""What a run hands back at its end: the verdict, the last point, the ledger, and what they cost."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.integrate

import maml_ode as mo
from maml_ode.integrate import diagnose
from maml_ode.integrate.record import Points, Record
from maml_ode.integrate.steppers.attention import Attention
from maml_ode.integrate.tally import Tally

TASKS = mo.tasks.Quadratic([np.diag([1.0, 2.0]), np.diag([3.0, 0.5])], [[1.0, 0.0], [0.0, 1.0]])
f, F = mo.ExpectedLoss(TASKS), mo.MAMLLoss(TASKS, 0.1)
W0 = np.array([3.0, -2.0])
LEG = mo.gradient_flow(f).legs[0]


def functions():
    """One task (w_1^2 + 3 w_2^2)/2, by functions of Python: no form evaluates many points at once."""
    return mo.tasks.from_callables(
        [lambda w: 0.5 * (w[0] ** 2 + 3 * w[1] ** 2)],
        [lambda w: np.array([w[0], 3 * w[1]])],
        [lambda w: np.diag([1.0, 3.0])],
        n_tasks=1,
        dim=2,
    )


def clock(monkeypatch, ticks):
    """Let the diagnostics read these times."""
    ticks = iter(ticks)
    monkeypatch.setattr(diagnose, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


def test_a_point_takes_as_long_as_the_faster_of_two_looks(monkeypatch):
    flow = mo.maml_flow(functions(), 0.1)
    clock(monkeypatch, [10.0, 15.0, 20.0, 22.0])
    seconds, cost = diagnose.seconds_per_point(flow, W0)
    f, F = flow.task_objective, flow.objective
    assert seconds == 2.0
    assert cost == (f.value_cost + f.gradient_cost + F.value_cost + F.gradient_cost) * 2


def test_blocks_of_points_begin_with_the_last_and_take_little_time(monkeypatch):
    clock(monkeypatch, itertools.count(0.0, 1.0))
    slow = [(part.start, part.stop) for part in diagnose._blocks(5, 2, False)]
    assert slow == [(4, 5), (0, 1), (1, 2), (2, 3), (3, 4)]
    clock(monkeypatch, itertools.repeat(0.0))
    fast = [(part.start, part.stop) for part in diagnose._blocks(100, 2, False)]
    assert fast == [(99, 100), (0, 4), (4, 20), (20, 84), (84, 99)]  # four times as many each time
    wide = [(part.start, part.stop) for part in diagnose._blocks(9, 8192, False)]
    assert wide == [(8, 9), (0, 2), (2, 4), (4, 6), (6, 8)]  # 16384 numbers
    assert list(diagnose._blocks(100, 2, True)) == [slice(0, 100)]


def test_the_ledger_of_phases_that_come_again_by_hand():
    """Euler's iterates at a surface: every run of a phase goes to the point at which the next one begins."""
    tug = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    flow = mo.bimaml_flow(tug, 0.1, 0.5, rule="retest")
    run = mo.euler(flow, [10.0], 0.3, max_iter=40)
    objectives, drop, runs = [flow.task_objective, flow.objective], 0.0, 0
    for number, group in itertools.groupby(range(len(run)), key=lambda k: run.phase[k]):
        for k in group:
            if k + 1 < len(run):
                before, after = (objectives[number].value(run.y[:, j]) for j in (k, k + 1))
                drop += before - after
        runs += 1
    assert runs > 4
    assert (run.energy.rises, run.energy.largest_rise) == (0, 0.0)
    assert run.energy.drop == pytest.approx(drop, rel=1e-9)


def test_the_integral_of_the_energy_costs_four_gradients_a_step():
    flow = mo.gradient_flow(mo.ExpectedLoss(functions()))
    runs = [
        mo.solve(flow, W0, method="RK45", t_max=2.0, tol=0, energy=kind)
        for kind in ("count", "integrate")
    ]
    plain, more = (run.counts.diagnostics.gradients for run in runs)
    assert more - plain == 4 * (len(runs[0]) - 1)
    assert (runs[0].energy.dissipated, runs[1].energy.defect < 1e-3) == (None, True)


def test_a_run_at_chosen_times_has_no_ledger_and_none_without_diagnostics():
    flow = mo.gradient_flow(f)
    assert mo.solve(flow, W0, t_max=1.0, t_eval=[0.0, 1.0]).energy is None
    assert mo.solve(flow, W0, t_max=1.0, diagnostics=False).energy is None
    run = mo.solve(flow, W0, t_max=1.0)
    assert (run.sol, run.energy.dissipated, run.step_size) == (None, None, None)


def test_a_loss_that_is_not_finite_at_the_end_is_no_success():
    """F = 1e308 (1 + w^4) is finite at w = 0.5 and not at w = 1, the end."""
    loss = mo.ExpectedLoss(
        mo.tasks.from_callables(
            [lambda w: np.float64(1e308) * (1 + w[0] ** 4)],
            [lambda w: 4e308 * w**3 if abs(w[0]) < 0.5 else 0 * w],
            n_tasks=1,
            dim=1,
        )
    )
    rising = mo.Flow([mo.Phase(mo.fields.CallableField(lambda w: 1 + 0 * w, 1))], loss)
    options = {"method": "RK45", "tol": 0}
    with np.errstate(over="ignore"):
        bad = mo.solve(rising, [0.0], t_max=1.0, **options)
        good = mo.solve(rising, [0.0], t_max=0.25, **options)
        unseen = mo.solve(rising, [0.0], t_max=1.0, diagnostics=False, **options)
        elsewhere = mo.solve(rising, [0.0], t_max=1.0, t_eval=[1.0, 1.0 - 1e-9][1:], **options)
    assert (bad.stop, bad.success) == (mo.StopReason.NON_FINITE, False)
    assert "The loss at t = 1" in bad.message
    for run in (good, unseen):
        assert (run.stop, run.success) == (mo.StopReason.HORIZON, True)
    assert elsewhere.success  # what is not evaluated at the end does not judge it


def test_what_is_spent_before_and_after_a_run_is_booked_beside_it():
    """A time limit looks at two points before the run: five losses and gradients of F and f a run of 3 points."""
    flow = mo.gradient_flow(mo.ExpectedLoss(functions()))
    plain = mo.solve(flow, W0, method="RK45", t_max=1.0, tol=0)
    timed = mo.solve(flow, W0, method="RK45", t_max=1.0, tol=0, max_seconds=1e3)
    cost = flow.objective.value_cost + flow.objective.gradient_cost
    assert timed.counts.diagnostics == plain.counts.diagnostics + cost * 2


def test_a_run_whose_phases_are_all_over_where_it_begins_is_in_the_last():
    over = [mo.Phase(f, until=lambda t, w: -1.0), mo.Phase(F, until=lambda t, w: -1.0)]
    runs = [
        mo.solve(mo.Flow(over), W0, method="RK45", t_max=1.0, tol=0),
        mo.euler(mo.Flow(over), W0, 0.1, max_iter=5),
    ]
    for run in runs:
        assert (run.stop, run.final_phase, list(run.phase)) == (mo.StopReason.SWITCHED, 1, [1])
        np.testing.assert_array_equal(run.switch_times, [0.0, 0.0])


def test_a_rest_without_a_horizon_ends_and_a_last_phase_without_tol_has_none():
    never = mo.Flow([mo.Phase(f, until=lambda t, w: 1.0), mo.Phase(F)])
    run = mo.solve(never, W0, method="DOP853")
    assert (run.stop, run.success) == (mo.StopReason.STATIONARY, False)
    assert "its ending rule is not met" in run.message
    last = mo.solve(
        mo.Flow([mo.Phase(f, until=lambda t, w: 1.0)]), W0, method="DOP853", tol=0, t_max=500.0
    )
    assert (last.stop, last.final_time) == (mo.StopReason.HORIZON, 500.0)


def test_a_switch_norm_below_what_fixed_tolerances_reach_is_named_before_the_horizon(make_logistic):
    flow = mo.bimaml_flow(make_logistic(l2=0.5), 0.1, 1e-11)
    run = mo.solve(flow, [3.0, -2.0, 1.0], method="RK45", rtol=1e-4, atol=1e-6, t_max=1e9, tol=1e-3)
    assert (run.stop, run.final_phase) == (mo.StopReason.TOLERANCE_OUT_OF_REACH, 0)
    assert run.final_time < 1e6


def test_progress_evaluates_nothing(capsys):
    for method in ("exact", "DOP853"):
        runs = [
            mo.solve(mo.maml_flow(TASKS, 0.1), W0, method=method, progress=p) for p in (False, True)
        ]
        assert runs[0].nfev == runs[1].nfev
        assert runs[0].counts == runs[1].counts
    flow = mo.maml_flow(TASKS, 0.1)
    for steps in (0, 3):  # with tol = 0 not even the last iterate's field
        run = mo.euler(flow, W0, 0.1, max_iter=steps, tol=0, progress=True, diagnostics=False)
        assert run.nfev == steps
    capsys.readouterr()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_the_compiled_loop_may_take_unseen(sign):
    """A rule at a norm of 1 that has begun the phase is waited for until the norm has left 1, and then no more."""
    rule = SimpleNamespace(
        shares_field=True, recurs=True, residue=1e-12, rule=SimpleNamespace(scale=1.0, sign=sign)
    )
    segment = SimpleNamespace(rule=rule, evaluator=lambda t, w: w, tol=0.0, leg=LEG)
    plan = SimpleNamespace(enforce_energy=False, max_steps=10**4, stiff_method=None, t_max=math.inf)
    away = 1.0 + 0.5 * sign
    attention = Attention(segment, plan, False, 0.0, np.array([1.0]))
    assert attention.room(7) == 1
    attention.saw(1, 1.0)
    assert attention.room(7) == 1
    attention.saw(1, away)
    assert attention.room(7) == 10**4 - 7
    attention.saw(5, 1.0)
    assert attention.room(7) == 10**4 - 7
    assert attention.room(10**5) == 1
    assert Attention(segment, plan, False, 0.0, np.array([away])).room(0) == 10**4
    assert attention.entries() == {
        "target": 0.0, "threshold": 1.0, "sign": sign, "watches_stall": True
    }  # fmt: skip
    each = Attention(segment, plan, True, 0.0, np.array([away]))
    assert (each.room(0), each.entries()["sign"]) == (1, 0.0)
    stiff = SimpleNamespace(**{**vars(plan), "stiff_method": "any"})
    watched = Attention(segment, stiff, False, 0.0, np.array([away]))
    first = watched.room(0)
    assert 1 < first < 10**4
    watched.saw(first - 1, away)
    assert watched.room(0) == 1
    watched.saw(1, away)
    assert watched.room(0) == first


def test_what_else_has_every_step_shown():
    loose = SimpleNamespace(enforce_energy=False, max_steps=9, stiff_method=None, t_max=5.0)
    fixed = SimpleNamespace(tightened=lambda: None)
    for tol, tolerances, watches in (
        (1e-8, fixed, False),
        (1e-8, SimpleNamespace(tightened=lambda: 1), True),
        (0.0, fixed, False),
    ):
        plan = SimpleNamespace(**vars(loose), tolerances=tolerances)
        segment = SimpleNamespace(rule=None, evaluator=None, tol=tol, leg=LEG)
        attention = Attention(segment, plan, False, 0.0, W0)
        assert (attention.room(0), attention.entries()["sign"]) == (9, 0.0)
        assert attention.entries()["watches_stall"] == watches
        plan.enforce_energy = True
        assert Attention(segment, plan, False, 0.0, W0).room(0) == 1
    other = SimpleNamespace(
        shares_field=False, recurs=False, rule=SimpleNamespace(scale=2.0, sign=1.0)
    )
    segment = SimpleNamespace(rule=other, evaluator=None, tol=0.0, leg=LEG)
    attention = Attention(segment, plan, False, 0.0, W0)
    assert attention.room(0) == 1
    assert attention.entries()["threshold"] == 0.0


def test_an_interrupt_while_the_result_is_made_leaves_the_diagnostics_out(monkeypatch):
    from maml_ode.integrate import finish

    presses, assemble = [KeyboardInterrupt], finish.assemble

    def pressed(*arguments, **options):
        if presses:
            raise presses.pop()
        return assemble(*arguments, **options)

    monkeypatch.setattr(finish, "assemble", pressed)
    run = mo.solve(mo.maml_flow(TASKS, 0.1), W0, method="RK45", t_max=1.0, tol=0)
    assert (run.stop, run.success, run.final_time) == (mo.StopReason.HORIZON, True, 1.0)
    assert run.message.endswith("left out: they were interrupted from the keyboard.")
    assert np.isnan(run.loss).all()
    assert run.energy is None


@pytest.mark.parametrize("name", ["first_step", "max_step"])
@pytest.mark.parametrize("method", ["Tsit5", "DOP853", "Rodas5P", "RKC2"])
def test_a_step_of_no_length_is_refused(method, name):
    with pytest.raises(ValueError, match=f"{name} must be positive, not 0"):
        mo.solve(mo.maml_flow(TASKS, 0.1), W0, method=method, **{name: 0})


def test_chosen_times_before_the_end_keep_their_own_norms():
    """The norm that ended the run belongs to its end, and to no time before it."""
    for flow, objective, name in (
        (mo.gradient_flow(f), f, "task_grad_norm"),
        (mo.maml_flow(TASKS, 0.1), F, "grad_norm"),
    ):
        for method in ("exact", "DOP853"):
            run = mo.solve(flow, W0, tol=1e-6, t_max=100.0, t_eval=[0.0, 1.0], method=method)
            assert run.stop is mo.StopReason.STATIONARY
            norms = np.linalg.norm([objective.gradient(w) for w in run.y.T], axis=1)
            np.testing.assert_allclose(getattr(run, name), norms, rtol=1e-12)
        run = mo.solve(flow, W0, tol=1e-6, t_max=100.0, method="DOP853")  # at every step
        norms = np.linalg.norm([objective.gradient(w) for w in run.y.T], axis=1)
        np.testing.assert_allclose(getattr(run, name), norms, rtol=1e-9)


def test_what_an_interrupt_leaves_of_the_diagnostics_is_counted(monkeypatch):
    """Ten points in blocks of 1, 3, 2 and 4; a key is pressed in the third."""
    blocks = [slice(9, 10), slice(0, 3), slice(3, 5), slice(5, 9)]
    monkeypatch.setattr(diagnose, "_blocks", lambda *sizes: iter(blocks))
    evaluate, looks = diagnose._Looks.evaluate, []

    def pressed(self, states, series, rows):
        looks.append(rows)
        if len(looks) == 3:
            raise KeyboardInterrupt
        return evaluate(self, states, series, rows)

    monkeypatch.setattr(diagnose._Looks, "evaluate", pressed)
    points = Points(np.arange(10.0), np.ones((10, 2)), np.zeros(10, dtype=int), False)
    found = diagnose.diagnose(mo.maml_flow(TASKS, 0.1), Record(2, Tally()), points)
    assert found.remark == (
        " Diagnostics are left out at 6 of 10 points: they were interrupted from the keyboard."
    )
    for series in found.series.values():
        np.testing.assert_array_equal(np.isfinite(series), [True] * 3 + [False] * 6 + [True])
    assert all(np.isnan(rows).all() for rows in diagnose.nothing_diagnosed(50).series.values())


def test_a_phase_ends_in_its_own_state_and_not_in_the_next_ones():
    record = Record(2, Tally())
    record.begin(0.0, np.array([1.0, 2.0]), 0)
    for t, left in ((1.0, 0), (2.0, 1), (3.0, 0)):
        record.append(t, np.array([t, 5.0]), left)
        record.switch(left, record.w[:1])
        record.append(t, np.array([t, 0.0]), 1 - left)
    states = diagnose._states(record, 0, slice(0, 1), 2)
    np.testing.assert_array_equal(states, [[1.0, 2.0], [1.0, 5.0]])
    states = diagnose._states(record, 1, slice(1, 2), 2)
    np.testing.assert_array_equal(states, [[1.0, 0.0], [2.0, 5.0]])
    states = diagnose._states(record, 0, slice(2, 3), 1)
    np.testing.assert_array_equal(np.array([np.ravel(s)[:1] for s in states]), [[2.0], [3.0]])


def test_an_error_of_a_method_is_a_stop_only_where_it_met_what_is_not_finite():
    """Either it says so, as SciPy's linear algebra does, or the field was not finite; all else is raised."""
    logarithm = mo.fields.CallableField(np.log, 1)
    flow = mo.Flow([mo.Phase(logarithm)], mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]])))

    def run(said, outside):
        class Fails(scipy.integrate.RK45):
            def _step_impl(self):
                if outside:
                    self.fun(self.t, np.array([-1.0]))
                raise ValueError(said)

        return mo.solve(flow, [2.0], method=Fails, t_max=1.0, tol=0.0)

    with pytest.raises(ValueError, match=r"^singular$"):
        run("singular", outside=False)
    for said, outside in (("array must not contain infs or NaNs", False), ("singular", True)):
        found = run(said, outside)
        assert (found.stop, found.success) == (mo.StopReason.NON_FINITE, False)
        assert f"({said})" in found.message
