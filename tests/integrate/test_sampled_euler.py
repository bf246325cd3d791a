"""Euler on a few tasks a step: its expectation by enumeration, its counts by an outside counter, its limit."""

import itertools

import numpy as np
import pytest
import scipy.linalg

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.integrate.progress import Progress

RNG = np.random.default_rng(11)
M, D = 4, 2
UNIFORM, OTHER = np.full(M, 0.25), np.array([0.1, 0.4, 0.3, 0.2])
H = np.array([A @ A.T + np.eye(D) for A in RNG.normal(size=(M, D, D))])
B = RNG.normal(size=(M, D))
X = RNG.normal(size=(M, 6, D))
LABELS = np.where(RNG.random((M, 6)) < 0.5, 1, -1)
W0 = np.array([0.7, -0.4])
ALPHA, BETA = 0.1, 0.05


class Losses:
    """Counted functions of f_i(w) = w'H_i w/2 - b_i'w + sum(w^4)/20."""

    def __init__(self, weights):
        self.calls = {"gradients": 0, "hvps": 0, "losses": 0}
        self.family = mo.tasks.from_callables(
            self.loss, self.gradient, hvps=self.hvp, n_tasks=M, dim=D, weights=weights
        )

    def loss(self, i, w):
        self.calls["losses"] += 1
        return float(w @ H[i] @ w / 2 - B[i] @ w + (w**4).sum() / 20)

    def gradient(self, i, w):
        self.calls["gradients"] += 1
        return H[i] @ w - B[i] + w**3 / 5

    def hvp(self, i, w, v):
        self.calls["hvps"] += 1
        return H[i] @ v + 3 * w**2 * v / 5


FAMILIES = {
    "callables": lambda p: Losses(p).family,
    "Quadratic": lambda p: mo.tasks.Quadratic(H, B, weights=p),
    "LinearRegression": lambda p: mo.tasks.LinearRegression(X, 1.0 * LABELS, weights=p),
    "LogisticRegression": lambda p: mo.tasks.LogisticRegression(X, LABELS, 0.1, weights=p),
    "Symbolic": lambda p: mo.tasks.Symbolic(
        "a*x**2 + y**4 + b*sin(x*y)", "x y", {"a": B[:, 0] ** 2, "b": B[:, 1]}, weights=p
    ),
}


def query(p):
    return mo.tasks.Quadratic(H[::-1], 0.5 * B, weights=p)


FLOWS = {
    "gradient flow": lambda tasks: mo.gradient_flow(mo.ExpectedLoss(tasks)),
    "MAML": lambda tasks: mo.maml_flow(tasks, ALPHA),
    "MAML with queries": lambda tasks: mo.maml_flow(
        tasks, ALPHA, inner_steps=2, query=query(tasks.weights)
    ),
    "FO-MAML": lambda tasks: mo.fomaml_flow(tasks, ALPHA, inner_steps=2),
    "Reptile": lambda tasks: mo.reptile_flow(tasks, ALPHA, inner_steps=3),
    "BI-MAML": lambda tasks: mo.bimaml_flow(tasks, ALPHA, 1e-9),
}


def step_with(flow, tasks, monkeypatch):
    """One sampled step for the tasks given, whatever the generator says."""
    from maml_ode.integrate.steppers.sampled import TaskSampler

    monkeypatch.setattr(TaskSampler, "draw", lambda self, family: np.array(tasks))
    run = mo.euler(flow, W0, BETA, max_iter=1, tasks_per_step=len(tasks), diagnostics=False)
    return run.w


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", FLOWS)
def test_the_expected_step_is_the_step_over_all_tasks(name, kind, monkeypatch):
    for p in (UNIFORM, OTHER):
        flow = FLOWS[kind](FAMILIES[name](p))
        full = mo.euler(flow, W0, BETA, max_iter=1, diagnostics=False).w
        if p is UNIFORM:
            draws = list(itertools.combinations(range(M), 2))
            chances = np.full(len(draws), 1.0 / len(draws))
        else:
            draws = list(itertools.product(range(M), repeat=2))
            chances = np.array([p[list(draw)].prod() for draw in draws])
        steps = np.array([step_with(flow, draw, monkeypatch) for draw in draws])
        np.testing.assert_allclose(chances @ steps, full, rtol=1e-13, atol=1e-15)
        assert np.ptp(steps, axis=0).min() > 1e-4  # no draw is all tasks


