"""Forward Euler in compiled code: the iterates, counts, stops and switches of one that looks at every step."""

import signal

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.flows import GradientNormBelow
from maml_ode.integrate import StepSizeWarning, euler_verb
from maml_ode.integrate.steppers import euler_phase
from maml_ode.integrate.steppers.euler import EulerStepper
from maml_ode.integrate.steppers.euler_phase import EulerPhase

LONG = 400


@pytest.fixture(autouse=True)
def compiled_from_few_iterations_on(monkeypatch, request):
    """Quadratics of up to 1000 iterations stay in NumPy."""
    if "short_runs" not in request.node.name:
        monkeypatch.setattr(euler_verb, "FEW_ITERATIONS", 20)


def quadratic(d=4, seed=1):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, d, d))
    return mo.tasks.Quadratic(root @ root.transpose(0, 2, 1) / d, rng.normal(size=(3, d)))


def margins(kind, **options):
    rng = np.random.default_rng(2)
    X = [rng.normal(size=(n, 3)) for n in (7, 4, 9)]
    y = [np.where(rng.random(len(x)) < 0.5, -1.0, 1.0) for x in X]
    return kind(X, y, l2=0.1, **options)


def symbolic():
    rng = np.random.default_rng(3)
    numbers = {"a": rng.uniform(0.5, 2.0, 3), "b": rng.normal(size=3)}
    return mo.tasks.Symbolic("a*(u - b)**2/2 + log(cosh(u - v)) + v**2/4", ("u", "v"), numbers)


FAMILIES = {
    "quadratic": quadratic,
    "quadratic, rows": lambda: quadratic(30),
    "quadratic, BLAS": lambda: quadratic(120),
    "logistic": lambda: margins(mo.tasks.LogisticRegression),
    "smooth hinge": lambda: margins(mo.tasks.SVM, loss="smooth_hinge"),
    "squared hinge": lambda: margins(mo.tasks.SVM, loss="smooth_squared_hinge"),
    "sinusoid": lambda: mo.tasks.Sinusoid([1.0, 1.5], [0.4, -0.7], [1.0, 0.6]),
    "symbolic": symbolic,
}
FLOWS = {
    "expected loss": lambda tasks: mo.gradient_flow(mo.ExpectedLoss(tasks)),
    "maml": lambda tasks: mo.maml_flow(tasks, 0.05, inner_steps=2),
    "bimaml": lambda tasks: mo.bimaml_flow(tasks, 0.05, 0.2),
    "fomaml": lambda tasks: mo.fomaml_flow(tasks, 0.05),
    "reptile": lambda tasks: mo.reptile_flow(tasks, 0.05, 3),
    "modified": lambda tasks: mo.modified_flow(mo.MAMLLoss(tasks, 0.05), 0.1),
    "retest": lambda tasks: mo.bimaml_flow(tasks, 0.05, 0.2, rule="retest"),
    "as printed": lambda tasks: mo.bimaml_flow(tasks, 0.05, 0.2, rule="as_printed"),
}
OPTIONS = {
    "every": {},
    "every seventh": {"record_every": 7},
    "tol": {"tol": 1e-4},
    "tol, every seventh": {"tol": 1e-4, "record_every": 7},
    "end between": {"max_iter": 313, "record_every": 100},
    "bare": {"diagnostics": False, "record_every": 2000},
}


def both(monkeypatch, flow, w0, step_size=0.05, **how):
    """Return what ``euler`` gives through the compiled loop and, second, step by step; and the loop's calls."""
    calls = []
    advance = EulerPhase.advance

    def counted(*arguments):
        calls.append(1)
        return advance(*arguments)

    how = {"max_iter": LONG, **how}
    with monkeypatch.context() as patch:
        patch.setattr(EulerPhase, "advance", counted)
        compiled = mo.euler(flow, w0, step_size, **how)
    with monkeypatch.context() as patch:
        patch.setattr(EulerStepper, "_compiled", lambda stepper, segment: None)
        stepped = mo.euler(flow, w0, step_size, **how)
    return compiled, stepped, len(calls)


def assert_same(compiled, stepped):
    for name in (
        "t", "y", "phase", "loss", "task_loss", "grad_norm", "task_grad_norm", "switch_times",
        "switch_states", "final_state",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(compiled, name), getattr(stepped, name), name)
    for name in (
        "stop", "message", "success", "status", "counts", "nfev", "method", "energy", "final_time",
        "final_phase",
    ):  # fmt: skip
        assert getattr(compiled, name) == getattr(stepped, name), name


