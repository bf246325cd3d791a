"""Members that evaluate their fields together: the runs of `solve`, to rounding."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.flows import GradientNormBelow
from maml_ode.integrate.ensembles import by_compiled_loop, in_blocks
from maml_ode.integrate.ensembles.request import Request

LOSSES = {
    "logistic": (mo.tasks.LogisticRegression, {}),
    "hinge": (mo.tasks.SVM, {"loss": "hinge"}),
    "squared hinge": (mo.tasks.SVM, {"loss": "squared_hinge"}),
    "smooth hinge": (mo.tasks.SVM, {"loss": "smooth_hinge", "smoothing": 0.3}),
    "smooth squared hinge": (mo.tasks.SVM, {"loss": "smooth_squared_hinge"}),
}
FLOWS = {
    "gradient": lambda tasks, a, s: mo.gradient_flow(mo.ExpectedLoss(tasks)),
    "maml": lambda tasks, a, s: mo.maml_flow(tasks, a),
    "maml, 3 steps": lambda tasks, a, s: mo.maml_flow(tasks, a, inner_steps=3),
    "bimaml": mo.bimaml_flow,
    "fomaml": lambda tasks, a, s: mo.fomaml_flow(tasks, a, inner_steps=2),
    "reptile": lambda tasks, a, s: mo.reptile_flow(tasks, a, 3),
}


def family(seed, loss="logistic", sizes=(7, 2, 40), d=4, weights=None, **how):
    kind, options = LOSSES[loss]
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, d)) for n in sizes]
    y = [np.where(rng.random(len(x)) < 0.5, -1.0, 1.0) for x in X]
    return kind(X, y, l2=0.1, weights=weights, **options, **how)


def starts(size, d, seed=0):
    return 2.0 * np.random.default_rng(seed).normal(size=(size, d))


def assert_close_to_solve(runs, flows, **how):
    """Whether steps and stops are those of runs by themselves, and states to rounding."""
    gradients = 0
    for k, flow in enumerate(flows):
        run = mo.solve(flow, runs.W0[k], **how)
        assert runs.stop[k] is run.stop
        assert abs(runs.steps[k] - run.counts.steps) <= 1
        assert abs(runs.rejected[k] - run.counts.rejected) <= 1
        np.testing.assert_allclose(runs.w[k], run.w, rtol=1e-7, atol=1e-8)
        found = runs.switch_times[k][: run.switch_times.size]
        np.testing.assert_allclose(found, run.switch_times, rtol=1e-8)
        gradients += run.counts.gradients
    assert runs.counts.gradients == pytest.approx(gradients, rel=0.02)


@pytest.fixture
def blocks(monkeypatch):
    """Return the sizes of the blocks that were followed."""
    sizes = []
    portions = in_blocks.InBlocks._portions

    def counted(route, going, field):
        found = portions(route, going, field)
        sizes.extend(map(len, found))
        return found

    monkeypatch.setattr(in_blocks.InBlocks, "_portions", counted)
    return sizes


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("loss", ["logistic", "smooth hinge", "smooth squared hinge"])
def test_every_smooth_loss_and_flow(loss, flow, blocks):
    chosen = FLOWS[flow](family(1, loss, weights=[0.2, 0.3, 0.5]), 0.1, 0.1)
    for method in ("DOP853", "Tsit5"):
        how = {"method": method, "tol": 1e-6}
        runs = mo.ensemble(chosen, starts(9, 4), **how)
        assert_close_to_solve(runs, [chosen] * 9, **how)
        assert runs.success.all()
    assert set(blocks) == {9}


@pytest.mark.parametrize("loss", LOSSES)
def test_one_step_of_every_loss_is_one_of_solve(loss):
    """Saturated samples and kinks too; a step's end depends on all of its stages."""
    wide = 300.0 * starts(9, 4, seed=2)
    near = starts(9, 4, seed=3)
    for W0 in (near, wide):
        for name in ("gradient", "maml, 3 steps", "fomaml", "reptile"):
            flow = FLOWS[name](family(2, loss), 0.05, 0.1)
            how = {"method": "Tsit5", "t_max": 1e-4, "tol": 0.0, "first_step": 1e-4}
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("maml_ode.integrate.checks.warnings.warn", lambda *a, **k: None)
                runs = mo.ensemble(flow, W0, batched=True, rtol=1e-2, atol=1e2, **how)
                for k, w0 in enumerate(W0):
                    run = mo.solve(flow, w0, rtol=1e-2, atol=1e2, **how)
                    moved = np.abs(run.w - w0).max()
                    np.testing.assert_allclose(
                        runs.w[k], run.w, rtol=0, atol=1e-10 * moved + 1e-15 * np.abs(w0).max()
                    )


