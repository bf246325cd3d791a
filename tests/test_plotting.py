"""Pictures of trajectories: what is drawn is what was computed, and bad input is refused."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import maml_ode as mo
from maml_ode.plotting.style import BIMAML, CYCLE, MAML


@pytest.fixture(scope="module")
def runs():
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    maml, bimaml = mo.maml_flow(tasks, 0.1), mo.bimaml_flow(tasks, 0.1, switch_tol=2.0)
    return {
        "flow": mo.solve(maml, [10.0], t_max=3.0),
        "steps": mo.euler(maml, [10.0], 0.1, max_iter=30),
        "biphasic": mo.solve(bimaml, [10.0], t_max=3.0),
        "biphasic steps": mo.euler(bimaml, [10.0], 0.1, max_iter=30),
    }


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def curves(axis):
    return [line for line in axis.get_lines() if line.get_gid()]


def test_flow_and_iterates_share_the_axes_and_the_colour(runs):
    axes = runs["flow"].plot()
    assert runs["steps"].plot(ax=axes) == axes
    loss, norm = axes
    for axis, series in ((loss, "loss"), (norm, "grad_norm")):
        line, points = curves(axis)
        np.testing.assert_array_equal(line.get_ydata(), getattr(runs["flow"], series))
        np.testing.assert_array_equal(points.get_xdata(), runs["steps"].t)
        assert line.get_color() == points.get_color() == MAML["color"]
        assert line.get_linestyle() != "None"
        assert points.get_linestyle() == "None"
        assert points.get_marker() == "o"
    assert norm.get_yscale() == "log"
    assert loss.get_yscale() == "linear"
    assert [text.get_text() for text in loss.get_legend().get_texts()] == [
        "MAML flow",
        "MAML, step 0.1",
    ]
    assert loss.get_xlabel() == "time $t$"
    assert loss.get_ylabel() == "MAML loss $F(w)$"


def test_the_phase_norm_jumps_at_the_switch_and_nowhere_else(runs):
    run = runs["biphasic"]
    (axis,) = mo.plotting.plot_trajectories([run], show="phase_norm")
    (line,) = curves(axis)
    x, y = line.get_xdata(), line.get_ydata()
    (switch,) = run.switch_times
    (before, after) = np.flatnonzero(x == switch)
    assert y[before] == pytest.approx(2.0, rel=1e-9)  # ||grad f|| = eps0 where phase 1 ends
    F = mo.MAMLLoss(mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]]), 0.1)
    assert y[after] == pytest.approx(abs(F.gradient(run.switch_states[0])[0]), rel=1e-9)
    np.testing.assert_array_equal(y[:before], run.task_grad_norm[:before])
    np.testing.assert_array_equal(y[after:], run.grad_norm[before:])
    ring = next(line for line in axis.get_lines() if line.get_label() == "switch")
    assert ring.get_xdata() == [switch]
    assert ring.get_ydata() == [y[before]]


def test_iterates_show_the_norm_of_the_phase_that_is_about_to_step(runs):
    run = runs["biphasic steps"]
    (axis,) = mo.plotting.plot_trajectories([run], show="phase_norm", x="iteration")
    (points,) = curves(axis)
    k = int(np.flatnonzero(run.phase)[0])
    np.testing.assert_allclose(points.get_xdata(), np.arange(31), atol=1e-12)
    expected = np.concatenate([run.task_grad_norm[:k], run.grad_norm[k:]])
    np.testing.assert_array_equal(points.get_ydata(), expected)


def test_one_switch_entry_in_the_legend_and_it_comes_last(runs):
    (axis,) = mo.plotting.plot_trajectories([runs["biphasic"], runs["biphasic steps"]], show="loss")
    runs["flow"].plot(ax=axis)
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["BI-MAML flow", "BI-MAML, step 0.1", "MAML flow", "switch"]


def test_iterations_of_a_flow_are_counted_in_the_iterates_steps(runs):
    (axis,) = mo.plotting.plot_trajectories(
        [runs["flow"], runs["steps"]], show="grad_norm", x="iteration"
    )
    line, points = curves(axis)
    assert line.get_xdata()[-1] == pytest.approx(30.0)
    assert points.get_xdata()[-1] == pytest.approx(30.0)
    assert axis.get_xlabel() == "iteration $k$"


def test_equal_flows_with_other_steps_get_other_markers(runs):
    coarse = mo.euler(
        mo.maml_flow(mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]]), 0.1),
        [10.0],
        0.3,
        max_iter=10,
    )
    (axis,) = mo.plotting.plot_trajectories([runs["steps"], coarse], show="loss")
    first, second = curves(axis)
    assert first.get_color() == second.get_color()
    assert first.get_marker() != second.get_marker()


def test_the_label_names_what_the_flow_is_judged_by():
    tasks = mo.tasks.Quadratic([[[2.0]]], [[1.0]])
    run = mo.solve(mo.gradient_flow(mo.ExpectedLoss(tasks)), [3.0])
    loss, norm = run.plot()
    assert loss.get_ylabel() == "expected loss $f(w)$"
    assert norm.get_ylabel() == r"gradient norm $\|\nabla f(w)\|$"
    assert loss.get_legend().get_texts()[0].get_text() == "gradient flow"


def test_styles_differ_in_lightness_dash_and_marker():
    def lightness(color):
        return float(np.dot(mpl.colors.to_rgb(color), [0.299, 0.587, 0.114]))

    assert abs(lightness(MAML["color"]) - lightness(BIMAML["color"])) > 0.2
    assert len({str(style["linestyle"]) for style in CYCLE}) == len(CYCLE)
    assert len({style["marker"] for style in CYCLE}) == len(CYCLE)


def test_line_properties_and_labels_are_the_users(runs):
    (axis,) = runs["flow"].plot(show="task_loss", color="black", linestyle=":", label="mine")
    (line,) = curves(axis)
    assert (line.get_color(), line.get_linestyle(), line.get_label()) == ("black", ":", "mine")
    assert axis.get_ylabel() == "expected loss $f(w)$"


def test_drawing_leaves_matplotlibs_settings_alone(runs):
    before = dict(mpl.rcParams)
    runs["flow"].plot()
    assert dict(mpl.rcParams) == before


def test_a_zero_norm_is_left_out_of_the_logarithmic_panel():
    tasks = mo.tasks.Quadratic([[[1.0]]], [[0.0]])
    run = mo.euler(mo.maml_flow(tasks, 0.1), [0.0], 0.5, max_iter=3)
    _, norm = run.plot()
    assert norm.get_yscale() == "linear"
    norm.figure.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (lambda runs: ([], {}), ValueError, "at least one"),
        (lambda runs: (runs["flow"], {}), TypeError, "plot_trajectory"),
        (lambda runs: ([1.0], {}), TypeError, r"trajectories\[0\] must be a Trajectory"),
        (lambda runs: ([runs["flow"]], {"show": "los"}), ValueError, "Did you mean 'loss'"),
        (lambda runs: ([runs["flow"]], {"x": "times"}), ValueError, "Did you mean 'time'"),
        (lambda runs: ([runs["flow"]], {"labels": ["a", "b"]}), ValueError, "labels .* 1, not 2"),
        (lambda runs: ([runs["flow"]], {"styles": []}), ValueError, "styles .* 1, not 0"),
        (lambda runs: ([runs["flow"]], {"x": "iteration"}), ValueError, "needs step_size"),
        (lambda runs: ([runs["flow"]], {"step_size": 0.1}), ValueError, "only with x"),
        (
            lambda runs: ([runs["flow"]], {"ax": [1, 2]}),
            TypeError,
            "ax must hold matplotlib Axes, not 1",
        ),
    ],
)
def test_bad_input_is_refused(runs, arguments, error, sentence):
    trajectories, options = arguments(runs)
    with pytest.raises(error, match=sentence):
        mo.plotting.plot_trajectories(trajectories, **options)


@pytest.mark.parametrize(
    ("style", "error", "sentence"),
    [
        ({"nonsense": 3}, TypeError, "'nonsense' = 3 is neither an option .* leave it out"),
        ({"data": 3}, TypeError, "'data' = 3 is neither"),
        ({"figure": 3}, TypeError, "'figure' = 3 is neither"),
        ({"c": "red", "color": "blue"}, TypeError, "twice"),
        ({"color": "nonsense"}, ValueError, "color = 'nonsense' does not describe a line"),
        ({"lw": "wide"}, ValueError, "lw = 'wide' does not describe a line"),
        ({"zorder": "a"}, TypeError, "zorder must be one real number"),
    ],
)
def test_what_is_no_property_of_a_line_is_refused_before_anything_is_drawn(
    runs, style, error, sentence
):
    _, axes = plt.subplots(1, 2)
    with pytest.raises(error, match=sentence):
        mo.plotting.plot_trajectory(runs["flow"], axes, **style)
    assert not any(axis.get_lines() for axis in axes)


def test_names_of_lines_are_no_style_and_short_names_of_properties_are(runs):
    with pytest.raises(TypeError, match="labels="):
        mo.plotting.plot_trajectories([runs["flow"]], styles=[{"label": "mine"}])
    axis, _ = mo.plotting.plot_trajectory(runs["flow"], c="black", ls=":", label="mine")
    line = axis.get_lines()[0]
    assert (line.get_color(), line.get_linestyle(), line.get_label()) == ("black", ":", "mine")


def test_a_wrong_number_of_axes_is_refused_before_anything_is_drawn(runs):
    _, axes = plt.subplots(1, 3)
    with pytest.raises(ValueError, match=r"2 panels are shown, .* not 3"):
        runs["flow"].plot(ax=axes)
    assert not any(axis.get_lines() for axis in axes)


def test_a_trajectory_without_diagnostics_says_how_to_get_them():
    tasks = mo.tasks.Quadratic([[[1.0]]], [[0.0]])
    run = mo.euler(mo.maml_flow(tasks, 0.1), [1.0], 0.5, max_iter=3, diagnostics=False)
    with pytest.raises(ValueError, match="diagnostics=True"):
        run.plot()


def test_importing_the_package_does_not_import_matplotlib():
    code = (
        "import sys, maml_ode, maml_ode.plotting;"
        "sys.exit('matplotlib' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
