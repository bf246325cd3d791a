"""Momentum and Nesterov's flow in compiled code: what the step-by-step paths give, and plain NumPy besides."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import MomentumField, NesterovField
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.second_order_fields import SecondOrderField
from maml_ode.integrate import euler_verb
from maml_ode.integrate.steppers.euler import EulerStepper
from maml_ode.integrate.steppers.euler_phase import EulerPhase

from .test_native_euler import assert_same as assert_same_iterates
from .test_native_phase import FAMILIES, OPTIONS, assert_same, both, start

METHODS = ["Tsit5", "DOP853", "RKC2"]


def two_phases(first, second, f, eps=0.2):
    return mo.Flow([mo.Phase(first, until=GradientNormBelow(f, eps)), mo.Phase(second)])


def flows(tasks):
    F, f = mo.MAMLLoss(tasks, 0.05, inner_steps=2), mo.ExpectedLoss(tasks)
    return {
        "momentum": mo.momentum_flow(F, 1.3),
        "no friction": mo.momentum_flow(f, 0.0),
        "Nesterov": mo.nesterov_flow(F, 4.0),
        "momentum twice": two_phases(MomentumField(f, 1.3), MomentumField(F, 1.3), f),
        "Nesterov twice": two_phases(NesterovField(f), NesterovField(F), f),
        "plain, then Nesterov": two_phases(mo.fields.GradientField(f), NesterovField(F), f),
        "Nesterov, then momentum": two_phases(NesterovField(f), MomentumField(F, 1.3), f),
        "momentum, then plain": two_phases(MomentumField(f, 1.3), mo.fields.GradientField(F), f),
    }


NAMES = list(flows(FAMILIES["sinusoid"](0)))


def assert_same_states(one, other):
    np.testing.assert_array_equal(one.z, other.z)
    np.testing.assert_array_equal(one.final_z, other.final_z)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_and_flow(monkeypatch, family, method):
    loose = {"rtol": 1e-3, "atol": 1e-5} if method == "RKC2" else {"rtol": 1e-5, "atol": 1e-7}
    for name, flow in flows(FAMILIES[family](1)).items():
        how = {
            "method": method,
            "tol": 1e-6,
            "t_max": 5.0,
            "diagnostics": method == "Tsit5",
            **loose,
        }
        compiled, stepped = both(monkeypatch, mo.solve, flow, start(flow), **how)
        assert_same(compiled, stepped)
        assert_same_states(compiled, stepped)
        assert flow.phases[0].field.native is not None
        with monkeypatch.context() as patch:
            patch.setattr(SecondOrderField, "native", None)
            alone = mo.solve(flows(FAMILIES[family](1))[name], start(flow), **how)
        for part in ("steps", "rejected"):
            assert getattr(alone.counts, part) == getattr(compiled.counts, part), name
        # A look inside a step makes Python's evaluator forget what it evaluated at the end.
        assert alone.nfev == compiled.nfev or len(flow.phases) > 1, name
        assert alone.stop is compiled.stop
        np.testing.assert_allclose(alone.final_z, compiled.final_z, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(alone.switch_times, compiled.switch_times, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option(monkeypatch, option, method):
    how = {"method": method, "tol": 1e-5, "max_steps": 2000, **OPTIONS[option]}
    how.setdefault("t_max", 15.0)
    if method == "RKC2":
        how = {"rtol": 1e-3, "atol": 1e-5, **how}
    for family, name in (("logistic", "momentum twice"), ("sinusoid", "Nesterov")):
        flow = flows(FAMILIES[family](2))[name]
        compiled, stepped = both(monkeypatch, mo.solve, flow, start(flow, 1), **how)
        assert_same(compiled, stepped)
        assert_same_states(compiled, stepped)


def test_at_rest_where_force_and_velocity_are(monkeypatch):
    """Also where the norm hovers above a target out of reach, with a clock in the state and without one."""
    stops = set()
    for family in ("quadratic", "logistic"):
        tasks = FAMILIES[family](3)
        for flow in (mo.momentum_flow(mo.MAMLLoss(tasks, 0.05), 2.0), flows(tasks)["Nesterov"]):
            for tol, rtol in ((1e-4, 1e-6), (1e-9, 1e-4)):
                how = {"method": "DOP853", "tol": tol, "rtol": rtol, "max_steps": 3000}
                compiled, stepped = both(monkeypatch, mo.solve, flow, start(flow), **how)
                assert_same(compiled, stepped)
                stops.add(compiled.stop)
                if compiled.stop is mo.StopReason.STATIONARY:
                    force = np.linalg.norm(flow.objective.gradient(compiled.w))
                    d = flow.dim
                    assert max(force, np.linalg.norm(compiled.final_z[d : 2 * d])) <= tol
    assert mo.StopReason.STATIONARY in stops
    # Steps at whose ends the force and the velocity are small together, and what they sum up to is not.
    sinusoid = mo.MAMLLoss(FAMILIES["sinusoid"](3), 0.05)
    for tol in np.geomspace(1e-1, 1e-5, 25):
        flow = mo.momentum_flow(sinusoid, 1.0)
        how = {"method": "Tsit5", "tol": tol, "rtol": 1e-6, "diagnostics": False}
        assert_same(*both(monkeypatch, mo.solve, flow, start(flow), **how))


def test_resumed_runs_and_callbacks(monkeypatch):
    flow = flows(FAMILIES["regression"](5))["Nesterov, then momentum"]
    seen = []

    def run():
        first = mo.solve(flow, start(flow), method="Tsit5", t_max=0.3)
        seen.append([])
        note = seen[-1].append
        return mo.solve(
            flow, resume=first, method="Tsit5", t_max=8.0,
            callback=lambda s: note((s.t, s.w.tolist(), s.phase, s.field_norm, s.step)),
        )  # fmt: skip

    compiled, stepped = both(monkeypatch, run)
    assert_same(compiled, stepped)
    assert seen[0] == seen[1] != []


def test_the_handle_is_the_field_anywhere():
    from maml_ode.compiled.fields import evaluate

    rng = np.random.default_rng(8)
    for family in FAMILIES:
        tasks = FAMILIES[family](8)
        F, f = mo.MAMLLoss(tasks, 0.1), mo.ExpectedLoss(tasks)
        for field, t in (
            (MomentumField(F, 0.6), 0),
            (NesterovField(f), 0.7),
            (NesterovField(F), 0),
        ):
            z, out = rng.normal(size=field.state_dim), np.empty(field.state_dim)
            if field.clock is not None:
                z[-1] = t
            evaluate(field.native, z, out)
            np.testing.assert_allclose(out, field(z), rtol=1e-13, atol=1e-13)


def iterates(monkeypatch, flow, w0, step_size=0.05, **how):
    """Return what ``euler`` gives through the compiled loop and, second, step by step; and the loop's calls."""
    calls, advance = [], EulerPhase._batch
    monkeypatch.setattr(euler_verb, "FEW_ITERATIONS", 20)
    with monkeypatch.context() as patch:
        patch.setattr(EulerPhase, "_batch", lambda *given: calls.append(1) or advance(*given))
        compiled = mo.euler(flow, w0, step_size, **how)
    with monkeypatch.context() as patch:
        patch.setattr(EulerStepper, "_compiled", lambda *given: None)
        patch.setattr(EulerStepper, "_compiled_lifted", lambda *given: None)
        stepped = mo.euler(flow, w0, step_size, **how)
    return compiled, stepped, len(calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_heavy_ball_and_nesterov_for_every_family_and_flow(monkeypatch, family):
    for name, flow in flows(FAMILIES[family](1)).items():
        for how in (
            {"max_iter": 400},
            {"max_iter": 313, "record_every": 100},
            {"max_iter": 700, "tol": 1e-3, "record_every": 7},
        ):
            compiled, stepped, calls = iterates(monkeypatch, flow, start(flow), **how)
            assert_same_iterates(compiled, stepped)
            assert_same_states(compiled, stepped)
            assert 0 < calls < 40, name
            assert compiled.switch_times.size == len(flow.phases) - 1


def test_a_rule_of_heavy_ball_looks_at_the_gradient_it_steps_with():
    """As plain Euler's does; Nesterov's method evaluates it elsewhere."""
    calls = []
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.5 * float(w @ w), lambda i, w: calls.append(1) or w.copy(), n_tasks=1, dim=2
    )
    f = mo.ExpectedLoss(tasks)
    for field, each in ((MomentumField(f, 0.5), 1), (NesterovField(f), 2)):
        flow = mo.Flow([mo.Phase(field, until=GradientNormBelow(f, 1e-9))])
        calls.clear()
        run = mo.euler(flow, [1.0, 2.0], 0.1, max_iter=30, diagnostics=False)
        assert run.counts.gradients == len(calls)
        assert abs(len(calls) - each * 30) <= 2


