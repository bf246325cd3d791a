"""One inner loop, two engines; aggregated once; nothing evaluated that is not needed."""

import gc
import pickle
import weakref

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.objectives import aggregation, quadratic_form
from maml_ode.objectives.compiled_loop import CompiledLoop
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.numpy_loop import NumpyLoop


def wrapped(family, counts=None):
    """The same losses as callables, which only Python can evaluate; counts what is asked."""

    def counted(kind, function):
        def call(i, *arguments):
            if counts is not None:
                counts[kind] = counts.get(kind, 0) + 1
            return function(*arguments)[i]

        return call

    return mo.tasks.from_callables(
        counted("losses", family.losses),
        counted("gradients", family.gradients),
        counted("hessians", family.hessians),
        hvps=counted("hvps", family.hvps),
        thirds=counted("thirds", family.third),
        third_vectors=counted("third_vectors", family.third_vectors),
        n_tasks=family.n_tasks,
        dim=family.dim,
        weights=family.weights,
    )


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("two_families", [False, True])
def test_the_engines_agree(make_logistic, count, two_families):
    tasks = make_logistic()
    query = make_logistic(seed=1) if two_families and count else tasks
    compiled = InnerSteps(tasks, query, 0.3, count).loop
    slow = wrapped(tasks)
    numpy = InnerSteps(slow, wrapped(query) if query is not tasks else slow, 0.3, count).loop
    assert isinstance(compiled, CompiledLoop)
    assert isinstance(numpy, NumpyLoop)
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=3), rng.normal(size=3)
    for name in ("value", "gradient", "hessian", "first_order_gradient", "reptile_gradient"):
        np.testing.assert_allclose(getattr(compiled, name)(w), getattr(numpy, name)(w), atol=1e-14)
    np.testing.assert_allclose(compiled.hvp(w, v), numpy.hvp(w, v), atol=1e-14)
    np.testing.assert_allclose(compiled.hvp(w, v), compiled.hessian(w) @ v, atol=1e-14)
    np.testing.assert_allclose(
        compiled.adapt(w), np.broadcast_to(numpy.adapt(w), (3, 3)), atol=1e-14
    )
    for ours, theirs in zip(
        compiled.first_order_jacobians(w), numpy.first_order_jacobians(w), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_hessians_of_any_size_are_products_of_matrices():
    # Small ones are multiplied here, larger ones by a BLAS; of quadratics, Hess F = E (A^K)' H A^K.
    rng = np.random.default_rng(0)
    for d in (1, 2, 7, 8, 9, 20):
        H = rng.normal(size=(3, d, d))
        H = H + H.transpose(0, 2, 1)
        F = mo.MAMLLoss(
            mo.tasks.Quadratic(H, rng.normal(size=(3, d))), 0.1, inner_steps=2, aggregate=False
        )
        P = np.linalg.matrix_power(np.eye(d) - 0.1 * H, 2)
        expected = (P @ H @ P).mean(axis=0)
        np.testing.assert_allclose(
            F.hessian(rng.normal(size=d)), expected, rtol=0, atol=1e-13 * abs(expected).max()
        )
        # Where third derivatives count, its products with a vector are another program.
        X, y = rng.normal(size=(2, 12, d)), np.sign(rng.normal(size=(2, 12)))
        F = mo.MAMLLoss(mo.tasks.LogisticRegression(X, y, l2=0.1), 0.9, inner_steps=3)
        w, v = rng.normal(size=(2, d))
        product = F.hvp(w, v)
        np.testing.assert_allclose(
            F.hessian(w) @ v, product, rtol=0, atol=1e-13 * abs(product).max()
        )


def test_a_mixture_of_families_runs_in_numpy(make_logistic):
    tasks = make_logistic()
    mixed = mo.MAMLLoss(tasks, 0.3, query=wrapped(tasks))
    assert isinstance(mixed._inner.loop, NumpyLoop)
    assert mixed.native_handle() is None
    w = np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose(mixed.gradient(w), mo.MAMLLoss(tasks, 0.3).gradient(w), atol=1e-14)


def test_no_inner_steps_are_the_expected_loss(make_logistic):
    from maml_ode.compiled.fields import evaluate

    tasks, w, v = make_logistic(), np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -1.0])
    f, p = mo.ExpectedLoss(tasks), tasks.weights
    assert f.value(w) == pytest.approx(p @ tasks.losses(w), rel=1e-15)
    np.testing.assert_allclose(f.gradient(w), p @ tasks.gradients(w), rtol=1e-14)
    np.testing.assert_allclose(f.hvp(w, v), p @ tasks.hvps(w, v), rtol=1e-14)
    np.testing.assert_allclose(f.hessian(w), np.tensordot(p, tasks.hessians(w), 1), rtol=1e-14)
    out = np.empty(3)
    evaluate(f.native_handle(), w, out)
    np.testing.assert_array_equal(out, -f.gradient(w))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_costs_are_what_an_outside_counter_sees(make_logistic, steps):
    counts = {}
    tasks = wrapped(make_logistic(), counts)
    objective = mo.MAMLLoss(tasks, 0.3, steps) if steps else mo.ExpectedLoss(tasks)
    w, v = np.zeros(3), np.ones(3)
    calls = {
        "value": lambda: objective.value(w),
        "gradient": lambda: objective.gradient(w),
        "hvp": lambda: objective.hvp(w, v),
        "hessian": lambda: objective.hessian(w),
    }
    for name, call in calls.items():
        counts.clear()
        call()
        cost = getattr(objective, f"{name}_cost").to_dict()
        seen = {kind: n / tasks.n_tasks for kind, n in counts.items()}
        assert seen == {kind: n for kind, n in cost.items() if n}, name


