"""Native fields: the same values, the same steps, the same counts as the Python path."""

import copy
import pickle

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import maml_ode as mo
from maml_ode.compiled import fields as native_fields
from maml_ode.fields import (
    CallableField,
    FirstOrderField,
    GradientField,
    ModifiedField,
    ReptileField,
)
from maml_ode.integrate.solvers import METHODS


def ragged_logistic(d=3, sizes=(7, 1, 4), seed=0):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, d)) for n in sizes]
    y = [np.where(rng.random(n) < 0.5, -1.0, 1.0) for n in sizes]
    weights = np.arange(1.0, len(sizes) + 1)
    return mo.tasks.LogisticRegression(X, y, l2=0.1, weights=weights / weights.sum())


def quadratic(d=3, M=2, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(M, d, d))
    return mo.tasks.Quadratic(root @ root.transpose(0, 2, 1) / d, rng.normal(size=(M, d)))


def some_fields():
    logistic, other, single = ragged_logistic(), ragged_logistic(seed=1), ragged_logistic(1, (1,))
    return {
        "expected loss": GradientField(mo.ExpectedLoss(logistic)),
        "maml": GradientField(mo.MAMLLoss(logistic, 0.3)),
        "maml, query": GradientField(mo.MAMLLoss(logistic, 0.3, inner_steps=3, query=other)),
        "maml, M = n = d = 1": GradientField(mo.MAMLLoss(single, 0.3)),
        "first order": FirstOrderField(logistic, 0.3, 2, other),
        "reptile": ReptileField(logistic, 0.3, 3),
        "quadratic": GradientField(mo.MAMLLoss(quadratic(), 0.1)),
        "quadratic, M = d = 1": GradientField(mo.MAMLLoss(quadratic(1, 1), 0.1)),
        "reptile, quadratic": ReptileField(quadratic(), 0.1, 2),
        "modified, quadratic": ModifiedField(mo.ExpectedLoss(quadratic()), 0.1),
    }


FIELDS = some_fields()


@pytest.mark.parametrize("name", FIELDS)
def test_native_evaluation_equals_the_fields_own(name):
    field = FIELDS[name]
    out = np.empty(field.dim)
    for seed in range(3):
        w = np.random.default_rng(seed).normal(size=field.dim)
        native_fields.evaluate(field.native, w, out)
        np.testing.assert_allclose(out, field(w), rtol=2e-15, atol=2e-15)


def test_fields_without_compiled_kernels_have_no_handle():
    assert CallableField(lambda w: -w, 2).native is None
    callables = mo.tasks.from_callables(
        [lambda w: float(w @ w)], [lambda w: 2 * w], [lambda w: 2 * np.eye(2)], n_tasks=1, dim=2
    )
    assert GradientField(mo.ExpectedLoss(callables)).native is None
    assert GradientField(mo.ExpectedLoss(callables)).native_curved is None
    assert ModifiedField(mo.ExpectedLoss(callables), 0.1).native is None
    with pytest.raises(TypeError, match="affine_field"):
        native_fields.Field()


@pytest.mark.parametrize("name", ["maml", "quadratic"])
def test_a_field_with_a_handle_can_be_copied_and_sent(name):
    field = some_fields()[name]
    assert field.native is not None
    w = np.linspace(-1, 1, field.dim)
    for twin in (copy.deepcopy(field), pickle.loads(pickle.dumps(field))):
        out = np.empty(field.dim)
        native_fields.evaluate(twin.native, w, out)
        np.testing.assert_array_equal(out, twin(w))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "name", ["maml, query", "first order", "quadratic", "quadratic, M = d = 1"]
)
def test_native_steps_equal_python_steps(method, name, counted_field):
    field = FIELDS[name]
    start = np.linspace(-2, 2, field.dim)
    runs = []
    for native in (True, False):
        fun = counted_field(field, native)
        run = solve_ivp(
            fun, (0, 20), start, method=METHODS[method], rtol=1e-5, atol=1e-7, dense_output=True
        )
        assert run.nfev == fun.evaluations
        for w, value in fun.remembered:
            np.testing.assert_allclose(value, field(w), rtol=1e-14, atol=1e-14)
        runs.append((run, fun))
    (fast, fast_fun), (slow, slow_fun) = runs
    assert fast.nfev == slow.nfev
    assert len(fast_fun.remembered) == (0 if "Rodas" in method else len(fast.t) - 1)
    # Stages of dense output alone are evaluations that come after the one at the accepted state.
    assert len(slow_fun.remembered) == (len(slow.t) - 1 if method == "DOP853" else 0)
    assert (fast.njev, fast.nlu) == (slow.njev, slow.nlu)
    np.testing.assert_allclose(fast.t, slow.t, rtol=1e-13)
    np.testing.assert_allclose(fast.y, slow.y, rtol=1e-13, atol=1e-14)
    times = np.linspace(0, 20, 31)
    np.testing.assert_allclose(fast.sol(times), slow.sol(times), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_nfev_and_njev_equal_an_outside_counter(method):
    calls = {"fun": 0, "jac": 0}

    def fun(t, y):
        calls["fun"] += 1
        return np.array([y[1], 2 * (1 - y[0] ** 2) * y[1] - y[0] + np.cos(t)])

    def jac(t, y):
        calls["jac"] += 1
        return np.array([[0, 1], [-4 * y[0] * y[1] - 1, 2 * (1 - y[0] ** 2)]])

    class Counted(METHODS[method]):
        def _difference_jacobian(self, h):
            calls["jac"] += 1
            before = calls["fun"]
            jacobian = super()._difference_jacobian(h)
            assert calls["fun"] == before + 2
            return jacobian

    implicit = "Rodas" in method
    for option in [{}, {"jac": jac}] if implicit else [{}]:
        calls.update(fun=0, jac=0)
        run = solve_ivp(
            fun, (0, 5), [1.0, 0.0], method=Counted, dense_output=True,
            events=lambda t, y: y[0], **option,
        )  # fmt: skip
        assert run.success
        assert run.nfev == calls["fun"]
        assert run.njev == calls["jac"]
        assert (run.njev > 0) == implicit


@pytest.mark.parametrize("method", METHODS)
def test_rejections_are_counted(method):
    # The right-hand side jumps at t = 1, which no step can cross without a shorter trial.
    solver = METHODS[method](
        lambda t, y: np.array([1.0 if t < 1 else -50.0]), 0.0, [0.0], 2.0, rtol=1e-6, atol=1e-9
    )
    steps, trials = 0, []
    attempt = solver._attempt
    solver._attempt = lambda *arguments: trials.append(1) or attempt(*arguments)
    while solver.status == "running":
        solver.step()
        steps += 1
    assert solver.status == "finished"
    assert solver.n_rejected == len(trials) - steps > 0
    assert solver.y[0] == pytest.approx(-49.0, abs=1e-3)
