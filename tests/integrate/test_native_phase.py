"""Whole phases in compiled code: the steps, counts, stops and sentences of the step-by-step path, bit for bit."""

import signal
import time
from types import SimpleNamespace

import numba
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.compiled.unasked import unasked
from maml_ode.fields import ModifiedField
from maml_ode.flows import GradientNormBelow
from maml_ode.integrate.plan import Tolerances
from maml_ode.integrate.solvers import METHODS
from maml_ode.integrate.solvers.adaptive import SMALLEST_RTOL
from maml_ode.integrate.solvers.kernels import phase_record
from maml_ode.integrate.steppers import native
from maml_ode.integrate.steppers.native import COMPILED
from maml_ode.integrate.steppers.native_phase import NativePhase

NAMES = [method.__name__ for method in COMPILED]
# Whose Jacobians the compiled loop does not have.
NOT_STIFF = ("fomaml", "reptile", "modified")


def margins(kind, seed, **options):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, 3)) for n in (7, 4, 9)]
    y = [np.where(rng.random(len(x)) < 0.5, -1.0, 1.0) for x in X]
    return kind(X, y, l2=0.1, **options)


def quadratic(seed, d=4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, d, d))
    return mo.tasks.Quadratic(root @ root.transpose(0, 2, 1) / d, rng.normal(size=(3, d)))


def regression(seed):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, 5)) for n in (8, 12)]
    return mo.tasks.LinearRegression(X, [rng.normal(size=len(x)) for x in X])


def sinusoid(seed):
    rng = np.random.default_rng(seed)
    return mo.tasks.Sinusoid(rng.uniform(1, 2, 3), rng.uniform(-1, 1, 3), rng.uniform(0.5, 1.5, 3))


def symbolic(seed):
    rng = np.random.default_rng(seed)
    numbers = {"a": rng.uniform(0.5, 2.0, 3), "b": rng.normal(size=3)}
    return mo.tasks.Symbolic("a*(u - b)**2/2 + log(cosh(u - v)) + v**2/4", ("u", "v"), numbers)


FAMILIES = {
    "quadratic": quadratic,
    "regression": regression,
    "logistic": lambda seed: margins(mo.tasks.LogisticRegression, seed),
    "smooth hinge": lambda seed: margins(mo.tasks.SVM, seed, loss="smooth_hinge"),
    "smooth squared hinge": lambda seed: margins(mo.tasks.SVM, seed, loss="smooth_squared_hinge"),
    "sinusoid": sinusoid,
    "symbolic": symbolic,
}
FLOWS = {
    "maml": lambda tasks: mo.maml_flow(tasks, 0.05, inner_steps=2),
    "bimaml": lambda tasks: mo.bimaml_flow(tasks, 0.05, 0.03),
    "fomaml": lambda tasks: mo.fomaml_flow(tasks, 0.05),
    "reptile": lambda tasks: mo.reptile_flow(tasks, 0.05, 3),
    "modified": lambda tasks: mo.modified_flow(mo.MAMLLoss(tasks, 0.05), 0.1),
}
OPTIONS = {
    "default": {},
    "no diagnostics, loose": {"diagnostics": False, "rtol": 1e-3, "atol": 1e-4},
    "horizon": {"tol": 0.0, "t_max": 3.0},
    "dense": {"dense_output": True, "t_max": 5.0},
    "t_eval": {"t_eval": np.linspace(0.0, 2.0, 7), "t_max": 2.5},
    "integrate": {"energy": "integrate"},
    "enforce": {"energy": "enforce"},
    "max_steps": {"max_steps": 7},
    "max_evaluations": {"max_evaluations": 61},
    "sizes": {"first_step": 1e-3, "max_step": 0.25, "t_max": 4.0},
    "out of reach": {"tol": 1e-14, "rtol": 1e-6, "atol": 1e-9},
    "hovers to the horizon": {"tol": 1e-13, "rtol": 1e-5, "atol": 1e-8, "t_max": 120.0},
}


def start(flow, seed=0):
    return 2.0 * np.random.default_rng(seed).normal(size=flow.dim)


def both(monkeypatch, run, *arguments, **how):
    """Return what ``run`` gives through the compiled loop and, second, step by step."""
    calls = []
    advance = NativePhase.advance

    def counted(phase, room, pause):
        calls.append(room)
        return advance(phase, room, pause)

    with monkeypatch.context() as patch:
        patch.setattr(NativePhase, "advance", counted)
        compiled = run(*arguments, **how)
    assert calls
    with monkeypatch.context() as patch:
        patch.setattr(native, "COMPILED", ())
        patch.setattr(NativePhase, "advance", None)
        return compiled, run(*arguments, **how)


