"""Families of JAX losses, against JAX's own derivatives of F written by hand."""

import itertools
import pickle
import time

import numpy as np
import pytest

import maml_ode as mo

from .models import CASES, WEIGHTS, F_by_definition, masked_square_error, parameters, samples

jax = pytest.importorskip("jax")
jnp = jax.numpy

from jax.flatten_util import ravel_pytree  # noqa: E402

from maml_ode.tasks.adapters import jax_programs as programs  # noqa: E402


def loss(params, data):
    return masked_square_error(jnp.tanh, params, data)


def double():
    return programs.double_precision()


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def built(case, weights=None, seed=0, **changed):
    size = CASES[case] | changed
    data = samples(size["M"], size["n"], size["seed"] + seed)
    params = parameters(size["hidden"], size["seed"])
    weights = WEIGHTS[size["M"]] if weights else None
    return mo.tasks.from_jax(loss, params, data, weights=weights), params, data


@pytest.mark.parametrize(
    ("case", "count", "queries", "weights"),
    [
        ("one task, one parameter", 1, False, False),
        ("one task, one parameter", 3, True, True),
        ("three tasks", 3, False, True),
        ("five tasks", 1, True, True),
    ],
)
def test_F_and_its_derivatives_are_those_of_jax(case, count, queries, weights):
    tasks, params, data = built(case, weights)
    query = built(case, weights, seed=7)[0] if queries else None
    judged = (
        samples(CASES[case]["M"], CASES[case]["n"], CASES[case]["seed"] + 7) if queries else data
    )
    alpha = 0.1
    F = mo.MAMLLoss(tasks, alpha, inner_steps=count, query=query)
    w = tasks.w0 + 0.1
    v = np.linspace(-1.0, 1.0, tasks.dim) + 0.5
    with double():
        each = [
            [jax.tree.map(lambda x, i=i: x[i], d) for i in range(tasks.n_tasks)]
            for d in (data, judged)
        ]
        _, unravel = ravel_pytree(jax.tree.map(jnp.asarray, params))

        def by_hand(w):
            def add(u, g, alpha):
                return jax.tree.map(lambda x, y: x - alpha * y, u, g)

            return F_by_definition(
                loss, jax.grad(loss), add, unravel(w), *each, alpha, count, tasks.weights
            )

        @jax.jit
        def derivatives(w, v):
            gradient, product = jax.jvp(jax.grad(by_hand), (w,), (v,))
            return by_hand(w), gradient, product

        value, gradient, product = map(np.asarray, derivatives(w, v))
        hessian = np.asarray(jax.jit(jax.hessian(by_hand))(w)) if count == 1 else None
    large = np.abs(product).max()
    np.testing.assert_allclose(F.value(w), value, rtol=1e-12)
    np.testing.assert_allclose(
        F.gradient(w), gradient, rtol=1e-12, atol=1e-12 * abs(gradient).max()
    )
    np.testing.assert_allclose(F.hvp(w, v), product, rtol=1e-11, atol=1e-12 * large)
    if hessian is not None:
        np.testing.assert_allclose(F.hessian(w), hessian, rtol=1e-11, atol=1e-12 * large)
    assert F._inner.loop._trusted == {"value": True, "gradient": True, "hvp": True}
    # The other engine, from the families' products one by one.
    plain = mo.objectives.numpy_loop.NumpyLoop(tasks, query or tasks, alpha, count)
    np.testing.assert_allclose(F.adapt(w), plain.adapt(w), rtol=1e-12)
    # One step size per step, task and parameter.
    steps = tasks.fused_steps(query or tasks, count)
    sizes = np.full((count, tasks.n_tasks, tasks.dim), alpha)
    np.testing.assert_allclose(steps.gradient(w, sizes), gradient, rtol=1e-12, atol=1e-14)
    sizes[:, 0] = 0.0
    assert np.abs(steps.adapt(w, sizes)[0] - w).max() == 0.0


