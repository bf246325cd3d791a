"""The parts of a run, each by itself, against values by hand: times, limits, the record, the method."""

import math

import numpy as np
import pytest
import scipy.integrate

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.switch_rules import Reversed, as_rule
from maml_ode.integrate.checks import check_has_an_end, check_reachable, check_smoothness
from maml_ode.integrate.evaluation import FieldEvaluator, RuleEvaluator
from maml_ode.integrate.finish import finish
from maml_ode.integrate.methods import choose, facts_of, resolve, stiff_method
from maml_ode.integrate.norms import vector_norm
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.record import Record
from maml_ode.integrate.rest import time_at_rest
from maml_ode.integrate.stiffness import largest_rate, spectral_radius
from maml_ode.integrate.tally import Abort, Tally
from maml_ode.integrate.times import check_horizon, check_t_eval
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.stop import Stop

EPS = 2.0**-52


def quadratic(*rates):
    d = len(rates)
    return mo.ExpectedLoss(mo.tasks.Quadratic([np.diag(rates)], [np.zeros(d)]))


def test_norms_of_any_size_and_length():
    """Against math.hypot, which neither overflows nor underflows."""
    rng = np.random.default_rng(0)
    for _ in range(400):
        v = rng.normal(size=rng.integers(1, 7)) * 10.0 ** rng.uniform(-300, 300)
        assert vector_norm(v) == pytest.approx(math.hypot(*v), rel=1e-14)
        v = v * 10.0 ** rng.uniform(-300, 0, v.size) * rng.integers(0, 2, v.size)
        assert vector_norm(v) == pytest.approx(math.hypot(*v), rel=1e-14)
    assert vector_norm(np.array([0.0, 3e200, 4e200, 1e-300])) == pytest.approx(5e200, rel=1e-15)
    for size in (4095, 4096, 9000):
        v = rng.normal(size=size)
        assert vector_norm(v) == pytest.approx(math.hypot(*v), rel=1e-13)
    assert vector_norm(np.array([])) == vector_norm(np.zeros(3)) == 0.0
    assert vector_norm(np.array([1.0, -np.inf])) == np.inf
    assert math.isnan(vector_norm(np.array([1.0, np.nan])))


