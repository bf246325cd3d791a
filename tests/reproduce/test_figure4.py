"""Figure 4: passes counted by loops written here, and the curves against the discrete algorithms."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.reproduce import Settings, Table
from maml_ode.reproduce.figure4 import artefact as figure4
from maml_ode.reproduce.figure4 import descents, passes, pictures
from maml_ode.reproduce.quartiles import quantile

from .pictures import assert_legible, draw

SETTINGS = Settings(seed=0, seeds=2, quick=True)
NAMES = tuple(passes.TARGETS)


def silent(fraction, note):
    pass


@pytest.fixture(scope="module")
def tables():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure4, "QUICK_SEEDS", 2)
        return figure4.ARTEFACT.compute(SETTINGS, silent, {})


def plain_loop(name, seed, algorithm, eps0_factor, steps):
    """Gap, ||grad F|| and passes of every iterate, from tasks' losses, gradients and products."""
    problem = mo.experiments.load(name, seed=seed)
    tasks, alpha = problem.tasks, problem.alpha
    w, spent, second, rows = problem.w0.copy(), 0, algorithm != "BI-MAML", []
    for _ in range(steps + 1):
        inner = tasks.gradients(w)
        u = w - alpha * inner
        outer = tasks.gradients(u)
        gradient = tasks.weights @ (outer - alpha * tasks.hvps(w, outer))
        rows.append((tasks.weights @ tasks.losses(u), np.linalg.norm(gradient), spent))
        f_gradient = tasks.weights @ inner
        if not second and np.linalg.norm(f_gradient) <= eps0_factor * problem.switch_tol:
            second, spent = True, spent + 1
            rows[-1] = (*rows[-1][:2], spent)
        if algorithm == "FO-MAML":
            w, spent = w - problem.beta * (tasks.weights @ outer), spent + 2
        elif second:
            w, spent = w - problem.beta * gradient, spent + 3
        else:
            w, spent = w - problem.beta * f_gradient, spent + 1
    return np.array(rows).T


def lowest(problem):
    """min F of a regression by solving for its stationary point with NumPy."""
    F, d = mo.MAMLLoss(problem.tasks, problem.alpha), problem.tasks.dim
    G = np.array([F.gradient(e) - F.gradient(np.zeros(d)) for e in np.eye(d)]).T
    return F.value(np.linalg.solve(G, -F.gradient(np.zeros(d))))


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
@pytest.mark.parametrize(("name", "steps"), [("linear_regression", 700), ("svm", 250)])
def test_counted_passes_equal_a_plain_loop(tables, name, steps, factor):
    problem = mo.experiments.load(name, seed=1)
    rows = tables["fig4_eps0"].where(experiment=name, seed=1, eps0_factor=factor)
    runs = {
        algorithm: plain_loop(name, 1, algorithm, factor, steps) for algorithm in descents.COMPARED
    }
    low = (
        lowest(problem)
        if name == "linear_regression"
        else plain_loop(name, 1, "BI-MAML", 1.0, 400)[0, 200:].min()
    )
    start = {"F gap": runs["MAML"][0, 0] - low, "gradient norm": runs["MAML"][1, 0]}
    assert len(rows) == 4
    for row in range(len(rows)):
        measure, fraction = rows["measure"][row], rows["fraction"][row]
        for algorithm, (value, norm, spent) in runs.items():
            curve = value - low if measure == "F gap" else norm
            met = np.flatnonzero(curve <= fraction * start[measure])
            expected = spent[met[0]] if met.size else np.inf
            assert rows[algorithm.lower().replace("-", "")][row] == expected, (algorithm, measure)


def test_curves_and_costs_are_those_of_euler():
    """The closed form of the regressions and the early stop of the SVMs change nothing."""
    for name in NAMES:
        problem = mo.experiments.load(name, seed=0)
        view = descents.Descent.of(problem, passes.TARGETS[name])
        bimaml, switch = descents.bimaml_curve(view, problem.switch_tol)
        for flow, curve in (
            (problem.maml_flow(), descents.maml_curve(view, problem.w0)),
            (problem.bimaml_flow(), bimaml),
            (mo.fomaml_flow(problem.tasks, problem.alpha), descents.fomaml_curve(view)),
        ):
            n = min(40, curve.value.size - 1)
            run = mo.euler(flow, problem.w0, problem.beta, max_iter=n)
            np.testing.assert_allclose(curve.value[: n + 1] + view.lowest, run.loss, rtol=1e-11)
            np.testing.assert_allclose(curve.norm[: n + 1], run.grad_norm, rtol=1e-9)
            for k in (1, n - 1, n):
                part = mo.euler(flow, problem.w0, problem.beta, max_iter=k, diagnostics=False)
                # In phase 1 Euler also looks whether its last iterate is where the switch is.
                look = int(flow.name == "BI-MAML" and k < switch)
                spent = part.counts.gradient_equivalents()
                assert curve.work[k] + look == spent, (name, flow.name, k)
        assert 10 < switch < 35


def test_savings(tables):
    saving = tables["fig4_saving"]
    np.testing.assert_allclose(saving["model"], saving["switch_step"] / 75)
    # N f-steps fewer, less the one pass of the test at the switch, of 3 N.
    np.testing.assert_allclose(saving["counted"], (2 * saving["switch_step"] - 1) / 150)
    assert (saving["equal_gap"][saving["experiment"] != "svm_digits"] > 0.5).all()
    run = plain_loop("diabetes", 0, "MAML", 1.0, 50)
    two = plain_loop("diabetes", 0, "BI-MAML", 1.0, 50)
    spent = two[2, np.flatnonzero(two[0] <= run[0, 50])[0]]
    row = saving.where(experiment="diabetes", seed=0)
    assert row["equal_gap"][0] == pytest.approx(1 - spent / 150)