def test_a_quadratic_is_aggregated_once(monkeypatch):
    calls = []
    original = quadratic_form.maml_quadratic_form
    monkeypatch.setattr(
        aggregation, "maml_quadratic_form", lambda *a: calls.append(a) or original(*a)
    )
    tasks = mo.tasks.Quadratic([np.eye(2), 2 * np.eye(2)], np.ones((2, 2)))
    flow = mo.maml_flow(tasks, 0.1)
    for _ in range(3):
        mo.solve(flow, [1.0, 2.0], tol=1e-3)
        mo.solve(mo.maml_flow(tasks, 0.1), [1.0, 2.0], tol=1e-3)
    assert len(calls) == 2  # f and F
    forms = [mo.MAMLLoss(tasks, a, k).quadratic_form for a in (0.1, 0.2) for k in (1, 2)]
    assert len({id(form) for form in forms}) == 4
    assert mo.MAMLLoss(tasks, 0.1).quadratic_form is not mo.ExpectedLoss(tasks).quadratic_form
    other = mo.tasks.Quadratic([np.eye(2), np.eye(2)], np.ones((2, 2)))
    assert mo.MAMLLoss(tasks, 0.1, query=other).quadratic_form is not forms[0]


def test_forms_are_forgotten_with_their_family_and_few_are_kept():
    tasks = mo.tasks.LinearRegression([[[1.0, 2.0], [3.0, 4.0]]], [[1.0, 2.0]])
    forms = [weakref.ref(mo.MAMLLoss(tasks, a).quadratic_form) for a in np.linspace(0, 0.1, 20)]
    gc.collect()
    assert [form() is not None for form in forms] == [False] * 16 + [True] * 4
    forms[-1]().spectrum  # noqa: B018  the data are read; still nothing holds the family
    family = weakref.ref(tasks)
    del tasks
    gc.collect()
    assert family() is None
    assert all(form() is None for form in forms)


def test_objectives_and_fields_travel_without_what_follows_from_their_data():
    rng = np.random.default_rng(0)
    tasks = mo.tasks.LinearRegression(rng.normal(size=(2, 5, 40)), rng.normal(size=(2, 5)))
    F = mo.MAMLLoss(tasks, 0.01)
    field = mo.gradient_flow(F).phases[0].field
    w = rng.normal(size=40)
    before = F.gradient(w), field.affine.spectrum.values
    assert len(pickle.dumps(field)) < 3 * len(pickle.dumps(tasks)) + 1000
    again, twin = pickle.loads(pickle.dumps((F, field)))
    np.testing.assert_array_equal(again.gradient(w), before[0])
    np.testing.assert_array_equal(twin.affine.spectrum.values, before[1])
    assert twin.affine.source is not None