@pytest.mark.parametrize(
    ("tol", "max_iter", "batches"), [(0.0, 1, 0), (0.0, 2, 1), (1e-30, 1, 1), (1e-30, 2, 1)]
)
@pytest.mark.parametrize("family", ["logistic", "quadratic"])
def test_what_room_there_is_goes_to_one_compiled_call(monkeypatch, family, tol, max_iter, batches):
    """With tol = 0 nobody asks for the field at the last iterate."""
    for name in ("momentum", "Nesterov"):
        flow = flows(FAMILIES[family](1))[name]
        compiled, stepped, calls = iterates(
            monkeypatch, flow, start(flow), max_iter=max_iter, tol=tol
        )
        assert_same_iterates(compiled, stepped)
        assert calls == (batches if family == "logistic" else 0)  # few iterations stay in NumPy
        assert compiled.nfev == max_iter + (tol > 0)


@pytest.mark.parametrize("tol", [0.25, 0.2])
def test_nesterovs_method_looks_at_w_where_its_look_ahead_is_small_and_nowhere_else(tol):
    """From rest at 1/4 it looks ahead to 1/4 itself: a norm that equals tol ends the run."""
    calls = []
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.5 * float(w @ w),
        lambda i, w: calls.append(w[0]) or w.copy(),
        n_tasks=1,
        dim=1,
    )
    flow = mo.nesterov_flow(mo.ExpectedLoss(tasks))
    run = mo.euler(flow, [0.25], 1e-6, tol=tol, max_iter=5, diagnostics=False)
    if tol == 0.25:
        assert run.stop is mo.StopReason.STATIONARY
        assert run.counts.steps == 0
        assert run.nfev == 1  # the evaluator remembers
    else:
        assert (run.counts.steps, run.nfev) == (5, 6)
    assert len(calls) == run.nfev