@pytest.mark.parametrize("p", [UNIFORM, OTHER])
def test_tasks_are_drawn_as_their_weights_say(p):
    drawn = []
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.0, lambda i, w: drawn.append(i) or 0 * w, n_tasks=M, dim=1, weights=p
    )
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    n = 3000
    run = mo.euler(
        flow, [1.0], 0.1, max_iter=n, tasks_per_step=3, rng=4, diagnostics=False, record_every=n
    )
    assert run.counts.steps == n
    rows = np.array(drawn).reshape(n, 3)
    # The share of each task in n independent draws of three, to five standard deviations.
    shares = (rows[:, :, None] == np.arange(M)).mean(axis=(0, 1))
    np.testing.assert_array_less(abs(shares - p), 5 * np.sqrt(p * (1 - p) / (3 * n)))
    distinct = np.array([len(set(row)) for row in rows.tolist()])
    if p is UNIFORM:
        assert (distinct == 3).all()
        assert len({tuple(sorted(row)) for row in rows.tolist()}) == 4
    else:
        apart = sum(p[list(draw)].prod() for draw in itertools.permutations(range(M), 3))
        assert abs((distinct == 3).mean() - apart) < 5 * np.sqrt(apart / n)


def test_runs_repeat_by_their_seed():
    flow = mo.maml_flow(FAMILIES["LogisticRegression"](UNIFORM), ALPHA)
    settings = {"max_iter": 20, "tasks_per_step": 2}
    runs = {
        seed: mo.euler(flow, W0, BETA, rng=seed, **settings).y.tolist() for seed in (None, 0, 1)
    }
    assert runs[None] == runs[0] != runs[1]
    rng = np.random.default_rng(1)
    assert mo.euler(flow, W0, BETA, rng=rng, **settings).y.tolist() == runs[1]
    assert mo.euler(flow, W0, BETA, rng=rng, **settings).y.tolist() != runs[1]  # fresh draws


@pytest.mark.parametrize("kind", FLOWS)
def test_all_tasks_a_step_are_the_full_algorithm(kind):
    flow = FLOWS[kind](FAMILIES["LogisticRegression"](UNIFORM))
    full = mo.euler(flow, W0, BETA, max_iter=15)
    run = mo.euler(flow, W0, BETA, max_iter=15, tasks_per_step=M)
    np.testing.assert_allclose(run.y, full.y, rtol=1e-12)
    np.testing.assert_allclose(run.grad_norm, full.grad_norm, rtol=1e-11)
    if kind != "BI-MAML":  # whose rule shares the full field's evaluations
        assert (run.counts.gradients, run.counts.hvps) == (full.counts.gradients, full.counts.hvps)


def textbook(kind, gradient, w, before, k):
    """The next iterate of heavy ball with friction 0.8, or of Nesterov's method, from two of them."""
    if kind == "heavy ball":
        return w + (1 - 0.8 * BETA) * (w - before) - BETA**2 * gradient(w)
    y = w + (k - 1) / (k + 2) * (w - before) if k else w
    return y - BETA**2 * gradient(y)


LIFTED = {
    "heavy ball": lambda F: mo.momentum_flow(F, 0.8),
    "Nesterov": mo.nesterov_flow,
}


@pytest.mark.parametrize("p", [UNIFORM, OTHER])
@pytest.mark.parametrize("kind", LIFTED)
def test_momentum_of_a_few_tasks_is_right_on_average(kind, p, monkeypatch):
    """Step by step: given what was drawn before, the mean over the next draw is the textbook's step."""
    from maml_ode.integrate.steppers.sampled import TaskSampler

    F = mo.MAMLLoss(FAMILIES["LogisticRegression"](p), ALPHA)
    flow = LIFTED[kind](F)
    if p is UNIFORM:
        draws = list(itertools.combinations(range(M), 2))
        chances = np.full(len(draws), 1.0 / len(draws))
    else:
        draws = list(itertools.product(range(M), repeat=2))
        chances = np.array([p[list(draw)].prod() for draw in draws])
    for begun in ((), ((0, 3),), ((0, 3), (1, 2), (0, 1))):
        paths = []
        for draw in draws:
            drawn = iter([*begun, draw])
            monkeypatch.setattr(TaskSampler, "draw", lambda *_, drawn=drawn: np.array(next(drawn)))
            settings = {"max_iter": len(begun) + 1, "tasks_per_step": 2, "diagnostics": False}
            paths.append(mo.euler(flow, W0, BETA, **settings).y)
        paths = np.array(paths)
        before = paths[0][:, max(len(begun) - 1, 0)]
        full = textbook(kind, F.gradient, paths[0][:, -2], before, len(begun))
        np.testing.assert_allclose(chances @ paths[:, :, -1], full, rtol=1e-13, atol=1e-15)
        assert np.ptp(paths[:, :, -1], axis=0).min() > 1e-6


