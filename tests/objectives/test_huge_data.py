"""Data near the ends of what a float holds: no NumPy warning, no exception, and no success without numbers."""

import numpy as np
import pytest
import scipy.sparse as sp

import maml_ode as mo

RNG = np.random.default_rng(0)
X, FEW, Y = RNG.normal(size=(2, 5, 3)), RNG.normal(size=(2, 2, 3)), RNG.normal(size=(2, 5))
SIGNS = np.where(Y > 0, 1.0, -1.0)
H = np.array([np.diag([1.0, 2.0, 3.0])] * 2)
FAMILIES = {
    "features": lambda size: mo.tasks.LinearRegression(size * X, Y),
    "few samples": lambda size: mo.tasks.LinearRegression(size * FEW, Y[:, :2]),
    "targets": lambda size: mo.tasks.LinearRegression(X, size * Y),
    "sparse": lambda size: mo.tasks.LinearRegression([sp.csr_matrix(size * x) for x in X], list(Y)),
    "classes": lambda size: mo.tasks.LogisticRegression(size * X, SIGNS, l2=0.1),
    "curvatures": lambda size: mo.tasks.Quadratic(size * H, Y[:, :3]),
    "slopes": lambda size: mo.tasks.Quadratic(H, size * Y[:, :3]),
}
FLOWS = {
    "MAML": lambda tasks, alpha: mo.maml_flow(tasks, alpha),
    "BI-MAML": lambda tasks, alpha: mo.bimaml_flow(tasks, alpha, 0.1),
    "FO-MAML": lambda tasks, alpha: mo.fomaml_flow(tasks, alpha, inner_steps=2),
    "Reptile": lambda tasks, alpha: mo.reptile_flow(tasks, alpha, inner_steps=2),
}


@pytest.mark.filterwarnings("ignore:step_size = ")
@pytest.mark.parametrize("size", [1e100, 1e155, 1e300, 1e-200, 1e-310])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_of_any_size_ends_with_a_sentence(family, size):
    w0 = np.array([1.0, -2.0, 0.5])
    for build in FLOWS.values():
        for alpha in (0.1, 1e-5):
            flow = build(FAMILIES[family](size), alpha)
            for method in ("auto", "DOP853", "RK45", "euler"):
                if method == "euler":
                    run = mo.euler(flow, w0, 0.1, max_iter=2)
                else:
                    run = mo.solve(flow, w0, method=method, t_max=1.0, tol=1e-6, max_steps=10)
                assert np.isfinite(run.y).all()
                if run.success:
                    assert np.isfinite(run.loss[-1])


def test_a_decay_too_slow_for_its_time_to_be_a_float_is_never_over():
    """At a rate of 1e-310 the norm takes longer to fall to tol than the largest float."""
    tasks = mo.tasks.Quadratic([[[1e-310]]], [[1.0]])
    run = mo.solve(mo.maml_flow(tasks, 0.1), [0.0], t_max=8.0, tol=1e-6)
    assert run.method.startswith("exact")
    assert run.stop is mo.StopReason.HORIZON
    assert run.w == [8.0]  # w' = 1 - 1e-310 w