def test_problems_of_any_size(blocks):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        M, d = int(rng.integers(1, 4)), int(rng.integers(1, 9))
        sizes = rng.integers(1, 14, size=M).tolist()
        weights = rng.dirichlet(np.ones(M)) if seed % 2 else None
        reduction = str(rng.choice(["mean", "sum"]))
        tasks = family(seed, "logistic", sizes, d, weights, reduction=reduction)
        query = family(seed + 50, "logistic", sizes[::-1], d, weights)
        flow = mo.maml_flow(tasks, 0.05, inner_steps=int(rng.integers(1, 4)), query=query)
        how = {"method": str(rng.choice(["DOP853", "Tsit5"])), "tol": 1e-6}
        K = int(rng.integers(1, 6))
        runs = mo.ensemble(flow, starts(K, d, seed), batched=True, **how)
        assert_close_to_solve(runs, [flow] * K, **how)
    assert len(blocks) == 10


def test_an_inner_step_size_and_a_switch_for_every_member(blocks):
    alpha = np.linspace(0.0, 0.4, 9)
    until = np.linspace(0.05, 0.8, 9)
    tasks = family(3)
    for name, make in FLOWS.items():
        if name == "gradient":
            continue
        switch = until if name == "bimaml" else None
        how = {"method": "DOP853", "tol": 1e-6}
        runs = mo.ensemble(
            make(tasks, 0.1, 0.1), starts(9, 4), alpha=alpha, switch_tol=switch, batched=True, **how
        )
        flows = [make(tasks, a, s) for a, s in zip(alpha, until, strict=True)]
        assert_close_to_solve(runs, flows, **how)
    assert 8 in blocks  # alpha = 0 by itself


def test_every_option():
    flow = FLOWS["bimaml"](family(4), 0.1, 0.1)
    for how in (
        {"tol": 0.0, "t_max": 3.0},
        {"max_steps": 7},
        {"first_step": 1e3, "t_max": 40.0},
        {"first_step": 1e-3, "max_step": 0.25, "t_max": 4.0},
        {"tol": 1e3},
    ):
        runs = mo.ensemble(flow, starts(9, 4), method="DOP853", batched=True, **how)
        assert_close_to_solve(runs, [flow] * 9, method="DOP853", **how)


def test_stiffness_and_norms_that_hover_lead_to_runs_of_their_own(monkeypatch):
    X = np.repeat(np.diag([1.0, 60.0]), 2, axis=0)
    tasks = mo.tasks.LogisticRegression([X], [[1.0, -1.0, 1.0, -1.0]])
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    alone = []
    run = Request.run
    monkeypatch.setattr(Request, "run", lambda r, k, **how: alone.append(k) or run(r, k, **how))
    runs = mo.ensemble(flow, starts(9, 2), batched=True)
    assert alone == list(range(9))
    assert runs.success.all()
    assert "Rodas5P from t" in runs.member(0).method


