"""Figure 2 and the Diabetes figure: their tables against loops and formulas written here."""

import numpy as np
import pytest
from scipy.linalg import expm

import maml_ode as mo
from maml_ode.reproduce import Settings, figure2, load_artefact

from .pictures import assert_legible, draw

SETTINGS = Settings(seed=0, seeds=2, quick=True)
FIGURE2, DIABETES = load_artefact("fig2"), load_artefact("diabetes")
EXPERIMENTS = ["linear_regression", "diabetes", "svm", "svm_digits"]


def silent(fraction, note):
    pass


@pytest.fixture(scope="module")
def tables():
    return FIGURE2.compute(SETTINGS, silent, {})


@pytest.fixture(scope="module")
def diabetes():
    return DIABETES.compute(SETTINGS, silent, {})


def quadratics(problem):
    """H_i, b_i of the least-squares losses, from the data by NumPy alone."""
    if problem.name == "diabetes":
        from sklearn.datasets import load_diabetes

        X, y = load_diabetes(return_X_y=True)
        old = X[:, 0] > X[:, 0].mean()
        groups = [
            (X[:, 1] == sex) & (old == is_old) for sex in np.unique(X[:, 1]) for is_old in (0, 1)
        ]
        data = [(X[group, 2:], y[group], 1.0) for group in groups]
    else:
        rng = np.random.default_rng(problem.seed)
        gamma, X = rng.standard_normal((10, 20)), rng.standard_normal((10, 100, 20))
        y = np.einsum("mnd,md->mn", X, gamma) + rng.standard_normal((10, 100))
        data = [(X[i], y[i], 0.01) for i in range(10)]
    return (
        np.array([2 * c * X.T @ X for X, y, c in data]),
        np.array([2 * c * X.T @ y for X, y, c in data]),
        np.array([c * y @ y for X, y, c in data]),
    )


def loop(problem, algorithm):
    """MAML or BI-MAML as a plain loop: F, ||grad F||, ||grad f||, phase at every iterate."""
    H, b, c = quadratics(problem)
    w, phase, rows = problem.w0.copy(), 2 if algorithm == "BI-MAML" else 1, []
    second = algorithm == "MAML"
    for _ in range(problem.n_steps + 1):
        g = H @ w - b
        f_gradient = g.mean(axis=0)
        u = w - problem.alpha * g
        q = np.einsum("mij,mj->mi", H, u) - b
        F = np.mean([0.5 * u[i] @ H[i] @ u[i] - b[i] @ u[i] + c[i] for i in range(len(H))])
        F_gradient = (q - problem.alpha * np.einsum("mij,mj->mi", H, q)).mean(axis=0)
        if not second and np.linalg.norm(f_gradient) <= problem.switch_tol:
            second = True
        phase = 2 if second and algorithm == "BI-MAML" else 1
        rows.append((F, np.linalg.norm(F_gradient), np.linalg.norm(f_gradient), phase))
        w = w - problem.beta * (F_gradient if second else f_gradient)
    return np.array(rows).T