def test_however_batches_are_cut_the_iterates_are_the_same(monkeypatch):
    batch = EulerPhase._batch
    for name in ("momentum twice", "Nesterov twice"):
        flow = flows(FAMILIES["logistic"](1))[name]
        how = {"max_iter": 400, "record_every": 3, "tol": 1e-3}
        whole = mo.euler(flow, start(flow), 0.05, **how)
        for most in (1, 2, 50):
            with monkeypatch.context() as patch:
                patch.setattr(
                    EulerPhase, "_batch", lambda phase, k, room, most=most: batch(phase, k, min(room, most))
                )  # fmt: skip
                assert_same_iterates(mo.euler(flow, start(flow), 0.05, **how), whole)


def test_iterates_that_grow_or_rest_end_as_step_by_step(monkeypatch):
    steep = mo.tasks.Symbolic("a*w**4", "w", {"a": [1.0, 2.0]})
    still = mo.tasks.Quadratic([np.eye(2)], [np.zeros(2)])
    stops = set()
    for tasks, w0 in ((steep, [10.0]), (still, [0.0, 0.0])):
        f = mo.ExpectedLoss(tasks)
        for field in (MomentumField(f, 0.5), NesterovField(f)):
            for flow in (mo.Flow([mo.Phase(field)]), two_phases(field, field, f, 1e-300)):
                compiled, stepped, _ = iterates(monkeypatch, flow, w0, 1.0, max_iter=2000)
                assert_same_iterates(compiled, stepped)
                stops.add(compiled.stop)
    assert {mo.StopReason.NON_FINITE, mo.StopReason.STEP_LIMIT} <= stops
