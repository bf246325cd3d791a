"""Inner step sizes of either sign, per coordinate, per task and per step: against loops and against JAX."""

import pickle
from itertools import product

import numpy as np
import pytest
import scipy.linalg

import maml_ode as mo
from maml_ode.flows.variants import with_alpha
from maml_ode.objectives.array_loop import ArrayLoop
from maml_ode.objectives.compiled_loop import CompiledLoop
from maml_ode.objectives.numpy_loop import NumpyLoop

M, D, K = 4, 3, 3
SHAPES = {
    "coordinates": (D,),
    "tasks": (M, 1),
    "steps": (K, 1, 1),
    "tasks and coordinates": (M, D),
    "steps and tasks": (K, M, 1),
    "all": (K, M, D),
    "one": (1, 1),
}


def sizes(name, seed=1, scale=0.3):
    return scale * np.random.default_rng(seed).standard_normal(SHAPES[name])


def ragged(seed, n_tasks=M, dim=D, weights=None):
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((n, dim)) for n in (5, 2, 7, 3)[:n_tasks]]
    y = [rng.choice([-1.0, 1.0], len(x)) for x in X]
    return mo.tasks.LogisticRegression(X, y, l2=0.1, weights=weights), X, y


def quadratic(seed, weights=None):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((M, D, D))
    H = 0.5 * (A + A.transpose(0, 2, 1))
    return mo.tasks.Quadratic(H, rng.standard_normal((M, D)), rng.standard_normal(M), weights)


P = np.array([0.1, 0.4, 0.2, 0.3])
FAMILIES = {
    "logistic": lambda seed: ragged(seed, weights=P)[0],
    "quadratic": lambda seed: quadratic(seed, P),
}


def by_hand(tasks, query, alpha, w, v):
    """F, grad F, Hess F v and u, task by task, with matrices: du_{j+1} = (I - D_j Hess f_i) du_j."""
    value, gradient, hv, u_all = 0.0, np.zeros(D), np.zeros(D), []
    full = np.broadcast_to(alpha, (K, M, D))
    for i, p in enumerate(tasks.weights):
        u, J, dJ, du = w.copy(), np.eye(D), np.zeros((D, D)), v.copy()
        for j in range(K):
            H, step = tasks.hessians(u)[i], full[j, i]
            A = np.eye(D) - np.diag(step) @ H
            dA = -np.diag(step) @ tasks.third(u, du)[i]
            u, J, dJ, du = u - step * tasks.gradients(u)[i], A @ J, dA @ J + A @ dJ, A @ du
        g = query.gradients(u)[i]
        value += p * query.losses(u)[i]
        gradient += p * (J.T @ g)
        hv += p * (dJ.T @ g + J.T @ (query.hessians(u)[i] @ du))
        u_all.append(u)
    return value, gradient, hv, np.array(u_all)


