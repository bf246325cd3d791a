"""An oracle for runs: MAML and BI-MAML written as loops over tasks, in NumPy, from the definitions."""

from types import SimpleNamespace

import numpy as np
import pytest


class LinearLosses:
    """Losses of linear predictions, one (X, y) at a time; the package's families are not used."""

    def __init__(self, X, y, loss, scales):
        self.X, self.y, self.kind, self.scales = X, y, loss, scales

    def margins(self, i, w):
        prediction = self.X[i] @ w
        if self.kind == "squares":
            return self.y[i] - prediction, -np.ones_like(prediction)
        return 1.0 - self.y[i] * prediction, -self.y[i]

    def loss(self, i, w):
        t, _ = self.margins(i, w)
        if self.kind == "hinge":
            return self.scales[i] * np.sum(np.maximum(t, 0.0))
        if self.kind == "squared_hinge":
            t = np.maximum(t, 0.0)
        return self.scales[i] * np.sum(t**2)

    def gradient(self, i, w):
        t, slope = self.margins(i, w)
        if self.kind == "hinge":
            return self.scales[i] * self.X[i].T @ (slope * (t > 0))
        if self.kind == "squared_hinge":
            t = np.maximum(t, 0.0)
        return 2.0 * self.scales[i] * self.X[i].T @ (slope * t)

    def hvp(self, i, w, v):
        if self.kind == "hinge":
            return np.zeros_like(w)
        Xv = self.X[i] @ v
        if self.kind == "squared_hinge":
            Xv = Xv * (self.margins(i, w)[0] > 0)
        return 2.0 * self.scales[i] * self.X[i].T @ Xv


def run_algorithms(problem, kind, scales, n_steps=50):
    """Run MAML and BI-MAML; F, ||grad F|| and, for BI-MAML, the plotted norm at k = 0, ..., N."""
    f = LinearLosses(problem.tasks.X, problem.tasks.y, kind, scales)
    tasks = range(len(f.X))
    alpha, beta, eps0 = problem.alpha, problem.beta, problem.switch_tol

    def expected_gradient(w):
        return np.mean([f.gradient(i, w) for i in tasks], axis=0)

    def maml(w):
        value, gradient = 0.0, np.zeros_like(w)
        for i in tasks:
            u = w - alpha * f.gradient(i, w)
            q = f.gradient(i, u)
            value += f.loss(i, u) / len(tasks)
            gradient += (q - alpha * f.hvp(i, w, q)) / len(tasks)
        return value, gradient

    def descend(first_phase):
        w, switch, F, norms, plotted = problem.w0.copy(), None, [], [], []
        for k in range(n_steps + 1):
            step = None
            if first_phase:
                step = expected_gradient(w)
                if np.linalg.norm(step) <= eps0:
                    first_phase, switch, step = False, k, None
            value, gradient = maml(w)
            if step is None:
                step = gradient
            F.append(value)
            norms.append(np.linalg.norm(gradient))
            plotted.append(np.linalg.norm(step))
            w = w - beta * step
        return SimpleNamespace(
            F=np.array(F), norms=np.array(norms), plotted=np.array(plotted), switch=switch, w=w
        )

    return SimpleNamespace(maml=descend(False), bimaml=descend(True), expected=expected_gradient)


@pytest.fixture(scope="session")
def algorithms():
    return run_algorithms


@pytest.fixture(scope="session")
def digits_of():
    """Whether a number agrees with a printed one to the printed digits."""

    def check(got, printed):
        mantissa = printed.lower().lstrip("-")
        decimals = len(mantissa.split(".")[1])
        assert abs(got - float(printed)) <= 0.51 * 10.0**-decimals, f"{got!r} against {printed}"

    return check
