"""A field and its derivatives in compiled code: what Python makes of them, task by task."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.integrate.sensitivities.field import AugmentedField
from maml_ode.integrate.sensitivities.parameters import blocks_of

from .sensitivity_problems import Problem
from .test_native_phase import FAMILIES

FLOWS = {
    "maml": lambda tasks, query: mo.maml_flow(tasks, 0.2),
    "three inner steps, query": lambda tasks, query: mo.maml_flow(
        tasks, -0.1, inner_steps=3, query=query
    ),
    "per sample": lambda tasks, query: mo.gradient_flow(
        mo.MAMLLoss(tasks, 0.2, inner_steps=2, aggregate=False)
    ),
    "bimaml": lambda tasks, query: mo.bimaml_flow(tasks, 0.2, 1e-3),
    "fomaml": lambda tasks, query: mo.fomaml_flow(tasks, 0.2, inner_steps=2, query=query),
    "reptile": lambda tasks, query: mo.reptile_flow(tasks, 0.2, inner_steps=3),
}


def choices(flow):
    """Return the sets of parameters that a flow has, in an order of columns of their own."""
    alone = [["w0"], ["weights", "w0"], ["alpha"], ["w0", "alpha"], ["weights", "alpha", "w0"]]
    if flow.name == "bimaml":
        return [*alone, ["switch_tol", "alpha"], ["switch_tol", "w0", "weights"]]
    return alone


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_handle_is_the_field_and_its_derivatives(monkeypatch, family, flow):
    tasks, query = FAMILIES[family](1), FAMILIES[family](2)
    chosen = FLOWS[flow](tasks, query)
    rng = np.random.default_rng(3)
    for names in choices(chosen):
        blocks = blocks_of(chosen, names)
        for phase in chosen.phases:
            field = AugmentedField(phase.field, blocks)
            z = rng.normal(size=field.dim)
            first = blocks[0].columns.start * field.field.dim + field.field.dim
            for point in (z, np.concatenate([z[:first], np.zeros(field.dim - first)])):
                assert field.native is not None
                compiled = field(point)
                with monkeypatch.context() as patch:
                    patch.setattr(AugmentedField, "native", None)
                    alone = field(point)
                size = np.abs(alone).max()
                np.testing.assert_allclose(compiled, alone, rtol=1e-12, atol=1e-13 * size)


@pytest.mark.parametrize("method", ["DOP853", "Tsit5", "RKC2", "Rodas5P", "RK45"])
def test_runs_are_those_of_the_python_path(monkeypatch, method):
    """Rodas5P takes differences, which make much of rounding: its steps may be other ones."""
    for seed in range(10) if method == "DOP853" else (6,):
        problem = Problem(seed)
        problem.good["alpha"] = 0.1 * (-1) ** seed  # kernels are typed for one number
        flow = problem.flow(problem.good)
        field = AugmentedField(flow.phases[-1].field, blocks_of(flow, problem.names))
        assert (field.native is None) == (problem.kind == "callables")
        how = {"names": problem.names, "method": method, "rtol": 1e-6, "atol": 1e-8}
        compiled = problem.run(**how)
        with monkeypatch.context() as patch:
            patch.setattr(AugmentedField, "native", None)
            alone = problem.run(**how)
        assert compiled.stop is alone.stop is mo.StopReason.STATIONARY
        if method != "Rodas5P":
            assert compiled.counts.steps == alone.counts.steps
            assert compiled.counts.rejected == alone.counts.rejected
        np.testing.assert_allclose(compiled.w, alone.w, rtol=1e-7, atol=1e-8)
        for name, found in alone.sensitivities.items():
            for part in ("state", "switch_times", "final_time"):
                mine, wanted = getattr(compiled.sensitivities[name], part), getattr(found, part)
                size = np.nanmax(np.abs(wanted), initial=1.0)
                np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-6 * size, err_msg=part)


def test_what_only_python_can_evaluate_has_no_handle():
    tasks = FAMILIES["logistic"](1)
    own = mo.fields.CallableField(lambda w: -w, 3, jacobian=lambda w: -np.eye(3))
    for flow, names in (
        (mo.maml_flow(tasks, [0.1, 0.2, 0.3]), ["alpha"]),
        (mo.Flow([mo.Phase(own)], objective=mo.ExpectedLoss(tasks)), ["w0"]),
    ):
        assert AugmentedField(flow.phases[0].field, blocks_of(flow, names)).native is None
    modified = mo.modified_flow(mo.MAMLLoss(FAMILIES["quadratic"](1), 0.1), 0.2)
    field = AugmentedField(modified.phases[0].field, blocks_of(modified, ["w0"]))
    z = np.random.default_rng(0).normal(size=field.dim)
    K, k = field.field.affine.K, field.field.affine.k
    d = k.size
    wanted = np.concatenate([k - K @ z[:d], -(z[d:].reshape(d, d) @ K).ravel()])
    assert field.native is not None
    assert (field.smoothness, field.precision) == (field.field.smoothness - 1, 2.0**-52)
    np.testing.assert_allclose(field(z), wanted, rtol=1e-12, atol=1e-12)
