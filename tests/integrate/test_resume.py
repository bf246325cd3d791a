"""A run is gone on with by the flow that it is a run of, and by no other."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.identity import digest_of
from maml_ode.flows.switch_rules import EndingRule
from maml_ode.integrate.assemble import JoinedSolution
from maml_ode.trajectory import Trajectory


def quadratic(seed=0, weights=None, scale=1.0):
    rng = np.random.default_rng(seed)
    H = [np.diag(rng.uniform(0.5, 1.5, 2)) for _ in range(3)]
    return mo.tasks.Quadratic(H, scale * rng.normal(size=(3, 2)), weights=weights)


def logistic(l2=0.1, loss=None):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(3, 8, 2)), np.where(rng.random((3, 8)) < 0.5, -1.0, 1.0)
    if loss is None:
        return mo.tasks.LogisticRegression(X, y, l2=l2)
    return mo.tasks.SVM(X, y, loss=loss, l2=l2)


def symbolic(formula="a*x**2 + y**2 + sin(y)", a=(1.0, 2.0)):
    return mo.tasks.Symbolic(formula, "x y", {"a": list(a)})


# Families and arguments of d = 2 that differ in one thing each.
FLOWS = {
    "quadratic": lambda: mo.bimaml_flow(quadratic(), 0.1, 0.01),
    "alpha": lambda: mo.bimaml_flow(quadratic(), 0.2, 0.01),
    "switch_tol": lambda: mo.bimaml_flow(quadratic(), 0.1, 0.011),
    "data": lambda: mo.bimaml_flow(quadratic(1), 0.1, 0.01),
    "one number of the data": lambda: mo.bimaml_flow(quadratic(scale=1 + 1e-15), 0.1, 0.01),
    "weights": lambda: mo.bimaml_flow(quadratic(weights=[0.5, 0.25, 0.25]), 0.1, 0.01),
    "inner steps": lambda: mo.bimaml_flow(quadratic(), 0.1, 0.01, inner_steps=2),
    "query": lambda: mo.bimaml_flow(quadratic(), 0.1, 0.01, query=quadratic(2)),
    "rule": lambda: mo.bimaml_flow(quadratic(), 0.1, 0.01, rule="retest"),
    "switch": lambda: mo.bimaml_flow(quadratic(), 0.1, switch="auto"),
    "cost ratio": lambda: mo.bimaml_flow(quadratic(), 0.1, switch="auto", cost_ratio=2.0),
    "logistic": lambda: mo.bimaml_flow(logistic(), 0.1, 0.01),
    "l2": lambda: mo.bimaml_flow(logistic(0.2), 0.1, 0.01),
    "loss": lambda: mo.bimaml_flow(logistic(loss="smooth_hinge"), 0.1, 0.01),
    "other loss": lambda: mo.bimaml_flow(logistic(loss="smooth_squared_hinge"), 0.1, 0.01),
    "symbolic": lambda: mo.bimaml_flow(symbolic(), 0.1, 0.01),
    "formula": lambda: mo.bimaml_flow(symbolic("a*x**2 + y**2 + cos(y)"), 0.1, 0.01),
    "parameter": lambda: mo.bimaml_flow(symbolic(a=(1.0, 2.5)), 0.1, 0.01),
}


def test_identities_differ_where_flows_do_and_nowhere_else():
    found = {name: build().identity for name, build in FLOWS.items()}
    for one, other in itertools.combinations(found, 2):
        assert found[one] != found[other], (one, other)
    again = {name: build().identity for name, build in FLOWS.items()}
    assert found == again
    assert None not in found.values()


@pytest.mark.parametrize("name", [n for n in FLOWS if n not in ("quadratic", "rule")])
def test_another_flow_of_the_same_name_and_size_is_refused(name):
    run = mo.solve(FLOWS["quadratic"](), [3.0, -2.0], t_max=0.5)
    with pytest.raises(ValueError, match="pass the same flow"):
        mo.solve(FLOWS[name](), resume=run)


def test_the_same_flow_built_again_goes_on_also_from_a_file(tmp_path):
    run = mo.solve(FLOWS["logistic"](), [3.0, -2.0], t_max=0.5)
    run.save(tmp_path / "run.npz")
    rest = mo.solve(FLOWS["logistic"](), resume=Trajectory.load(tmp_path / "run.npz"), t_max=4.0)
    whole = mo.solve(FLOWS["logistic"](), [3.0, -2.0], t_max=4.0)
    np.testing.assert_allclose(rest.w, whole.w, atol=1e-6)
    assert rest.identity == run.identity == whole.identity
    with pytest.raises(ValueError, match=r"start anew with w0=run.w"):
        mo.solve(FLOWS["l2"](), resume=Trajectory.load(tmp_path / "run.npz"))
    assert mo.solve(FLOWS["l2"](), run.w, t_max=1.0).success  # as the message says


def functions(alpha, scale=1.0):
    scale = [scale]  # a list may change between two runs: what the functions are is then unknown
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.5 * scale[0] * (i + 1) * w @ w,
        lambda i, w: scale[0] * (i + 1) * w,
        hvps=lambda i, w, v: scale[0] * (i + 1) * v,
        n_tasks=2,
        dim=2,
    )
    return mo.maml_flow(tasks, alpha)


def test_functions_that_may_change_are_compared_by_what_they_return():
    assert functions(0.1).identity is None
    run = mo.solve(functions(0.1), [1.0, 2.0], t_max=0.5)
    assert mo.solve(functions(0.1), resume=run).success
    for other in (functions(0.2), functions(0.1, scale=1.001)):
        with pytest.raises(ValueError, match="at whose last point F was"):
            mo.solve(other, resume=run)
    blind = mo.solve(functions(0.1), [1.0, 2.0], t_max=0.5, diagnostics=False)
    assert mo.solve(functions(0.1), resume=blind).success
    field = mo.Flow([mo.Phase(CallableField(lambda w: -w, 2))], functions(0.1).objective)
    assert field.identity is None


def test_a_run_is_refused_for_its_name_or_its_dimension_alone():
    one = mo.tasks.Quadratic([np.eye(1)], [[1.0]])
    run = mo.solve(FLOWS["quadratic"](), [3.0, -2.0], t_max=0.5)
    with pytest.raises(ValueError, match="'BI-MAML' with d = 2, but the flow is 'MAML' with d = 2"):
        mo.solve(mo.maml_flow(quadratic(), 0.1), resume=run)
    with pytest.raises(
        ValueError, match="'BI-MAML' with d = 2, but the flow is 'BI-MAML' with d = 1"
    ):
        mo.solve(mo.bimaml_flow(one, 0.1, 0.01), resume=run)


@pytest.mark.parametrize(("off", "refused"), [(0.5e-6, False), (1.5e-6, True), (-1.5e-6, True)])
def test_functions_may_differ_by_a_millionth_of_their_size(off, refused):
    """At |w| = 300, F and its gradient by another factor: both sizes differ by that factor."""
    run = mo.solve(functions(0.0), [300.0, 0.0], t_eval=[0.0], t_max=0.5)
    assert run.t.size == 1
    if refused:
        with pytest.raises(ValueError, match="at whose last point F was"):
            mo.solve(functions(0.0, scale=1 + off), resume=run)
    else:
        assert mo.solve(functions(0.0, scale=1 + off), resume=run).success


def test_only_what_both_have_is_compared():
    """An identity with none, and points without diagnostics, which cost no evaluation either."""
    flow = FLOWS["quadratic"]()
    run = mo.solve(flow, [3.0, -2.0], t_max=0.5)
    assert mo.solve(flow, resume=replace(run, identity=None), t_max=1.0).success
    first = mo.solve(functions(0.1), [1.0, 2.0], t_max=0.5, method="RK45")
    ends = replace(first, loss=np.append(first.loss[:-1], np.nan))
    empty = replace(
        first, t=first.t[:0], y=first.y[:, :0], phase=first.phase[:0], loss=first.loss[:0]
    )
    for before in (ends, empty):
        rest = mo.solve(functions(0.1), resume=before, t_max=1.0, method="RK45", diagnostics=False)
        assert rest.success
        assert rest.counts.diagnostics == first.counts.diagnostics


def test_a_run_at_the_very_rest_is_gone_on_with():
    """F and its gradient are 0 there, so that they have no size."""
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], np.zeros((1, 2))))
    flow = mo.Flow([mo.Phase(CallableField(lambda w: -w, 2))], objective)
    run = mo.solve(flow, [0.0, 0.0], t_max=1.0, tol=0)
    assert mo.solve(flow, resume=run, t_max=2.0, tol=0).final_time == 2.0


def test_the_seam_belongs_to_the_first_part():
    first, second = (lambda t, k=k: np.full((2, *np.shape(t)), k) for k in (1.0, 2.0))
    both = JoinedSolution(first, second, 3.0)
    np.testing.assert_array_equal(both([4.0, 2.0, 3.0]), [[2.0, 1.0, 1.0]] * 2)
    for t, part in ((2.0, 1.0), (3.0, 1.0), (4.0, 2.0)):
        np.testing.assert_array_equal(both(t), [part, part])


def test_times_of_a_continuation_stand_behind_those_of_the_run():
    flow = FLOWS["quadratic"]()
    first = mo.solve(flow, [3.0, -2.0], t_eval=[0.0, 0.5], t_max=1.0)
    both = mo.solve(flow, resume=first, t_eval=[1.5, 2.0], t_max=2.0)
    assert both.t.tolist() == [0.0, 0.5, 1.5, 2.0]
    whole = mo.solve(flow, [3.0, -2.0], t_eval=both.t, t_max=2.0)
    np.testing.assert_allclose(both.y, whole.y, rtol=1e-12)
    meets = mo.solve(flow, resume=first, t_eval=[1.0, 2.0], t_max=2.0)
    assert meets.t.tolist() == [0.0, 0.5, 1.0, 2.0]
    seam = mo.solve(flow, [3.0, -2.0], t_eval=[0.0, 1.0], t_max=1.0)
    assert mo.solve(flow, resume=seam, t_eval=[1.0, 2.0], t_max=2.0).t.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("limits", [{}, {"max_seconds": 100.0}])
def test_a_resumed_run_counts_what_both_parts_evaluated(limits):
    """Also the look at F and ||grad F|| by which flows of Python functions are compared."""
    calls = {"losses": 0, "gradients": 0}

    def counted(name, value):
        calls[name] += 1
        return value

    tasks = mo.tasks.from_callables(
        lambda i, w: counted("losses", 0.5 * (i + 1) * float(w @ w)),
        lambda i, w: counted("gradients", (i + 1) * w),
        n_tasks=2,
        dim=2,
    )
    calls.update(losses=0, gradients=0)
    f = mo.ExpectedLoss(tasks)
    flow = mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 0.5)), mo.Phase(f)])
    first = mo.solve(flow, [1.0, 2.0], t_max=1.0, method="RK45", **limits)
    run = mo.solve(flow, resume=first, t_max=4.0, method="RK45", **limits)
    for name, n in calls.items():
        assert 2 * (getattr(run.counts, name) + getattr(run.counts.diagnostics, name)) == n
    assert run.t_events[0].size == run.switch_times.size == 1
    assert run.counts.steps == len(run) - 1
    assert run.elapsed >= first.elapsed > 0
    blind = mo.solve(flow, resume=first, t_max=4.0, method="RK45", diagnostics=False)
    assert blind.energy is None
    assert blind.counts.diagnostics == first.counts.diagnostics + f.value_cost + f.gradient_cost


@pytest.mark.parametrize("method", ["exact", "DOP853"])
def test_the_continuous_solution_of_a_resumed_run_covers_both_parts(method):
    flow, options = FLOWS["quadratic"](), {"method": method, "dense_output": True, "tol": 0}
    first = mo.solve(flow, [3.0, -2.0], t_max=0.7, **options)
    both = mo.solve(flow, resume=first, t_max=9.0, **options)
    whole = mo.solve(flow, [3.0, -2.0], t_max=9.0, **options)
    times = np.array([0.0, 0.3, 0.7, 0.8, 5.0, 9.0])
    np.testing.assert_allclose(both.sol(times), whole.sol(times), atol=1e-8)
    np.testing.assert_array_equal(both.sol(0.3), both.sol(times)[:, 1])
    late = mo.solve(flow, resume=mo.solve(flow, [3.0, -2.0], t_max=0.7), t_max=9.0, **options)
    np.testing.assert_allclose(late.sol(times[2:]), whole.sol(times[2:]), atol=1e-8)


def test_a_flow_that_goes_on_where_the_algorithm_ended_says_so():
    flow = FLOWS["quadratic"]()
    steps = mo.euler(flow, [3.0, -2.0], 0.1, max_iter=10)
    run = mo.solve(flow, resume=steps, t_max=2.0)
    assert run.step_size == 0.1
    assert run.method.startswith("Euler; then exact")
    assert run.method.endswith("from t = 1 on")
    assert steps.identity == run.identity


def test_a_threshold_is_part_of_a_rule():
    f = mo.ExpectedLoss(quadratic())
    ends = [mo.Flow([mo.Phase(f, until=GradientNormBelow(f, tol))]) for tol in (0.1, 0.2)]
    assert ends[0].identity != ends[1].identity


def test_no_two_values_share_a_digest():
    """Of any two of these something reads differently if all that is fed to the digest is joined carelessly."""
    f, zeros = mo.ExpectedLoss(quadratic()), np.zeros((2, 3))
    values = [
        None, "None", "", 0, 1, 12, 0.0, -0.0, 1.0, True, False, "1", np.float64(1), np.float32(1), np.int64(1),
        (), [], ((),), ("",), (1,), [1], (1, 2), (12,), (1, 23), (12, 3), ((1,), 2), ((1, 2),), (1, (2,)),
        zeros, zeros.T, zeros.ravel(), zeros.astype(int), zeros.astype(np.float32), -zeros, zeros + 1e-300,
        np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(3, 2).T, (zeros, zeros),
        f, (f,), mo.MAMLLoss(quadratic(), 0.1), mo.MAMLLoss(quadratic(), 0.1, query=quadratic(2)), quadratic(),
        mo.fields.ReptileField(quadratic(), 0.1), mo.fields.FirstOrderField(quadratic(), 0.1),
        mo.fields.GradientField(f), mo.fields.ModifiedField(f, 0.1), GradientNormBelow(f, 0.1),
    ]  # fmt: skip
    digests = [digest_of(value) for value in values]
    assert None not in digests
    assert len(set(digests)) == len(values)
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert digest_of(columns) == digest_of(np.arange(6.0).reshape(2, 3))
    for unknown in (
        object(),
        {"a": 1},
        1j,
        {1},
        mo.Counts(losses=1),
        GradientNormBelow,
        (1, print),
    ):
        assert digest_of(unknown) is None


@dataclass(frozen=True)
class Below(EndingRule):
    """Somebody's own rule: what it does is not in its fields."""

    limit: float

    def __call__(self, t, w):
        return w[0] - self.limit


class Scaled(mo.fields.GradientField):
    """Somebody's own field, made of something that only it knows."""

    def __init__(self, objective, factor):
        super().__init__(objective)
        self.factor = factor

    def __call__(self, w):
        return self.factor * super().__call__(w)


def test_a_class_of_somebody_else_has_no_identity():
    f = mo.ExpectedLoss(quadratic())
    for factor in (1.0, 2.0):
        assert mo.Flow([mo.Phase(Scaled(f, factor))]).identity is None
    assert mo.Flow([mo.Phase(f, until=Below(0.1)), mo.Phase(f)]).identity is None
    run = mo.solve(mo.Flow([mo.Phase(Scaled(f, 1.0))]), [3.0, -2.0], t_max=0.5, method="RK45")
    assert mo.solve(
        mo.Flow([mo.Phase(Scaled(f, 1.0))]), resume=run, t_max=1.0, method="RK45"
    ).success