@pytest.mark.parametrize("kind", LIFTED)
def test_momentum_of_all_tasks_a_step_is_the_full_algorithm(kind):
    counted = Losses(UNIFORM)
    flow = LIFTED[kind](mo.MAMLLoss(counted.family, ALPHA))
    full = mo.euler(flow, W0, BETA, max_iter=15, diagnostics=False)
    counted.calls.update(gradients=0, hvps=0)
    run = mo.euler(flow, W0, BETA, max_iter=15, tasks_per_step=M, diagnostics=False)
    np.testing.assert_allclose(run.z, full.z, rtol=1e-12)
    assert (counted.calls["gradients"], counted.calls["hvps"]) == (15 * 2 * M, 15 * M)
    assert (run.counts.task_gradients, run.counts.task_hvps) == (15 * 2 * M, 15 * M)
    assert (run.counts.gradients, run.counts.hvps) == (full.counts.gradients, full.counts.hvps)
    # At rest is where all tasks say so, of |grad F| and of |v| at w itself.
    F = mo.MAMLLoss(counted.family, ALPHA)
    still = mo.euler(flow, W0, BETA, tol=0.4, tasks_per_step=3, rng=2)
    assert still.stop.name == "STATIONARY"
    norms = [
        max(np.linalg.norm(F.gradient(z[:D])), np.linalg.norm(z[D : 2 * D])) for z in still.z.T
    ]
    assert norms[-1] <= 0.4 < min(norms[:-1])
    np.testing.assert_allclose(still.grad_norm, [np.linalg.norm(F.gradient(w)) for w in still.y.T])


@pytest.mark.parametrize("p", [UNIFORM, OTHER])
def test_counts_are_those_of_an_outside_counter(p):
    counted = Losses(p)
    flow = mo.maml_flow(counted.family, ALPHA, inner_steps=2)
    run = mo.euler(flow, W0, BETA, max_iter=7, tasks_per_step=3, diagnostics=False)
    assert counted.calls == {"gradients": 7 * 3 * 3, "hvps": 7 * 3 * 2, "losses": 0}
    counts = run.counts
    assert (counts.task_gradients, counts.task_hvps, counts.steps) == (63, 42, 7)
    assert (counts.gradients, counts.hvps) == (63 / 4, 42 / 4)
    assert run.nfev == 7
    looked = mo.euler(flow, W0, BETA, max_iter=7, tasks_per_step=3).counts
    assert (looked.gradients, looked.diagnostics.task_gradients) == (63 / 4, 0)
    assert looked.diagnostics.gradients == 8 * (2 + 3 + 1)  # of F, grad F and grad f, at all tasks
    # A switch that looks at all tasks, at the start and after every step, is counted in both units.
    counted.calls["gradients"] = 0
    bi = mo.bimaml_flow(counted.family, ALPHA, 1e-9)
    run = mo.euler(bi, W0, BETA, max_iter=5, tasks_per_step=1, diagnostics=False)
    assert counted.calls["gradients"] == run.counts.task_gradients == 5 + M * 6
    assert run.counts.gradients == 5 / M + 6
    # In a phase that no vanishing field ends, nothing asks for the field of all tasks.
    f, F = mo.ExpectedLoss(counted.family), mo.MAMLLoss(counted.family, ALPHA)
    own = mo.Flow([mo.Phase(f, until=lambda t, w: 9.0 - t), mo.Phase(F)])
    run = mo.euler(own, W0, BETA, tol=1e-9, max_iter=5, tasks_per_step=1, diagnostics=False)
    assert run.counts.task_gradients == 5