def test_the_gradient_over_some_tasks_is_their_mean_in_one_call():
    tasks, _, _ = built("five tasks", weights=True)
    query, _, _ = built("five tasks", weights=True, seed=7)
    F = mo.MAMLLoss(tasks, 0.1, inner_steps=3, query=query)
    w, chosen = tasks.w0 + 0.1, np.array([4, 1, 1])

    def mean_of(sizes):
        own = (
            mo.MAMLLoss(tasks.subset([i]), size, 3, query.subset([i]))
            for i, size in zip(chosen, sizes, strict=True)
        )
        return np.mean([one.gradient(w) for one in own], axis=0)

    expected = mean_of([0.1, 0.1, 0.1])
    for _ in range(2):  # confirmed at first, then taken as it is
        np.testing.assert_allclose(F.gradient_over(w, chosen), expected, rtol=1e-11, atol=1e-13)
    assert F._inner.loop._trusted == {"gradient_over": True}
    sizes = np.arange(1.0, 6.0).reshape(1, 5, 1) * 0.01 * np.ones((3, 5, tasks.dim))
    steps = tasks.fused_steps(query, 3).over(chosen)
    result = steps.gradient(w, sizes[:, chosen])
    np.testing.assert_allclose(result, mean_of([0.05, 0.02, 0.02]), rtol=1e-11, atol=1e-13)


def test_copies_and_parts_compute_in_double_whatever_they_are_asked_first():
    tasks, _, _ = built("three tasks")
    exact = mo.MAMLLoss(tasks, 0.1).gradient(tasks.w0)
    for family in (pickle.loads(pickle.dumps(tasks)), tasks.subset([0, 1, 2])):
        found = mo.MAMLLoss(family, 0.1).gradient(tasks.w0)
        np.testing.assert_allclose(found, exact, rtol=1e-13, atol=1e-15)


def logistic_loss(params, data):
    margins = data["y"] * (data["x"] @ params)
    return jnp.logaddexp(0.0, -margins).mean() + 0.05 * (params**2).sum()


def test_a_logistic_regression_equals_the_built_in_one():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4, 6, 3)), np.where(rng.random((4, 6)) < 0.5, -1.0, 1.0)
    p = [0.1, 0.2, 0.3, 0.4]
    ours = mo.tasks.LogisticRegression(X, y, l2=0.1, weights=p)
    theirs = mo.tasks.from_jax(logistic_loss, np.zeros(3), {"x": X, "y": y}, weights=p)
    w, v, q = rng.normal(size=(3, 4, 3))
    for name, arguments in (
        ("losses", (w,)),
        ("gradients", (w,)),
        ("hessians", (w,)),
        ("hvps", (w, v)),
        ("third", (w, v)),
        ("third_vectors", (w, v, q)),
    ):
        expected = getattr(ours, name)(*arguments)
        np.testing.assert_allclose(
            getattr(theirs, name)(*arguments), expected, rtol=1e-12, atol=1e-13
        )
    start = np.ones(3)
    runs = [mo.solve(mo.bimaml_flow(t, 0.3, 0.05), start, method="DOP853") for t in (ours, theirs)]
    assert all(run.success for run in runs)
    np.testing.assert_allclose(runs[0].w, runs[1].w, atol=1e-9)
    assert runs[0].counts.steps == runs[1].counts.steps
    discrete = [
        mo.euler(mo.maml_flow(t, 0.3, inner_steps=2), start, 0.5, max_iter=20)
        for t in (ours, theirs)
    ]
    np.testing.assert_allclose(discrete[0].y, discrete[1].y, rtol=1e-11)
    for one, other in itertools.pairwise(
        mo.theory.certify(t, 0.1, w0=start) for t in (ours, theirs)
    ):
        assert {c.name for c in other} <= {c.name for c in one}
        assert not any(
            a.holds is True and b.holds is False for a in one for b in other if a.name == b.name
        )


