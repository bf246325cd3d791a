"""Tasks shared among threads: the same numbers to the last bit, whoever has computed them."""

import pickle
import threading

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.compiled import shares
from maml_ode.compiled.decorators import compiled
from maml_ode.fields import FirstOrderField, ReptileField
from maml_ode.objectives.threaded_loop import ThreadedLoop


def family(seed, kind):
    """A family of ragged tasks, some of them with weights."""
    rng = np.random.default_rng(seed)
    M, d = int(rng.integers(1, 14)), int(rng.integers(1, 7))
    sizes = rng.integers(1, 30, M)
    weights = rng.dirichlet(np.ones(M)) if seed % 2 else None
    X = [rng.standard_normal((n, d)) for n in sizes]
    if kind == "regression":
        return mo.tasks.LinearRegression(
            X, [rng.standard_normal(n) for n in sizes], weights=weights
        )
    if kind == "sinusoid":
        return mo.tasks.Sinusoid(*rng.uniform(0.5, 2.0, (3, M)), weights=weights)
    y = [np.sign(rng.standard_normal(n)) for n in sizes]
    return mo.tasks.LogisticRegression(X, y, l2=0.1, weights=weights)


@pytest.mark.parametrize("kind", ["regression", "logistic", "sinusoid"])
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_every_number_of_threads_gives_the_same_bits(kind, inner_steps):
    for seed in range(4):
        tasks = family(seed, kind)
        rng = np.random.default_rng(seed)
        points, v = rng.standard_normal((5, tasks.dim)), rng.standard_normal(tasks.dim)
        said = []
        for threads in (1, 2, 5):
            kw = {"inner_steps": inner_steps, "aggregate": False, "threads": threads}
            F = mo.MAMLLoss(tasks, 0.1, **kw)
            f = mo.ExpectedLoss(tasks, aggregate=False, threads=threads)
            fields = FirstOrderField(tasks, 0.1, **kw), ReptileField(tasks, 0.1, **kw)
            numbers = [
                number
                for objective in (F, f)
                for w in points
                for number in (objective.value(w), objective.gradient(w), objective.hvp(w, v))
            ]
            numbers += [F.values(points), F.gradients(points), f.values(points)]
            numbers += [field(w) for field in fields for w in points]
            assert isinstance(F._inner.loop, ThreadedLoop) is (threads > 1)
            said.append(np.concatenate([np.ravel(number) for number in numbers]))
        np.testing.assert_array_equal(said[1], said[0])
        np.testing.assert_array_equal(said[2], said[0])


def test_threads_ask_for_curvature_that_waits_to_be_asked_for():
    """f = w^2/2 - sin(2 w), F(w) = f(w - f'(w)/10), of which nobody has asked for a Hessian before."""
    tasks = mo.tasks.Sinusoid([0.5], [1.0], [2.0])
    w, slope, bend, third = 0.3, 0.3 - 2 * np.cos(0.6), 1 + 4 * np.sin(0.6), 8 * np.cos(0.6)
    u = w - 0.1 * slope
    wanted = (1 - 0.1 * bend) ** 2 * (1 + 4 * np.sin(2 * u)) - 0.1 * third * (u - 2 * np.cos(2 * u))
    F = mo.MAMLLoss(tasks, 0.1, threads=2)
    np.testing.assert_allclose(F.hvp([w], [2.0]), [2.0 * wanted], rtol=1e-13)


@pytest.mark.parametrize("method", ["Tsit5", "DOP853"])
def test_a_run_is_the_one_of_a_single_thread(method):
    tasks = family(1, "logistic")
    runs = [
        mo.solve(
            mo.bimaml_flow(tasks, 0.1, 0.2, threads=threads), np.ones(tasks.dim), method=method
        )
        for threads in (1, 3)
    ]
    for name in ("t", "y", "loss", "grad_norm", "switch_times"):
        np.testing.assert_array_equal(getattr(runs[1], name), getattr(runs[0], name))
    assert runs[1].counts == runs[0].counts
    assert runs[1].identity == runs[0].identity


@pytest.mark.parametrize(
    "name", ["values", "gradients", "first_order_gradients", "reptile_gradients", "hvps"]
)
def test_the_interpreters_lock_is_free_while_a_share_is_computed(name):
    assert compiled(getattr(shares, name)).targetoptions["nogil"]


def test_two_threads_work_at_the_same_time():
    tasks = family(1, "logistic")
    met = threading.Barrier(2, timeout=20.0)
    loop = ThreadedLoop(tasks, tasks, 0.1, 1, threads=2)
    loop._share(2, lambda first, last: met.wait())


def test_what_another_thread_raises_is_raised_here():
    here = threading.get_ident()
    met = threading.Barrier(2, timeout=20.0)

    def work(first, last):
        met.wait()
        if threading.get_ident() != here:
            raise FloatingPointError("there")

    tasks = family(1, "logistic")
    with pytest.raises(FloatingPointError, match="there"):
        ThreadedLoop(tasks, tasks, 0.1, 1, threads=2)._share(2, work)


def test_threads_go_with_copies_and_other_alphas():
    F = mo.MAMLLoss(family(1, "logistic"), 0.1, threads=2)
    assert isinstance(F._inner.loop, ThreadedLoop)
    assert F.with_alpha(0.2).threads == 2
    assert pickle.loads(pickle.dumps(F)).threads == 2
    assert repr(F).endswith("threads=2)")
    assert mo.maml_flow(F.tasks, 0.1, threads=2).task_objective.threads == 2


def test_what_has_no_kernels_is_refused():
    tasks = family(1, "logistic")
    python = mo.tasks.from_callables(
        gradients=lambda i, w: w, hvps=lambda i, w, v: v, losses=lambda i, w: 0.5 * w @ w,
        n_tasks=2, dim=3,
    )  # fmt: skip
    for refused in (
        lambda: mo.MAMLLoss(python, 0.1, threads=2),
        lambda: mo.ExpectedLoss(python, threads=2),
        lambda: mo.MAMLLoss(tasks, np.full(tasks.dim, 0.1), threads=2),
        lambda: mo.reptile_flow(python, 0.1, threads=2),
    ):
        with pytest.raises(ValueError, match="leave threads out"):
            refused()
    with pytest.raises(ValueError, match="threads must be at least 1"):
        mo.MAMLLoss(tasks, 0.1, threads=0)
    with pytest.raises(TypeError, match="threads must be an integer"):
        mo.MAMLLoss(tasks, 0.1, threads=True)