def test_bimaml_shortens_the_transient_and_not_the_tail(tables):
    depth = tables["fig4_depth"]
    for seed in (0, 1):
        part = depth.where(experiment="diabetes", seed=seed, measure="F gap")
        ratio = part["bimaml"] / part["maml"]
        assert (np.diff(part["fraction"]) < 0).all()
        assert ratio[0] < 0.5
        assert abs(ratio[-1] - 1) < 0.005


def test_fomaml_stops_elsewhere(tables):
    """On the Diabetes data FO-MAML converges, to a point whose gap is 1000 times the target."""
    problem = mo.experiments.load("diabetes", seed=0)
    tasks, alpha = problem.tasks, problem.alpha
    H, b = tasks.hessians(problem.w0), -tasks.gradients(np.zeros(8))
    A = np.eye(8) - alpha * H
    end = np.linalg.solve(np.mean(H @ A, axis=0), np.mean(np.einsum("mij,mj->mi", A, b), axis=0))
    F = mo.MAMLLoss(tasks, alpha)
    low = lowest(problem)
    assert F.value(end) - low > 0.1 * (F.value(problem.w0) - low)
    part = tables["fig4_eps0"].where(experiment="diabetes", measure="F gap")
    assert np.isinf(part["fomaml"]).all()
    assert np.isfinite(part["maml"]).all()


def test_quantiles_take_infinity_for_a_value():
    values = np.array([np.inf, 1.0, 3.0, np.inf])
    assert [quantile(values, q) for q in (0.25, 0.5, 0.75)] == [1.0, 3.0, np.inf]
    assert np.isnan(quantile(np.array([]), 0.5))


def test_the_summary_holds_the_medians(tables):
    part = tables["fig4_eps0"].where(
        experiment="svm", measure="F gap", target="tail", eps0_factor=1.0
    )
    row = tables["fig4_summary"].where(
        experiment="svm", measure="F gap", target="tail", algorithm="BI-MAML"
    )
    assert row["median"][0] == part["bimaml"].min()  # the lower of two
    assert row["reached_by"][0] == 1.0


def test_only_times_differ_from_run_to_run(tables, monkeypatch):
    monkeypatch.setattr(figure4, "EXPERIMENTS", ("diabetes", "svm"))
    again = figure4.ARTEFACT.compute(Settings(seed=1, seeds=1, quick=True, jobs=2), silent, {})
    assert [name for name, table in tables.items() if table.timing] == ["fig4_timing"]
    for name, table in tables.items():
        if not table.timing and "seed" in table.columns:
            kept = np.isin(table["experiment"], ("diabetes", "svm")) & (table["seed"] == 1)
            part = Table(name, {key: column[kept] for key, column in table.columns.items()})
            assert part.to_csv() == again[name].to_csv()


def test_timed_runs_take_the_steps_to_the_target(tables):
    timing = tables["fig4_timing"]
    assert (timing["seconds"] > 0).all()
    for algorithm, factor in (("MAML", 3), ("FO-MAML", 2)):
        part = timing.where(experiment="svm", seed=0, measure="F gap", algorithm=algorithm)
        spent = tables["fig4_eps0"].where(
            experiment="svm", seed=0, measure="F gap", target="transient", eps0_factor=1.0
        )[algorithm.lower().replace("-", "")]
        assert (factor * part["steps"] == spent[0]).all()
    assert descents.steps_for("BI-MAML", 9.0, 14.0) == 9
    assert descents.steps_for("BI-MAML", 14 + 1 + 3 * 5, 14.0) == 19
    assert descents.steps_for("BI-MAML", 30.0, float("nan")) == 30


def test_the_picture(tables):
    (figure,) = draw(figure4.ARTEFACT, tables, SETTINGS).values()
    assert_legible(figure, columns=2)
    assert [axis.get_title()[:3] for axis in figure.axes] == [f"({x})" for x in "abcd"]
    assert "10% (digits: 60%)" in figure.axes[2].get_title()
    assert len(figure.legends) == 1
    assert not any(axis.get_legend() for axis in figure.axes)
    part = tables["fig4_eps0"].where(
        experiment="linear_regression", measure="F gap", target="transient", eps0_factor=1.0
    )
    low, median, high = (quantile(part["bimaml"] / part["maml"], q) for q in (0.25, 0.5, 0.75))
    gap = curve(figure.axes[2], "linear_regression")
    assert gap[1, 1] == pytest.approx(median)
    corners = figure.axes[2].collections[0].get_paths()[0].vertices
    assert {low, high} <= set(corners[corners[:, 0] == 1.0, 1])
    deepest = tables["fig4_depth"].where(experiment="svm", measure="gradient norm")
    last = deepest.where(fraction=deepest["fraction"].min())
    expected = quantile(last["bimaml"] / last["maml"], 0.5)
    assert curve(figure.axes[1], "svm")[-1].tolist() == [last["fraction"][0], expected]
    # Every median is in sight, as far as targets are shown, and every problem is in every panel.
    for axis in figure.axes:
        low, high = axis.get_ylim()
        lines = axis.get_lines()
        assert len(lines) >= 5
        for line in lines:
            assert ((line.get_ydata() > low) & (line.get_ydata() < high)).all()
    assert figure4.key_numbers(tables)["Diabetes"].startswith("paper 36%, counted 35.3%")


def curve(axis, experiment):
    """The points of BI-MAML's line for a problem."""
    look = pictures.LOOKS[experiment]
    (line,) = [
        line
        for line in axis.get_lines()
        if line.get_color() == look["color"] and line.get_marker() == look["marker"]
    ]
    return line.get_xydata()