def finn_loss(params, data):
    h = data["x"]
    for W, b in params[:-1]:
        h = jnp.tanh(h @ W + b)
    W, b = params[-1]
    return ((h @ W + b - data["y"]) ** 2).mean()


def finn(rng):
    shapes = [(1, 40), (40, 40), (40, 1)]
    params = [
        (rng.normal(size=s).astype(np.float32) / np.sqrt(s[0]), np.zeros(s[1], np.float32))
        for s in shapes
    ]
    x = rng.uniform(-5.0, 5.0, size=(25, 10, 1))
    y = rng.uniform(0.1, 5.0, (25, 1, 1)) * np.sin(x + rng.uniform(0, np.pi, (25, 1, 1)))
    return params, {"x": x, "y": y}


def test_the_sinusoid_network_takes_as_long_as_in_jax_alone():
    params, data = finn(np.random.default_rng(0))
    tasks = mo.tasks.from_jax(finn_loss, params, data)
    assert (tasks.dim, tasks.n_tasks) == (1761, 25)
    F = mo.MAMLLoss(tasks, 0.01)

    def adapted_loss(p, d):
        u = jax.tree.map(lambda x, g: x - 0.01 * g, p, jax.grad(finn_loss)(p, d))
        return finn_loss(u, d)

    with double():
        tree, on_device = (
            jax.tree.map(lambda x: jnp.asarray(x, dtype=float), t) for t in (params, data)
        )
        own = jax.jit(
            lambda p, d: jax.tree.map(
                lambda g: g.mean(axis=0), jax.vmap(jax.grad(adapted_loss), (None, 0))(p, d)
            )
        )
        expected = flat(own(tree, on_device))
    gradient = F.gradient(tasks.w0)
    np.testing.assert_allclose(gradient, expected, atol=1e-12 * np.abs(expected).max())

    def of_jax():
        with double():
            jax.block_until_ready(own(tree, on_device))

    spent = {of_jax: [], F.gradient: []}
    for _ in range(9):  # interleaved: the machine's other work meets both
        for call, seconds in spent.items():
            arguments = () if call is of_jax else (tasks.w0,)
            before = time.process_time()
            for _ in range(20):
                call(*arguments)
            seconds.append(time.process_time() - before)
    assert np.median(spent[F.gradient]) < 1.5 * np.median(spent[of_jax])
    # A short flow runs, and is a descent.
    run = mo.euler(mo.maml_flow(tasks, 0.01), tasks.w0, 0.01, max_iter=5)
    assert run.loss[-1] < run.loss[0]


def test_the_counts_are_those_of_the_work_that_xla_counts():
    tasks, _, _ = built("five tasks")
    small = [tasks._programs.of_one_task[name] for name in ("gradients", "hvps")]
    w = np.tile(tasks.w0, (5, 1))

    def flops(function, *arguments):
        with double():
            compiled = function.lower(*arguments).compile().cost_analysis()
        return (compiled[0] if isinstance(compiled, list) else compiled)["flops"]

    D = tasks._device_data
    gradient = flops(programs.batched(small[0]), w, D)
    hvp = flops(programs.batched(small[1]), w, w, D)
    for count in (1, 3):
        fused = tasks.fused_steps(tasks, count).programs.gradient
        work = flops(fused, np.array(tasks.w0), np.asarray(0.1), tasks.weights, D, D)
        said = mo.MAMLLoss(tasks, 0.1, inner_steps=count).gradient_cost
        expected = said.gradients * gradient + said.hvps * hvp
        assert 0.6 < work / expected < 1.2


# Routes -------------------------------------------------------------------------------


def wrong_for(name, way, by):
    """A way to compile that gets one product wrong."""

    def changed(of_one_task):
        compiled = way(of_one_task)
        if getattr(of_one_task, "__name__", "") != name:
            return compiled
        return lambda *rows: by * compiled(*rows)

    return changed