def test_the_switch_and_the_test_of_stationarity_see_all_tasks():
    tasks = FAMILIES["Quadratic"](OTHER)
    norm = lambda w: np.linalg.norm(OTHER @ tasks.gradients(w))  # noqa: E731
    run = mo.euler(
        mo.bimaml_flow(tasks, ALPHA, 0.5), [3.0, 3.0], BETA, max_iter=400, tasks_per_step=2, rng=3
    )
    (k,) = np.flatnonzero(np.diff(run.phase)) + 1
    norms = np.array([norm(w) for w in run.y.T])
    assert norms[k] <= 0.5 < norms[:k].min()
    np.testing.assert_allclose(run.task_grad_norm, norms, rtol=1e-10)
    F = mo.MAMLLoss(tasks, ALPHA)
    flow = mo.maml_flow(tasks, ALPHA)
    still = mo.euler(flow, [3.0, 3.0], BETA, tol=0.4, tasks_per_step=2, rng=3)
    assert still.stop.name == "STATIONARY"
    norms = np.array([np.linalg.norm(F.gradient(w)) for w in still.y.T])
    assert norms[-1] <= 0.4 < norms[:-1].min()
    np.testing.assert_allclose(still.grad_norm, norms, rtol=1e-10)


def moments(G, c, draws, chances, h, steps):
    """E w and E w w' after so many steps w - h (G_S w - c_S): an affine map of them, by enumeration."""
    mean, second = W0, np.outer(W0, W0)
    for _ in range(steps):
        new_mean, new_second = np.zeros(D), np.zeros((D, D))
        for draw, chance in zip(draws, chances, strict=True):
            A, b = np.eye(D) - h * G[list(draw)].mean(axis=0), h * c[list(draw)].mean(axis=0)
            image = A @ mean
            new_mean += chance * (image + b)
            new_second += chance * (
                A @ second @ A.T + np.outer(image, b) + np.outer(b, image) + np.outer(b, b)
            )
        mean, second = new_mean, new_second
    return mean, second


def test_the_iterates_tend_to_the_flow():
    """The mean comes near with the first power of the step size, a single run with its square root."""
    A = np.eye(D) - ALPHA * H
    G, c = A @ H @ A, np.einsum("mij,mj->mi", A @ A, B)  # grad F_i = G_i w - c_i
    t_end, seeds = 0.8, 150
    mean_G, mean_c = OTHER @ G.reshape(M, -1), OTHER @ c
    mean_G = mean_G.reshape(D, D)
    rest = np.linalg.solve(mean_G, mean_c)
    exact = rest + scipy.linalg.expm(-t_end * mean_G) @ (W0 - rest)
    draws = list(itertools.product(range(M), repeat=2))
    chances = [OTHER[list(draw)].prod() for draw in draws]
    flow = mo.maml_flow(mo.tasks.Quadratic(H, B, weights=OTHER), ALPHA)
    biases, distances = [], []
    for steps in (8, 32, 128):
        mean, second = moments(G, c, draws, chances, t_end / steps, steps)
        square = np.trace(second) - 2 * mean @ exact + exact @ exact
        biases.append(np.linalg.norm(mean - exact))
        distances.append(np.sqrt(square))
        if steps == 128:
            continue
        ends = np.array(
            [
                mo.euler(
                    flow, W0, t_end / steps, max_iter=steps, tasks_per_step=2, rng=seed,
                    diagnostics=False, record_every=steps,
                ).w
                for seed in range(seeds)
            ]
        )  # fmt: skip
        squares = ((ends - exact) ** 2).sum(axis=1)
        assert abs(squares.mean() - square) < 4 * squares.std() / np.sqrt(seeds)
        spread = 4 * np.sqrt(np.trace(second) - mean @ mean) / np.sqrt(seeds)
        assert np.linalg.norm(ends.mean(axis=0) - mean) < spread
    np.testing.assert_allclose(
        np.log(np.divide(biases[:-1], biases[1:])) / np.log(4), 1.0, atol=0.1
    )
    np.testing.assert_allclose(
        np.log(np.divide(distances[:-1], distances[1:])) / np.log(4), 0.5, atol=0.1
    )