def start(flow):
    return 2.0 * np.random.default_rng(flow.dim).normal(size=flow.dim)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_flow(monkeypatch, family, flow):
    chosen = FLOWS[flow](FAMILIES[family]())
    for option in ("every", "tol, every seventh"):
        compiled, stepped, calls = both(monkeypatch, chosen, start(chosen), **OPTIONS[option])
        assert_same(compiled, stepped)
        if flow not in ("retest", "as printed"):
            assert 0 < calls < 0.1 * compiled.counts.steps
        assert flow != "bimaml" or compiled.switch_times.size == 1


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option(monkeypatch, option):
    for family, flow in (("quadratic", "maml"), ("logistic", "bimaml"), ("sinusoid", "retest")):
        chosen = FLOWS[flow](FAMILIES[family]())
        compiled, stepped, _ = both(monkeypatch, chosen, start(chosen), **OPTIONS[option])
        assert_same(compiled, stepped)
        assert compiled.stop is not mo.StopReason.NON_FINITE


def test_families_without_a_matrix_have_the_iterates_of_their_python_face():
    tasks = FAMILIES["logistic"]()
    F = mo.MAMLLoss(tasks, 0.05)
    run = mo.euler(mo.gradient_flow(F), np.ones(3), 0.3, max_iter=50)
    w = np.ones(3)
    for k in range(51):
        np.testing.assert_array_equal(run.y[:, k], w)
        w = w + 0.3 * -F.gradient(w)


def test_quadratics_agree_with_their_short_runs_to_rounding():
    flow = FLOWS["bimaml"](quadratic(30))
    few = mo.euler(flow, start(flow), 0.02, max_iter=1000)
    many = mo.euler(flow, start(flow), 0.02, max_iter=1001)
    np.testing.assert_allclose(many.y[:, :1001], few.y, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(many.phase[:1001], few.phase)
    assert many.switch_times.size == 1


def test_however_batches_are_cut_the_run_is_the_same(monkeypatch):
    advance = EulerPhase.advance
    for family, flow in (("quadratic", "bimaml"), ("logistic", "maml")):
        chosen = FLOWS[flow](FAMILIES[family]())
        how = {"max_iter": LONG, "record_every": 3, "tol": 1e-5}
        whole = mo.euler(chosen, start(chosen), 0.05, **how)
        for most in (1, 2, 5, 400):

            def cut(phase, k, room, w, velocity, most=most):
                return advance(phase, k, min(room, most), w, velocity)

            with monkeypatch.context() as patch:
                patch.setattr(EulerPhase, "advance", cut)
                assert_same(mo.euler(chosen, start(chosen), 0.05, **how), whole)


def test_runs_that_grow_end_with_the_same_sentence(monkeypatch):
    """A state that overflows, and a field that does, with a rule that sees it and without one."""
    steep = mo.tasks.Symbolic("a*w**4", "w", {"a": [1.0, 2.0]})
    wall = mo.tasks.Symbolic("a*exp(w)", "w", {"a": [-1.0, -2.0]})
    concave = mo.tasks.Quadratic([[[-1.0]]], [[1.0]])
    f = mo.ExpectedLoss(wall)
    runs = [
        (mo.gradient_flow(mo.ExpectedLoss(steep)), 10.0, 1.0),
        (mo.gradient_flow(f), 1.0, 0.5),
        (mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 1e-3)), mo.Phase(f)]), 1.0, 0.5),
        (mo.gradient_flow(mo.ExpectedLoss(concave)), 1.0, 3.0),
    ]
    for flow, w0, step_size in runs:
        compiled, stepped, calls = both(monkeypatch, flow, [w0], step_size)
        assert_same(compiled, stepped)
        assert calls > 0
        assert compiled.stop is mo.StopReason.NON_FINITE
        assert np.isfinite(compiled.y).all()


def test_a_point_that_does_not_move_costs_no_more(monkeypatch):
    """The field is exactly 0 there, which nobody asked about."""
    flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [np.zeros(2)])))
    compiled, stepped, calls = both(monkeypatch, flow, [0.0, 0.0], 0.1, max_iter=20_000)
    assert_same(compiled, stepped)
    assert calls < 60


def test_rules_of_any_kind_are_looked_at_at_every_iterate(monkeypatch):
    tasks = FAMILIES["logistic"]()
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.3)
    flows = [
        mo.Flow([mo.Phase(f, until=lambda t, w: 0.7 - t), mo.Phase(F)]),
        mo.Flow([mo.Phase(F, until=GradientNormBelow(f, 0.1)), mo.Phase(F)]),
        mo.bimaml_flow(tasks, 0.3, switch="auto"),
        mo.Flow(
            [
                mo.Phase(f, until=GradientNormBelow(f, 0.1)),
                mo.Phase(F, until=GradientNormBelow(F, 0.05)),
                mo.Phase(f),
            ]
        ),
    ]
    for flow in flows:
        compiled, stepped, calls = both(monkeypatch, flow, start(flow), tol=1e-6, max_iter=2000)
        assert_same(compiled, stepped)
        assert compiled.switch_times.size == len(flow.phases) - 1
        assert calls > 0