def assert_same(compiled, stepped):
    for name in (
        "t", "y", "phase", "loss", "grad_norm", "switch_times", "switch_states", "final_state",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(compiled, name), getattr(stepped, name), name)
    for name in (
        "stop", "message", "success", "status", "counts", "nfev", "njev", "nlu", "method", "energy",
        "final_time", "final_phase",
    ):  # fmt: skip
        assert getattr(compiled, name) == getattr(stepped, name), name
    assert (compiled.sol is None) == (stepped.sol is None)
    if compiled.sol is not None:
        times = np.linspace(compiled.t[0], compiled.t[-1], 57)
        np.testing.assert_array_equal(compiled.sol(times), stepped.sol(times))


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_flow(monkeypatch, family, flow, method):
    if (method == "Rodas5P" and flow in NOT_STIFF) or (method == "RKC2" and flow == "modified"):
        pytest.skip("goes step by step")
    chosen = FLOWS[flow](FAMILIES[family](1))
    how = {"method": method, "tol": 1e-7}
    compiled, stepped = both(monkeypatch, mo.solve, chosen, start(chosen), **how)
    assert_same(compiled, stepped)
    assert compiled.stop is mo.StopReason.STATIONARY
    assert compiled.switch_times.size == (flow == "bimaml")


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option(monkeypatch, option, method):
    for family, flow in (("logistic", "bimaml"), ("regression", "maml"), ("sinusoid", "bimaml")):
        if family == "regression" and "atol" in OPTIONS[option]:
            continue  # refused beforehand
        chosen = FLOWS[flow](FAMILIES[family](2))
        how = {"method": method, **OPTIONS[option]}
        assert_same(*both(monkeypatch, mo.solve, chosen, start(chosen, 1), **how))


def test_random_problems_of_any_stiffness_and_tolerance(monkeypatch):
    """Stalls, lowered tolerances, stiffness that shows, norms that rise and dip: whatever comes."""
    stops, rejected, methods = set(), 0, set()
    for seed in range(24):
        rng = np.random.default_rng(seed)
        d = int(rng.integers(1, 7))
        Q = np.linalg.qr(rng.normal(size=(2, d, d)))[0]
        values = 10.0 ** rng.uniform(-1, 3, size=(2, d)) * (
            1 if seed % 3 else rng.choice([1, -0.01])
        )
        H = Q @ (values[:, :, None] * Q.transpose(0, 2, 1))
        tasks = mo.tasks.Quadratic(0.5 * (H + H.transpose(0, 2, 1)), rng.normal(size=(2, d)))
        alpha = 10.0 ** rng.uniform(-5, -3)
        until = 10.0 ** rng.uniform(-4, 1)
        flow = mo.bimaml_flow(tasks, alpha, until, rule=str(rng.choice(["one_way", "retest"])))
        how = {
            "method": str(rng.choice([*NAMES, "auto"])),
            "tol": 10.0 ** rng.uniform(-9, -2),
            "t_max": 10.0 ** rng.uniform(-1, 1),
            "rtol": 10.0 ** rng.uniform(-9, -3),
            "max_steps": 1500,
        }
        compiled, stepped = both(monkeypatch, mo.solve, flow, start(flow, seed), **how)
        assert_same(compiled, stepped)
        stops.add(compiled.stop)
        rejected += compiled.counts.rejected
        methods.add(compiled.method.split(";")[-1].split()[0])
    assert len(stops) >= 2
    assert rejected > 10


def test_a_field_that_is_not_finite_everywhere(monkeypatch):
    """exp overflows on the way of a long step: trials are rejected, and too long a first step is mended."""
    tasks = mo.tasks.Symbolic("a*exp(exp(w)) + w**2", "w", {"a": [1.0, 2.0]})
    flow = mo.maml_flow(tasks, 1e-4)
    found = set()
    for w0, first in ((3.0, None), (1.5, 5.0), (3.5, 1.0), (-40.0, 15.0), (4.0, None)):
        how = {} if first is None else {"first_step": first}
        for method in NAMES:
            how["method"] = method
            compiled, stepped = both(monkeypatch, mo.solve, flow, [w0], t_max=20.0, **how)
            assert_same(compiled, stepped)
            found.add(compiled.stop)
    assert mo.StopReason.STATIONARY in found


