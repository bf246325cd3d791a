"""Members of an ensemble beside runs of their own: the same bits where they share a route."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import ModifiedField
from maml_ode.flows import GradientNormBelow
from maml_ode.integrate.ensembles import by_compiled_loop, by_formula
from maml_ode.integrate.ensembles.by_formula import has_formula
from maml_ode.integrate.ensembles.request import Request
from maml_ode.integrate.ensembles.watch import Watch
from maml_ode.integrate.watch.stiffness import STEPS_BETWEEN_LOOKS

SAME = ("t", "w", "stop", "success", "steps", "rejected")


def margins(kind, seed, sizes=(7, 4, 9), d=3, **options):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, d)) for n in sizes]
    y = [np.where(rng.random(len(x)) < 0.5, -1.0, 1.0) for x in X]
    weights = rng.dirichlet(np.ones(len(sizes))) if seed % 2 else None
    return kind(X, y, l2=0.1, weights=weights, **options)


def quadratic(seed, d=4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, d, d))
    return mo.tasks.Quadratic(root @ root.transpose(0, 2, 1) / d, rng.normal(size=(3, d)))


def sinusoid(seed):
    rng = np.random.default_rng(seed)
    return mo.tasks.Sinusoid(rng.uniform(1, 2, 3), rng.uniform(-1, 1, 3), rng.uniform(0.5, 1.5, 3))


def symbolic(seed):
    rng = np.random.default_rng(seed)
    numbers = {"a": rng.uniform(0.5, 2.0, 3), "b": rng.normal(size=3)}
    return mo.tasks.Symbolic("a*(u - b)**2/2 + log(cosh(u - v)) + v**2/4", ("u", "v"), numbers)


FAMILIES = {
    "quadratic": quadratic,
    "logistic": lambda seed: margins(mo.tasks.LogisticRegression, seed),
    "smooth squared hinge": lambda seed: margins(mo.tasks.SVM, seed, loss="smooth_squared_hinge"),
    "sinusoid": sinusoid,
    "symbolic": symbolic,
}
FLOWS = {
    "gradient": lambda tasks: mo.gradient_flow(mo.ExpectedLoss(tasks)),
    "maml": lambda tasks: mo.maml_flow(tasks, 0.05, inner_steps=2),
    "bimaml": lambda tasks: mo.bimaml_flow(tasks, 0.05, 0.03),
    "fomaml": lambda tasks: mo.fomaml_flow(tasks, 0.05),
    "reptile": lambda tasks: mo.reptile_flow(tasks, 0.05, 3),
}


def starts(flow, size=5, seed=0):
    return 2.0 * np.random.default_rng(seed).normal(size=(size, flow.dim))


def assert_member_is(runs, k, run):
    """Whether a member has the numbers of a run, to the last bit."""
    np.testing.assert_array_equal(runs.w[k], run.final_state)
    assert runs.t[k] == run.final_time
    assert runs.stop[k] is run.stop
    assert runs.success[k] == run.success
    assert (runs.steps[k], runs.rejected[k]) == (run.counts.steps, run.counts.rejected)
    found = runs.switch_times[k]
    np.testing.assert_array_equal(found[np.isfinite(found)], run.switch_times)
    if run.t.size and np.isfinite(run.loss[-1]):
        assert runs.loss[k] == pytest.approx(run.loss[-1], rel=1e-12, abs=1e-14)
        assert runs.grad_norm[k] == pytest.approx(run.grad_norm[-1], rel=1e-6, abs=1e-14)


def assert_same_as_solve(runs, flows, W0, **how):
    """Whether every member is its own run, and the totals are theirs."""
    total = mo.Counts()
    for k, (flow, w0) in enumerate(zip(flows, W0, strict=True)):
        run = mo.solve(flow, w0, **how)
        assert_member_is(runs, k, run)
        total = total + run.counts
    for kind in ("gradients", "hvps", "hessians", "thirds", "steps", "rejected"):
        assert getattr(runs.counts, kind) == getattr(total, kind), kind


@pytest.fixture
def alone(monkeypatch):
    """Return the list of the members that were run by themselves."""
    members = []
    run = Request.run

    def counted(request, k, **how):
        if how.get("diagnostics") is False:
            members.append(k)
        return run(request, k, **how)

    monkeypatch.setattr(Request, "run", counted)
    return members


@pytest.mark.parametrize("method", ["DOP853", "Tsit5"])
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_flow(family, flow, method, alone):
    chosen = FLOWS[flow](FAMILIES[family](1))
    W0 = starts(chosen)
    how = {"method": method, "tol": 1e-7}
    runs = mo.ensemble(chosen, W0, batched=False, **how)
    assert alone == []
    assert_same_as_solve(runs, [chosen] * 5, W0, **how)
    assert set(runs.stop) == {mo.StopReason.STATIONARY}
    assert runs.switch_times.shape == (5, flow == "bimaml")
    assert len(set(runs.steps)) > 1 or family == "quadratic"


@pytest.mark.parametrize(
    "how",
    [
        {"tol": 0.0, "t_max": 3.0},
        {"max_steps": 7},
        {"first_step": 1e-3, "max_step": 0.25, "t_max": 4.0},
        {"first_step": 1e3, "t_max": 4.0},
        {"rtol": 1e-3, "atol": 1e-4},
        {"tol": 1e-14, "rtol": 1e-6, "atol": 1e-9},
        {"tol": 1e-13, "rtol": 1e-5, "atol": 1e-8, "t_max": 120.0},
        {"tol": 1e3},
    ],
)
@pytest.mark.parametrize("method", ["DOP853", "Tsit5"])
def test_every_option(how, method, alone):
    for family, flow in (("logistic", "bimaml"), ("sinusoid", "maml"), ("sinusoid", "bimaml")):
        chosen = FLOWS[flow](FAMILIES[family](2))
        W0 = starts(chosen, 4, seed=1)
        runs = mo.ensemble(chosen, W0, method=method, batched=False, **how)
        assert_same_as_solve(runs, [chosen] * 4, W0, method=method, **how)
    if how.get("first_step") == 1e-3:
        assert alone == []


def test_a_step_limit_is_kept_to_the_step():
    """Also just before and just after a switch."""
    flow = FLOWS["bimaml"](FAMILIES["logistic"](3))
    W0 = starts(flow, 2)
    most = mo.ensemble(flow, W0, method="DOP853", batched=False).steps.max()
    for limit in range(1, most + 2):
        how = {"method": "DOP853", "max_steps": limit, "diagnostics": False}
        runs = mo.ensemble(flow, W0, method="DOP853", max_steps=limit, batched=False)
        for k, w0 in enumerate(W0):
            assert_member_is(runs, k, mo.solve(flow, w0, **how))
        assert (runs.steps <= limit).all()


def test_random_problems_of_any_stiffness_and_tolerance(alone):
    """Norms that hover, rise and dip, lowered tolerances, stiffness: members that need runs of their own."""
    stops = set()
    for seed in range(16):
        rng = np.random.default_rng(seed)
        d = int(rng.integers(1, 7))
        Q = np.linalg.qr(rng.normal(size=(2, d, d)))[0]
        values = 10.0 ** rng.uniform(-1, 3, size=(2, d)) * (
            1 if seed % 3 else rng.choice([1, -0.01])
        )
        H = Q @ (values[:, :, None] * Q.transpose(0, 2, 1))
        tasks = mo.tasks.Quadratic(0.5 * (H + H.transpose(0, 2, 1)), rng.normal(size=(2, d)))
        flow = mo.bimaml_flow(tasks, 10.0 ** rng.uniform(-5, -3), 10.0 ** rng.uniform(-4, 1))
        how = {
            "method": str(rng.choice(["DOP853", "Tsit5", "auto"])),
            "tol": 10.0 ** rng.uniform(-9, -2),
            "t_max": 10.0 ** rng.uniform(-1, 1),
            "rtol": 10.0 ** rng.uniform(-9, -3),
            "max_steps": 1500,
        }
        W0 = starts(flow, 3, seed) * 10.0 ** rng.uniform(-3, 2, size=(3, 1))
        runs = mo.ensemble(flow, W0, **how)
        for k, w0 in enumerate(W0):
            assert_member_is(runs, k, mo.solve(flow, w0, **how))
        stops |= set(runs.stop)
    assert len(stops) >= 2
    assert alone


def test_only_those_on_whose_way_something_happens_run_by_themselves(alone):
    tasks = mo.tasks.Quadratic([np.diag([1.0, 3e3])], [np.zeros(2)])
    flow = mo.maml_flow(tasks, 1e-5)
    W0 = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1e-9]])
    runs = mo.ensemble(flow, W0, rtol=1e-6)
    assert alone == [1]
    for k, w0 in enumerate(W0):
        assert_member_is(runs, k, mo.solve(flow, w0, rtol=1e-6))
    assert "Rodas5P from t" in runs.member(1).method
    assert by_compiled_loop.MANY.times.size == STEPS_BETWEEN_LOOKS


def test_a_field_that_is_not_finite_everywhere():
    tasks = mo.tasks.Symbolic("a*exp(exp(w)) + w**2", "w", {"a": [1.0, 2.0]})
    flow = mo.maml_flow(tasks, 1e-4)
    W0 = np.array([3.0, 1.5, 3.5, -40.0, 4.0, 9.0])
    for method in ("DOP853", "Tsit5"):
        runs = mo.ensemble(flow, W0, method=method, t_max=20.0)
        for k, w0 in enumerate(W0):
            assert_member_is(runs, k, mo.solve(flow, [w0], method=method, t_max=20.0))
        assert {mo.StopReason.STATIONARY, mo.StopReason.NON_FINITE} <= set(runs.stop)
        assert not runs.success[-1]
    grows = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[-1.0]]], [[0.0]])))
    runs = mo.ensemble(grows, [[1e-3], [2.0]], tol=0.0, t_max=400.0, method="DOP853")
    assert [reason.name for reason in runs.stop] == ["NON_FINITE", "NON_FINITE"]
    assert np.isinf(runs.loss).all()
    assert not runs.success.any()


def test_methods_flows_and_families_without_compiled_loop(alone):
    logistic = FAMILIES["logistic"](4)
    f, F = mo.ExpectedLoss(logistic), mo.MAMLLoss(logistic, 0.3)
    a = np.array([1.0, 3.0])
    python = mo.tasks.from_callables(
        lambda i, w: float(a[i] * w @ w / 2),
        lambda i, w: a[i] * w,
        hvps=lambda i, w, v: a[i] * v,
        n_tasks=2,
        dim=2,
    )
    several = [
        mo.Phase(f, until=GradientNormBelow(f, 0.1)),
        mo.Phase(F, until=GradientNormBelow(F, 0.05)),
        mo.Phase(f),
    ]
    cases = [
        (FLOWS["bimaml"](logistic), {"method": "RK45"}, True),
        (FLOWS["maml"](FAMILIES["sinusoid"](1)), {"method": "BDF", "rtol": 1e-5}, True),
        (FLOWS["maml"](FAMILIES["sinusoid"](1)), {"method": "Rodas5P"}, None),
        (FLOWS["bimaml"](quadratic(2)), {}, False),
        (FLOWS["bimaml"](quadratic(2)), {"method": "exact", "t_max": 0.5}, False),
        (mo.modified_flow(mo.ExpectedLoss(quadratic(6)), 0.1), {"method": "exact"}, True),
        (mo.maml_flow(python, 0.1), {"method": "DOP853"}, True),
        (mo.bimaml_flow(logistic, 0.3, 0.05, rule="retest"), {"t_max": 60.0}, True),
        (mo.bimaml_flow(logistic, 0.3, switch="auto"), {}, True),
        (mo.Flow([mo.Phase(f, until=lambda t, w: 0.7 - t), mo.Phase(F)]), {}, True),
        (mo.Flow(several), {"method": "DOP853", "batched": False}, False),
        (mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 0.1))], f), {"batched": False}, False),
        (mo.modified_flow(mo.ExpectedLoss(quadratic(6)), 0.1), {"method": "DOP853"}, False),
    ]
    for flow, how, by_itself in cases:
        alone.clear()
        W0 = starts(flow, 3)
        runs = mo.ensemble(flow, W0, tol=1e-6, **how)
        assert by_itself is None or alone == ([0, 1, 2] if by_itself else []), flow.name
        how.pop("batched", None)
        if (
            "exact" in runs.method
        ):  # with diagnostics closed forms are evaluated by NumPy, to other last digits
            how["diagnostics"] = False
        assert_same_as_solve(runs, [flow] * 3, W0, tol=1e-6, **how)


def test_closed_forms_of_all_members_at_once(alone):
    """Each with its own switch and stop, and those in whose fields something grows by themselves."""
    tasks = quadratic(3)
    W0, until = starts(mo.maml_flow(tasks, 0.05), 40), np.geomspace(1e-4, 10.0, 40)
    flow = mo.bimaml_flow(tasks, 0.05, 0.03)
    for how in ({}, {"t_max": 2.0}):
        runs = mo.ensemble(flow, W0, switch_tol=until, **how)
        flows = [mo.bimaml_flow(tasks, 0.05, s) for s in until]
        assert_same_as_solve(runs, flows, W0, diagnostics=False, **how)
    assert not alone
    alpha = np.array([0.01, 0.05, 0.01, 0.1])
    runs = mo.ensemble(flow, W0[:4], alpha=alpha, switch_tol=until[20:24])
    flows = [mo.bimaml_flow(tasks, a, s) for a, s in zip(alpha, until[20:24], strict=True)]
    assert_same_as_solve(runs, flows, W0[:4], diagnostics=False)
    saddle = mo.maml_flow(mo.tasks.Quadratic([np.diag([1.0, -0.1])], [[1.0, 1.0]]), 0.05)
    W0 = np.array([[3.0, -10.0], [2.0, 1.0]])  # the first one moves along the first axis alone
    runs = mo.ensemble(saddle, W0, t_max=50.0)
    assert alone == [1]
    assert_same_as_solve(runs, [saddle] * 2, W0, t_max=50.0, diagnostics=False)


def test_closed_forms_that_end_by_their_last_rule_or_wait_for_a_norm_of_0(alone):
    tasks = quadratic(3)
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.05)
    first = mo.Phase(f, until=GradientNormBelow(f, 0.5))
    twice = mo.Flow([first, mo.Phase(F, until=GradientNormBelow(F, 0.1))])
    runs = mo.ensemble(twice, starts(twice), tol=1e-3)
    assert set(runs.stop) == {mo.StopReason.SWITCHED}
    assert_same_as_solve(runs, [twice] * 5, starts(twice), tol=1e-3, diagnostics=False)
    never = mo.bimaml_flow(tasks, 0.05, 0.0)
    assert not alone
    runs = mo.ensemble(never, starts(never), t_max=9.0)
    assert set(runs.stop) == {mo.StopReason.HORIZON}
    assert alone == [0, 1, 2, 3, 4]
    assert_same_as_solve(runs, [never] * 5, starts(never), t_max=9.0, diagnostics=False)
    # One phase in another eigenbasis is enough.
    assert has_formula(twice)
    assert not has_formula(mo.Flow([first, mo.Phase(ModifiedField(F, 0.1))]))


def test_members_followed_by_their_formula_are_looked_at_a_few_at_a_time(monkeypatch):
    seen = []
    monkeypatch.setattr(by_formula, "AT_ONCE", 2)
    monkeypatch.setattr(Watch, "look", lambda watch, done=int: seen.append(done()))
    flow = FLOWS["maml"](quadratic(3))
    runs = mo.ensemble(flow, starts(flow))
    assert set(runs.stop) == {mo.StopReason.STATIONARY}
    assert [done for done in seen if done] == [2, 4, 5]
    seen.clear()
    mo.ensemble(flow, starts(flow), t_max=1e-3)  # the horizon is an end too
    assert [done for done in seen if done] == [2, 4, 5]


def test_an_inner_step_size_and_a_switch_for_every_member(alone):
    alpha = np.array([0.0, 0.02, 0.3, 0.02])
    until = np.array([0.5, 0.03, 0.1, 1e3])
    makers = {
        "maml": lambda tasks, a, s: mo.maml_flow(tasks, a, inner_steps=2),
        "bimaml": mo.bimaml_flow,
        "fomaml": lambda tasks, a, s: mo.fomaml_flow(tasks, a),
        "reptile": lambda tasks, a, s: mo.reptile_flow(tasks, a, 3),
    }
    for family in ("logistic", "quadratic", "sinusoid"):
        tasks = FAMILIES[family](2)
        query = FAMILIES[family](4)
        for name, make in makers.items():
            flow = make(tasks, 0.07, 0.01)
            switch = until if name == "bimaml" else None
            W0 = starts(flow, 4)
            how = {"method": "DOP853", "tol": 1e-7}
            runs = mo.ensemble(flow, W0, alpha=alpha, switch_tol=switch, batched=False, **how)
            flows = [make(tasks, a, s) for a, s in zip(alpha, until, strict=True)]
            assert_same_as_solve(runs, flows, W0, **how)
            assert_member_is(runs, 2, runs.member(2))
        judged = mo.maml_flow(tasks, 0.07, query=query)
        runs = mo.ensemble(judged, starts(judged, 4), alpha=alpha, batched=False, **how)
        flows = [mo.maml_flow(tasks, a, query=query) for a in alpha]
        assert_same_as_solve(runs, flows, starts(judged, 4), **how)
    assert alone == []


@pytest.mark.filterwarnings("ignore::maml_ode.integrate.NonSmoothWarning")
def test_members_have_the_tolerances_and_the_matrices_of_their_own_inner_step_size(alone):
    """Without an inner step a flow is smoother; an affine phase has a matrix of its own, whatever follows it."""
    jumps = margins(mo.tasks.SVM, 1, loss="squared_hinge")
    alpha, how = [0.1, 0.0, 0.2], {"method": "DOP853", "tol": 0.0, "t_max": 0.3}
    W0 = starts(mo.maml_flow(jumps, 0.1), 3)
    runs = mo.ensemble(mo.maml_flow(jumps, 0.1), W0, alpha=alpha, batched=False, **how)
    assert_same_as_solve(runs, [mo.maml_flow(jumps, a) for a in alpha], W0, **how)

    def mixed(a):
        F, G = (mo.MAMLLoss(tasks, a) for tasks in (quadratic(3, 3), FAMILIES["logistic"](4)))
        return mo.Flow([mo.Phase(F, until=GradientNormBelow(F, 0.5)), mo.Phase(G)])

    how = {"method": "DOP853", "tol": 1e-6}
    runs = mo.ensemble(mixed(0.1), W0, alpha=alpha, **how)
    assert_same_as_solve(runs, [mixed(a) for a in alpha], W0, **how)
    assert alone == []


def test_a_switch_at_a_norm_of_0_is_waited_for_until_the_horizon():
    flow = FLOWS["bimaml"](FAMILIES["logistic"](3))
    W0 = starts(flow, 3)
    flows = [mo.bimaml_flow(flow.objective.tasks, 0.05, s) for s in (0.1, 0.0, 0.2)]
    for until in (2.0, 900.0):  # at rest, for which its rule waits, after 100 or so
        how = {"t_max": until, "method": "DOP853"}
        runs = mo.ensemble(flow, W0, switch_tol=[0.1, 0.0, 0.2], **how)
        assert_same_as_solve(runs, flows, W0, **how)
        assert np.isnan(runs.switch_times[1]).all()
    assert [bool(done) for done in runs.success] == [True, False, True]


def test_threads_change_nothing(monkeypatch):
    flow = FLOWS["bimaml"](FAMILIES["logistic"](6))
    W0 = starts(flow, 23)
    how = {"method": "Tsit5", "batched": False}
    one = mo.ensemble(flow, W0, **how)
    for threads in (2, 3, 40):
        other = mo.ensemble(flow, W0, threads=threads, **how)
        for name in (*SAME, "loss", "grad_norm", "switch_times"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
        assert one.counts == other.counts


def test_threads_have_portions_and_what_one_raises_is_raised_here(monkeypatch):
    flow, seen, loop = FLOWS["bimaml"](FAMILIES["logistic"](6)), [], by_compiled_loop.CompiledLoop
    portions = loop._portions

    def noted(*arguments):
        seen.append([part.size for part in portions(*arguments)])
        return portions(*arguments)

    def fails(*_):
        raise FloatingPointError("there")

    monkeypatch.setattr(loop, "_portions", noted)
    for threads in (1, 2):
        mo.ensemble(flow, starts(flow, 23), method="Tsit5", batched=False, threads=threads)
    assert seen == [[23], [23], *([[2] * 7 + [1] * 9] * 2)]
    monkeypatch.setattr(loop, "_calls", fails)
    for threads in (1, 2):
        with pytest.raises(FloatingPointError, match="there"):
            mo.ensemble(flow, starts(flow, 23), method="Tsit5", batched=False, threads=threads)


def test_however_calls_are_cut_the_members_are_the_same(monkeypatch):
    flow = FLOWS["bimaml"](FAMILIES["logistic"](7))
    W0 = starts(flow, 5)
    how = {"method": "DOP853", "first_step": 20.0, "batched": False}
    whole = mo.ensemble(flow, W0, **how)
    assert whole.rejected.any()
    monkeypatch.setattr("maml_ode.integrate.ensembles.by_compiled_loop.CALL_SECONDS", 1e-12)
    cut = mo.ensemble(flow, W0, **how)
    for name in (*SAME, "switch_times"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name), name)


def test_many_members_are_nobodys_work_in_python(alone):
    """Ten thousand on Figure 1's losses, from starts on both sides; no run of its own."""
    flow = mo.maml_flow(mo.tasks.Sinusoid([0.505, 0.505], [1.0, 0.2], [1.0, 2.0]), 0.3)
    W0 = np.linspace(-3.0, 3.0, 10_000)[:, None]
    runs = mo.ensemble(flow, W0, method="Tsit5", tol=1e-5)
    assert alone == []
    assert runs.success.all()
    assert len(runs) == 10_000
    assert np.abs(runs.grad_norm).max() <= 1e-5


