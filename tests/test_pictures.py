"""Landscapes, spectra, planes and bands: what is drawn is what was computed, and bad input is refused."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import maml_ode as mo
from maml_ode.plotting.plane import main_plane, plane_through


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def diabetes():
    problem = mo.experiments.load("diabetes")
    flow = problem.bimaml_flow()
    return (
        problem,
        mo.solve(flow, problem.w0, t_max=5.0),
        mo.euler(flow, problem.w0, 0.1, max_iter=40),
    )


def offsets(axis, label):
    return next(line for line in axis.get_lines() if line.get_label() == label).get_xdata()


def test_a_curve_marks_the_critical_points_that_are_proved_and_those_that_signs_show():
    problem = mo.experiments.load("figure1")
    F = mo.MAMLLoss(problem.tasks, problem.alpha)
    proved = mo.theory.count_critical_points(problem.tasks, problem.alpha)
    by_signs = mo.plotting.plot_landscape(F, bounds=(0.2, 0.6))
    by_proof = mo.plotting.plot_landscape(F, bounds=(0.2, 0.6), critical_points=proved)
    for kind in ("minimum", "maximum"):
        truth = [p for p, k in zip(proved.points, proved.kinds, strict=True) if k == kind]
        np.testing.assert_allclose(offsets(by_signs, kind), truth, atol=1e-8)
        np.testing.assert_allclose(offsets(by_proof, f"proved {kind}"), truth, atol=1e-8)
    curve = next(line for line in by_proof.get_lines() if line.get_label() == "objective")
    w, value = curve.get_xdata()[17], curve.get_ydata()[17]
    assert value == pytest.approx(F.value([w]), rel=1e-12)


def test_contours_and_flow_lines_are_those_of_the_objective_in_its_plane():
    H = np.array([[[2.0, 0.4], [0.4, 1.0]], [[1.0, 0.0], [0.0, 5.0]]])
    F = mo.MAMLLoss(mo.tasks.Quadratic(H, [[1.0, 0.0], [0.0, 1.0]]), 0.1)
    run = mo.solve(mo.gradient_flow(F), [2.0, -1.0], t_max=3.0)
    ax = mo.plotting.plot_landscape(F, trajectories=[run])
    np.testing.assert_array_equal(ax.get_lines()[0].get_xydata(), run.y.T)
    low, high = ax.get_xlim()
    assert low < run.y[0].min()
    assert run.y[0].max() < high
    # Every piece of a streamline goes the way of -grad, as far as a chord of two cells does where the path turns;
    # in the cell with the minimum the lines turn about it.
    lines = ax.collections[-1].get_segments()
    segments = np.array([pair for line in lines for pair in pairwise(line)])
    middles, ways = segments.mean(axis=1), segments[:, 1] - segments[:, 0]
    cell = max(np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())) / 60
    form = F.quadratic_form
    far = np.linalg.norm(middles - np.linalg.solve(form.G, form.c), axis=1) > cell
    far &= (ways != 0).any(axis=1)
    slopes = F.gradients(middles[far])
    sizes = np.linalg.norm(slopes, axis=1) * np.linalg.norm(ways[far], axis=1)
    assert far.sum() > 300
    assert (np.einsum("kd,kd->k", slopes, ways[far]) / sizes).max() < -0.8


def test_planes_are_orthonormal_hold_their_points_and_lose_as_little_as_can_be():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((3, 7))
    plane = plane_through(points, 7)
    np.testing.assert_allclose(plane.basis @ plane.basis.T, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(plane.points(plane.coordinates(points)), points, atol=1e-13)
    assert plane.coordinates(points)[1, 0] > 0
    with pytest.raises(ValueError, match="on a line"):
        plane_through([np.zeros(7), points[0], 2 * points[0]], 7)
    with pytest.raises(ValueError, match="three points"):
        plane_through(points[:2], 7)


def test_the_main_plane_is_that_of_the_covariance(diabetes):
    _, run, _ = diabetes
    plane = main_plane([run])
    offsets = run.y.T - run.w
    values, vectors = np.linalg.eigh(offsets.T @ offsets)
    for row, vector in zip(plane.basis, vectors.T[::-1], strict=False):
        assert abs(row @ vector) == pytest.approx(1.0, abs=1e-9)
    assert f"({values[-1] / values.sum():.0%})" in plane.names[0]


def test_paths_states_and_bands_show_the_numbers_of_the_runs(diabetes):
    _, run, steps = diabetes
    ax = mo.plotting.plot_path([run, steps])
    seen = main_plane([run, steps]).coordinates(steps.y.T)
    drawn = next(line for line in ax.get_lines() if line.get_label().endswith("step 0.1"))
    np.testing.assert_allclose(drawn.get_xydata(), seen)
    ax = mo.plotting.plot_states(run, names=list("abcdefgh"), components=[3, 0])
    assert [text.get_text() for text in ax.get_legend().get_texts()[:2]] == ["d", "a"]
    ax = mo.plotting.plot_states(run, components=[3, 0])
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), run.y[3])
    assert [t.get_text() for t in ax.get_legend().get_texts()][:2] == ["$w_{4}$", "$w_{1}$"]
    assert float(offsets(ax, "switch")[0]) == run.switch_times[0]

    problems = [mo.experiments.load("linear_regression", seed=k) for k in range(4)]
    runs = [mo.solve(p.maml_flow(), p.w0, t_max=2.0) for p in problems]
    ax = mo.plotting.plot_band(runs, level=0.5, n_times=11)
    middle = ax.get_lines()[0].get_ydata()
    starts = sorted(r.loss[0] for r in runs)
    assert middle[0] == pytest.approx((starts[1] + starts[2]) / 2)
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= min(r.loss.min() for r in runs) - 1e-12


def test_a_spectrum_is_that_of_the_hessian_dense_and_by_lanczos(diabetes, monkeypatch):
    from maml_ode.plotting import spectrum

    problem, _, steps = diabetes
    F = mo.MAMLLoss(problem.tasks, problem.alpha)
    ax = mo.plotting.plot_spectrum(F, steps, n_times=3)
    drawn = np.array([line.get_ydata()[-1] for line in ax.get_lines()[:8]])
    np.testing.assert_allclose(drawn, np.linalg.eigvalsh(F.hessian(steps.w)), rtol=1e-9)
    assert any("$2/\\beta$" in line.get_label() for line in ax.get_lines())

    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((2, 90, 40)), np.where(rng.random((2, 90)) < 0.5, -1.0, 1.0)
    tasks = mo.tasks.LogisticRegression(X, y, l2=0.1)
    G = mo.MAMLLoss(tasks, 0.2)
    w = rng.standard_normal(40)
    monkeypatch.setattr(spectrum, "DENSE_UP_TO", 30)
    ends = spectrum._eigenvalues(G, w)
    every = np.linalg.eigvalsh(G.hessian(w))
    np.testing.assert_allclose(ends, np.concatenate([every[:5], every[-5:]]), rtol=1e-8)


def test_a_bifurcation_diagram_shows_every_proved_point():
    problem = mo.experiments.load("figure1")
    table = mo.theory.bifurcation_table(problem.tasks, [0.4, 0.1, 0.35])
    ax = mo.plotting.plot_bifurcation(table)
    shown = sum(line.get_xdata().size for line in ax.get_lines())
    assert shown == sum(len(entry.points) for entry in table) == 15
    assert set(offsets(ax, "minimum")) | set(offsets(ax, "maximum")) == {0.1, 0.35, 0.4}
    # One critical point at 0.1 and the same seven at the other two: only these are joined, each to its own.
    first, *branches = ax.get_lines()
    assert first.get_xdata().tolist() == [0.1]
    ends = np.array([line.get_ydata() for line in branches])
    np.testing.assert_array_equal(ends, np.transpose([table[2].points, table[0].points]))
    dark, light = {line.get_markerfacecolor() for line in branches[::2]}, branches[1]
    assert dark == {"0.1"}
    assert light.get_markerfacecolor() == "white"


def test_a_run_that_ended_before_its_first_report_has_nothing_to_show():
    tasks = mo.tasks.Quadratic([np.diag([1.0, 2.0])], [[0.0, 0.0]])
    F, flow = mo.MAMLLoss(tasks, 0.1), mo.maml_flow(tasks, 0.1)
    run = mo.solve(flow, [1.0, 2.0], tol=1e-3, t_max=100.0, t_eval=[90.0])
    assert run.t.size == 0
    plots = mo.plotting
    for draw in (
        lambda: plots.plot_states(run),
        lambda: plots.plot_path([run]),
        lambda: plots.plot_band([run, run]),
        lambda: plots.plot_spectrum(F, run),
        lambda: plots.plot_landscape(F, trajectories=[run]),
        lambda: mo.theory.monitor(run, tasks, 0.1),
        lambda: mo.theory.lyapunov(F.value, run, flow=flow),
    ):
        with pytest.raises(
            ValueError, match=r"has no points: the run ended at t = .*begin it with 0"
        ):
            draw()
    again = mo.solve(flow, [1.0, 2.0], tol=1e-3, t_max=100.0, t_eval=[0.0, 90.0])  # the remedy
    plots.plot_states(again)


def test_numbers_near_the_largest_have_no_place_in_a_picture():
    tasks = mo.tasks.Quadratic([[[-1.0]]], [[0.0]])
    runs = mo.ensemble(mo.gradient_flow(mo.ExpectedLoss(tasks)), [[1.0], [0.0], [-1.0]], t_max=2e3)
    assert np.abs(runs.w).max() > 1e300
    runs.plot().figure.canvas.draw()
    far = mo.theory.decompose(
        mo.MAMLLoss(mo.tasks.Quadratic([np.eye(2)], [[0, 0]]), 0.1), 1e200 * np.eye(2)
    )
    axes = mo.plotting.plot_split(far)
    np.testing.assert_allclose(axes[0].get_lines()[0].get_ydata(), 1e200)
    with pytest.raises(TypeError, match=r"ensemble must be an Ensemble.*not 3"):
        mo.plotting.plot_ensemble(3)


def test_what_cannot_be_drawn_is_refused_in_a_sentence(diabetes):
    problem, run, _ = diabetes
    F = mo.MAMLLoss(problem.tasks, problem.alpha)
    one = mo.MAMLLoss(mo.tasks.Sinusoid([1.0], [0.0], [1.0]), 0.1)
    plots = mo.plotting
    for call, sentence in [
        (lambda: plots.plot_landscape(one), r"pass \(low, high\)"),
        (lambda: plots.plot_landscape(one, bounds=(1, 0)), "low < high"),
        (lambda: plots.plot_landscape(F), "three points"),
        (lambda: plots.plot_landscape(one, bounds=(0, 1), trajectories=[run]), "dimension 8"),
        (lambda: plots.plot_landscape(F, plane=np.eye(8)[:3]), "bounds is needed"),
        (lambda: plots.plot_spectrum(one, run), "dimension 8"),
        (lambda: plots.plot_states(run, components=[8]), "from 0 to 7"),
        (lambda: plots.plot_states(run, names=["age"]), "one entry per coordinate: 8, not 1"),
        (lambda: plots.plot_path([]), "empty"),
        (lambda: plots.plot_path([run], labels=["a", "b"]), "one entry per trajectory"),
        (lambda: plots.plot_band([run], level=1.0), "less than 1"),
        (lambda: plots.plot_bifurcation([]), "empty"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            call()
    for call, sentence in [
        (lambda: plots.plot_landscape(one, ax=3, bounds=(0, 1)), "matplotlib Axes"),
        (lambda: plots.plot_bifurcation([3]), r"table\[0\]"),
        (lambda: plots.plot_path([3]), r"trajectories\[0\]"),
        (lambda: plots.plot_spectrum(F, "run"), "must be a Trajectory"),
    ]:
        with pytest.raises(TypeError, match=sentence):
            call()


def test_basins_part_the_starts_by_where_their_flows_end():
    # F(x, y) = sum of (x^2 - 1)^2 and y^2: the border of its two basins is x = 0, whatever y.
    tasks = mo.tasks.Symbolic("(x**2 - 1)**2 + y**2", variables=["x", "y"])
    F = mo.ExpectedLoss(tasks)
    ax = mo.plotting.plot_landscape(
        F, bounds=((-2, 2), (-1, 1)), n_points=20, flow_lines=False, basins=True
    )
    (border,) = (c for c in ax.collections if c.get_gid() == "border of basins")
    (path,) = border.get_paths()
    np.testing.assert_allclose(path.vertices[:, 0], 0.0, atol=1e-12)
    minima = next(line for line in ax.get_lines() if line.get_label() == "minimum").get_xydata()
    np.testing.assert_allclose(minima, [[-1, 0], [1, 0]], atol=1e-4)

    # A plane beside the origin of three dimensions: the flow leaves it, its basins are seen in it.
    tasks = mo.tasks.Symbolic("(x**2 - 1)**2 + y**2 + z**2", variables=["x", "y", "z"])
    ax = mo.plotting.plot_landscape(
        mo.ExpectedLoss(tasks),
        bounds=((-2, 2), (-1, 1)),
        plane=[[0, 0, 1], [1, 0, 1], [0, 1, 1]],
        n_points=8,
        basins=True,
    )
    assert any(c.get_gid() == "border of basins" for c in ax.collections)
    assert "minimum" not in [line.get_label() for line in ax.get_lines()]


def test_panels_of_trajectories_hold_states_paths_phases_bounds_and_bands(diabetes):
    problem, run, steps = diabetes
    states, path, norm = mo.plotting.plot_trajectories(
        [run], show=["states", "path", "grad_norm"], phases=True
    )
    np.testing.assert_array_equal(states.get_lines()[0].get_ydata(), run.y[0])
    np.testing.assert_allclose(
        path.get_lines()[0].get_xydata(), main_plane([run]).coordinates(run.y.T)
    )
    (shade,) = norm.patches
    assert shade.get_x() == run.switch_times[0]
    assert shade.get_x() + shade.get_width() == pytest.approx(run.t[-1])
    (scaled,) = mo.plotting.plot_trajectories([run, steps], show="loss", x="iteration", phases=True)
    assert scaled.patches[0].get_x() == pytest.approx(run.switch_times[0] / 0.1)

    monitor = mo.theory.monitor(run, problem.tasks, problem.alpha)
    (axis,) = mo.plotting.plot_trajectories([run], show="grad_norm", bound=monitor)
    np.testing.assert_array_equal(offsets(axis, "bound"), monitor.t[monitor.grad_bound > 0])

    problems = [mo.experiments.load("linear_regression", seed=k) for k in range(3)]
    runs = [mo.solve(p.maml_flow(), p.w0, t_max=2.0) for p in problems]
    one = mo.euler(problems[0].maml_flow(), problems[0].w0, 0.1, max_iter=20)
    (axis,) = mo.plotting.plot_trajectories([*runs, one], show="loss", band=0.5)
    median, dots = axis.get_lines()
    assert median.get_ydata()[0] == sorted(r.loss[0] for r in runs)[1]
    np.testing.assert_array_equal(dots.get_ydata(), one.loss)
    assert len(axis.collections) == 1
    for call, sentence in [
        ({"show": "states"}, "room for one trajectory"),
        ({"show": "loss", "bound": monitor}, 'add "grad_norm"'),
        ({"band": 1.0}, "band must be less than 1"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            mo.plotting.plot_trajectories([run, steps], **call)
    with pytest.raises(TypeError, match="must be a Monitor"):
        mo.plotting.plot_trajectories([run], bound=3.0)