@pytest.mark.parametrize("method", NAMES)
def test_runs_without_a_further_step_end_with_the_same_sentence(monkeypatch, method):
    """A singularity on the way, one beyond which there is nothing, one where the path begins, and no end."""
    sentences = set()
    for text, w0 in (("a*sqrt(w)", 1.0), ("-a*w**4", 1.0), ("a*(w + w**2.5)", 0.0), ("a*w", 1.0)):
        flow = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Symbolic(text, "w", {"a": [1.0]})))
        how = {"method": method, "diagnostics": False}
        if text != "a*w":
            how |= {"tol": 0.0, "t_max": 5.0}
        if w0 == 0.0:  # where shorter first steps are tried for long
            how |= {"max_evaluations": 1000}
        compiled, stepped = both(monkeypatch, mo.solve, flow, [w0], **how)
        assert_same(compiled, stepped)
        assert not compiled.success
        assert w0 == 1.0 or compiled.stop is mo.StopReason.EVALUATION_LIMIT
        sentences |= {
            said
            for said in ("less than spacing", "met a right-hand side", "Nothing but the horizon")
            if said in compiled.message
        }
    assert len(sentences) == 3, sentences


@pytest.mark.parametrize("method", NAMES)
def test_callbacks_see_every_step(monkeypatch, method):
    flow = FLOWS["bimaml"](FAMILIES["logistic"](3))

    def run(seen=None, last=None):
        def callback(state):
            if seen is not None:
                seen.append((state.t, state.w.tolist(), state.phase, state.field_norm, state.step))
            return state.step == last

        return mo.solve(flow, start(flow), method=method, callback=callback)

    one, other = [], []
    assert_same(*both(monkeypatch, lambda: run(last=9)))
    whole = mo.solve(flow, start(flow), method=method)
    run(one)
    with monkeypatch.context() as patch:
        patch.setattr(native, "COMPILED", ())
        run(other)
    assert one == other
    # Not those in which the phase or the run ends.
    assert len(one) == whole.counts.steps - 2


@pytest.mark.parametrize("method", NAMES)
def test_rules_of_any_kind_and_flows_that_come_again(monkeypatch, method):
    tasks = FAMILIES["logistic"](4)
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.3)
    flows = [
        mo.Flow([mo.Phase(f, until=lambda t, w: 0.7 - t), mo.Phase(F)]),
        mo.Flow([mo.Phase(f, until=lambda t, w: float(w @ w) - 0.5), mo.Phase(F)]),
        mo.Flow([mo.Phase(F, until=GradientNormBelow(f, 0.1)), mo.Phase(F)]),
        mo.bimaml_flow(tasks, 0.3, switch="auto"),
        mo.bimaml_flow(tasks, 0.3, 0.05, rule="retest"),
        mo.bimaml_flow(tasks, 0.3, 0.2, rule="as_printed"),
        mo.Flow(
            [
                mo.Phase(f, until=GradientNormBelow(f, 0.1)),
                mo.Phase(F, until=GradientNormBelow(F, 0.05)),
                mo.Phase(f),
            ]
        ),
    ]
    for flow in flows:
        for sliding in ("stop", "follow") if flow.retested else ("stop",):
            how = {"method": method, "tol": 1e-6, "t_max": 60.0, "sliding": sliding}
            assert_same(*both(monkeypatch, mo.solve, flow, start(flow), **how))


@pytest.mark.parametrize("method", NAMES)
def test_resumed_runs(monkeypatch, method):
    flow = FLOWS["bimaml"](FAMILIES["regression"](5))

    def run():
        first = mo.solve(flow, start(flow), method=method, t_max=1.0)
        return mo.solve(flow, resume=first, method=method)

    assert_same(*both(monkeypatch, run))


def test_modified_flows_and_subclasses(monkeypatch):
    """A subclass may do anything at a step, so that it is asked at every one."""
    flow = mo.modified_flow(mo.ExpectedLoss(quadratic(6)), 0.1)
    assert isinstance(flow.phases[0].field, ModifiedField)
    compiled, stepped = both(monkeypatch, mo.solve, flow, start(flow), method="DOP853")
    assert_same(compiled, stepped)
    steps = []

    class Own(METHODS["DOP853"]):
        def _step_impl(self):
            steps.append(self.t)
            return super()._step_impl()

    own = mo.solve(flow, start(flow), method=Own)
    assert len(steps) == own.counts.steps
    np.testing.assert_array_equal(own.y, compiled.y)
    assert own.counts == compiled.counts