def test_callbacks_see_every_iterate_and_change_none():
    flow = FLOWS["bimaml"](quadratic())
    norms = []
    run = mo.euler(flow, start(flow), 0.05, max_iter=LONG)
    seen = mo.euler(
        flow, start(flow), 0.05, max_iter=LONG, callback=lambda s: norms.append(s.field_norm)
    )
    assert_same(seen, run)
    assert len(norms) == LONG


def test_a_step_size_whose_times_overflow(monkeypatch):
    tasks = mo.tasks.Quadratic([[[1e-308]]], [[1e-308]])
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    compiled, stepped, _ = both(monkeypatch, flow, [0.5], 1e306)
    assert_same(compiled, stepped)


def test_a_key_between_batches_keeps_what_is_done(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10, 200, 20))
    tasks = mo.tasks.LogisticRegression(X, np.sign(rng.normal(size=(10, 200))), l2=1e-6)
    flow = mo.maml_flow(tasks, 0.01)
    mo.euler(flow, np.zeros(20), 0.01, max_iter=2)
    batches = []
    take = EulerPhase._take

    def counted(phase, k, steps, *rest):
        batches.append(steps)
        take(phase, k, steps, *rest)

    monkeypatch.setattr(EulerPhase, "_take", counted)

    def press(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        run = mo.euler(flow, np.zeros(20), 0.01, max_iter=10_000_000, diagnostics=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert run.stop is mo.StopReason.INTERRUPTED
    assert run.elapsed < 1.0
    # Also the batch in which the key was pressed.
    assert run.counts.steps == len(run) - 1 == sum(batches)
    assert len(batches) >= 3
    again = mo.euler(flow, np.zeros(20), 0.01, max_iter=len(run) - 1, diagnostics=False)
    np.testing.assert_array_equal(run.y, again.y)


def test_a_long_run_keeps_few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(euler_phase, "MOST_ROWS", 10)
    flow = FLOWS["maml"](quadratic())
    compiled, stepped, calls = both(monkeypatch, flow, start(flow), record_every=2)
    assert_same(compiled, stepped)
    assert calls >= LONG / 20


@pytest.mark.parametrize(
    ("tol", "ends_by_rule", "max_iter", "calls"),
    [
        # With tol = 0 the field at the last iterate is asked for by the rule alone.
        (0.0, False, 1, 0), (0.0, False, 2, 1), (0.0, True, 1, 1), (0.0, True, 2, 1),
        (1e-30, False, 1, 1), (1e-30, False, 2, 1), (1e-30, True, 1, 1),
    ],
)  # fmt: skip
def test_what_room_there_is_goes_to_one_compiled_call(
    monkeypatch, tol, ends_by_rule, max_iter, calls
):
    f = mo.ExpectedLoss(FAMILIES["logistic"]())
    until = GradientNormBelow(f, 1e-12) if ends_by_rule else None
    flow = mo.Flow([mo.Phase(f, until=until)])
    how = {"tol": tol, "max_iter": max_iter, "diagnostics": False}
    compiled, stepped, made = both(monkeypatch, flow, start(flow), **how)
    assert_same(compiled, stepped)
    assert made == calls
    asked = max_iter + (tol > 0 or ends_by_rule)
    assert compiled.nfev == asked


def test_the_test_that_looks_at_another_field_every_time_is_not_compiled(monkeypatch):
    """With tol = 0 it does not, and one phase of it is; one with a rule of the user's is in no case."""
    tasks = FAMILIES["logistic"]()
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.05)
    again = mo.bimaml_flow(tasks, 0.05, 1e-9, rule="retest")
    for tol, compiles in ((1e-20, False), (0.0, True)):
        assert (both(monkeypatch, again, start(again), tol=tol, max_iter=30)[2] > 0) is compiles
    own = mo.Flow([mo.Phase(f, until=lambda t, w: 100.0 - t), mo.Phase(F)])
    assert both(monkeypatch, own, start(own), max_iter=30)[2] == 0
    plain = mo.gradient_flow(f)
    assert both(monkeypatch, plain, start(plain), max_iter=30, callback=lambda s: None)[2] == 0


def test_unstable_step_sizes_are_still_named():
    flow = FLOWS["maml"](quadratic())
    with pytest.warns(StepSizeWarning):
        run = mo.euler(flow, start(flow), 30.0, max_iter=100_000)
    assert run.stop is mo.StopReason.NON_FINITE
