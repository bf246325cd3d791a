"""Flows and fields: what the named flows are, and what is refused."""

import pickle

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField, FirstOrderField, ModifiedField, ReptileField
from maml_ode.flows import GradientNormBelow
from maml_ode.flows.sliding import SlidingField
from maml_ode.flows.switch_rules import Reversed
from maml_ode.flows.variants import (
    alpha_of,
    families_of,
    has_alpha,
    has_alpha_arrays,
    norm_switches,
    takes_inner_steps,
    with_alpha,
    with_switch_tol,
)


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


def test_the_legs_of_every_rule_by_hand(quadratic):
    """What ends a phase, what follows, and where a vanishing field ends the run."""
    flow = mo.bimaml_flow(quadratic, 0.1, 0.2)
    f, F = (phase.field for phase in flow.phases)
    rule = flow.phases[0].until
    found = {
        name: [(leg.field, leg.then, leg.final, leg.rule) for leg in flow.with_rule(name).legs]
        for name in ("one_way", "as_printed", "retest")
    }
    assert found["one_way"] == [(f, 1, False, rule), (F, 2, True, None)]
    assert found["retest"] == [(f, 1, False, rule), (F, 0, True, Reversed(rule))]
    assert found["as_printed"] == [(f, 1, True, Reversed(rule)), (F, 0, True, rule)]
    circle = mo.Flow([mo.Phase(f, until=rule), mo.Phase(F, until=rule, then=0)])
    assert [(leg.then, leg.final) for leg in circle.legs] == [(1, False), (0, False)]
    ended = mo.Flow([mo.Phase(f, until=rule), mo.Phase(F, until=rule)])
    assert [(leg.then, leg.final) for leg in ended.legs] == [(1, False), (2, True)]
    assert [x.re_entrant for x in (flow, flow.with_rule("retest"), circle)] == [False, True, True]


def test_fields_have_as_many_derivatives_as_their_losses_leave():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2, 5, 2)), np.where(rng.random((2, 5)) < 0.5, -1.0, 1.0)
    smooth = mo.tasks.SVM(X, y, loss="smooth_squared_hinge")
    kinked = mo.tasks.SVM(X, y, loss="squared_hinge")  # its gradient is continuous, and no more
    assert mo.fields.GradientField(mo.ExpectedLoss(kinked)).smoothness == 0
    assert ReptileField(kinked, 0.1).smoothness == 0
    for tasks, query in ((smooth, kinked), (kinked, smooth)):
        assert FirstOrderField(tasks, 0.1, query=query).smoothness == 0
    assert ModifiedField(mo.ExpectedLoss(kinked), 0.1).smoothness == -1
    jumps = [FirstOrderField(smooth, 0.1).smoothness, ReptileField(smooth, 0.1).smoothness]
    assert jumps == [smooth.smoothness - 1] * 2


def test_what_needs_hessians_says_whether_it_has_them(logistic):
    plain = mo.tasks.from_callables(lambda i, w: float(w @ w), lambda i, w: 2 * w, n_tasks=3, dim=3)
    for tasks, query in ((plain, logistic), (logistic, plain), (plain, plain)):
        assert not FirstOrderField(tasks, 0.1, query=query).has_jacobian
    assert FirstOrderField(logistic, 0.1).has_jacobian
    given = CallableField(lambda w: -(w**3), 2, jacobian=lambda w: -3 * np.diag(w**2))
    np.testing.assert_array_equal(given.jacobian([1.0, 2.0]), [[-3.0, 0.0], [0.0, -12.0]])
    assert given.has_jacobian
    without = CallableField(lambda w: -(w**3), 2)
    assert not without.has_jacobian
    with pytest.raises(TypeError, match="pass jacobian="):
        without.jacobian([1.0, 2.0])


def test_fields_can_be_sent_to_another_process_after_they_have_been_used(fields):
    for field in fields:
        w = np.linspace(-1, 1, field.dim)
        value = field(w)
        assert field.native is None or field.native is not pickle.loads(pickle.dumps(field)).native
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(field))(w), value)