def test_threads_and_cuts_change_nothing(monkeypatch):
    """Blocks are the same whatever the number of threads, and go on in the midst of trials as if never left."""
    monkeypatch.setattr(in_blocks, "MOST_TOGETHER", 5)
    flow = FLOWS["bimaml"](family(6), 0.1, 0.1)
    W0 = starts(23, 4)
    how = {"method": "Tsit5", "batched": True, "first_step": 50.0}
    one = mo.ensemble(flow, W0, **how)
    assert one.rejected.any()

    def assert_same(other):
        for name in ("t", "w", "stop", "steps", "rejected", "switch_times", "loss"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
        assert one.counts == other.counts

    for threads in (2, 7):
        assert_same(mo.ensemble(flow, W0, threads=threads, **how))
    monkeypatch.setattr("maml_ode.integrate.ensembles.by_compiled_loop.CALL_SECONDS", 1e-12)
    assert_same(mo.ensemble(flow, W0, **how))


def test_blocks_are_for_dense_linear_models_where_they_pay(blocks):
    scipy_sparse = pytest.importorskip("scipy.sparse")
    small = family(7)
    rng = np.random.default_rng(0)
    wide = family(8, "logistic", (200,), 300)
    sparse = mo.tasks.LogisticRegression(
        [scipy_sparse.csr_array(x) for x in small.X], list(small.y), l2=0.1
    )
    quadratic = mo.tasks.LinearRegression(list(small.X), list(small.y))
    for tasks, size, expected in (
        (small, 8, True), (small, 7, False), (wide, 8, False), (sparse, 8, False),
        (quadratic, 8, False),
    ):  # fmt: skip
        blocks.clear()
        W0 = rng.normal(size=(size, tasks.dim))
        mo.ensemble(mo.maml_flow(tasks, 0.01), W0, method="Tsit5", max_steps=2)
        assert bool(blocks) == expected
    blocks.clear()
    mo.ensemble(mo.maml_flow(small, 0.1), starts(8, 4), method="Tsit5", batched=False)
    assert not blocks
    with pytest.raises(TypeError, match="batched"):
        mo.ensemble(mo.maml_flow(small, 0.1), starts(8, 4), batched=2)


def test_blocks_have_one_kind_of_kernels_in_all_phases():
    logistic, hinge = family(7), family(7, "smooth hinge")
    f, squares = (
        mo.ExpectedLoss(tasks)
        for tasks in (logistic, mo.tasks.LinearRegression(list(logistic.X), list(logistic.y)))
    )
    until = GradientNormBelow(f, 0.1)
    for flow, expected in (
        (mo.bimaml_flow(logistic, 0.1, 0.1, query=family(8)), True),
        (mo.maml_flow(logistic, 0.1, query=hinge), False),
        (mo.Flow([mo.Phase(f, until=until), mo.Phase(squares)]), False),
        (mo.Flow([mo.Phase(mo.fields.CallableField(lambda w: -w, 4))], f), False),
    ):
        assert in_blocks.has_blocks(flow) == expected


def test_blocks_pay_where_products_of_all_phases_have_sixteen_rows():
    """2^18 products at once, of a task's samples and parameters."""

    def tasks(n):
        return mo.tasks.LogisticRegression([np.ones((n, 4))], [np.ones(n)], l2=0.1)

    many, sixteen, fewer = tasks(40), tasks(4096), tasks(4400)
    f, g = mo.ExpectedLoss(many), mo.ExpectedLoss(fewer)
    one_by_one = mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 0.1)), mo.Phase(g)])
    for flow, expected in (
        (mo.maml_flow(sixteen, 0.1), True), (mo.maml_flow(fewer, 0.1), False),
        (mo.maml_flow(many, 0.1, query=fewer), False), (one_by_one, False),
    ):  # fmt: skip
        assert in_blocks.pays_in_blocks(flow, 8) == expected
    field = mo.fields.GradientField(mo.ExpectedLoss(tasks(2**17)))
    assert in_blocks._points_at_once(field) == 1


@pytest.mark.parametrize("batched", [False, True])
def test_every_evaluation_is_timed_once(monkeypatch, batched):
    made, loop = [], by_compiled_loop.CompiledLoop
    keep = loop._keep_pace
    monkeypatch.setattr(loop, "_keep_pace", lambda self, n, t: made.append(n) or keep(self, n, t))
    monkeypatch.setattr(by_compiled_loop, "CALL_SECONDS", 1e-12)
    flow = mo.gradient_flow(mo.ExpectedLoss(family(7)))
    runs = mo.ensemble(flow, starts(9, 4), method="Tsit5", batched=batched)
    assert len(made) > 9
    assert sum(made) == runs.counts.gradients


def test_intercepts_and_sums_that_are_kept(blocks):
    rng = np.random.default_rng(9)
    X, who = rng.normal(size=(30, 3)), np.repeat([0, 1, 2], 10)
    y = np.where(X[:, 0] + rng.normal(size=30) > 0, 1.0, -1.0)
    tasks = mo.tasks.LogisticRegression.from_table(X, y, who, fit_intercept=True, l2=0.3)
    squares = mo.tasks.LinearRegression.from_table(X, y, who)
    how = {"method": "DOP853", "tol": 1e-6}
    flows = [mo.maml_flow(tasks, 0.1), mo.maml_flow(squares, 0.1, aggregate=False)]
    for flow in flows:
        runs = mo.ensemble(flow, starts(9, flow.dim), **how)
        assert_close_to_solve(runs, [flow] * 9, **how)
    alpha = np.linspace(0.05, 0.2, 9)
    runs = mo.ensemble(flows[1], starts(9, 3), alpha=alpha, **how)
    assert_close_to_solve(runs, [mo.maml_flow(squares, a, aggregate=False) for a in alpha], **how)
    assert blocks == [9, 9, 9]