@pytest.mark.parametrize("broken", [["batched"], ["batched", "looped"]])
def test_a_product_that_is_compiled_wrongly_is_not_taken(monkeypatch, broken):
    right, _, _ = built("three tasks")
    for k, way in enumerate(broken):
        original = getattr(programs, way)
        monkeypatch.setattr(programs, way, wrong_for("_third_vector", original, 1.6 + k))
    programs.shared_programs.cache_clear()
    tasks, _, _ = built("three tasks")
    programs.shared_programs.cache_clear()
    w, v = tasks.w0, np.ones(tasks.dim)
    np.testing.assert_allclose(
        tasks.third_vectors(w, v, v), right.third_vectors(w, v, v), rtol=1e-12
    )
    assert mo.check_derivatives(tasks).ok


def test_a_fused_program_that_is_wrong_is_not_taken(monkeypatch):
    tasks, _, _ = built("three tasks")
    expected = mo.MAMLLoss(tasks, 0.1).gradient(tasks.w0)
    steps = type(tasks.fused_steps(tasks, 1))
    original = steps.gradient
    monkeypatch.setattr(steps, "gradient", lambda self, w, a: 1.001 * original(self, w, a))
    F = mo.MAMLLoss(tasks, 0.1)
    for _ in range(2):
        np.testing.assert_allclose(F.gradient(tasks.w0), expected, rtol=1e-12)


def test_a_loss_that_draws_random_numbers_is_refused():
    rng = np.random.default_rng(0)

    def noisy(params, data):
        return loss(params, data) * rng.normal()

    with pytest.raises(ValueError, match="function of its arguments alone"):
        mo.tasks.from_jax(noisy, parameters(0, 0), samples(2, 3, 0))


# What comes in and what goes out --------------------------------------------------------


def test_any_type_comes_in_and_double_is_inside_while_the_flag_stays_what_it_is():
    before = jax.config.jax_enable_x64
    data = samples(3, 4, 1)
    params = parameters(2, 1)
    exact = mo.tasks.from_jax(loss, params, data)
    halves = {
        "in": jnp.asarray(params["in"], jnp.bfloat16),
        "shift": params["shift"].astype(np.float16),
    }
    mixed = params | {k: np.asarray(v, dtype=np.float64) for k, v in halves.items()}
    tasks = mo.tasks.from_jax(loss, params | halves, {k: jnp.asarray(v) for k, v in data.items()})
    np.testing.assert_array_equal(tasks.w0, flat(mixed))
    back = tasks.unravel(tasks.w0)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(back))
    np.testing.assert_array_equal(back["out"], params["out"])
    rounded = {k: np.float64(np.float32(v)) for k, v in data.items()}
    again = mo.tasks.from_jax(loss, params, rounded)
    np.testing.assert_allclose(tasks.losses(exact.w0), again.losses(exact.w0), rtol=1e-14)
    assert tasks.gradients(tasks.w0).dtype == np.float64
    assert tasks.precision == np.finfo(float).eps
    assert jax.config.jax_enable_x64 == before
    assert jnp.ones(2).dtype == (np.float64 if before else np.float32)