def test_what_a_field_of_ones_own_is_without_saying_more():
    class Own(mo.flows.VectorField):
        dim, label, cost, jacobian_cost = 2, "own", mo.Counts(gradients=1), mo.Counts(hessians=1)

        def __call__(self, w):
            return -w

        def jacobian(self, w):
            return np.array([[1.0, 2.0], [3.0, 4.0]])

    field, w = Own(), np.array([1.0, -1.0])
    assert (field.smoothness, field.precision, field.has_jacobian) == (3, 2.0**-52, True)
    assert (field.affine, field.descends, field.energy, field.native) == (None,) * 4
    assert (field.is_summed, field.is_lifted, field.state_dim) == (False, False, 2)
    assert field.observe(w) is field.lift(w) is w
    assert field.jvp_cost == field.jacobian_cost
    np.testing.assert_array_equal(field.jacobian_vector(w, w), [-1.0, -1.0])


def test_the_type_that_a_field_returns_is_seen_once_it_has_been_called():
    field = CallableField(lambda w: -w.astype(np.float32), 2)
    assert field.precision == 2.0**-52
    with pytest.warns(mo.tasks.PrecisionWarning, match="the field's function"):
        value = field(np.ones(2))
    assert (value.dtype, field.precision) == (np.float64, 2.0**-23)


def test_a_field_is_as_rough_as_its_roughest_family():
    def functions(dtype):
        return mo.tasks.from_callables(
            lambda i, w: dtype(0.5 * float(w @ w)), lambda i, w: w.astype(dtype),
            lambda i, w: np.eye(2, dtype=dtype), n_tasks=1, dim=2,
        )  # fmt: skip

    single, double = functions(np.float32), functions(np.float64)
    with pytest.warns(mo.tasks.PrecisionWarning):
        single.gradients(np.ones(2))
    for tasks, query in ((single, double), (double, single)):
        assert FirstOrderField(tasks, 0.1, query=query).precision == 2.0**-23
    assert FirstOrderField(double, 0.1).precision == 2.0**-52


def test_a_flow_is_rough_where_a_field_jumps():
    hinge = mo.tasks.SVM(np.ones((1, 2, 2)), np.array([[1.0, -1.0]]), loss="squared_hinge")
    plain, jumps = mo.gradient_flow(mo.ExpectedLoss(hinge)), mo.maml_flow(hinge, 0.1)
    assert [flow.phases[0].field.smoothness for flow in (plain, jumps)] == [0, -1]
    assert (plain.is_rough, jumps.is_rough) == (False, True)


def test_a_phase_keeps_what_it_was_made_of():
    def first(z):
        return z[:1]

    def lift(w):
        return np.append(w, 0.0)

    phase = mo.Phase(CallableField(lambda z: -z, 2), lambda t, w: w[0], 0, first, lift)
    assert (phase.observe, phase.lift, phase.then) == (first, lift, 0)


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_what_is_observed_of_a_lifted_state_may_be_off_by_a_billionth(size):
    def lifted(share, observe=lambda z: z[:1]):
        def lift(w):
            return np.append(w * (1.0 + share), 0.0)

        lift = None if share is None else lift
        return mo.Phase(CallableField(lambda z: -z, 2), observe=observe, lift=lift).field

    w = np.array([size])
    same = mo.Phase(CallableField(lambda z: -z, 1), observe=lambda z: z).field
    assert same.lift(w) == w  # nothing is padded
    np.testing.assert_array_equal(lifted(None).lift(np.zeros(1)), [0.0, 0.0])
    for share in (0.9e-9, -0.9e-9, 0.0):
        assert lifted(share).lift(w)[0] == pytest.approx(size, rel=1e-9)
    with pytest.raises(ValueError, match=r"away, with lift\(w\); pass lift="):
        lifted(1.1e-9).lift(w)
    with pytest.raises(ValueError, match="with w padded with zeros, as lift is by default"):
        lifted(None, observe=lambda z: z[1:]).lift(w)