@pytest.mark.parametrize(
    ("flow", "options", "error", "match"),
    [
        ("MAML", {"tasks_per_step": M + 1}, ValueError, "at most the number of tasks, 4, not 5"),
        ("MAML", {"tasks_per_step": 0}, ValueError, "tasks_per_step must be at least 1"),
        ("MAML", {"tasks_per_step": 1.0}, TypeError, "tasks_per_step must be an integer"),
        ("MAML", {"rng": 1}, TypeError, "pass tasks_per_step= too"),
        (
            "MAML",
            {"tasks_per_step": 2, "rng": "1"},
            TypeError,
            "rng must be a numpy.random.Generator",
        ),
        ("modified", {"tasks_per_step": 2}, TypeError, "means over tasks, which modified field"),
        ("own", {"tasks_per_step": 2}, TypeError, "means over tasks, which mine is not"),
    ],
)
def test_what_cannot_be_sampled_is_refused(flow, options, error, match):
    tasks = FAMILIES["Quadratic"](UNIFORM)
    f = mo.ExpectedLoss(tasks)
    flows = {
        "MAML": mo.maml_flow(tasks, ALPHA),
        "modified": mo.modified_flow(f, 0.1),
        "own": mo.Flow([mo.Phase(CallableField(lambda w: -w, D, label="mine"))], f),
    }
    with pytest.raises(error, match=match):
        mo.euler(flows[flow], W0, BETA, **options)
    assert mo.euler(
        mo.maml_flow(FAMILIES["Quadratic"](OTHER), ALPHA), W0, BETA, max_iter=2, tasks_per_step=9
    )


def test_solve_says_why_it_takes_no_samples():
    flow = mo.maml_flow(FAMILIES["LogisticRegression"](UNIFORM), ALPHA)
    for method in ("auto", "Tsit5", "exact"):
        with pytest.raises(
            TypeError, match=r"no function of w.*mo.euler\(flow, w0, step_size, tasks"
        ):
            mo.solve(flow, W0, method=method, tasks_per_step=2)


def test_a_field_that_is_no_number_ends_the_test_of_stationarity():
    """Whether or not the task that spoils it is drawn."""
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.0, lambda i, w: w * [1.0, np.nan][i], n_tasks=2, dim=1
    )
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    for seed in range(4):
        run = mo.euler(flow, [1.0], 0.1, tol=1e-3, tasks_per_step=1, rng=seed, diagnostics=False)
        assert (run.stop.name, run.counts.steps) == ("NON_FINITE", 0)


def test_sampled_runs_are_kept_and_shown(tmp_path):
    flow = mo.maml_flow(FAMILIES["LogisticRegression"](UNIFORM), ALPHA)
    run = mo.euler(flow, W0, BETA, max_iter=7, tasks_per_step=3, record_every=2)
    run.save(tmp_path / "run.npz")
    kept = mo.Trajectory.load(tmp_path / "run.npz")
    assert kept.counts == run.counts
    assert mo.Counts.from_dict(run.counts.to_dict()) == run.counts
    assert "10.50 gradient and 5.25 HVP passes" in repr(run)
    assert run.counts.gradient_equivalents() == 15.75
    assert "42 gradients of single tasks, 21 HVPs of single tasks" in str(run.counts)
    assert "task_gradients" not in mo.euler(flow, W0, BETA, max_iter=1).counts.to_dict()
    far = mo.euler(flow, W0, 1e308, max_iter=9, tasks_per_step=1)
    assert far.stop.name == "NON_FINITE"
    seen = []
    stopped = mo.euler(
        flow, W0, BETA, tasks_per_step=1, callback=lambda state: seen.append(state) or len(seen) > 3
    )
    assert (stopped.stop.name, len(stopped.t)) == ("INTERRUPTED", 5)


def test_progress_is_told_of_every_step(monkeypatch):
    told = []
    monkeypatch.setattr(Progress, "update", lambda self, t, norm: told.append(t))
    tasks = mo.tasks.Quadratic(np.ones((3, 1, 1)), np.ones((3, 1)))
    mo.euler(mo.maml_flow(tasks, 0.1), [3.0], 0.25, max_iter=4, tasks_per_step=1, rng=0)
    assert told == [0.0, 0.25, 0.5, 0.75]
