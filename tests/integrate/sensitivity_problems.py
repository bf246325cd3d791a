"""Random flows of all families, and what a run of them comes to as a function of its parameters."""

import numpy as np

import maml_ode as mo

NAMES = ("alpha", "switch_tol", "w0", "weights")


def callables(a, weights):
    """f_i(w) = log cosh(w - a_i) + |w|^2/4 a coordinate, as Python functions."""

    def tanh(W):
        return np.tanh(W - a)

    return mo.tasks.from_callables(
        lambda W: (np.log(np.cosh(W - a)) + 0.25 * W**2).sum(axis=1),
        lambda W: tanh(W) + 0.5 * W,
        hvps=lambda W, V: (1.5 - tanh(W) ** 2) * V,
        third_vectors=lambda W, V, Q: -2.0 * tanh(W) * (1.0 - tanh(W) ** 2) * V * Q,
        n_tasks=a.shape[0],
        dim=a.shape[1],
        batched=True,
        weights=weights,
    )


def family(kind, rng):
    """Return weights -> a family of this kind, with data of its own."""
    M, d = 3, 1 if kind == "sinusoid" else 2
    X = [rng.standard_normal((n, d)) for n in (4, 6, 3)]
    y = [rng.choice([-1.0, 1.0], len(x)) for x in X]
    if kind == "logistic":
        return lambda p: mo.tasks.LogisticRegression(X, y, l2=0.2, weights=p)
    if kind == "svm":
        return lambda p: mo.tasks.SVM(
            X, y, loss="smooth_squared_hinge", smoothing=0.5, l2=0.2, weights=p
        )
    if kind == "regression":
        return lambda p: mo.tasks.LinearRegression(X, y, weights=p)
    if kind == "quadratic":
        A, b = rng.standard_normal((M, d, d)), rng.standard_normal((M, d))
        return lambda p: mo.tasks.Quadratic(A @ A.transpose(0, 2, 1) + np.eye(d), b, np.zeros(M), p)
    if kind == "sinusoid":
        a, b, omega = 1.0 + rng.random(M), 0.5 * rng.random(M), 0.5 + rng.random(M)
        return lambda p: mo.tasks.Sinusoid(a, b, omega, p)
    a = rng.standard_normal((M, d))
    return lambda p: callables(a, p)


FAMILIES = ("logistic", "svm", "regression", "quadratic", "sinusoid", "callables")
FLOWS = ("maml", "bimaml", "fomaml", "reptile", "bimaml")


class Problem:
    """A flow with one switch or none, started so that it comes to rest by a loose tolerance."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.kind, self.flow_kind = FAMILIES[seed % len(FAMILIES)], FLOWS[seed % len(FLOWS)]
        self.make = family(self.kind, rng)
        self.make_query = family(self.kind, rng) if seed % 3 == 1 else None
        self.count = 1 + seed % 3
        weights = 0.5 + rng.random(3)
        tasks = self.make(weights / weights.sum())
        M, d, k = tasks.n_tasks, tasks.dim, self.count
        shape = [(), (d,), (M, 1), (k, 1, 1), (k, M, d)][rng.integers(5)]
        self.good = {
            "alpha": 0.15 * (0.3 + rng.random(shape)) * rng.choice([1.0, 1.0, -1.0]),
            "w0": 2.0 * rng.standard_normal(d),
            "weights": tasks.weights.copy(),
        }
        self.names = [name for name in NAMES if name != "switch_tol"]
        size = np.linalg.norm(mo.ExpectedLoss(tasks).gradient(self.good["w0"]))
        if self.flow_kind == "bimaml":
            self.names.append("switch_tol")
            self.good["switch_tol"] = 0.6 * size
        self.tol = 0.0
        middle = mo.solve(
            self.flow(self.good), self.good["w0"], t_max=0.7, tol=0.0, method="DOP853"
        )
        self.tol = float(np.linalg.norm(self.flow(self.good).phases[-1].field(middle.w)))
        self.directions = {
            name: rng.standard_normal(np.shape(self.good[name])) for name in self.names
        }
        self.directions["weights"] -= self.directions["weights"].mean()

    def flow(self, given):
        tasks = self.make(given["weights"])
        query = None if self.make_query is None else self.make_query(given["weights"])
        alpha, k = given["alpha"], self.count
        if self.flow_kind == "maml":
            return mo.maml_flow(tasks, alpha, inner_steps=k, query=query)
        if self.flow_kind == "fomaml":
            return mo.fomaml_flow(tasks, alpha, inner_steps=k, query=query)
        if self.flow_kind == "reptile":
            return mo.reptile_flow(tasks, alpha, inner_steps=k)
        return mo.bimaml_flow(tasks, alpha, given["switch_tol"], inner_steps=k, query=query)

    def run(self, given=None, names=("w0",), t_max=30.0, tol=None, **options):
        given = self.good if given is None else given
        tol = self.tol if tol is None else tol
        settings = {"rtol": 1e-11, "atol": 1e-13, "method": "DOP853", "diagnostics": False}
        return mo.solve(
            self.flow(given), given["w0"], tol=tol, t_max=t_max, sensitivities=names,
            **(settings | options),
        )  # fmt: skip

    def differences(self, name, h=1e-5, **options):
        """Return what a run and its difference quotient along the direction come to."""
        ends = []
        for sign in (1.0, -1.0):
            moved = self.good[name] + sign * h * self.directions[name]
            ends.append(self.run({**self.good, name: moved}, **options))
        plus, minus = ends
        return [
            (a - b) / (2.0 * h)
            for a, b in (
                (plus.w, minus.w),
                (np.array(plus.final_time), np.array(minus.final_time)),
                (plus.switch_times, minus.switch_times),
            )
        ]


def relative_errors(seed, names=None):
    """Return the largest relative error of any derivative of a problem, and whether it came to rest."""
    problem = Problem(seed)
    run = problem.run(names=problem.names)
    worst = 0.0
    for name in problem.names if names is None else names:
        found = run.sensitivities[name]
        v = problem.directions[name].ravel()
        single = np.ndim(problem.good[name]) == 0
        mine = [
            value * v[0] if single else value @ v
            for value in (found.state, found.final_time, found.switch_times)
        ]
        for ours, theirs in zip(mine, problem.differences(name), strict=True):
            if np.size(ours):
                gap = np.abs(ours - theirs).max()
                worst = max(worst, gap / max(np.abs(theirs).max(), 1e-3))
    return worst, run, problem