@pytest.mark.parametrize(("family", "shape"), list(product(FAMILIES, SHAPES)))
def test_all_derivatives_agree_with_a_loop_over_tasks(family, shape):
    tasks, query = FAMILIES[family](0), FAMILIES[family](5)
    rng = np.random.default_rng(2)
    w, v, alpha = rng.standard_normal(D), rng.standard_normal(D), sizes(shape)
    for judge, aggregate in product((None, query), ("auto", False)):
        F = mo.MAMLLoss(tasks, alpha, K, judge, aggregate=aggregate)
        value, gradient, hv, u = by_hand(tasks, tasks if judge is None else judge, alpha, w, v)
        H = F.hessian(w)
        assert F.value(w) == pytest.approx(value, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(F.gradient(w), gradient, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(F.hvp(w, v), hv, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(H @ v, hv, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(F.adapt(w), u, rtol=1e-13, atol=1e-13)
        assert (H == H.T).all()


@pytest.mark.parametrize("name", SHAPES)
def test_compiled_code_takes_the_steps_that_numpy_takes(name):
    """All that runs evaluate, with a tape (logistic) and without, one task and one parameter among them."""
    rng = np.random.default_rng(5)
    sinusoid = mo.tasks.Sinusoid(*rng.uniform(0.5, 2.0, (3, M)), weights=P)
    for tasks, query in (
        (ragged(0, weights=P)[0], ragged(3, weights=P)[0]),
        (quadratic(1, P), ragged(3, weights=P)[0]),
        (sinusoid, sinusoid),
        (ragged(2, n_tasks=1)[0],) * 2,
    ):
        alpha = sizes(name)
        alpha = alpha[..., : tasks.n_tasks, :] if alpha.ndim > 1 else alpha
        alpha = alpha[..., : tasks.dim]
        objective = mo.MAMLLoss(tasks, alpha, K, query)
        compiled, numpy = objective._inner.loop, NumpyLoop(tasks, query, alpha, K)
        assert isinstance(compiled, ArrayLoop)
        w, v = rng.standard_normal((2, tasks.dim))
        for method, arguments in (
            ("adapt", (w,)), ("value", (w,)), ("gradient", (w,)), ("hvp", (w, v)),
            ("first_order_gradient", (w,)), ("reptile_gradient", (w,)),
        ):  # fmt: skip
            ours, theirs = getattr(compiled, method)(*arguments), getattr(numpy, method)(*arguments)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13, err_msg=method)


@pytest.mark.parametrize("alpha", [0.2, -0.3, 0.0])
def test_an_array_of_one_number_is_that_number(alpha):
    tasks, query = ragged(0)[0], ragged(3)[0]
    w, v = np.array([0.3, -1.0, 0.5]), np.array([1.0, 2.0, -1.0])
    one, all_ = (mo.MAMLLoss(tasks, a, K, query) for a in (alpha, np.full((K, M, D), alpha)))
    assert isinstance(one._inner.loop, CompiledLoop)  # one number keeps its kernels
    for name, args in {"value": (w,), "gradient": (w,), "hvp": (w, v), "hessian": (w,)}.items():
        np.testing.assert_allclose(
            getattr(one, name)(*args), getattr(all_, name)(*args), rtol=1e-12, atol=1e-13
        )


def test_jax_differentiates_to_the_same_numbers():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    tasks, X, y = ragged(0, weights=P)
    query, Xq, yq = ragged(7, weights=P)
    rng = np.random.default_rng(3)
    w, v = rng.standard_normal(D), rng.standard_normal(D)
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():

        def loss(u, X, y):
            return jnp.mean(jax.nn.softplus(-jnp.asarray(y) * (jnp.asarray(X) @ u))) + 0.05 * u @ u

        for shape in SHAPES:
            alpha = sizes(shape)
            full = np.broadcast_to(alpha, (K, M, D))

            def F(w, full=full):
                total = 0.0
                for i in range(M):
                    u = w
                    for j in range(K):
                        u = u - full[j, i] * jax.grad(loss)(u, X[i], y[i])
                    total += P[i] * loss(u, Xq[i], yq[i])
                return total

            ours = mo.MAMLLoss(tasks, alpha, K, query)
            pairs = [
                (ours.gradient(w), jax.grad(F)(w)),
                (ours.hvp(w, v), jax.jvp(jax.grad(F), (w,), (v,))[1]),
                (ours.hessian(w), jax.hessian(F)(w)),
            ]
            for mine, theirs in pairs:
                theirs = np.asarray(theirs)
                assert theirs.dtype == np.float64
                assert np.abs(mine - theirs).max() <= 1e-12 * np.abs(theirs).max()


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_families_of_frameworks_take_arrays(framework):
    pytest.importorskip(framework)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((M, 6, D)), rng.choice([-1.0, 1.0], (M, 6))
    if framework == "jax":
        import jax

        def loss(w, data):
            return jax.numpy.mean(jax.nn.softplus(-data["y"] * (data["X"] @ w)))

        theirs = mo.tasks.from_jax(loss, np.zeros(D), {"X": X, "y": y})
    else:
        import torch

        def loss(params, data):
            z = -data["y"] * (data["X"] @ params["w"])
            return torch.nn.functional.softplus(z).mean()

        theirs = mo.tasks.from_torch(
            loss, {"w": torch.zeros(D)}, {"X": torch.tensor(X), "y": torch.tensor(y)}
        )
    ours = mo.tasks.LogisticRegression(X, y)
    w, v = rng.standard_normal(D), rng.standard_normal(D)
    for shape in ("coordinates", "tasks", "steps"):
        one, other = (mo.MAMLLoss(family, sizes(shape), K) for family in (ours, theirs))
        np.testing.assert_allclose(one.gradient(w), other.gradient(w), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(one.hvp(w, v), other.hvp(w, v), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_first_order_fields_follow_their_loops(shape):
    tasks, query, alpha = ragged(0, weights=P)[0], ragged(5, weights=P)[0], sizes(shape)
    full, w = np.broadcast_to(alpha, (K, M, D)), np.array([0.5, -0.2, 1.0])
    u, total = np.tile(w, (M, 1)), np.zeros((M, D))
    for step in full:
        total += tasks.gradients(u)
        u = u - step * tasks.gradients(u)
    fomaml = mo.fields.FirstOrderField(tasks, alpha, K, query)
    reptile = mo.fields.ReptileField(tasks, alpha, K)
    np.testing.assert_allclose(fomaml(w), -(P @ query.gradients(u)), rtol=1e-13)
    np.testing.assert_allclose(reptile(w), -(P @ total), rtol=1e-13)
    still = mo.fields.ReptileField(tasks, np.zeros(SHAPES[shape]), K)
    np.testing.assert_allclose(still(w), -K * (P @ tasks.gradients(w)), rtol=1e-13)
    for field in (fomaml, reptile):
        h = 1e-6
        differences = [(field(w + h * e) - field(w - h * e)) / (2 * h) for e in np.eye(D)]
        np.testing.assert_allclose(field.jacobian(w), np.array(differences).T, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    "alpha", [*(sizes(shape, scale=0.05) for shape in ("coordinates", "all", "tasks")), -0.05]
)
def test_exact_euler_and_the_modified_flow_of_quadratics(alpha):
    rng = np.random.default_rng(4)
    A = rng.standard_normal((M, D, D))
    tasks = mo.tasks.Quadratic(A @ A.transpose(0, 2, 1) + np.eye(D), rng.standard_normal((M, D)))
    w0, T, beta = np.array([1.0, 2.0, -1.0]), 0.7, 1e-3
    F = mo.MAMLLoss(tasks, alpha, K)
    summed = mo.MAMLLoss(tasks, alpha, K, aggregate=False)
    G = np.array([summed.hvp(w0, e) for e in np.eye(D)])
    c = G @ w0 - summed.gradient(w0)
    rest = np.linalg.solve(G, c)
    for flow, matrix in (
        (mo.maml_flow(tasks, alpha, inner_steps=K), G),
        (mo.modified_flow(F, beta), G + 0.5 * beta * G @ G),
    ):
        run = mo.solve(flow, w0, t_max=T, tol=0.0, method="exact")
        expected = rest + scipy.linalg.expm(-T * matrix) @ (w0 - rest)
        np.testing.assert_allclose(run.w, expected, rtol=1e-11, atol=1e-12)
    steps = mo.euler(mo.maml_flow(tasks, alpha, inner_steps=K), w0, beta, max_iter=50)
    w = w0.copy()
    for _ in range(50):
        w = w - beta * by_hand(tasks, tasks, alpha, w, w)[1]
    np.testing.assert_allclose(steps.w, w, rtol=1e-12)


@pytest.mark.parametrize("build", [mo.maml_flow, mo.fomaml_flow, mo.reptile_flow])
@pytest.mark.parametrize("shape", ["coordinates", "all"])
def test_flows_are_integrated_by_every_kind_of_method(build, shape):
    rng = np.random.default_rng(6)
    A = rng.standard_normal((M, D, D))
    tasks = mo.tasks.Quadratic(A @ A.transpose(0, 2, 1) + np.eye(D), rng.standard_normal((M, D)))
    flow = build(tasks, sizes(shape, scale=0.02), inner_steps=K)
    w0 = np.array([1.0, 2.0, -1.0])
    field = flow.phases[0].field
    matrix = np.array([field(w0 + e) - field(w0) for e in np.eye(D)]).T
    rest = w0 - np.linalg.solve(matrix, field(w0))
    expected = rest + scipy.linalg.expm(0.3 * matrix) @ (w0 - rest)
    for method in ("Tsit5", "DOP853", "RK45", "Radau", "Rodas5P", "auto"):
        run = mo.solve(flow, w0, t_max=0.3, tol=0.0, method=method, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(run.w, expected, rtol=2e-8, atol=1e-9)
    if build is mo.fomaml_flow:
        assert field.affine is None
        with pytest.raises(ValueError, match="exact"):
            mo.solve(flow, w0, t_max=0.3, method="exact")


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((K,), "step pass"),
        ((M,), "task pass"),
        ((2,), ""),
        ((1,), ""),
        ((D, 1), ""),
        ((1, K, 1, 1), ""),
        ((2, 1, 1), ""),
    ],
)
def test_shapes_that_do_not_broadcast_are_refused(shape, hint):
    tasks = mo.tasks.Quadratic(np.ones((M, 5, 5)) + np.eye(5), np.ones((M, 5)))
    with pytest.raises(ValueError, match="alpha must be a number, or an array of shape") as caught:
        mo.MAMLLoss(tasks, np.full(shape, 0.1), K)
    assert hint in str(caught.value)
    # what the sentence advises is taken
    if hint == "task pass":
        mo.MAMLLoss(tasks, np.reshape(np.full(shape, 0.1), (-1, 1)), K)
    if hint == "step pass":
        mo.MAMLLoss(tasks, np.reshape(np.full(shape, 0.1), (-1, 1, 1)), K)


def test_an_array_is_kept_copied_and_told_apart():
    tasks = ragged(0)[0]
    given = np.array([0.1, 0.2, 0.3])
    F = mo.MAMLLoss(tasks, given)
    given[:] = 7.0
    np.testing.assert_array_equal(F.alpha, [0.1, 0.2, 0.3])
    assert "alpha=[0.1, 0.2, 0.3]" in repr(F)
    with pytest.raises(ValueError, match="read-only"):
        F.alpha[0] = 1.0
    w = np.ones(D)
    same = pickle.loads(pickle.dumps(F))
    np.testing.assert_array_equal(same.gradient(w), F.gradient(w))
    flow = mo.bimaml_flow(tasks, [0.1, 0.2, 0.3], 0.1)
    again, other = mo.bimaml_flow(tasks, (0.1, 0.2, 0.3), 0.1), with_alpha(flow, [[0.1]])
    assert flow.identity == again.identity != other.identity
    np.testing.assert_array_equal(other.objective.alpha, [[0.1]])
    first, rest = mo.solve(flow, w, t_max=0.5, tol=0.0), mo.solve(flow, w, t_max=1.0, tol=0.0)
    joined = mo.solve(again, resume=first, t_max=1.0, tol=0.0)
    np.testing.assert_allclose(joined.w, rest.w, rtol=1e-6)
    with pytest.raises(ValueError, match="another flow"):
        mo.solve(other, resume=first, t_max=1.0)


def test_aggregated_forms_of_arrays_are_not_mixed_up():
    tasks = quadratic(0)
    w = np.ones(D)
    for alpha in ([0.1, 0.2, 0.3], [[0.1], [0.2], [0.3], [0.4]], 0.1, [0.3, 0.2, 0.1]):
        F, summed = mo.MAMLLoss(tasks, alpha), mo.MAMLLoss(tasks, alpha, aggregate=False)
        assert F.quadratic_form is not None
        np.testing.assert_allclose(F.gradient(w), summed.gradient(w), rtol=1e-12)


@pytest.mark.parametrize("alpha", [-0.4, -2.0])
@pytest.mark.parametrize("n", [2, 6])
def test_least_squares_with_a_negative_step(alpha, n):
    """Fewer and more samples than parameters: by rows, by matrices, and exact in the eigenbasis of the data."""
    rng = np.random.default_rng(1)
    tasks = mo.tasks.LinearRegression(rng.standard_normal((3, n, 4)), rng.standard_normal((3, n)))
    w0 = rng.standard_normal(4)
    F, summed = mo.MAMLLoss(tasks, alpha, 2), mo.MAMLLoss(tasks, alpha, 2, aggregate=False)
    np.testing.assert_allclose(F.gradient(w0), summed.gradient(w0), rtol=1e-11)
    for build in (mo.maml_flow, mo.fomaml_flow, mo.reptile_flow):
        flow = build(tasks, alpha, inner_steps=2)
        exact = mo.solve(flow, w0, t_max=0.02, tol=0.0, method="exact")
        stepped = mo.solve(flow, w0, t_max=0.02, tol=0.0, method="DOP853", rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(exact.w, stepped.w, rtol=1e-9)


def test_sampled_steps_take_the_step_sizes_of_their_tasks():
    tasks, alpha = ragged(0)[0], sizes("tasks")
    field = mo.MAMLLoss(tasks, alpha)
    w = np.array([0.4, -0.3, 1.0])
    some = np.array([2, 0])
    A = [np.eye(D) - tasks.hessians(w)[i] * alpha[i] for i in some]
    u = w - alpha * tasks.gradients(w)
    expected = np.mean([A[k] @ tasks.gradients(u)[i] for k, i in enumerate(some)], axis=0)
    np.testing.assert_allclose(field.gradient_over(w, some), expected, rtol=1e-13)
    run = mo.euler(mo.maml_flow(tasks, alpha), w, 0.1, max_iter=3, tasks_per_step=2, rng=0)
    assert np.isfinite(run.w).all()


def test_adaptation_and_the_check_of_updates_take_arrays():
    tasks, alpha = ragged(0)[0], sizes("all")
    w = np.array([0.4, -0.3, 1.0])
    found = mo.meta_test(w, tasks, alpha, steps=K)
    F = mo.MAMLLoss(tasks, alpha, K)
    np.testing.assert_allclose(found.adapted, F.adapt(w), rtol=1e-13)
    assert found.mean[-1] == pytest.approx(F.value(w), rel=1e-13)
    report = mo.identify_update(
        lambda w: w - 0.1 * F.gradient(w), tasks, alpha, 0.1, w=w, inner_steps=K
    )
    assert report.best == "MAML"
    assert report.factor == pytest.approx(1.0)


def test_an_ensemble_follows_arrays_and_refuses_numbers_beside_them():
    tasks = ragged(0)[0]
    flow = mo.bimaml_flow(tasks, sizes("coordinates"), 0.05)
    W0 = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    runs = mo.ensemble(flow, W0, tol=1e-6)
    for k, w0 in enumerate(W0):
        np.testing.assert_allclose(runs.w[k], mo.solve(flow, w0, tol=1e-6).w, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="has an array alpha; leave alpha= out, or build the flow"):
        mo.ensemble(flow, W0, alpha=[0.1, 0.2])
    # numbers of both signs, the smooth 0 among them
    numbers = mo.ensemble(mo.maml_flow(tasks, 0.1), W0, alpha=[-0.1, 0.0], tol=1e-6)
    alone = mo.solve(mo.maml_flow(tasks, -0.1), W0[0], tol=1e-6)
    np.testing.assert_allclose(numbers.w[0], alone.w, rtol=1e-4, atol=1e-5)


def test_a_switch_that_finds_itself_asks_for_one_number():
    for alpha in (-0.1, sizes("coordinates")):
        with pytest.raises(
            ValueError, match=r"alpha must be one number of at least 0 .* switch_tol"
        ):
            mo.bimaml_flow(ragged(0)[0], alpha, switch="auto")
        mo.bimaml_flow(ragged(0)[0], alpha, 0.1)


@pytest.mark.parametrize("alpha", [-0.1, [0.1, 0.1, 0.1], [[0.1]]])
def test_theory_says_none_and_why(alpha):
    tasks = ragged(0)[0]
    why = "at least 0" if np.ndim(alpha) == 0 else "array"
    found = mo.theory.certify(tasks, alpha, w0=np.ones(D), switch_tol=0.1)
    assert len(found) > 15
    for item in found:
        assert item.holds is None
        assert why in item.note
    assert why in found.summary()
    advice = mo.theory.switch_advice(tasks, alpha)
    assert advice.switch_tol is None
    assert advice.rule is None
    assert why in advice.note
    F = mo.MAMLLoss(tasks, alpha)
    w = np.ones(D)
    limit = mo.theory.step_size_limit(F, w)
    top = np.linalg.eigvalsh(F.hessian(w))[-1]
    assert float(limit) == pytest.approx(2.0 / top, rel=1e-9)
    with pytest.raises(ValueError, match=f"{why}.*on a region there is no bound then"):
        mo.theory.step_size_limit(F, mo.theory.Ball(w, 1.0))
    run = mo.solve(mo.maml_flow(tasks, alpha), w, t_max=1.0, tol=0.0)
    with pytest.raises(ValueError, match=why):
        mo.theory.monitor(run, tasks, alpha)
    problem = mo.Experiment(tasks, alpha, w0=w)
    assert problem.beta > 0
    assert problem.switch_tol > 0
    assert any(why in note for note in problem.notes)
    with pytest.raises(ValueError, match="alpha"):
        mo.theory.certify(tasks, [0.1, 0.2])


def test_counts_of_critical_points_hold_for_negative_steps_and_say_none_for_arrays():
    tasks = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
    found = mo.theory.count_critical_points(tasks, -0.4)
    F = mo.MAMLLoss(tasks, -0.4)
    grid = np.linspace(-3.0, 3.0, 200_001)
    slopes = F.gradients(grid[:, np.newaxis])[:, 0]
    assert found.certified
    assert found.everywhere
    assert found.count == np.count_nonzero(slopes[:-1] * slopes[1:] < 0)
    # |alpha| L >= 1: nothing confines the critical points any more
    with pytest.raises(ValueError, match="interval must be given"):
        mo.theory.count_critical_points(tasks, -0.7)
    asked = mo.theory.count_critical_points(tasks, [[0.1], [0.2]], (-3.0, 3.0))
    assert asked.count is None
    assert not asked.certified
    assert "array" in asked.note


def test_finite_differences_of_the_value():
    F = mo.MAMLLoss(ragged(0)[0], sizes("all"), K, ragged(4)[0])
    report = mo.check_derivatives(F, w=np.array([0.2, -0.4, 0.9]), rng=0)
    assert report.ok, report