def test_a_step_limit_is_kept_to_the_step(monkeypatch):
    """Also just before and just after a switch, which counts as a step."""
    flow = FLOWS["bimaml"](FAMILIES["logistic"](3))
    whole = mo.solve(flow, start(flow), method="DOP853", diagnostics=False)
    for most in range(1, whole.counts.steps + 2):
        how = {"method": "DOP853", "max_steps": most, "diagnostics": False}
        compiled, stepped = both(monkeypatch, mo.solve, flow, start(flow), **how)
        assert_same(compiled, stepped)


@pytest.mark.parametrize(("seconds", "pause"), [(1e9, 1), (1e-5, 2000), (0.0, 200_000)])
def test_a_call_takes_a_fiftieth_of_a_second_and_says_how_long_evaluations_take(seconds, pause):
    asked = []

    def advance(*given):
        asked.append(given)
        time.sleep(0.02)
        return 0

    phase = SimpleNamespace(advance=advance, book=lambda: None, evaluations=10)
    stepper = native.NativeStepper(None, None, every_step=False)
    stepper._seconds_per_evaluation = seconds
    assert stepper._advance(phase, None, 5) == (0, None)
    assert asked[0][0] == 5
    assert abs(asked[0][1] - pause) <= (pause > 1)
    assert 0.0019 < stepper._seconds_per_evaluation < 0.15


@pytest.mark.parametrize("dense", [None, lambda t: np.array([3.0 * t])])
def test_a_landing_that_fails_is_where_the_step_went(monkeypatch, dense):
    """By its interpolant if it has one, or where it began."""
    phase = SimpleNamespace(
        t=0.0, advance=lambda *given: native.TOO_SMALL, book=lambda: None, evaluations=0,
        batches=lambda apart: [], settle=lambda: None,
    )  # fmt: skip
    monkeypatch.setattr(native, "_phase", lambda *given: phase)
    plan = SimpleNamespace(_replace=lambda **changes: None)
    segment = SimpleNamespace(evaluator=lambda t, w: w)
    record = SimpleNamespace(keeps_solution=False)
    crossing = SimpleNamespace(t_old=0.0, w_old=np.array([7.0]), interpolant=dense)
    landing = native.NativeStepper(record, None, every_step=False)._step_natively(
        0.5, segment, plan, crossing
    )
    assert (landing.t, landing.times, landing.interpolants) == (0.5, [0.5], [dense])
    assert landing.w.tolist() == ([7.0] if dense is None else [1.5])


@pytest.mark.parametrize(("dim", "rows"), [(1, 128), (5000, 52), (60_000, 8)])
def test_a_call_keeps_as_many_steps_as_are_affordable_and_a_bad_guess_is_told_once(dim, rows):
    evaluator = SimpleNamespace(non_finite=0)
    phase = NativePhase(
        COMPILED[0], evaluator, 0.0, np.zeros(dim), np.zeros(dim), 1.0,
        Tolerances(1e-3, 1e-6, True, True), None, np.inf,
    )  # fmt: skip
    assert phase.rows == rows
    assert phase.states.shape == (rows + 1, dim)
    phase._integers[phase._bad_guess] = 1
    phase.book()
    phase.book()
    assert evaluator.non_finite == 1


def test_the_finest_tolerance_is_compiled(monkeypatch):
    calls, advance = [], NativePhase.advance
    monkeypatch.setattr(NativePhase, "advance", lambda *given: calls.append(1) or advance(*given))
    flow = FLOWS["maml"](FAMILIES["logistic"](3))
    how = {"method": "DOP853", "atol": 1e-3, "tol": 0, "t_max": 0.1}
    mo.solve(flow, start(flow), rtol=SMALLEST_RTOL, **how)
    assert calls


def test_phases_that_nobody_watches_are_a_call_each(monkeypatch):
    monkeypatch.setattr(native, "BATCH_SECONDS", 1e3)
    calls = []
    advance = NativePhase.advance
    monkeypatch.setattr(
        NativePhase, "advance", lambda *arguments: calls.append(1) or advance(*arguments)
    )
    tasks = FAMILIES["regression"](3)
    for flow, most in ((FLOWS["maml"](tasks), 1), (FLOWS["bimaml"](tasks), 2)):
        calls.clear()
        run = mo.solve(flow, start(flow), method="DOP853", tol=1e-6)
        assert run.counts.steps > 10
        # Landing on the switch takes a few steps of its own.
        assert most <= len(calls) <= (1 if most == 1 else 8)