def test_later_changes_of_the_callers_arrays_change_nothing():
    params, data = parameters(2, 1), samples(3, 4, 1)
    data["label"] = np.arange(3)
    tasks = mo.tasks.from_jax(lambda p, d: loss(p, d) + d["label"], params, data)
    before = tasks.losses(tasks.w0)
    data["label"][:] = 9
    data["x"][:] = 0.0
    np.testing.assert_array_equal(tasks.losses(tasks.w0), before)
    with pytest.raises(ValueError, match="read-only"):
        tasks.w0[0] = 1.0
    tasks.losses(tasks.w0)[0] = 7.0


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"loss": 3}, TypeError, r"loss must be callable as loss\(params, task_data\)"),
        (
            {"loss": lambda p, d: d["y"]},
            ValueError,
            r"must return one scalar, but it returned \(4,\)",
        ),
        ({"loss": lambda p, d: None}, ValueError, "returned nothing"),
        ({"loss": lambda p, d: 3}, TypeError, "must return a real number, not int"),
        ({"params": {}}, ValueError, "params must hold at least one number"),
        (
            {"params": {"slope": 1}},
            TypeError,
            r"params\['slope'\] must be a real floating array.*int64",
        ),
        ({"params": {"slope": np.nan}}, ValueError, r"params\['slope'\] must be finite"),
        ({"params": {"slope": "a"}}, TypeError, r"params\['slope'\] must be an array of numbers"),
        ({"data": {}}, ValueError, "data must hold arrays whose leading axis is the task"),
        ({"data": {"x": 1.0}}, ValueError, r"data\['x'\] must have the task as its leading axis"),
        (
            {"data": {"x": np.ones(3), "y": np.ones((2, 3))}},
            ValueError,
            r"data\['x'\] has 3 of them, but data\['y'\] has 2",
        ),
        ({"weights": [0.5, 0.5]}, ValueError, r"weights must have shape \(3,\)"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(arguments, error, sentence):
    good = {"loss": loss, "params": parameters(0, 0), "data": samples(3, 4, 1)}
    with pytest.raises(error, match=sentence):
        mo.tasks.from_jax(**(good | arguments))


def test_a_family_is_what_any_other_is(tmp_path):
    tasks, params, data = built("three tasks", weights=True)
    assert mo.check_derivatives(tasks).ok
    assert mo.check_derivatives(mo.MAMLLoss(tasks, 0.1, inner_steps=2)).ok
    copy = pickle.loads(pickle.dumps(tasks))
    np.testing.assert_array_equal(copy.gradients(tasks.w0), tasks.gradients(tasks.w0))
    assert copy.identity == tasks.identity is not None
    other = mo.tasks.from_jax(loss, params, data | {"y": data["y"] + 1}, weights=WEIGHTS[3])
    assert other.identity != tasks.identity != built("three tasks")[0].identity
    flow = mo.maml_flow(tasks, 0.1)
    pickle.loads(pickle.dumps(flow)).phases[0].field(tasks.w0)
    mo.solve(flow, tasks.w0, t_max=0.2).save(tmp_path / "run.npz")
    part = mo.Trajectory.load(tmp_path / "run.npz")
    assert mo.solve(flow, resume=part, t_max=0.4).t[-1] == 0.4
    with pytest.raises(ValueError, match="run of another flow"):
        mo.solve(mo.maml_flow(other, 0.1), resume=part, t_max=0.4)


def test_large_matrices_are_made_column_by_column(monkeypatch):
    from maml_ode.tasks.adapters import autodiff

    tasks, _, _ = built("three tasks")
    w, v = tasks.w0, np.linspace(0.0, 1.0, tasks.dim)
    at_once = tasks.hessians(w), tasks.third(w, v)
    monkeypatch.setattr(autodiff, "ENTRIES_AT_ONCE", 1)
    for whole, columns in zip(at_once, (tasks.hessians(w), tasks.third(w, v)), strict=True):
        np.testing.assert_allclose(columns, whole, rtol=1e-12, atol=1e-13)


def test_some_of_the_tasks_are_a_family_of_the_same_kind():
    tasks, _, _ = built("three tasks", weights=True)
    some = tasks.subset([2, 0])
    assert type(some) is type(tasks)
    assert some.identity != tasks.identity
    np.testing.assert_allclose(some.weights, [0.375, 0.625])
    w = tasks.w0 + 0.1
    np.testing.assert_allclose(some.hvps(w, w), tasks.hvps(w, w)[[2, 0]], rtol=1e-12)
    assert some.fused_steps(some, 1) is not None
    assert tasks.n_tasks == len(tasks.losses(w)) == 3
