"""Figure 5: heavy ball and Nesterov's method written out here, their flows by matrix exponentials and SciPy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import maml_ode as mo
from maml_ode.reproduce import Settings, Table
from maml_ode.reproduce.figure5 import artefact as figure5
from maml_ode.reproduce.figure5 import methods, pictures

from .pictures import assert_legible, draw

SETTINGS = Settings(seed=0, seeds=2, quick=True)
ALGORITHMS = ("MAML", "heavy ball", "Nesterov", "BI-MAML")


def silent(fraction, note):
    pass


@pytest.fixture(scope="module")
def tables():
    return figure5.ARTEFACT.compute(SETTINGS, silent, {})


def gradient_of(problem):
    """grad F from the tasks' own gradients and products."""
    tasks, alpha = problem.tasks, problem.alpha

    def gradient(w):
        outer = tasks.gradients(w - alpha * tasks.gradients(w))
        return tasks.weights @ (outer - alpha * tasks.hvps(w, outer))

    return gradient


def loss_of(problem):
    tasks = problem.tasks
    return lambda w: tasks.weights @ tasks.losses(w - problem.alpha * tasks.gradients(w))


def plain_loop(problem, algorithm, friction, steps):
    """F of every iterate of the textbook's method with the step size beta."""
    gradient, loss, beta = gradient_of(problem), loss_of(problem), problem.beta
    w, before, rows = problem.w0.copy(), problem.w0.copy(), []
    for k in range(1, steps + 2):
        rows.append(loss(w))
        if algorithm == "heavy ball":
            step = (1 - friction * np.sqrt(beta)) * (w - before) - beta * gradient(w)
            w, before = w + step, w
        else:
            y = w + (k - 2) / (k + 1) * (w - before) if k > 1 else w
            w, before = y - beta * gradient(y), w
    return np.array(rows)


@pytest.mark.parametrize(("name", "steps"), [("linear_regression", 260), ("svm", 75)])
@pytest.mark.parametrize("algorithm", methods.LIFTED)
def test_passes_are_those_of_the_textbooks_methods(tables, name, steps, algorithm):
    problem = mo.experiments.load(name, seed=0)
    if name == "linear_regression":
        G = mo.MAMLLoss(problem.tasks, problem.alpha).hessian(problem.w0)
        friction = 2 * np.sqrt(np.linalg.eigvalsh(G)[0])
        best = np.linalg.solve(G, -gradient_of(problem)(np.zeros(problem.tasks.dim)))
        low = loss_of(problem)(best)
    else:
        friction = 0.1 / np.sqrt(problem.beta)
        path = tables["fig5_iterates"].where(experiment=name, algorithm="MAML")
        # From F = F_low + gap (F_0 - F_low) at another iterate.
        low = (path["loss"][9] - path["gap"][9] * path["loss"][0]) / (1 - path["gap"][9])
    loss = plain_loop(problem, algorithm, friction, steps)
    drawn = tables["fig5_iterates"].where(experiment=name, algorithm=algorithm)
    np.testing.assert_allclose(drawn["loss"], loss[:51], rtol=1e-11)
    np.testing.assert_allclose(
        drawn["gap"], (loss[:51] - low) / (loss[0] - low), rtol=1e-8, atol=1e-12
    )
    rows = tables["fig5_depth"].where(experiment=name, seed=0)
    gap, checked = (loss - low) / (loss[0] - low), 0
    for part, spent in zip(rows["fraction"], rows[methods.spelt(algorithm)], strict=True):
        met = np.flatnonzero(gap <= part)
        if met.size:
            checked += 1
            assert spent == 3 * met[0]
    assert checked > 15


def test_the_flow_of_a_quadratic_is_that_of_matrix_exponentials(tables):
    problem = mo.experiments.load("diabetes")
    gradient, loss, d = gradient_of(problem), loss_of(problem), problem.tasks.dim
    G = np.array([gradient(e) - gradient(np.zeros(d)) for e in np.eye(d)]).T
    best = np.linalg.solve(G, -gradient(np.zeros(d)))
    friction = 2 * np.sqrt(np.linalg.eigvalsh(G)[0])
    block = np.block([[np.zeros((d, d)), np.eye(d)], [-G, -friction * np.eye(d)]])
    start = np.concatenate([problem.w0 - best, np.zeros(d)])
    path = tables["fig5_flows"].where(experiment="diabetes", algorithm="heavy ball")
    for k in (1, 17, 50):
        w = best + (expm(k * np.sqrt(problem.beta) * block) @ start)[:d]
        assert path["loss"][path["k"] == k] == pytest.approx(loss(w), rel=1e-10)