def test_however_batches_are_cut_the_run_is_the_same(monkeypatch):
    """In the midst of trials too, and between the looks for stiffness, which are 50 steps apart."""
    smooth = margins(mo.tasks.SVM, 7, loss="smooth_hinge", smoothing=0.01)
    stiff = mo.tasks.Quadratic([np.diag([1.0, 3e3, 40.0])], [np.ones(3)])
    runs = [
        (mo.bimaml_flow(smooth, 0.05, 0.03), {"method": "Tsit5", "first_step": 5.0}),
        (mo.maml_flow(stiff, 1e-5), {"method": "auto", "rtol": 1e-6}),
    ]
    advance = NativePhase.advance
    for flow, how in runs:
        whole = mo.solve(flow, start(flow), tol=1e-6, **how)
        assert whole.counts.rejected > 0 or "Rodas5P from t" in whole.method
        for room, pause in ((1000, 1), (1000, 20), (3, 1000), (37, 1000), (1, 1)):

            def cut(phase, most, _, room=room, pause=pause):
                return advance(phase, min(most, room), pause)

            with monkeypatch.context() as patch:
                patch.setattr(NativePhase, "advance", cut)
                assert_same(mo.solve(flow, start(flow), tol=1e-6, **how), whole)


def test_a_key_between_batches_keeps_what_is_done():
    """The loop comes back every 20 ms of evaluations; whatever it has done by then is in the record."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(1500, 30)) for _ in range(40)]
    y = [np.where(x[:, 0] + rng.normal(size=1500) > 0, 1.0, -1.0) for x in X]
    flow = mo.maml_flow(mo.tasks.LogisticRegression(X, y, l2=1e-6), 0.01)
    how = {"method": "DOP853", "tol": 1e-9, "diagnostics": False}
    w0 = np.zeros(30)
    mo.solve(flow, w0, max_steps=2, **how)

    def press(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGVTALRM, press)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.08)
        run = mo.solve(flow, w0, **how)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert run.stop is mo.StopReason.INTERRUPTED
    assert len(run) > 3
    assert run.elapsed < 2.0
    assert run.counts.steps == len(run) - 1
    rest = mo.solve(flow, resume=run, t_max=run.final_time + 1.0, **how)
    assert rest.final_time == run.final_time + 1.0


def test_a_time_limit_ends_a_run_between_batches():
    rng = np.random.default_rng(1)
    X = [rng.normal(size=(300, 20)) for _ in range(20)]
    y = [np.where(x[:, 0] > 0, 1.0, -1.0) for x in X]
    flow = mo.maml_flow(mo.tasks.LogisticRegression(X, y, l2=1e-6), 0.01)
    how = {"method": "DOP853", "tol": 1e-10, "diagnostics": False}
    mo.solve(flow, np.zeros(20), max_steps=2, **how)
    run = mo.solve(flow, np.zeros(20), max_seconds=0.2, **how)
    assert run.stop is mo.StopReason.TIME_LIMIT
    assert len(run) > 3
    assert run.elapsed < 1.0


def test_entries_are_packed_where_a_record_has_them():
    pack, at = phase_record.packing("t_bound", "max_step", "target", "sign")
    entries = bytearray(phase_record.new_phases(best=7.0).tobytes())
    pack(entries, at, 1.0, 2.0, 3.0, -1.0)
    record = np.frombuffer(entries, phase_record.PHASE_DTYPE)[0]
    names = ("t_bound", "max_step", "target", "sign", "best", "error_order", "threshold")
    assert [record[name] for name in names] == [1.0, 2.0, 3.0, -1.0, 7.0, 0, 0.0]
    pack, at = phase_record.packing("room", "pause")
    pack(entries, at, 5, 6)
    assert [record["room"], record["pause"], record["friction"]] == [5, 6, 0.0]
    with pytest.raises(ValueError, match="pause, room do not stand one after the other"):
        phase_record.packing("pause", "room")


def test_compiled_code_is_called_as_numba_calls_it():
    @numba.njit("float64(float64[::1], float64)")
    def scaled_sum(values, factor):
        return values.sum() * factor

    call = unasked(scaled_sum)
    assert call is not scaled_sum
    assert call(np.arange(4.0), 0.5) == scaled_sum(np.arange(4.0), 0.5) == 3.0
    with pytest.raises(TypeError):
        call([1.0], 0.5)