@pytest.mark.parametrize(("dtype", "unit"), [(np.float64, 2.0**-52), (np.float32, 2.0**-23)])
def test_ends_of_a_grid_may_miss_by_eight_units_in_the_last_place(dtype, unit):
    def grid(start, end):
        return np.array([start, 1.5, end], dtype=dtype)

    for k in (-6, 0, 6):
        found = check_t_eval(grid(1.0 + k * unit, 2.0), 1.0, 2.0)
        assert found[0] == max(1.0, 1.0 + k * unit)
        found = check_t_eval(grid(1.0, 2.0 + 2 * k * unit), 1.0, 2.0)
        assert found[-1] == min(2.0, 2.0 + 2 * k * unit)
        assert found[1] == 1.5
    for start, end in ((1.0 - 24 * unit, 2.0), (1.0, 2.0 + 24 * unit)):
        with pytest.raises(ValueError, match="must lie within"):
            check_t_eval(grid(start, end), 1.0, 2.0)
    assert check_t_eval(None, 1.0, 2.0) is None
    for wrong, sentence in (
        ([], "non-empty 1-d"), ([[1.0]], "non-empty 1-d"), (1.5, "non-empty 1-d"),
        ([1.0, 1.0], "strictly increasing"), ([2.0, 1.0], "strictly increasing"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            check_t_eval(wrong, 1.0, 2.0)
    assert check_t_eval([2.0], 1.0, 2.0) == [2.0]


def test_a_horizon_lies_after_the_start_and_may_be_infinite():
    assert check_horizon(np.float64(np.inf), 3.0) == math.inf
    assert check_horizon(4, 3.0) == 4.0
    for wrong in (3.0, 2.0, -math.inf, math.nan):
        with pytest.raises(ValueError, match="t_max"):
            check_horizon(wrong, 3.0)


def test_a_tally_adds_up_and_ends_a_run_at_its_limits():
    tally = Tally(max_seconds=1000.0, max_evaluations=5)
    one, two = mo.Counts(gradients=1), mo.Counts(hvps=2, gradients=1)
    tally.add(one)
    tally.add(two, 3)
    tally.add(one, 4)
    tally.nlu, tally.steps, tally.rejected = 7, 11, 2
    diagnostics = mo.Counts(losses=1)
    assert tally.total(diagnostics) == mo.Counts(
        gradients=8, hvps=6, factorizations=7, steps=11, rejected=2, diagnostics=diagnostics
    )
    tally.nfev = 4
    tally.points, tally.seconds_per_point = 10, 99.0
    tally.check_limits()
    assert not tally.out_of_time
    tally.nfev = 5
    with pytest.raises(Abort) as ended:
        tally.check_limits()
    assert ended.value.stop.reason is mo.StopReason.EVALUATION_LIMIT
    tally.nfev, tally.seconds_per_point = 4, 101.0
    with pytest.raises(Abort) as ended:
        tally.check_limits()
    assert ended.value.stop.reason is mo.StopReason.TIME_LIMIT
    tally.started -= 2000.0
    assert tally.out_of_time
    assert 2000.0 <= tally.elapsed < 2100.0
    assert not Tally().out_of_time
    Tally().check_limits()


def test_a_record_grows_replaces_and_moves():
    record = Record(2, Tally())
    times = np.linspace(1.0, 2.0, 300)
    record.begin(1.0, np.zeros(2), 0)
    for t in times[1:70]:
        record.append(t, np.array([t, -t]), 0)
    record.append(times[69], np.array([5.0, 6.0]), 1)  # the next phase begins there
    record.extend(times[70:], np.column_stack([times[70:], times[70:]]), 2)
    record.extend(times[:0], np.empty((0, 2)), 3)
    assert (record.size, record.tally.points) == (300, 300)
    np.testing.assert_array_equal(record.times, times)
    np.testing.assert_array_equal(record.phases, [0] * 69 + [1] + [2] * 230)
    np.testing.assert_array_equal(record.states[:, 0], [0.0, *times[1:69], 5.0, *times[70:]])
    np.testing.assert_array_equal(record.states[:, 1], [0.0, *-times[1:69], 6.0, *times[70:]])
    assert (record.t, list(record.w), record.phase) == (2.0, [2.0, 2.0], 2)
    record.close()
    assert record.size == 300
    record.know(0.5)
    assert list(record.norms[-2:]) == [pytest.approx(math.nan, nan_ok=True), 0.5]
    record.move(2.0, record.w, 4)
    record.close()
    assert (record.size, record.phases[-1]) == (300, 4)
    assert math.isnan(record.norms[-1])  # that was of another phase's field
    record.move(3.0, np.array([7.0, 8.0]), 5)
    assert record.size == 300
    record.close()
    assert (record.size, record.times[-1], record.phases[-1]) == (301, 3.0, 5)
    record.switch(5, record.w)
    (switch,) = record.switches
    assert (switch.t, list(switch.w), switch.left) == (3.0, [7.0, 8.0], 5)
    record.keep(3.0, len)  # nobody asked for it
    assert record.solution() is None
    points = record.points(None, None)
    assert points.recorded
    assert points.t.size == 301
    record.interrupt()
    assert record.stop.reason is mo.StopReason.INTERRUPTED
    record.stop = ended = Stop(mo.StopReason.HORIZON)
    record.interrupt()
    assert record.stop is ended
    first = Record(1, Tally())
    assert (first.size, first.phase, first.keeps_solution) == (0, 0, False)
    first.begin(1.0, np.array([2.0]), 3)
    first.know(0.25)
    assert first.norms == [0.25]
    after = Record(1, Tally())
    after.begin(0.0, np.array([1.0]), 0)
    after.append(1.0, np.array([2.0]), 1, 0.5)
    after.close()  # what is known of the last point stays
    assert (after.size, after.norms[-1], after.phases[-1]) == (2, 0.5, 1)
    first.t, first.phase = 0.0, 0  # a key was pressed before this was noted
    first.interrupt()
    assert (first.t, first.phase, first.w) == (1.0, 3, [2.0])


def test_a_phase_begins_at_the_last_point_or_makes_one():
    record = Record(2, Tally())
    record.begin(0.0, np.array([1.0, 2.0]), 0)
    record.know(0.5)
    record.enter(1)  # the norm was that of another phase's field
    assert (record.size, record.phase, list(record.phases), record.known[0]) == (1, 1, [1], 1)
    assert math.isnan(record.norms[0])
    assert math.isnan(record.known[1])
    for t, w in ((0.0, [3.0, 4.0]), (1.0, [5.0, 6.0])):  # another state then, and a later one
        record.move(t, np.array(w), 1)
        record.enter(2)
        assert (record.t, list(record.w), record.phase) == (t, w, 2)
    np.testing.assert_array_equal(record.times, [0.0, 1.0])
    np.testing.assert_array_equal(record.states, [[3.0, 4.0], [5.0, 6.0]])
    record.t = 2.0  # where the state has not changed
    record.enter(3)
    np.testing.assert_array_equal(record.times, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(record.phases, [2, 2, 3])


@pytest.mark.parametrize(("points", "copied"), [(127, True), (128, False)])
def test_a_trajectory_takes_a_records_arrays_where_they_are_half_full(points, copied):
    flow = mo.maml_flow(mo.tasks.Quadratic([np.eye(2)], [np.zeros(2)]), 0.1)
    record = Record(2, Tally())
    record.begin(0.0, np.ones(2), 0)
    times = np.arange(1.0, points)
    record.extend(times, np.column_stack([times, -times]), 0)
    record.stop = Stop(mo.StopReason.HORIZON, asked_for=True)
    run = finish(flow, record, method="by hand", diagnostics=False)
    parts = ((run.t, record.times), (run.y, record.states), (run.phase, record.phases))
    assert [np.shares_memory(mine, its) for mine, its in parts] == [not copied] * 3
    np.testing.assert_array_equal(run.y, [[1.0, *times], [1.0, *-times]])
    assert not np.shares_memory(run.final_state, run.y)
    assert run.y.flags.f_contiguous


def test_a_record_reports_at_chosen_times_as_far_as_it_came():
    record = Record(1, Tally(), keeps_solution=True)
    record.begin(0.0, np.array([1.0]), 0)
    record.append(1.0, np.array([1.0]), 1)
    record.keep_constant(1.0)
    record.append(2.0, np.array([4.0]), 1)
    asked = np.array([0.0, 0.5, 1.0, 1.5])
    points = record.points(asked, record.solution())
    np.testing.assert_array_equal(points.t, [0.0, 0.5, 1.0])  # the last piece is missing
    np.testing.assert_array_equal(points.states, [[1.0], [1.0], [1.0]])
    np.testing.assert_array_equal(points.phase, [0, 0, 1])
    assert not points.recorded
    start = Record(1, Tally(), keeps_solution=True)
    start.begin(3.0, np.array([9.0]), 2)
    points = start.points(np.array([3.0, 4.0]), start.solution())
    assert (list(points.t), points.states.tolist(), list(points.phase)) == ([3.0], [[9.0]], [2])


def test_an_evaluator_remembers_copies_of_what_it_was_asked_last():
    evaluator = FieldEvaluator(CallableField(lambda w: 2 * w, 1), Tally())
    assert evaluator.remembered is None
    w = np.array([1.5])
    evaluator(0.0, w)[0] = 7.0
    w[0] = 9.0
    for _ in range(2):
        state, value = evaluator.remembered
        assert (state.tolist(), value.tolist()) == ([1.5], [3.0])
        state[0] = value[0] = 8.0


@pytest.mark.parametrize("start", [0.0, 3.0, 1e9])
@pytest.mark.parametrize("end", [math.inf, 1e10])
def test_a_rule_of_time_is_met_at_rest_at_the_last_bit(start, end):
    evaluator = FieldEvaluator(CallableField(lambda w: 0 * w, 1), Tally())
    w = np.array([1.0])

    def met(rule):
        return time_at_rest(RuleEvaluator(as_rule(rule), evaluator, False), start, w, end)

    for after in (1e-3, 2.0, 12345.678, *np.random.default_rng(0).uniform(0, 9, 30)):
        place = start + after * max(start, 1.0)
        if place < end:
            assert met(lambda t, w, place=place: place - t) == place
            assert met(lambda t, w, place=place: t < place) == place
    assert met(lambda t, w: 1.0) is None
    assert met(lambda t, w: 1e300 - t) is None
    assert time_at_rest(None, start, w, end) is None
    norm = RuleEvaluator(GradientNormBelow(JUDGE, 5.0), evaluator, False)
    assert time_at_rest(norm, start, w, end) is None


JUDGE = quadratic(1.0)


def test_what_a_switch_leaves_of_its_rule_and_how_large_the_rule_has_been():
    evaluator = FieldEvaluator(CallableField(lambda w: 0 * w, 1), Tally())
    values = iter([3.0, -7.0, np.inf, 2.0])
    recurs = RuleEvaluator(as_rule(lambda t, w: next(values)), evaluator, True)
    for _ in range(4):
        recurs(0.0, np.zeros(1))
    assert recurs.largest == 7.0
    assert recurs.residue == pytest.approx(7.0 * 2e-13, abs=0)
    assert RuleEvaluator(as_rule(lambda t, w: 1.0), evaluator, False).residue == 0.0
    tiny = RuleEvaluator(as_rule(lambda t, w: 1e-9), evaluator, True)
    tiny(0.0, np.zeros(1))
    assert tiny.residue == pytest.approx(2e-22, abs=0)
    own = FieldEvaluator(mo.fields.GradientField(JUDGE), Tally())
    for rule, value in (
        (GradientNormBelow(JUDGE, 5.0), -2.0),
        (GradientNormBelow(JUDGE, 0.0), 3.0),
    ):
        shares, reverse = (RuleEvaluator(r, own, False) for r in (rule, Reversed(rule)))
        assert shares.shares_field
        assert (shares(0.0, np.array([3.0])), reverse(0.0, np.array([-3.0]))) == (value, -value)
    scaled = RuleEvaluator(GradientNormBelow(JUDGE, 5.0), evaluator, True)
    assert scaled.residue == pytest.approx(1e-12, abs=0)
    for rule, at_zero in ((scaled.rule, True), (Reversed(scaled.rule), False)):
        met = RuleEvaluator(rule, evaluator, True).is_met
        assert [met(-1e-300), met(0.0), met(1e-300)] == [True, at_zero, False]
    spent = evaluator.tally.total(None)
    scaled(0.0, np.zeros(1))
    assert evaluator.tally.total(None) == spent + mo.Counts(gradients=1)
    broken = RuleEvaluator(as_rule(lambda t, w: np.nan), evaluator, True)
    with pytest.raises(Abort, match="ending rule of a phase was NaN"):
        broken(0.0, np.zeros(1))


def test_an_evaluator_charges_what_it_computes_and_remembers_one_state():
    cost, tally = mo.Counts(gradients=1), Tally()
    calls = []

    class Charged(CallableField):
        def __init__(self):
            super().__init__(lambda w: calls.append(w) or 2 * w, 2)
            self.cost = cost

    evaluator = FieldEvaluator(Charged(), tally)
    w = np.array([1.0, 2.0])
    for _ in range(3):
        np.testing.assert_array_equal(evaluator(0.0, w), [2.0, 4.0])
    evaluator(0.0, w)[:] = 0.0  # a copy is handed out
    np.testing.assert_array_equal(evaluator(0.0, w.copy()), [2.0, 4.0])
    assert (len(calls), tally.nfev) == (1, 1)
    evaluator.remember(3 * w, np.array([6.0, 12.0]))
    np.testing.assert_array_equal(evaluator(0.0, 3 * w), [6.0, 12.0])
    evaluator.remember(5 * w, np.array([np.nan, 0.0]))
    np.testing.assert_array_equal(evaluator(0.0, 5 * w), [10.0, 20.0])
    evaluator.charge(4)
    assert (len(calls), tally.nfev, tally.total(None).gradients) == (2, 6, 6)
    tally.max_evaluations = 6
    for spend in (lambda: evaluator.charge(1), lambda: evaluator(0.0, 7 * w)):
        with pytest.raises(Abort, match="max_evaluations = 6"):
            spend()
    np.testing.assert_array_equal(evaluator(0.0, 5 * w), [10.0, 20.0])  # what is known is free


def test_jacobians_are_charged_limited_and_finite():
    def jacobian(w):
        return np.array([[w[0], 1.0], [np.nan if w[1] < 0 else 2.0, 3.0]])

    field = CallableField(lambda w: 2 * w, 2, jacobian)
    field.jacobian_cost = mo.Counts(hessians=1)
    evaluator = FieldEvaluator(field, Tally())
    np.testing.assert_array_equal(evaluator.jacobian(0.0, np.ones(2)), [[1.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(
        evaluator.jacobian_vector(0.0, np.ones(2), np.ones(2)), [2.0, 5.0]
    )
    tally = evaluator.tally
    assert (tally.njev, tally.total(None)) == (1, mo.Counts(hessians=2))
    with pytest.raises(Abort, match="The Jacobian was not finite near t = 3"):
        evaluator.jacobian(3.0, np.array([1.0, -1.0]))
    tally.max_evaluations = 0
    tally.nfev = 1
    for spend in (evaluator.jacobian, lambda t, w: evaluator.jacobian_vector(t, w, w)):
        with pytest.raises(Abort, match="max_evaluations = 0"):
            spend(0.0, np.ones(2))


def test_a_field_that_is_not_finite_again_and_again_ends_the_run():
    evaluator = FieldEvaluator(CallableField(lambda w: w / 0 if w[0] < 0 else w, 1), Tally())
    bad, good = np.array([-1.0]), np.array([1.0])
    for _ in range(999):
        evaluator(0.0, bad)
    evaluator(0.0, good)
    for _ in range(1000):
        evaluator(0.0, bad)
    with pytest.raises(Abort, match="1000 successive evaluations"):
        evaluator(0.0, bad)


def test_auto_by_the_stiffness_of_the_horizon_and_by_tolerance():
    """lambda_max = 10: a horizon of 300 is where 3,000 steps of an explicit method begin."""
    flow, w = mo.gradient_flow(quadratic(10.0, 1.0)), np.ones(2)
    options = {"tol": 1e-8, "stepping": True, "tally": Tally()}
    assert choose(flow, "auto", w, horizon=300.0, **options).method == "DOP853"
    stiff = choose(flow, "auto", w, horizon=301.0, **options)
    assert (stiff.method, "lambda_max = 10 at" in stiff.reason) == ("Rodas5P", True)
    assert choose(flow, "auto", w, horizon=math.inf, **options).method == "DOP853"
    for tol, name in ((1e-5, "DOP853"), (1.1e-5, "Tsit5")):
        found = choose(flow, "auto", w, horizon=1.0, **{**options, "tol": tol})
        assert found.method == name
        assert found.label == f"{name} (auto: {found.reason})"
    for rates in ((10.0, 1.0), (1.0, 10.0)):  # the stiffer phase decides
        f, F = (quadratic(rate) for rate in rates)
        two = mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 0.1)), mo.Phase(F)])
        assert choose(two, "auto", w[:1], horizon=301.0, **options).method == "Rodas5P"
    exact = choose(flow, "auto", w, horizon=301.0, **{**options, "stepping": False})
    assert exact.method == "exact"
    named = choose(flow, "RK45", w, horizon=1.0, **options)
    assert (named.method, named.label) == ("RK45", "RK45")
    assert choose(flow, scipy.integrate.BDF, w, horizon=1.0, **options).label == "BDF"


def test_the_stiff_method_of_the_dimension():
    for d, name in ((200, "Rodas5P"), (201, "RKC2")):
        assert stiff_method(mo.gradient_flow(quadratic(*np.ones(d)))) == name
    bare = CallableField(lambda w: -w, 2)
    phases = [mo.Phase(bare, until=lambda t, w: 1 - t), mo.Phase(quadratic(1.0, 1.0))]
    assert stiff_method(mo.Flow(phases)) == "RKC2"
    explicit = {"RK23", "RK45", "DOP853", "Tsit5"}
    for name in ("Radau", "BDF", "LSODA", "RKC2", "Rodas4P", "Rodas5P", *explicit):
        assert facts_of(resolve(name)).explicit == (name in explicit)


def test_the_spectrum_of_minus_the_symmetrised_jacobian():
    """J = [[-1, 4], [0, -3]]: the eigenvalues of [[1, -2], [-2, 3]] are 2 -+ sqrt(5)."""
    tally, w = Tally(), np.zeros(2)
    field = CallableField(lambda w: w, 2, lambda w: np.array([[-1.0, 4.0], [0.0, -3.0]]))
    assert largest_rate(field, w, tally) == pytest.approx(2 + math.sqrt(5.0))
    assert spectral_radius(field, w, tally) == pytest.approx(1.05 * (2 + math.sqrt(5.0)))
    grows = CallableField(lambda w: w, 2, lambda w: np.diag([7.0, -3.0]))
    assert largest_rate(grows, w, tally) == pytest.approx(3.0)
    assert spectral_radius(grows, w, tally) == pytest.approx(1.05 * 7.0)
    broken = CallableField(lambda w: w, 2, lambda w: np.diag([np.nan, 1.0]))
    assert largest_rate(broken, w, tally) is None
    assert spectral_radius(broken, w, tally) == 0.0
    assert tally.njev == 6
    assert largest_rate(CallableField(lambda w: w, 2), w, tally) is None
    assert largest_rate(mo.gradient_flow(quadratic(2.0, 9.0)).phases[0].field, w) == 9.0


@pytest.mark.parametrize("method", ["Radau", "BDF", "Rodas5P"])
def test_jacobians_are_counted_once_whoever_makes_them(method, logistic):
    """The field's own, each one Hessian pass; or the method's, by differences."""
    run = mo.solve(mo.gradient_flow(mo.ExpectedLoss(logistic)), np.ones(3), method=method)
    assert run.njev == run.counts.hessians > 0
    solvers = []

    class Kept(resolve(method)):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            solvers.append(self)

    bare = mo.Flow([mo.Phase(CallableField(lambda w: -w, 1))], JUDGE)
    run = mo.solve(bare, [1.0], method=Kept, t_max=5.0)
    assert run.njev == sum(solver.njev for solver in solvers) > 0


@pytest.mark.parametrize(("method", "stages"), [("RK23", 3), ("RK45", 6)])
def test_rejected_trials_of_scipys_methods_are_counted(method, stages):
    """SciPy evaluates twice to begin with, and ``stages`` times a trial; the field jumps at w = 1/2."""
    jumps = mo.Flow([mo.Phase(CallableField(lambda w: np.where(w > 0.5, -1.0, -50.0), 1))], JUDGE)
    smooth = mo.Flow([mo.Phase(CallableField(lambda w: -np.ones(1), 1))], JUDGE)
    for flow in (jumps, smooth):
        solvers = []

        class Kept(getattr(scipy.integrate, method)):
            def __init__(self, *arguments, solvers=solvers, **options):
                super().__init__(*arguments, **options)
                solvers.append(self)

        run = mo.solve(flow, [1.0], method=Kept, t_max=0.51, tol=0)
        trials, rest = divmod(solvers[0].nfev - 2, stages)
        assert (len(solvers), rest) == (1, 0)
        assert run.counts.steps + run.counts.rejected == trials
        assert (run.counts.rejected > 0) == (flow is jumps)


def test_progress_is_the_share_of_the_time_or_of_the_digits():
    """Whichever is further: of t_max = 10, and of the four digits from 1 to tol = 1e-4."""
    with Progress(True, "run", 10.0, 1e-4) as bar:
        bar.update(0.0, 1.0)
        assert bar.fraction(2.0, 0.5) == pytest.approx(0.2)
        assert bar.fraction(2.0, 1e-3) == pytest.approx(0.75)
        assert bar.fraction(20.0, 2.0) == bar.fraction(2.0, 1e-9) == 1.0
        assert bar.fraction(0.0, 5.0) == 0.0
    for horizon, tol in ((math.inf, 0.0), (math.inf, 1e-4)):
        assert Progress(False, "run", horizon, tol).fraction(5.0, 1e-9) == 0.0


def test_a_method_is_a_name_or_a_class_of_scipy():
    assert resolve(scipy.integrate.RK45) is resolve("RK45") is scipy.integrate.RK45
    for wrong in (int, 3, None, scipy.integrate.RK45.step):
        with pytest.raises(TypeError, match="method must be a name or a class derived from"):
            resolve(wrong)


def test_a_tol_below_the_residual_of_an_explicit_method_is_refused():
    """lambda_max = 10 at atol = 1e-3: from a residual of 0.3 * 10 * 1e-3 on it can be reached."""
    flow = mo.gradient_flow(quadratic(10.0, 1.0))
    given = Tolerances(1e-3, 1e-3, True, True)
    for method in ("RK45", "DOP853", "Tsit5", "RK23"):
        check_reachable(flow, resolve(method), 3.1e-3, given)
        with pytest.raises(ValueError, match=r"lower it below 2e-05"):
            check_reachable(flow, resolve(method), 2.9e-3, given)
        check_reachable(flow, resolve(method), 0.0, given)
        check_reachable(flow, resolve(method), 2.9e-3, Tolerances(1e-3, 1e-3, True, False))
    check_reachable(flow, resolve("Radau"), 2.9e-3, given)


def test_a_run_without_end_is_refused():
    f, F = quadratic(1.0), quadratic(2.0)

    def flow(threshold):
        return mo.Flow([mo.Phase(f, until=GradientNormBelow(f, threshold)), mo.Phase(F)])

    check_has_an_end(flow(0.1), 1e-8, math.inf)
    check_has_an_end(flow(0.0), 0.0, 1.0)
    with pytest.raises(ValueError, match="with tol=0 the run has no end"):
        check_has_an_end(flow(0.1), 0.0, math.inf)
    with pytest.raises(ValueError, match="phase 0 ends at a gradient norm of 0"):
        check_has_an_end(flow(0.0), 1e-8, math.inf)
    until = mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 0.1))])
    check_has_an_end(until, 0.0, math.inf)