def test_nesterovs_flow_of_the_svm_is_that_of_scipy(tables):
    """From t = 0.01 on, with the first terms of the series at t = 0 before."""
    problem = mo.experiments.load("svm")
    gradient, loss, d, t0 = gradient_of(problem), loss_of(problem), problem.tasks.dim, 0.01
    force = -gradient(problem.w0)
    start = np.concatenate([problem.w0 + t0**2 / 8 * force, t0 / 4 * force])
    end = 8 * np.sqrt(problem.beta)
    run = solve_ivp(
        lambda t, z: np.concatenate([z[d:], -gradient(z[:d]) - 3 / t * z[d:]]),
        (t0, end), start, rtol=1e-4, atol=1e-6,
    )  # fmt: skip
    path = tables["fig5_flows"].where(experiment="svm", algorithm="Nesterov")
    assert path["loss"][path["k"] == 8] == pytest.approx(loss(run.y[:d, -1]), rel=1e-3)


def test_maml_and_bimaml_are_those_of_figure_4(tables):
    from maml_ode.reproduce.figure4 import passes

    rows = passes.passes_rows("diabetes", 0, True)["eps0"]
    mine = tables["fig5_targets"].where(experiment="diabetes", seed=0)
    for place, target in enumerate(("transient", "tail")):
        (row,) = (
            r for r in rows
            if r["measure"] == "F gap" and r["target"] == target and r["eps0_factor"] == 1.0
        )  # fmt: skip
        assert (mine["maml"][place], mine["bimaml"][place]) == (row["maml"], row["bimaml"])
        # What the picture shows: momentum also shortens the tail, which BI-MAML shares with MAML.
        assert mine["heavy_ball"][place] < 0.3 * row["maml"]
    assert mine["bimaml"][1] > 0.9 * mine["maml"][1]
    assert mine["heavy_ball"][1] < 0.1 * mine["maml"][1]


def test_the_choice_follows_its_rule():
    chosen = figure5.constants(SETTINGS)["chosen"]
    assert set(chosen) == set(pictures.TITLES)
    for name in ("svm", "svm_digits"):
        assert chosen[name]["momentum"] == pytest.approx(0.9)
        assert "mu" not in chosen[name]
    row = chosen["diabetes"]
    assert row["friction"] == pytest.approx(2 * np.sqrt(row["mu"]))
    assert row["momentum"] == pytest.approx(1 - row["friction"] * np.sqrt(0.1))
    # Heavy ball's and Nesterov's iterates stay bounded: h^2 L <= 2 (2 - c h) and 4/3.
    for one in (row, chosen["linear_regression"]):
        assert one["beta_L"] == pytest.approx(one["L"] * one["step"] ** 2)
        assert one["beta_L"] < min(2 * (2 - one["friction"] * one["step"]), 4 / 3)


def test_the_order_of_pieces_does_not_change_the_tables(tables, monkeypatch):
    monkeypatch.setattr(figure5, "EXPERIMENTS", ("linear_regression", "diabetes"))
    monkeypatch.setattr(figure5, "QUICK_SEEDS", 2)
    again = figure5.ARTEFACT.compute(SETTINGS, silent, {})
    assert (
        again["fig5_depth"]["experiment"].tolist() == ["linear_regression"] * 50 + ["diabetes"] * 50
    )
    for name, table in tables.items():
        if name != "fig5_summary":
            kept = np.isin(table["experiment"], ("linear_regression", "diabetes"))
            first = Table(name, {key: column[kept] for key, column in table.columns.items()})
            same = again[name].where(seed=0) if "seed" in table.columns else again[name]
            assert first.to_csv() == same.to_csv()
    part = again["fig5_summary"].where(
        experiment="linear_regression", target="tail", algorithm="Nesterov"
    )
    both = again["fig5_targets"].where(experiment="linear_regression", target="tail")["nesterov"]
    assert (part["median"][0], part["upper_quartile"][0]) == (both.min(), both.max())


def test_the_picture(tables):
    (figure,) = draw(figure5.ARTEFACT, tables, SETTINGS).values()
    assert_legible(figure, columns=4)
    assert [axis.get_title()[:3] for axis in figure.axes] == [f"({x})" for x in "abcdefgh"]
    assert len(figure.legends) == 1
    assert not any(axis.get_legend() for axis in figure.axes)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[:4] == ["MAML", "heavy-ball MAML", "Nesterov MAML", "BI-MAML"]
    looks = [pictures.STYLES[key] for key in ALGORITHMS]
    for what in ("color", "marker", "linestyle"):
        assert len({str(look[what]) for look in looks}) == 4
    color = pictures.STYLES["Nesterov"]["color"]
    flow, marks = (one for one in figure.axes[1].get_lines() if one.get_color() == color)
    path = tables["fig5_iterates"].where(experiment="diabetes", algorithm="Nesterov")
    np.testing.assert_array_equal(marks.get_xydata(), np.column_stack([path["k"], path["gap"]]))
    path = tables["fig5_flows"].where(experiment="diabetes", algorithm="Nesterov")
    np.testing.assert_array_equal(flow.get_ydata(), path["gap"])
    (spent,) = (one for one in figure.axes[5].get_lines() if one.get_color() == color)
    depth = tables["fig5_depth"].where(experiment="diabetes")
    np.testing.assert_array_equal(spent.get_ydata(), depth["nesterov"])
    assert figure5.key_numbers(tables)["Diabetes"].startswith(
        "passes to 0.01 % of the gap: 18507 / 663"
    )