def test_problems_of_any_size(alone):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        M, K, d = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 6))
        sizes = rng.integers(1, 9, size=M).tolist()
        tasks = margins(mo.tasks.LogisticRegression, seed, sizes, d, reduction="sum")
        flow = FLOWS[str(rng.choice(list(FLOWS)))](tasks)
        W0 = 10.0 ** rng.uniform(-6, 1) * rng.normal(size=(K, d))
        how = {"method": str(rng.choice(["DOP853", "Tsit5"])), "tol": 1e-6}
        runs = mo.ensemble(flow, W0, batched=False, **how)
        assert_same_as_solve(runs, [flow] * K, W0, **how)
    assert len(alone) < 6


def test_modified_flows_have_an_inner_step_size_of_their_own_too():
    tasks = FAMILIES["logistic"](2)
    alpha = [0.05, 0.2, 0.3]
    flows = [mo.modified_flow(mo.MAMLLoss(tasks, a), 0.05) for a in alpha]
    W0 = starts(flows[0], 3)
    how = {"method": "DOP853", "tol": 1e-6}
    runs = mo.ensemble(flows[0], W0, alpha=alpha, **how)
    assert_same_as_solve(runs, flows, W0, **how)


def by_turns(tasks, alpha):
    """Down F, then with momentum, then observed from a larger state: every phase has the inner step size."""
    F = mo.MAMLLoss(tasks, alpha)
    phases = [
        mo.Phase(F, until=GradientNormBelow(F, 0.5)),
        mo.Phase(mo.fields.MomentumField(F, 0.5), until=lambda t, w: 2.0 - t),
        mo.Phase(mo.fields.GradientField(F), observe=lambda z: z[::-1], lift=lambda w: w[::-1]),
    ]
    return mo.Flow(phases, objective=F)