@pytest.mark.parametrize("curvature", [0.0, -1.0, 3.0])
def test_where_nothing_curves_upwards_steps_of_any_length_are_stable(curvature):
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[curvature]]], [[0.0]]))
    momentum, nesterov = mo.momentum_flow(f, 2.0), mo.nesterov_flow(f)
    assert nesterov.phases[0].field.r == 3.0  # as the bound needs
    limits = [flow.phases[0].field.step_size_limit for flow in (momentum, nesterov)]
    if curvature > 0:  # h^2 lambda = 2 (2 - c h), and h^2 lambda = 4/3
        assert limits == pytest.approx([2.0 / 3.0, 2.0 / 3.0], rel=1e-15)
    else:
        assert limits == [1.0, np.inf]  # friction alone: c h = 2
        assert mo.momentum_flow(f, 0.0).phases[0].field.step_size_limit == np.inf


def surface():
    """||grad f|| = 2 with f = |w|^2, whose Hessian is 2 I, and two fields that push at each other there."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([2.0 * np.eye(2)], np.zeros((1, 2))))
    outer = CallableField(lambda w: np.array([-3.0, 1.0]) - 0 * w, 2)
    inner = CallableField(lambda w: np.array([1.0, 5.0]) - 0 * w, 2)
    return SlidingField(outer, inner, GradientNormBelow(f, 2.0))


def test_the_sliding_field_by_hand():
    """At (1, 0) n = (1, 0), a = -3, b = 1: lam = 3/4, v = (0, 4); off the surface a pull -gamma s/|Hess n|."""
    field = surface()
    np.testing.assert_allclose(field(np.array([1.0, 0.0])), [0.0, 4.0], atol=1e-15)
    # ||grad f|| = 2.2: gamma = 3/2, n.v = -gamma 0.2, and ||grad f|| itself falls at 2 n.v
    np.testing.assert_allclose(field(np.array([1.1, 0.0])), [-0.3, 4.0], atol=1e-14)
    np.testing.assert_allclose(field(np.array([0.9, 0.0])), [0.3, 4.0], atol=1e-14)
    assert field.margin(0.0, np.array([1.0, 0.0])) == 0.25  # min(1, 3)/(1 + 3)
    assert field.leaves_inward(np.array([1.0, 0.0]))  # the inner field is the weaker one
    assert not field.leaves_inward(np.array([-1.0, 0.0]))  # n = (-1, 0): a = 3, b = -1
    # At (0, 1) n = (0, 1), a = 1, b = 5: the outer field does not push.
    assert field.margin(0.0, np.array([0.0, 1.0])) == -1.0 / 6.0
    assert not field.leaves_inward(np.array([0.0, 1.0]))
    still = np.zeros(2)  # no normal at all
    assert field.margin(0.0, still) == 0.0
    np.testing.assert_array_equal(field(still), still)
    even = SlidingField(field.outer, CallableField(lambda w: np.array([3.0, 0.0]), 2), field.rule)
    assert even.leaves_inward(np.array([1.0, 0.0]))  # as weak as each other


def flows_of_every_field(tasks, alpha):
    """Return flows whose fields and rules take inner steps of size ``alpha`` (switch norms: 0.5, and one of f)."""
    f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha, inner_steps=2)
    below = GradientNormBelow(F, 0.5)
    lifted = CallableField(lambda z: -z, 2 * tasks.dim)
    flows = [
        mo.Flow([mo.Phase(F, until=below), mo.Phase(field)], F)
        for field in (
            f,
            FirstOrderField(tasks, alpha, inner_steps=2),
            ReptileField(tasks, alpha, inner_steps=2),
            ModifiedField(F, 0.2),
            mo.momentum_flow(F, 1.5).phases[0].field,
            mo.nesterov_flow(F, 4.0).phases[0].field,
        )
    ]
    flows += [
        mo.Flow([mo.Phase(mo.fields.GradientField(F), observe=lambda z: z[:1], lift=lift)], first)
        for first in [mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))]
        for lift in (None, lambda w: np.append(w, [2.0, 3.0]))
    ]
    return [
        *flows,
        mo.bimaml_flow(tasks, alpha, 0.3, rule="retest", inner_steps=2),
        mo.bimaml_flow(tasks, alpha, switch="auto", inner_steps=2),
        mo.Flow([mo.Phase(lifted, observe=lambda z: z[: tasks.dim])], F),
        mo.Flow([mo.Phase(f, until=below, then=0), mo.Phase(f)], f),
    ]


def test_another_alpha_is_taken_by_all_that_takes_inner_steps(logistic):
    """Against the same flows built anew with it."""
    z = np.linspace(-1.0, 2.0, 7)
    for old, new in zip(
        flows_of_every_field(logistic, 0.1), flows_of_every_field(logistic, 0.4), strict=True
    ):
        changed = with_alpha(old, 0.4)
        assert (changed.name, changed.rule) == (new.name, new.rule)
        w = z[: old.dim]
        assert changed.objective.value(w) == new.objective.value(w)
        for before, found, wanted in zip(old.phases, changed.phases, new.phases, strict=True):
            state = z[: before.field.state_dim]
            np.testing.assert_array_equal(found.field(state), wanted.field(state))
            np.testing.assert_array_equal(found.field.lift(w), wanted.field.lift(w))
            takes = not np.array_equal(before.field(state), wanted.field(state))
            assert takes_inner_steps(before.field) == takes
            assert alpha_of(before.field) == (0.1 if takes else None)
            assert found.then == before.then
            if before.until is not None:
                assert found.until(0.0, w) == wanted.until(0.0, w)
        assert has_alpha(old) == any(takes_inner_steps(phase.field) for phase in old.phases)
        assert not has_alpha_arrays(changed)
    bimaml = with_alpha(mo.bimaml_flow(logistic, 0.1, 0.3), [[0.1, 0.2, 0.3]])
    assert has_alpha_arrays(bimaml)
    assert (
        norm_switches(bimaml),
        norm_switches(old),
        norm_switches(mo.maml_flow(logistic, 0.1)),
    ) == (1, 1, 0)
    # What takes none is not made anew, and a rule goes on to share the evaluations of its phase.
    assert with_alpha(old, 0.4).phases[0].field is old.phases[0].field
    own = with_alpha(flows_of_every_field(logistic, 0.1)[0], 0.4).phases[0]
    assert own.until.objective is own.field.objective


def test_another_threshold_is_taken_by_every_norm(logistic):
    for flow in flows_of_every_field(logistic, 0.1):
        changed = with_switch_tol(flow, 0.7)
        assert (changed.name, changed.rule) == (flow.name, flow.rule)
        assert changed.objective is flow.objective
        for found, phase in zip(changed.phases, flow.phases, strict=True):
            assert (found.field, found.then) == (phase.field, phase.then)
            if isinstance(phase.until, GradientNormBelow):
                assert found.until == GradientNormBelow(phase.until.objective, 0.7)
            else:
                assert found.until is phase.until


def test_families_are_those_that_a_field_is_made_of(logistic, make_logistic):
    query = make_logistic()
    assert families_of(mo.fields.GradientField(mo.ExpectedLoss(logistic))) == [logistic] * 2
    assert families_of(mo.fields.GradientField(mo.MAMLLoss(logistic, 0.1, query=query))) == [
        logistic,
        query,
    ]
    assert families_of(FirstOrderField(logistic, 0.1, query=query)) == [logistic, query]
    assert families_of(ReptileField(logistic, 0.1)) == [logistic] * 2
    assert families_of(CallableField(lambda w: -w, 2)) == []


@pytest.mark.parametrize("kind", ["momentum", "nesterov"])
def test_fields_of_second_order_read_states_as_other_fields_read_points(kind, quadratic):
    F = mo.MAMLLoss(quadratic, 0.1)
    flow = mo.momentum_flow(F, 0.5) if kind == "momentum" else mo.nesterov_flow(F)
    field = flow.phases[0].field
    z = np.linspace(0.1, 1.0, field.state_dim)
    for method, more in ((field, ()), (field.jacobian, ()), (field.jacobian_vector, (z[::-1],))):
        given = [list(argument) for argument in (z, *more)]
        np.testing.assert_array_equal(method(*given), method(z, *more))
        with pytest.raises(ValueError, match=rf"z must have shape \({field.state_dim},\)"):
            method(z[:-1], *more)
        with pytest.raises(TypeError, match="z must hold real numbers"):
            method(z + 1j, *more)