def test_the_old_doors_are_open():
    from maml_ode.objectives import ExpectedLoss, MAMLLoss, Objective

    assert mo.objectives.MAMLLoss is MAMLLoss is mo.MAMLLoss
    assert mo.objectives.ExpectedLoss is ExpectedLoss is mo.ExpectedLoss
    assert issubclass(MAMLLoss, Objective)


class Fused:
    """Another program for the same numbers, each off by a share of itself; counts how often it is asked."""

    def __init__(self, loop, off):
        self.loop, self.off, self.asked = loop, off, []

    def __getattr__(self, name):
        def call(*arguments):
            *arguments, alpha = arguments
            self.asked.append((name, np.shape(alpha)))
            shape = (self.loop.count, self.loop.tasks.n_tasks, self.loop.tasks.dim)
            np.testing.assert_array_equal(
                alpha, np.broadcast_to(self.loop.alpha, np.ndim(alpha) and shape)
            )
            return getattr(self.loop, name)(*arguments) * (1.0 + self.off)

        return call

    def over(self, chosen):
        outer = self

        class Over:
            def gradient(self, w, alpha):
                outer.asked.append(("gradient_over", np.shape(alpha)))
                right = np.broadcast_to(outer.loop.alpha, (outer.loop.count, 3, 3))[:, chosen]
                np.testing.assert_array_equal(alpha, right if np.ndim(alpha) else right[0, 0, 0])
                return outer.loop.gradient_over(w, chosen) * (1.0 + outer.off)

        return Over()


@pytest.mark.parametrize("alpha", [0.3, [0.1, 0.2, 0.3]])
@pytest.mark.parametrize(("off", "taken"), [(0.9e-8, True), (1.1e-8, False), (np.nan, True)])
def test_a_familys_own_program_is_confirmed_once_by_every_result(
    monkeypatch, make_logistic, alpha, off, taken
):
    """Off by less than 1e-8 it is taken and not looked at again; by more, never again; NaN says nothing yet."""
    tasks = wrapped(make_logistic())
    plain = InnerSteps(tasks, tasks, np.array(alpha) if isinstance(alpha, list) else alpha, 2)
    right = plain.loop
    assert type(right) is NumpyLoop
    fused = Fused(right, off)
    monkeypatch.setattr(tasks, "fused_steps", lambda query, count: fused)
    loop = InnerSteps(tasks, tasks, plain.alpha, 2).loop
    w, v, some = np.array([0.1, -0.2, 0.3]), np.array([1.0, 2.0, -1.0]), np.array([2, 0, 2])
    confirmed = []
    for name, arguments in {
        "adapt": (w,), "value": (w,), "gradient": (w,), "hvp": (w, v), "gradient_over": (w, some),
    }.items():  # fmt: skip
        wanted = np.asarray(getattr(right, name)(*arguments))
        with monkeypatch.context() as patch:
            original = getattr(NumpyLoop, name)
            patch.setattr(
                NumpyLoop, name, lambda *a, o=original, n=name: confirmed.append(n) or o(*a)
            )
            confirmed.clear()
            fused.asked.clear()
            patch.setattr(fused, "loop", right)
            found = [getattr(loop, name)(*arguments) for _ in range(2)]
            asked = [seen[0] for seen in fused.asked]
        scale = (1.0 + off) if taken else 1.0
        for result in found:
            np.testing.assert_allclose(result, wanted * scale, rtol=1e-14)
        assert asked == [name] * (2 if taken else 1)
        # The program itself runs the loop; what is more than that, confirms.
        assert len(confirmed) - len(asked) == (0 if np.isnan(off) else 1 if taken else 2)
    if np.isnan(off):  # the first wholly finite result is confirmed
        fused.off = np.array([np.nan, 1e-9, 1e-9])
        assert np.isnan(loop.gradient(w)[0])
        fused.off = 1e-9
        np.testing.assert_allclose(loop.gradient(w), right.gradient(w) * (1 + 1e-9), rtol=1e-14)
        np.testing.assert_allclose(loop.hvp(w, 0 * v), 0.0)
        fused.off = 1.0
        np.testing.assert_allclose(loop.hvp(w, v), 2 * right.hvp(w, v))  # 0 is 0 to any accuracy


