"""Published digits of the settings; the runs are the oracle's (conftest), the data the package's."""

import numpy as np
import pytest

import maml_ode as mo


def least_squares_minimum(problem, scales):
    """Minimise F by one least-squares problem: the residuals at u_i(w) are affine in w."""
    rows, targets = [], []
    n_tasks = len(problem.tasks.X)
    for X, y, scale in zip(problem.tasks.X, problem.tasks.y, scales, strict=True):
        A = np.eye(X.shape[1]) - 2.0 * problem.alpha * scale * X.T @ X
        shift = 2.0 * problem.alpha * scale * X.T @ y
        rows.append(np.sqrt(scale / n_tasks) * X @ A)
        targets.append(np.sqrt(scale / n_tasks) * (y - X @ shift))
    X, y = np.vstack(rows), np.concatenate(targets)
    w = np.linalg.lstsq(X, y, rcond=None)[0]
    return float(np.sum((y - X @ w) ** 2)), 2.0 * X.T @ X


def test_diabetes_from_the_origin(algorithms, digits_of):
    problem = mo.experiments.load("diabetes", w0="zero")
    runs = algorithms(problem, "squares", [1.0] * 4)
    for k, printed in ((0, "2411055.43998"), (1, "2408079.90431"), (50, "2351193.8683")):
        digits_of(runs.maml.F[k], printed)
    digits_of(runs.maml.norms[0], "173.523366335")
    digits_of(runs.maml.norms[50], "58.8449828406")
    assert runs.bimaml.switch == 27
    digits_of(runs.bimaml.F[1], "2403505.26115")
    digits_of(runs.bimaml.F[50], "2348726.1584")
    minimum, hessian = least_squares_minimum(problem, [1.0] * 4)
    digits_of(minimum, "2333273.20835")
    eigenvalues = np.linalg.eigvalsh(hessian)
    digits_of(eigenvalues[0], "0.00406332")
    digits_of(eigenvalues[-1], "0.271916")
    digits_of(eigenvalues[-1] / eigenvalues[0], "66.9")


def test_diabetes_tasks_are_the_groups_of_the_documentation():
    from sklearn.datasets import load_diabetes

    tasks = mo.experiments.load("diabetes").tasks
    assert tasks.n_samples == (125, 110, 77, 130)
    assert tasks.dim == 8
    data, target = load_diabetes(return_X_y=True)
    seen = 0
    for i, (sex_is_high, older) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        rows = [
            j
            for j in range(len(data))
            if (data[j, 1] > 0) == sex_is_high and (data[j, 0] > data[:, 0].mean()) == older
        ]
        np.testing.assert_allclose(
            tasks.X[i], data[rows][:, 2:], rtol=1e-14
        )  # bits: test_bundled_data
        np.testing.assert_array_equal(tasks.y[i], target[rows])
        seen += len(rows)
    assert seen == 442


def test_portable_linear_regression_of_seed_0(algorithms, digits_of):
    problem = mo.experiments.load("linear_regression", generator="splitmix64", seed=0)
    scales = [0.01] * 10
    runs = algorithms(problem, "squares", scales)
    digits_of(problem.switch_tol, "0.578312387673")
    norm = np.linalg.norm(runs.expected(problem.w0))
    assert problem.switch_tol == pytest.approx(0.06 * norm, rel=1e-14)
    assert runs.bimaml.switch == 27
    for k, printed in ((0, "6.25322846729"), (25, "4.53094007863"), (50, "3.73866898521")):
        digits_of(runs.maml.F[k], printed)
    for k, printed in ((1, "5.66161312252"), (25, "3.24004071799"), (50, "3.11858765598")):
        digits_of(runs.bimaml.F[k], printed)
    digits_of(least_squares_minimum(problem, scales)[0], "3.00542837681")


FIGURE_1 = """
-5    4.4582290727232702182    -0.81932748040857664654   -52.88880008784115054
-1    0.31051984411576800613   -0.72791106107580705513    10.630480277806430926
 0   -0.15432460207144067836   -0.15562501797498835222     0.70392018348266362617
 0.25 -0.17701005214289014686  -0.025811822635436282081   -2.6980783743004969215
 1   -0.10559420610714882417    0.26275904773211930003   -10.322800724654198667
"""


@pytest.mark.parametrize("row", FIGURE_1.strip().splitlines())
def test_figure1_table(row):
    w, value, slope, curvature = map(float, row.split())
    problem = mo.experiments.load("figure1")
    tasks, alpha, w = problem.tasks, problem.alpha, np.array([w])
    u = w - alpha * tasks.gradients(w)
    A = 1.0 - alpha * tasks.hessians(w)[:, :, 0]
    q = tasks.gradients(u)
    third = tasks.third(w, q)[:, :, 0]
    assert np.mean(tasks.losses(u)) == pytest.approx(value, rel=2e-13)
    assert np.mean(A * q) == pytest.approx(slope, rel=2e-13)
    got = np.mean(A * tasks.hessians(u)[:, :, 0] * A - alpha * third)
    assert got == pytest.approx(curvature, rel=2e-13)


@pytest.mark.parametrize(
    ("switch_tol", "end"),
    [
        (0.3, 0.288087736343721),
        (0.1, 0.344866361881597),
        (0.03, 0.402744483281065),
        (None, 0.288087736343721),  # MAML
    ],
)
def test_figure1_ends_where_the_documentation_says(switch_tol, end):
    problem = mo.experiments.load("figure1")
    assert problem.switch_tol == 0.1
    omega, b, alpha = np.array([1.0, 100.0]), np.array([1.0, 1e-4]), problem.alpha

    def slope(w):
        return 1.01 * w - b * omega * np.cos(omega * w)

    def curvature(w):
        return 1.01 + b * omega**2 * np.sin(omega * w)

    (w,), first_phase = problem.w0, switch_tol is not None
    for _ in range(problem.n_steps):
        if first_phase and abs(slope(w).mean()) <= switch_tol:
            first_phase = False
        gradient = slope(w)
        if not first_phase:
            gradient = (1.0 - alpha * curvature(w)) * slope(w - alpha * gradient)
        w -= problem.beta * gradient.mean()
    assert abs(gradient.mean()) <= 1e-8
    assert w == pytest.approx(end, abs=1e-7)
