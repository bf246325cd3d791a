"""Figure 3: errors, costs and orders against matrix exponentials, loops and SciPy written out here."""

from itertools import combinations

import numpy as np
import pytest
import scipy.integrate
from matplotlib.text import Text
from scipy.linalg import expm

import maml_ode as mo
from maml_ode.reproduce import Settings, Table
from maml_ode.reproduce.figure3 import artefact as figure3
from maml_ode.reproduce.figure3 import work_precision as numbers
from maml_ode.runs.tables import as_table

from .pictures import assert_legible, draw

SETTINGS = Settings(seed=0, seeds=2, quick=True)


def silent(fraction, note):
    pass


class Regression:
    """The synthetic regression with seed 0 from NumPy alone: grad F(w) = G w - c."""

    alpha, beta, steps = 0.3, 0.05, 50

    def __init__(self):
        rng = np.random.default_rng(0)
        gamma, X = rng.standard_normal((10, 20)), rng.standard_normal((10, 100, 20))
        y = np.einsum("mnd,md->mn", X, gamma) + rng.standard_normal((10, 100))
        self.w0 = rng.standard_normal(20)
        H = 0.02 * np.einsum("mni,mnj->mij", X, X)
        b = 0.02 * np.einsum("mni,mn->mi", X, y)
        A = np.eye(20) - self.alpha * H
        self.G = np.mean(A @ H @ A, axis=0)
        self.c = np.mean(np.einsum("mij,mj->mi", A @ A, b), axis=0)
        self.H, self.b = H, b
        self.horizon = self.beta * self.steps

    def flow(self, t, beta=0.0):
        """The solution at t of w' = -(I + beta/2 G)(G w - c)."""
        K = self.G + 0.5 * beta * self.G @ self.G
        end = np.linalg.solve(self.G, self.c)
        return end + expm(-t * K) @ (self.w0 - end)

    def euler(self, beta):
        w, path = self.w0, [self.w0]
        for _ in range(round(self.horizon / beta)):
            w = w - beta * (self.G @ w - self.c)
            path.append(w)
        return np.array(path)


@pytest.fixture(scope="module")
def regression():
    return Regression()


@pytest.fixture(scope="module")
def tables():
    """Quick tables of the two regressions; the SVMs' panels get the synthetic regression's rows."""
    rows = {name: [] for name in figure3.TABLES}
    for name in ("linear_regression", "diabetes"):
        for part in (
            *(numbers.work_precision_rows(name, flow, 0, True) for flow in numbers.FLOWS),
            numbers.order_rows(name, 0, True),
        ):
            for table, listed in part.items():
                rows[table] += listed
                if name == "linear_regression":
                    for again in ("svm", "svm_digits"):
                        rows[table] += [row | {"experiment": again} for row in listed]
    found = {f"fig3_{name}": as_table(f"fig3_{name}", part) for name, part in rows.items()}
    return found | {"fig3_slopes": figure3._slopes(found["fig3_order"])}


def test_errors_are_those_of_an_independent_loop(tables, regression):
    part = tables["fig3_work_precision"].where(
        experiment="linear_regression", flow="MAML", method="Euler"
    )
    assert part["setting"].tolist() == [0.1, 0.05, 0.025]
    travelled = np.linalg.norm(regression.flow(2.5) - regression.w0)
    for beta, error, work in zip(part["setting"], part["error"], part["work"], strict=True):
        path = regression.euler(beta)
        gaps = [
            np.linalg.norm(path[round(t / beta)] - regression.flow(t))
            for t in 0.5 * np.arange(1, 6)
        ]
        assert error == pytest.approx(max(gaps) / travelled, rel=1e-8)
        assert work == pytest.approx(3 * 2.5 / beta)  # grad F is three passes


def test_solver_rows_equal_scipy_called_directly(tables, regression):
    travelled = np.linalg.norm(regression.flow(2.5) - regression.w0)
    times = 0.5 * np.arange(1, 6)
    exact = np.array([regression.flow(t) for t in times]).T
    runs = tables["fig3_work_precision"].where(experiment="linear_regression", flow="MAML")
    for method in ("RK23", "RK45", "Radau"):
        part = runs.where(method=method)
        assert part["setting"].tolist() == [1e-2, 1e-4, 1e-6]
        for row in range(3):
            rtol = part["setting"][row]
            run = scipy.integrate.solve_ivp(
                lambda t, w: regression.c - regression.G @ w,
                (0, 2.5),
                regression.w0,
                method=method,
                t_eval=times,
                rtol=rtol,
                atol=rtol * travelled / np.sqrt(20),
                **({"jac": lambda t, w: -regression.G} if method == "Radau" else {}),
            )
            error = np.linalg.norm(run.y - exact, axis=0).max() / travelled
            assert part["error"][row] == pytest.approx(error, rel=1e-4)
            # Per Jacobian of -grad F two gradients, two Hessians and one third derivative, d = 20.
            spent = 3 * run.nfev + (2 + 3 * 20) * run.njev
            if method == "Radau":  # asks twice at one and the same state, which is evaluated once
                assert 0.95 * spent <= part["work"][row] < spent
            else:
                assert part["work"][row] == spent