def test_looks_with_an_alpha_for_every_point(make_logistic):
    tasks, points = make_logistic(), np.random.default_rng(0).normal(size=(4, 3))
    alphas = np.array([0.0, 0.3, -0.1, 0.3])
    for family in (tasks, wrapped(tasks)):
        values, norms = mo.MAMLLoss(family, 0.7, 2).looks_with(points, alphas)
        for k, alpha in enumerate(alphas):
            own = mo.MAMLLoss(tasks, alpha, 2)
            assert values[k] == pytest.approx(own.value(points[k]), rel=1e-13)
            assert norms[k] == pytest.approx(np.linalg.norm(own.gradient(points[k])), rel=1e-12)


def test_an_inner_step_costs_one_derivative_of_the_tasks_and_none_of_the_query():
    X, y = np.ones((1, 2, 2)), np.array([[1.0, -1.0]])
    smooth = mo.tasks.SVM(X, y, loss="smooth_squared_hinge")
    kinked = mo.tasks.SVM(X, y, loss="squared_hinge")
    for tasks, query, alpha, left in (
        (kinked, kinked, 0.1, 0), (kinked, kinked, 0.0, 1), (kinked, smooth, 0.1, 0),
        (smooth, kinked, 0.1, 1), (smooth, smooth, 0.1, 2), (smooth, smooth, 0.0, 3),
    ):  # fmt: skip
        assert (kinked.smoothness, smooth.smoothness) == (1, 3)
        assert mo.MAMLLoss(tasks, alpha, query=query).smoothness == left
    coordinates = mo.MAMLLoss(kinked, np.array([0.1, 0.0]))
    assert coordinates.smoothness == 0  # one that steps is enough


def test_a_hessian_needs_third_derivatives_of_the_tasks_alone(make_logistic):
    full = make_logistic()
    bare = mo.tasks.from_callables(
        lambda i, w: full.losses(w)[i], lambda i, w: full.gradients(w)[i],
        lambda i, w: full.hessians(w)[i], n_tasks=full.n_tasks, dim=full.dim, weights=full.weights,
    )  # fmt: skip
    assert not mo.MAMLLoss(bare, 0.1, query=full).has_hessian
    assert mo.MAMLLoss(full, 0.1, query=bare).has_hessian


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_the_constant_of_a_form_is_what_the_judge_says_of_adapted_points(inner_steps):
    rng = np.random.default_rng(4)
    root, root_q = rng.normal(size=(2, 3, 2, 2))
    H, Q = root @ root.transpose(0, 2, 1), root_q @ root_q.transpose(0, 2, 1)
    b, s, e, p = (
        rng.normal(size=(3, 2)),
        rng.normal(size=(3, 2)),
        rng.normal(size=3),
        [0.2, 0.3, 0.5],
    )
    F = mo.MAMLLoss(
        mo.tasks.Quadratic(H, b, weights=p),
        0.3,
        inner_steps,
        mo.tasks.Quadratic(Q, s, e, weights=p),
    )
    w = rng.normal(size=2)
    value = 0.0
    for i in range(3):
        u = w
        for _ in range(inner_steps):
            u = u - 0.3 * (H[i] @ u - b[i])
        value += p[i] * (0.5 * u @ Q[i] @ u - s[i] @ u + e[i])
    assert F.quadratic_form.value(w) == pytest.approx(value, rel=1e-13)


def test_what_an_objective_is_goes_with_its_copies_and_into_its_name(make_logistic):
    tasks, query = make_logistic(), make_logistic(seed=1)
    F = mo.MAMLLoss(tasks, 0.1, query=query)
    assert F.inner_steps == 1
    assert F.with_alpha(0.2).query is query
    assert mo.MAMLLoss(tasks, 0.1).with_alpha(0.2).query is tasks
    f = mo.ExpectedLoss(tasks)
    assert (f.is_expected_loss_of(tasks), f.is_expected_loss_of(query)) == (True, False)
    assert not mo.MAMLLoss(tasks, 0.1).is_expected_loss_of(tasks)
    assert repr(f) == f"ExpectedLoss({tasks!r})"
    assert repr(mo.ExpectedLoss(tasks, False, 2)) == (
        f"ExpectedLoss({tasks!r}, aggregate=False, threads=2)"
    )


