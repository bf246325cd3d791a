"""Flows and fields: what the named flows are, and what is refused."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField, FirstOrderField, ModifiedField, ReptileField


def numerical_jacobian(field, w, h=1e-6):
    columns = [(field(w + h * e) - field(w - h * e)) / (2 * h) for e in np.eye(w.size)]
    return np.array(columns).T


@pytest.fixture
def fields(logistic, quadratic):
    return [
        mo.maml_flow(logistic, 0.4, inner_steps=2).phases[0].field,
        FirstOrderField(logistic, 0.4, inner_steps=3),
        ReptileField(logistic, 0.4, inner_steps=3),
        ModifiedField(mo.MAMLLoss(quadratic, 0.3), 0.2),
        FirstOrderField(quadratic, 0.4, inner_steps=2),
        ReptileField(quadratic, 0.4, inner_steps=2),
    ]


def test_jacobians_are_the_derivatives_of_the_fields(fields):
    for field in fields:
        w = np.linspace(-1, 1, field.dim)
        jacobian = field.jacobian(w)
        np.testing.assert_allclose(jacobian, numerical_jacobian(field, w), atol=1e-8)
        v, h = np.linspace(1, 2, field.dim), 1e-6
        along = (field(w + h * v) - field(w - h * v)) / (2 * h)
        np.testing.assert_allclose(field.jacobian_vector(w, v), along, atol=1e-8)


def test_affine_fields_equal_the_compiled_loops(quadratic):
    """The aggregated matrix and the loop over the tasks are two routes to one field."""
    from maml_ode.compiled import maml, matrices

    w, out = np.linspace(-1, 2, 4), np.empty(4)
    for k in (1, 3):
        maml.gradient(quadratic.problem, quadratic.problem, w, 0.3, k, out)
        field = mo.maml_flow(quadratic, 0.3, inner_steps=k).phases[0].field
        np.testing.assert_allclose(field(w), -out, rtol=1e-12)
        maml.first_order_gradient(quadratic.problem, quadratic.problem, w, 0.3, k, out)
        np.testing.assert_allclose(FirstOrderField(quadratic, 0.3, k)(w), -out, rtol=1e-12)
        maml.reptile_gradient(quadratic.problem, w, 0.3, k, out)
        np.testing.assert_allclose(ReptileField(quadratic, 0.3, k)(w), -out, rtol=1e-12)
        fomaml, reptile = np.empty((4, 4)), np.empty((4, 4))
        matrices.first_order_jacobians(
            quadratic.curved_problem, quadratic.curved_problem, w, 0.3, k, fomaml, reptile
        )
        np.testing.assert_allclose(FirstOrderField(quadratic, 0.3, k).affine.K, fomaml, atol=1e-13)
        np.testing.assert_allclose(ReptileField(quadratic, 0.3, k).affine.K, reptile, atol=1e-13)


def test_python_families_follow_the_same_fields(logistic):
    twin = mo.tasks.from_callables(
        lambda i, w: logistic.losses(w)[i],
        lambda i, w: logistic.gradients(w)[i],
        lambda i, w: logistic.hessians(w)[i],
        n_tasks=3,
        dim=3,
    )
    w = np.array([0.3, -0.2, 0.9])
    for build in (
        lambda tasks: FirstOrderField(tasks, 0.4, 3),
        lambda tasks: ReptileField(tasks, 0.4, 3),
    ):
        np.testing.assert_allclose(build(twin)(w), build(logistic)(w), rtol=1e-13)
        np.testing.assert_allclose(
            build(twin).jacobian(w), build(logistic).jacobian(w), rtol=1e-11, atol=1e-14
        )


@pytest.mark.parametrize("build", [FirstOrderField, ReptileField])
def test_costs_of_first_order_fields_are_what_an_outside_counter_sees(build, logistic):
    calls = {"gradients": 0, "hessians": 0}

    def counted(name, i, w):
        calls[name] += 1
        return getattr(logistic, name)(w)[i]

    tasks = mo.tasks.from_callables(
        lambda i, w: logistic.losses(w)[i],
        lambda i, w: counted("gradients", i, w),
        lambda i, w: counted("hessians", i, w),
        n_tasks=3,
        dim=3,
    )
    assert build(tasks, 0.4).inner_steps == 1
    for steps in (1, 3):
        field = build(tasks, 0.4, steps)
        for evaluate, cost in ((field, field.cost), (field.jacobian, field.jacobian_cost)):
            calls.update(gradients=0, hessians=0)
            evaluate(np.ones(3))
            assert (calls["gradients"], calls["hessians"]) == (
                3 * cost.gradients,
                3 * cost.hessians,
            )


def test_reptile_with_one_step_is_the_gradient_flow_of_f(logistic):
    w = np.array([0.3, -0.2, 0.9])
    field = mo.reptile_flow(logistic, 0.7).phases[0].field
    np.testing.assert_allclose(field(w), -mo.ExpectedLoss(logistic).gradient(w), rtol=1e-14)


def test_fomaml_of_gradient_only_family_is_judged_by_f():
    tasks = mo.tasks.from_callables(
        lambda i, w: float((w[0] - i) ** 2), lambda i, w: 2 * (w - i), n_tasks=2, dim=1
    )
    run = mo.solve(mo.fomaml_flow(tasks, 0.1), [5.0], tol=1e-8)
    assert run.w == pytest.approx([0.5], abs=1e-7)
    assert isinstance(mo.fomaml_flow(tasks, 0.1).objective, mo.ExpectedLoss)


def test_flow_descriptions(quadratic, logistic):
    assert mo.maml_flow(quadratic, 0.1).name == "MAML"
    flow = mo.bimaml_flow(quadratic, 0.1, 0.2)
    assert [phase.field.label for phase in flow.phases] == ["-grad f", "-grad F"]
    assert flow.with_rule("retest").rule == "retest"
    assert flow.dim == 4


def test_ill_formed_flows_are_refused(quadratic, logistic):
    f = mo.ExpectedLoss(quadratic)
    other = mo.ExpectedLoss(logistic)
    with pytest.raises(ValueError, match="at least one Phase"):
        mo.Flow([])
    with pytest.raises(ValueError, match="needs until="):
        mo.Flow([mo.Phase(f), mo.Phase(f)])
    with pytest.raises(ValueError, match="phase 0 has d = 4 and phase 1 has d = 3"):
        mo.Flow([mo.Phase(f, until=lambda t, w: 1 - t), mo.Phase(other)])
    with pytest.raises(ValueError, match="pass objective="):
        mo.Flow([mo.Phase(CallableField(lambda w: -w, 2))])
    with pytest.raises(TypeError, match="CallableField"):
        mo.Phase(lambda w: -w)
    with pytest.raises(TypeError, match="until must be callable"):
        mo.Phase(f, until=3.0)
    with pytest.raises(TypeError, match=r"phases\[0\] must be a Phase"):
        mo.Flow([f])
    with pytest.raises(ValueError, match="as_printed"):
        mo.bimaml_flow(quadratic, 0.1, 0.2, rule="as printed")
    with pytest.raises(ValueError, match=r"must return shape \(2,\)"):
        CallableField(lambda w: np.ones(3), 2)(np.ones(2))


def test_online_switch_needs_no_tolerance_and_is_counted(make_quadratic):
    """It leaves phase 1 where ||grad f|| = 2 alpha ||E Hess f_i grad f_i||/sqrt(cost_ratio - 1)."""
    tasks, w0 = make_quadratic(M=4, d=5, seed=2), 3.0 * np.ones(5)
    flow = mo.bimaml_flow(tasks, 0.1, switch="auto")
    run = mo.solve(flow, w0, tol=1e-7)
    assert run.success
    w = run.switch_states[0]
    force = np.linalg.norm(tasks.weights @ tasks.hvps(w, tasks.gradients(w)))
    norm = np.linalg.norm(tasks.weights @ tasks.gradients(w))
    assert norm == pytest.approx(2 * 0.1 * force / np.sqrt(2), rel=1e-9)
    n = round(run.switch_times[0] / 0.2) + 1
    steps = mo.euler(flow, w0, 0.2, max_iter=3 * n)
    k = round(steps.switch_times[0] / 0.2)
    assert steps.counts.gradients == 2 * k + 1 + 2 * (3 * n - k)  # looks, steps of f, steps of F
    assert steps.counts.hvps == k + 1 + (3 * n - k)
    with pytest.raises(TypeError, match="leave switch_tol out"):
        mo.bimaml_flow(tasks, 0.1, 0.5, switch="auto")
    with pytest.raises(TypeError, match="needs switch_tol"):
        mo.bimaml_flow(tasks, 0.1)
    with pytest.raises(ValueError, match="cost_ratio must be greater than 1"):
        mo.bimaml_flow(tasks, 0.1, switch="auto", cost_ratio=1.0)