@pytest.mark.parametrize(
    "build",
    [
        lambda tasks, alpha: mo.momentum_flow(mo.MAMLLoss(tasks, alpha), 0.5),
        lambda tasks, alpha: mo.nesterov_flow(mo.MAMLLoss(tasks, alpha, inner_steps=2)),
        by_turns,
    ],
    ids=["momentum", "Nesterov", "by turns"],
)
def test_phases_on_a_larger_state_have_an_inner_step_size_too(build):
    tasks = margins(mo.tasks.LogisticRegression, 1)
    W0, alphas = starts(build(tasks, 0.1), 3), [-0.1, 0.0, 0.3]
    runs = mo.ensemble(build(tasks, 0.1), W0, alpha=alphas, t_max=3.0, tol=0.0)
    for k, alpha in enumerate(alphas):
        run = mo.solve(build(tasks, alpha), W0[k], t_max=3.0, tol=0.0)
        np.testing.assert_array_equal(runs.w[k], run.w)
        assert runs.loss[k] == pytest.approx(run.loss[-1], rel=1e-12)
        assert np.linalg.norm(run.w - runs.w[(k + 1) % 3]) > 1e-3
    f = mo.ExpectedLoss(tasks)
    with pytest.raises(ValueError, match="takes no inner steps"):
        mo.ensemble(mo.momentum_flow(f, 0.5), W0, alpha=alphas, t_max=1.0)