def test_the_coarser_type_is_the_precision(make_logistic):
    tasks, query = make_logistic(), wrapped(make_logistic())
    query.__class__ = type("Coarse", (type(query),), {"precision": 2.0**-23})
    assert mo.MAMLLoss(tasks, 0.1).precision == 2.0**-52
    assert mo.MAMLLoss(tasks, 0.1, query=query).precision == 2.0**-23
    assert mo.MAMLLoss(query, 0.1, query=tasks).precision == 2.0**-23


def test_points_are_rows_and_nobody_writes_into_them():
    def spoils(i, w):
        w[:] = 7.0
        return 0.0

    tasks = mo.tasks.from_callables(
        spoils, lambda i, w: w, lambda i, w: np.eye(2), n_tasks=1, dim=2
    )
    F = mo.ExpectedLoss(tasks)
    points = np.ones((3, 2))
    F.values(points)
    F.values_and_gradient_norms(points)
    np.testing.assert_array_equal(points, 1.0)
    assert F.values([[1.0, 2.0]]).shape == (1,)
    for wrong in (np.ones(2), np.ones((3, 1)), np.ones((2, 2, 2))):
        with pytest.raises(ValueError, match=r"points must have shape \(n, 2\)"):
            F.values(wrong)


def test_points_may_lie_anywhere(make_logistic):
    """Every other row of a transposed array, a list, and an array that nobody may write to."""
    F = mo.MAMLLoss(make_logistic(), 0.1)
    strided = np.random.default_rng(0).normal(size=(3, 6)).T[::2]
    still = strided.copy()
    still.setflags(write=False)
    wanted = [F.value(w) for w in still]
    for points in (strided, strided.tolist(), still):
        np.testing.assert_allclose(F.values(points), wanted, rtol=1e-14)
        np.testing.assert_allclose(F.values_and_gradient_norms(points)[0], wanted, rtol=1e-14)


def test_a_judge_is_a_family_of_the_same_weights(make_logistic):
    tasks = make_logistic()
    with pytest.raises(TypeError, match="from_callables"):
        mo.MAMLLoss(tasks, 0.1, query=lambda w: 0.0)
    one, two = (
        mo.tasks.Sinusoid([1.0, 1.0], [0.1, 0.2], [1.0, 2.0], weights=[0.5 + e, 0.5 - e])
        for e in (0.7e-12, 1.3e-12)
    )
    even = mo.tasks.Sinusoid([1.0, 1.0], [0.1, 0.2], [1.0, 2.0])
    assert mo.MAMLLoss(even, 0.1, query=one).query is one
    with pytest.raises(ValueError, match="same weights"):
        mo.MAMLLoss(even, 0.1, query=two)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_many_points_and_tasks_in_one_call_are_those_one_by_one(make_logistic, count):
    tasks, rng, some = make_logistic(), np.random.default_rng(2), np.array([2, 0, 2])
    for family, threads in ((tasks, 1), (tasks, 2), (wrapped(tasks), 1)):
        points = rng.normal(size=(5, 3))  # others every time: fresh memory may hold what was freed
        loop = InnerSteps(family, family, 0.3, count, threads).loop
        values, gradients = loop.values(points), loop.gradients(points)
        np.testing.assert_allclose(values, [loop.value(w) for w in points], rtol=1e-14)
        np.testing.assert_allclose(gradients, [loop.gradient(w) for w in points], rtol=1e-13)
        for name in ("gradient", "first_order_gradient", "reptile_gradient"):
            found = getattr(loop, f"{name}_over")(points[0], some)
            alone = []
            for i in some:
                one = tasks._restricted(np.array([i]), np.ones(1))
                alone.append(getattr(InnerSteps(one, one, 0.3, count).loop, name)(points[0]))
            np.testing.assert_allclose(found, np.mean(alone, axis=0), rtol=1e-12, atol=1e-15)