def test_a_field_that_jumps_is_named_and_a_small_tol_refused():
    tasks = mo.tasks.SVM([[[1.0], [2.0]]], [[1.0, -1.0]])
    flow = mo.maml_flow(tasks, 0.1)
    for tol, t_max in ((1e-3, math.inf), (9e-4, 5.0), (0.0, math.inf)):
        with pytest.warns(NonSmoothWarning, match="smooth_squared_hinge"):
            check_smoothness(flow, tol, t_max)
    with pytest.raises(ValueError, match="a tol of at least"):
        check_smoothness(flow, 9e-4, math.inf)
    check_smoothness(mo.gradient_flow(quadratic(1.0)), 1e-9, math.inf)
    kinked = mo.ExpectedLoss(mo.tasks.SVM([[[1.0], [2.0]]], [[1.0, -1.0]], loss="squared_hinge"))
    bent = mo.gradient_flow(kinked)  # a field with kinks and without jumps
    assert bent.phases[0].field.smoothness == 0
    check_smoothness(bent, 1e-9, math.inf)
    assert Tolerances.choose(bent, 1e-9, None, None).rtol == pytest.approx(1e-9)
    options = {"tol": 1e-9, "horizon": 1.0, "stepping": True, "tally": Tally()}
    assert choose(bent, "auto", np.ones(1), **options).method == "DOP853"
    assert choose(flow, "auto", np.ones(1), **options).method == "RK45"
    with pytest.warns(NonSmoothWarning) as seen:
        mo.solve(flow, [1.0], t_max=0.1)
    assert seen[0].filename == __file__  # the line of the caller