def test_the_polygon_keeps_its_distance_from_both_flows(tables, regression):
    part = tables["fig3_order"].where(experiment="linear_regression")
    travelled = np.linalg.norm(regression.flow(2.5) - regression.w0)
    for row, beta in enumerate(part["beta"]):
        path = regression.euler(beta)
        t = beta * np.arange(1, len(path))
        for column, modified in (("to_flow", 0.0), ("to_modified_flow", beta)):
            gaps = [
                np.linalg.norm(w - regression.flow(s, modified))
                for s, w in zip(t, path[1:], strict=True)
            ]
            assert part[column][row] == pytest.approx(max(gaps) / travelled, rel=1e-8)


def test_orders_are_one_and_two(tables):
    slopes = tables["fig3_slopes"]
    assert np.abs(slopes.where(distance_from="flow")["slope"] - 1).max() < 0.02
    assert np.abs(slopes.where(distance_from="modified flow")["slope"] - 2).max() < 0.02
    beta = np.array([0.4, 0.1, 0.2, 0.05, 0.8])
    bent = np.where(beta > 0.5, 7.0, 3 * beta**1.5)  # the largest of five is left out
    assert numbers.fitted_slope(beta, bent) == pytest.approx(1.5)


def test_references_are_confirmed_and_switches_known(tables):
    reference = tables["fig3_reference"]
    errors = tables["fig3_work_precision"]["error"]
    assert reference["uncertainty"].max() < 1e-5
    assert (errors > 0).all()
    step = reference.where(experiment="diabetes", flow="BI-MAML")["switch_step"][0]
    assert step == pytest.approx(27.383, abs=1e-3)  # 27 for the iterates


def test_the_svm_runs_use_the_smooth_companion_and_converge():
    problem = numbers.smooth_experiment("svm", 0)
    assert problem.options["loss"] == "smooth_squared_hinge"
    found = numbers.work_precision_rows("svm", "BI-MAML", 0, True)
    (about,) = found["reference"]
    assert about["uncertainty"] < 1e-5
    rows = found["work_precision"]
    assert {row["method"] for row in rows} == {"Euler", *numbers.QUICK_METHODS}
    for method in numbers.QUICK_METHODS:
        errors = [row["error"] for row in rows if row["method"] == method]
        assert errors[-1] < 0.5 * errors[0]
        assert errors[-1] < 1e-3


def test_the_digits_leave_out_what_needs_many_hessians():
    assert numbers.forms_jacobians(scipy.integrate.Radau)
    assert not numbers.forms_jacobians(scipy.integrate.LSODA)
    assert not numbers.forms_jacobians(scipy.integrate.DOP853)
    assert {"RK45", "Radau"} < set(numbers.methods())
    for name, method in mo.integrate.METHODS.items():
        assert method in numbers.methods().values(), name


def test_several_processes_write_the_same_tables(monkeypatch):
    monkeypatch.setattr(figure3, "EXPERIMENTS", ("diabetes",))
    one = figure3.ARTEFACT.compute(SETTINGS, silent, {})
    two = figure3.ARTEFACT.compute(Settings(seed=0, seeds=2, quick=True, jobs=2), silent, {})
    assert list(one) == [*(f"fig3_{name}" for name in figure3.TABLES), "fig3_slopes"]
    for name, table in one.items():
        assert table.to_csv() == two[name].to_csv()
        again = Table.from_csv(name, table.to_csv())
        for key in table.columns:
            np.testing.assert_array_equal(again[key], table[key])


def test_the_picture(tables):
    (figure,) = draw(figure3.ARTEFACT, tables, SETTINGS).values()
    assert_legible(figure, columns=4)
    assert [axis.get_title()[:3] for axis in figure.axes] == [f"({x})" for x in "abcdefghijkl"]
    drawn = figure.axes[8].get_lines()[0]
    part = tables["fig3_order"].where(experiment="linear_regression")
    np.testing.assert_array_equal(drawn.get_ydata(), part["to_flow"])
    for row in range(3):
        assert len({axis.get_ylim() for axis in figure.axes[4 * row : 4 * row + 4]}) == 1
    assert not figure.legends
    runs = tables["fig3_work_precision"].where(experiment="linear_regression", flow="MAML")
    names = [text for text in figure.axes[0].texts if str(text.get_gid()).startswith("label:")]
    assert {text.get_text() for text in names} == {
        name for name in runs["method"].tolist() if "(own)" not in name
    }
    boxes = [Text.get_window_extent(text) for text in names]  # without the line to it
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    right = figure.axes[0].transData.transform((runs["work"].max(), 1.0))[0]
    assert all(box.x1 <= figure.axes[1].bbox.x0 for box in boxes)
    assert all(
        text.xyann[0] > figure.axes[0].transAxes.inverted().transform((right, 0))[0]
        for text in names
    )
    for text in names:
        part = runs.where(method=text.get_text())
        best = part["error"].argmin()
        assert tuple(text.xy) == (part["work"][best], part["error"][best])


def test_constants_and_key_numbers(tables):
    constants = figure3.constants(SETTINGS)
    assert constants["experiments"]["svm"]["options"]["loss"] == "smooth_squared_hinge"
    assert "cost_model" in constants["ours"]
    found = figure3.key_numbers(tables)
    assert found["Diabetes"].startswith("Euler at beta: 0.60% in 150 passes; ")