@pytest.mark.parametrize("algorithm", ["MAML", "BI-MAML"])
@pytest.mark.parametrize("name", ["linear_regression", "diabetes"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_regressions_equal_plain_loops(tables, name, seed, algorithm):
    mine = tables["fig2_iterates"].where(experiment=name, seed=seed, algorithm=algorithm)
    F, F_norm, f_norm, phase = loop(mo.experiments.load(name, seed=seed), algorithm)
    np.testing.assert_array_equal(mine["k"], np.arange(51))
    np.testing.assert_allclose(mine["loss"], F, rtol=1e-11)
    np.testing.assert_allclose(mine["grad_norm"], F_norm, rtol=1e-9)
    np.testing.assert_allclose(mine["task_grad_norm"], f_norm, rtol=1e-9)
    np.testing.assert_array_equal(mine["phase"], phase)


def test_the_maml_flows_of_the_regressions_are_matrix_exponentials(tables):
    for name in ("linear_regression", "diabetes"):
        problem = mo.experiments.load(name, seed=0)
        H, b, _ = quadratics(problem)
        A = np.eye(H.shape[1]) - problem.alpha * H
        G = np.mean(A @ H @ A, axis=0)
        w_F = np.linalg.solve(G, np.mean(np.einsum("mij,mj->mi", A @ A, b), axis=0))
        table = tables["fig2_flows"].where(experiment=name, algorithm="MAML")
        for row in (0, 7, len(table) - 1):
            t = table["k"][row] * problem.beta
            w = w_F + expm(-G * t) @ (problem.w0 - w_F)
            assert table["grad_norm"][row] == pytest.approx(np.linalg.norm(G @ (w - w_F)), rel=1e-8)


def test_switches_and_savings_lie_where_the_paper_has_them(tables):
    table = tables["fig2_switches"]
    ranges = {
        "linear_regression": (25, 31),
        "diabetes": (27, 27),
        "svm": (12, 16),
        "svm_digits": (24, 32),
    }
    for name, (low, high) in ranges.items():
        mine = table.where(experiment=name)
        assert ((mine["switch_k"] >= low) & (mine["switch_k"] <= high)).all(), name
        np.testing.assert_allclose(mine["saving"], mine["switch_k"] / 50 * 2 / 3)
        assert abs(np.median(mine["saving"]) - mine["quoted_saving"][0]) < 0.03
        iterates = tables["fig2_iterates"].where(experiment=name, seed=0, algorithm="BI-MAML")
        assert np.flatnonzero(iterates["phase"] == 2)[0] == mine["switch_k"][0]
        # The flow needs a little longer than Euler, whose steps overshoot a decaying exponential.
        assert 0 < mine["flow_switch_k"][0] - mine["switch_k"][0] < 2


def test_the_flows_stay_near_the_iterates(tables):
    for name in EXPERIMENTS:
        for algorithm in ("MAML", "BI-MAML"):
            iterates = tables["fig2_iterates"].where(experiment=name, seed=0, algorithm=algorithm)
            flow = tables["fig2_flows"].where(experiment=name, algorithm=algorithm)
            at_k = np.isclose(flow["k"], np.rint(flow["k"]), atol=1e-9)
            gap = np.abs(flow["loss"][at_k] - iterates["loss"]).max()
            assert gap < 0.025 * iterates["loss"][0]


def test_several_processes_give_the_same_in_the_same_order(monkeypatch):
    monkeypatch.setattr(figure2, "EXPERIMENTS", ("diabetes",))
    here, there = (
        FIGURE2.compute(Settings(seeds=2, jobs=jobs), silent, {}).items() for jobs in (1, 2)
    )
    for (name, one), (other, again) in zip(here, there, strict=True):
        assert name == other
        assert one.to_csv() == again.to_csv()


def test_the_eight_panels(tables):
    figures = draw(FIGURE2, tables, SETTINGS)
    assert list(figures) == ["fig2", "fig2_flows"]
    for figure in figures.values():
        assert_legible(figure)
        assert [axis.get_title()[:3] for axis in figure.axes] == [f"({x})" for x in "abcdefgh"]
        red, blue = figure.axes[4].get_lines()[:2]
        assert red.get_color() != blue.get_color()
        assert red.get_marker() != blue.get_marker()
    norm = figures["fig2"].axes[6].get_lines()[1]
    table = tables["fig2_iterates"].where(experiment="svm", seed=0, algorithm="BI-MAML")
    expected = np.where(table["phase"] == 1, table["task_grad_norm"], table["grad_norm"])
    np.testing.assert_array_equal(norm.get_ydata(), expected)
    _, marks, _, flow = figures["fig2_flows"].axes[6].get_lines()[:4]
    np.testing.assert_array_equal(marks.get_ydata(), expected)
    table = tables["fig2_flows"].where(experiment="svm", algorithm="BI-MAML")
    expected = np.where(table["phase"] == 1, table["task_grad_norm"], table["grad_norm"])
    np.testing.assert_array_equal(flow.get_xydata(), np.column_stack([table["k"], expected]))
    assert marks.get_color() == flow.get_color()
    # The band holds the middle of the seeds at every iteration.
    loss = tables["fig2_iterates"].where(experiment="svm", algorithm="MAML")["loss"].reshape(-1, 51)
    band = figures["fig2"].axes[2].collections[0].get_paths()[0].get_extents()
    assert band.ymax == pytest.approx(np.quantile(loss[:, 0], 0.9))


def test_constants_name_what_is_ours():
    constants = FIGURE2.constants(SETTINGS)
    assert list(constants["experiments"]) == EXPERIMENTS
    assert constants["experiments"]["diabetes"]["switch_tol"] == 80.0
    assert constants["seeds"] == [0, 1]
    assert "ours" in constants


def test_diabetes_iterates_stay_by_their_flow(diabetes):
    table = diabetes["diabetes_iterates"]
    assert 0 < table.where(algorithm="MAML")["distance_to_flow"].max() < 0.003
    assert 0 < table.where(algorithm="BI-MAML")["distance_to_flow"].max() < 0.015
    assert (table["distance_to_flow"][table["k"] == 0] == 0).all()


def test_diabetes_tails_end_stationary_and_bimaml_does_not_shorten_them(diabetes):
    times = diabetes["diabetes_switches"]["stationary_time"]
    assert times == pytest.approx([4810.5, 4811.0], abs=1.0)
    for algorithm in ("MAML", "BI-MAML"):
        tail = diabetes["diabetes_tails"].where(algorithm=algorithm)
        assert tail["grad_norm"][-1] == pytest.approx(1e-8, rel=1e-3)
        assert tail["loss"][-1] == pytest.approx(2333273.20835, rel=1e-11)
        assert tail["distance_to_minimiser"][-1] < 1e-5


def test_the_diabetes_picture(diabetes):
    (figure,) = draw(DIABETES, diabetes, SETTINGS).values()
    assert_legible(figure)
    assert DIABETES.key_numbers(diabetes)["switch"] == "k = 27, flow 27.38"
