"""Comparisons: errors against matrix exponentials and SciPy called directly, costs, failures, the picture."""

import math
import signal
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from scipy.linalg import expm
from scipy.optimize import brentq, isotonic_regression

import maml_ode as mo
from maml_ode.comparing.reference import make_reference
from maml_ode.plotting.comparison import _spread, method_style

NOTHING = {"methods": [], "step_sizes": []}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


class Affine:
    """w' = -(K w - k), and the flow of f before it: from NumPy and SciPy alone."""

    def __init__(self, tasks, alpha, seed):
        H, b = tasks.H, tasks.b
        A = np.eye(tasks.dim) - alpha * H
        self.K = np.einsum("m,mij,mjk,mkl->il", tasks.weights, A, H, A)
        self.k = np.einsum("m,mij,mjk,mk->i", tasks.weights, A, A, b)
        self.H, self.b = np.einsum("m,mij->ij", tasks.weights, H), tasks.weights @ b
        self.w0 = 3 * np.random.default_rng(seed).normal(size=tasks.dim)

    @staticmethod
    def flow(K, k, w, t):
        end = np.linalg.solve(K, k)
        return end + expm(-t * K) @ (w - end)

    def maml(self, t):
        return self.flow(self.K, self.k, self.w0, t)

    def bimaml(self, t, switch_tol):
        def norm(s):
            return np.linalg.norm(self.H @ self.flow(self.H, self.b, self.w0, s) - self.b)

        switch = brentq(lambda s: norm(s) - switch_tol, 0.0, 200.0, xtol=1e-14, rtol=1e-14)
        if t <= switch:
            return self.flow(self.H, self.b, self.w0, t)
        between = self.flow(self.H, self.b, self.w0, switch)
        return self.flow(self.K, self.k, between, t - switch)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_distances_from_matrix_exponentials(make_quadratic, seed):
    tasks = make_quadratic(seed=seed)
    alpha, t_max = 0.2, 4.0
    problem = Affine(tasks, alpha, seed)
    found = mo.compare(
        mo.maml_flow(tasks, alpha), problem.w0, t_max=t_max,
        methods=["RK45", "Radau", "Tsit5", "exact"], rtols=[1e-3, 1e-6], step_sizes=[0.5, 0.3, 0.01],
    )  # fmt: skip
    end = problem.maml(t_max)
    travelled = np.linalg.norm(end - problem.w0)
    assert found.travelled == pytest.approx(travelled, rel=1e-12)
    np.testing.assert_allclose(found.states[:, 0], end, rtol=1e-12, atol=1e-13)
    assert np.linalg.norm(found.states[:, 0] - end) / travelled <= found.reference_error < 1e-14
    scale = travelled / math.sqrt(tasks.dim)
    for row in found.rows:
        if row["method"] == "Euler":
            w = problem.w0
            for _ in range(round(t_max / row["step_size"])):
                w = w - row["step_size"] * (problem.K @ w - problem.k)
            assert row["steps"] == round(t_max / row["step_size"])
            assert row["rtol"] is None
            assert row["error"] == pytest.approx(np.linalg.norm(w - end) / travelled, rel=1e-9)
        elif row["method"] in ("RK45", "Radau"):
            run = scipy.integrate.solve_ivp(
                lambda t, w: problem.k - problem.K @ w, (0.0, t_max), problem.w0,
                method=row["method"], rtol=row["rtol"], atol=row["rtol"] * scale,
                **({"jac": lambda t, w: -problem.K} if row["method"] == "Radau" else {}),
            )  # fmt: skip
            error = np.linalg.norm(run.y[:, -1] - end) / travelled
            assert row["error"] == pytest.approx(error, rel=1e-6, abs=1e-14)
            assert row["steps"] == run.t.size - 1
    assert [row["method"] for row in found.rows] == (
        ["Euler"] * 3 + ["RK45"] * 2 + ["Radau"] * 2 + ["Tsit5"] * 2 + ["exact"]
    )
    last = found.rows[-1]
    assert (last["rtol"], last["step_size"]) == (None, None)
    assert last["error"] < 1e-14
    assert last["factorizations"] == 1


@pytest.mark.parametrize("seed", range(2))
def test_the_two_phases_of_bimaml_too(make_quadratic, seed):
    tasks = make_quadratic(seed=seed)
    problem = Affine(tasks, 0.2, seed)
    switch_tol = 0.3 * np.linalg.norm(problem.H @ problem.w0 - problem.b)
    times = [1.0, 5.0, 20.0]
    found = mo.compare(
        mo.bimaml_flow(tasks, 0.2, switch_tol), problem.w0, t_max=20.0, times=times,
        methods=["DOP853"], rtols=[1e-4], step_sizes=[0.05],
    )  # fmt: skip
    exact = np.array([problem.bimaml(t, switch_tol) for t in times]).T
    np.testing.assert_allclose(found.states, exact, rtol=1e-10, atol=1e-11)
    assert found.switch_times.size == 1
    w, in_first, gaps = problem.w0, True, []
    for k in range(400):
        grad = problem.H @ w - problem.b
        in_first = in_first and np.linalg.norm(grad) > switch_tol
        w = w - 0.05 * (grad if in_first else problem.K @ w - problem.k)
        gaps += [np.linalg.norm(w - exact[:, times.index(t)]) for t in times if k + 1 == t / 0.05]
    travelled = np.linalg.norm(exact[:, -1] - problem.w0)
    assert found.rows[0]["error"] == pytest.approx(max(gaps) / travelled, rel=1e-8)


def quartic():
    """F = w^4/4, whose flow is w0/sqrt(1 + 2 w0^2 t)."""
    tasks = mo.tasks.Symbolic("w**4/4", "w")
    return mo.gradient_flow(mo.ExpectedLoss(tasks))


def test_without_a_closed_form_two_methods_disagree_by_about_their_error():
    flow, t_max = quartic(), 2.0
    truth = 3.0 / math.sqrt(1 + 18 * t_max)
    for reference in ("auto", "Tsit5", "LSODA"):
        found = mo.compare(flow, [3.0], t_max=t_max, reference=reference, **NOTHING)
        error = abs(found.states[0, 0] - truth) / (3.0 - truth)
        assert error <= 2 * found.reference_error
        assert 0 < found.reference_error < 1e-9
        checked = "checked by Radau" if reference == "LSODA" else "checked by LSODA"
        assert checked in found.reference
    given = mo.compare(
        flow,
        [3.0],
        t_max=t_max,
        reference=[truth],
        methods=["RK45"],
        rtols=[1e-6],
        step_sizes=[0.01],
    )
    assert math.isnan(given.reference_error)
    assert given.reference == "given by the caller"
    for row, other in zip(
        given.rows,
        mo.compare(
            flow, [3.0], t_max=t_max, methods=["RK45"], rtols=[1e-6], step_sizes=[0.01]
        ).rows,
        strict=True,
    ):
        assert row["error"] == pytest.approx(other["error"], rel=1e-3)


def test_a_stiff_flow_without_closed_form_gets_an_implicit_reference():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 9, 2)) * [1.0, 300.0]
    tasks = mo.tasks.LogisticRegression(X, rng.choice([-1.0, 1.0], (2, 9)), l2=0.1)
    flow = mo.gradient_flow(mo.ExpectedLoss(tasks))
    found = mo.compare(flow, [1.0, 0.01], t_max=20.0, methods=["BDF"], rtols=[1e-4], step_sizes=[])
    assert found.reference.startswith("by Radau at rtol 1e-12")
    assert found.reference_error < 1e-8
    assert found.rows[0]["error"] < 1e-2


class Faulty(scipy.integrate.RK45):
    """A method of a user's that does not work."""

    def __init__(self, *args, **kw):
        raise ZeroDivisionError("its step is not there yet")


def test_failed_runs_are_rows_with_their_reason():
    found = mo.compare(
        quartic(), [3.0], t_max=2.0,
        methods={"exact": "exact", "RK23": "RK23", "mine": Faulty, "RK45": "RK45"},
        rtols={"RK23": [1e-9], "mine": [1e-3], "RK45": [1e-3]},
        step_sizes=[2.0, 0.25, 0.1], max_steps=50,
    )  # fmt: skip
    by_method = {}
    for row in found.rows:
        by_method.setdefault(row["method"], []).append(row)
    huge, grown, _ = by_method["Euler"]
    assert huge["steps"] == 1
    assert huge["error"] > 10  # 3 - 2 * 27: wrong, but finite
    assert math.isnan(grown["error"])
    assert grown["stop"] == "NON_FINITE"
    (exact,), (short,), (mine,), (fine,) = (by_method[k] for k in ("exact", "RK23", "mine", "RK45"))
    assert math.isnan(exact["error"])
    assert "needs affine phases" in exact["stop"]
    assert math.isnan(short["error"])
    assert (short["stop"], short["steps"]) == ("STEP_LIMIT", 50)
    assert short["gradients"] > 100
    assert math.isnan(mine["error"])
    assert mine["stop"] == "ZeroDivisionError: its step is not there yet"
    assert fine["error"] < 1e-2
    assert "needs affine phases" in found.table()
    assert len(found) == len(found.rows) == 7


def test_counts_are_those_of_solve_and_prices_make_them_work(make_logistic):
    tasks = make_logistic()
    flow, w0 = mo.maml_flow(tasks, 0.1), [1.0, -2.0, 0.5]
    prices = {"hvp": 2.0, "hessian": 5.0, "factorization": 0.5}
    arguments = {"t_max": 3.0, "rtols": [1e-5], "step_sizes": [0.1], "methods": ["DOP853", "Radau"]}
    found = mo.compare(flow, w0, prices=prices, **arguments)
    plain = mo.compare(flow, w0, **arguments)
    scale = found.travelled / math.sqrt(3)
    for row, other in zip(found.rows, plain.rows, strict=True):
        if row["method"] == "Euler":
            counts = mo.euler(flow, w0, 0.1, max_iter=30, diagnostics=False).counts
        else:
            counts = mo.solve(
                flow, w0, tol=0.0, t_max=3.0, method=row["method"], rtol=1e-5, atol=1e-5 * scale,
                diagnostics=False,
            ).counts  # fmt: skip
        for name in ("gradients", "hvps", "hessians", "thirds", "third_vectors", "factorizations"):
            assert row[name] == getattr(counts, name), (row["method"], name)
        assert (row["steps"], row["rejected"]) == (counts.steps, counts.rejected)
        matrices = row["hessians"] + row["thirds"]
        vectors = row["hvps"] + row["third_vectors"]
        assert row["work"] == pytest.approx(
            row["gradients"] + 2 * vectors + 5 * matrices + 0.5 * row["factorizations"]
        )
        assert other["work"] == row["gradients"] + vectors + 3 * matrices
        assert row["seconds"] > 0
    assert found.rows[-1]["factorizations"] > 0
    notes = found.table().splitlines()[-1]
    assert "a Hessian-vector product counts 2, a Hessian 5, a factorisation 0.5" in notes
    assert "Hessian 3, a factorisation 0" in plain.table()


def test_defaults_and_labels(make_quadratic, make_logistic):
    flow, w0 = mo.maml_flow(make_quadratic(d=2), 0.1), [1.0, 2.0]
    found = mo.compare(flow, w0, t_max=1.0, rtols=[1e-2])
    assert [row["steps"] for row in found.rows[:5]] == [25, 50, 100, 200, 400]
    names = [row["method"] for row in found.rows[5:]]
    assert names == ["Tsit5", "DOP853", "RK45", "LSODA", "RKC2", "Radau", "BDF", "Rodas5P", "exact"]
    assert not any(math.isnan(row["error"]) for row in found.rows)
    classes = {"mine": scipy.integrate.DOP853, "ours": "DOP853", "chosen": "auto"}
    labelled = mo.compare(flow, w0, t_max=1.0, methods=classes, rtols=[1e-4], step_sizes=[])
    assert [row["method"] for row in labelled.rows] == ["mine", "ours", "chosen"]
    assert repr(labelled) == "Comparison(MAML to t = 1: 3 runs by mine, ours, chosen)"
    rows = mo.compare(flow, w0, t_max=1.0, methods=[scipy.integrate.RK23], step_sizes=[]).rows
    assert [(row["method"], row["rtol"]) for row in rows] == [
        ("RK23", 1e-2), ("RK23", 1e-4), ("RK23", 1e-6), ("RK23", 1e-8),
    ]  # fmt: skip
    logistic = mo.maml_flow(make_logistic(), 0.1)
    names = {row["method"] for row in mo.compare(logistic, [0.1] * 3, t_max=0.1, rtols=[1e-2]).rows}
    assert "exact" not in names


def test_a_discontinuous_field_is_warned_of_once_and_a_large_step_is_a_row():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(2, 6, 2)), rng.choice([-1.0, 1.0], (2, 6))
    rough = mo.maml_flow(mo.tasks.SVM(X, y, loss="squared_hinge"), 0.2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = mo.compare(
            rough, [1.0, 1.0], t_max=0.5, methods=["RK45"], rtols=[1e-3], step_sizes=[0.1]
        )
    assert len(caught) == 1
    assert "discontinuous" in str(caught[0].message)
    assert found.reference == "by RK45 at rtol 1e-06, checked by RK23 at 1e-05"
    tasks = mo.tasks.Quadratic([[[4.0]]], [[1.0]])
    (row,) = mo.compare(
        mo.gradient_flow(mo.ExpectedLoss(tasks)), [3.0], t_max=10.0, methods=[], step_sizes=[1.0]
    ).rows
    assert row["error"] == pytest.approx(3.0**10, rel=1e-6)


def test_ctrl_c_gives_back_the_rows_that_were_done(make_logistic):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Pressing(scipy.integrate.RK45):
        steps = 0

        def _step_impl(self):
            type(self).steps += 1
            if self.t > 0.5:
                signal.raise_signal(signal.SIGINT)
            return super()._step_impl()

    try:
        found = mo.compare(
            mo.maml_flow(make_logistic(), 0.1), [0.1] * 3, t_max=5.0, methods=["RK23", Pressing, "BDF"],
            rtols=[1e-3], step_sizes=[0.5],
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    assert [row["method"] for row in found.rows] == ["Euler", "RK23"]


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"flow": 3}, TypeError, "flow must be a Flow"),
        ({"w0": [1.0]}, ValueError, r"w0 must have shape \(2,\)"),
        ({"t_max": math.inf}, ValueError, "t_max must be finite"),
        ({"t_max": 0.0}, ValueError, "t_max must be greater than 0"),
        ({"methods": ["RK54"]}, ValueError, "unknown method 'RK54'. Did you mean 'RK45'"),
        ({"methods": "RK45"}, TypeError, "methods must be a sequence"),
        ({"methods": ["Euler"]}, ValueError, "its runs are given by step_sizes="),
        (
            {"methods": ["DOP853", scipy.integrate.DOP853]},
            ValueError,
            "called DOP853; pass a mapping",
        ),
        ({"methods": [3]}, TypeError, "method must be a name or a class"),
        ({"rtols": [0.0]}, ValueError, "rtols must be greater than 0"),
        ({"rtols": 1e-3}, TypeError, "rtols must be a sequence"),
        ({"rtols": {"RK54": [1e-3]}}, ValueError, "unknown method in rtols 'RK54'"),
        ({"step_sizes": [-1.0]}, ValueError, "step_sizes must be greater than 0"),
        ({"step_sizes": [3.0]}, ValueError, r"makes round\(t_max/h\) = 0 steps to t_max = 1"),
        ({"t_max": 1e300, "step_sizes": [1e-300]}, ValueError, "makes inf steps.*use a larger one"),
        ({"times": [0.5]}, ValueError, "times must increase from above 0 to t_max = 1"),
        ({"times": [0.7, 0.5, 1.0]}, ValueError, "times must increase"),
        ({"prices": {"hvps": 1.0}}, ValueError, "unknown price 'hvps'. Did you mean 'hvp'"),
        (
            {"prices": 2.0},
            TypeError,
            'prices must be a mapping of names to numbers, such as {"hvp"',
        ),
        ({"prices": {"hvp": -1.0}}, ValueError, "the price hvp must be at least 0"),
        ({"reference": "exakt"}, ValueError, "unknown method 'exakt'. Did you mean 'exact'"),
        ({"reference": [1.0]}, ValueError, r"reference must have shape \(2, 1\)"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
        ({"max_seconds": 0}, ValueError, "max_seconds must be greater than 0"),
        ({"progress": 1}, TypeError, "progress must be True or False"),
    ],
)
def test_arguments_are_checked_before_anything_runs(make_quadratic, changed, error, words):
    good = {"flow": mo.maml_flow(make_quadratic(d=2), 0.1), "w0": [1.0, 2.0], "t_max": 1.0}
    arguments = good | {"methods": ["RK45"]} | changed
    flow, w0 = arguments.pop("flow"), arguments.pop("w0")
    with pytest.raises(error, match=words):
        mo.compare(flow, w0, **arguments)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_errors_have_no_unit(unit):
    """Of a linear flow an error is the same share of the way, whatever w is measured in."""
    flow = mo.maml_flow(mo.tasks.Quadratic([[[1.0, 0.2], [0.2, 3.0]]], [[0.0, 0.0]]), 0.1)
    options = {"t_max": 2.0, "methods": ["RK45"], "rtols": [1e-4], "step_sizes": [0.1]}
    found, wanted = (mo.compare(flow, [s, 2 * s], **options) for s in (unit, 1.0))
    for one, other in zip(found.rows, wanted.rows, strict=True):
        assert one["error"] == pytest.approx(other["error"], rel=1e-6)
    assert found.travelled == pytest.approx(unit * wanted.travelled, rel=1e-12, abs=0.0)


def test_a_comparison_needs_a_motion_and_a_reference(make_quadratic):
    tasks = mo.tasks.Quadratic([[[1.0]]], [[2.0]])
    with pytest.raises(ValueError, match="does not move from w0"):
        mo.compare(mo.maml_flow(tasks, 0.1), [2.0], t_max=1.0)
    away = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Symbolic("-w**4/4", "w")))
    with pytest.raises(ValueError, match=r"there is no reference.*lower t_max"):
        mo.compare(away, [3.0], t_max=2.0)  # infinite at t = 1/18
    found = mo.compare(away, [3.0], t_max=0.01, methods=["RK45"], rtols=[1e-6], step_sizes=[])
    assert found.rows[0]["error"] < 1e-5  # the remedy
    reference = make_reference(mo.maml_flow(tasks, 0.1), np.array([0.0]), np.array([1.0, 2.0]))
    assert reference.method == "exact"


@pytest.fixture
def comparison(make_logistic):
    return mo.compare(mo.maml_flow(make_logistic(), 0.1), [2.0, -2.0, 1.0], t_max=3.0)


def test_the_picture_shows_the_rows_and_survives_greyscale(comparison):
    _, given = plt.subplots()
    axis = comparison.plot(given)
    assert axis is given
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    assert axis.get_xlabel() == "gradient passes"
    assert axis.get_ylabel() == "error / distance travelled"
    lines = {line.get_label(): line for line in axis.get_lines() if line.get_label()[0] != "_"}
    names = list(dict.fromkeys(row["method"] for row in comparison.rows))
    assert set(lines) == set(names)
    looks = set()
    for name in names:
        part = [row for row in comparison.rows if row["method"] == name and row["error"] > 0]
        np.testing.assert_array_equal(lines[name].get_ydata(), [row["error"] for row in part])
        np.testing.assert_array_equal(lines[name].get_xdata(), [row["work"] for row in part])
        looks.add((lines[name].get_marker(), str(lines[name]._unscaled_dash_pattern)))
    assert len({marker for marker, _ in looks}) == len(names)  # no colour is needed
    assert len(looks) == len(names)
    labels = [text for text in axis.texts if str(text.get_gid()).startswith("label:")]
    assert {text.get_text() for text in labels} == set(names)
    axis.figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in labels]  # without the line to it
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert all(box.x1 <= axis.figure.bbox.x1 and box.y0 >= axis.bbox.y0 - 1 for box in boxes)
    for text in labels:
        part = [row for row in comparison.rows if row["method"] == text.get_text()]
        best = min(part, key=lambda row: row["error"])
        assert tuple(text.xy) == (best["work"], best["error"])


@given(heights=st.lists(st.floats(-5.0, 15.0), min_size=1, max_size=12), gap=st.floats(0.05, 0.8))
@settings(max_examples=60, deadline=None)
def test_names_are_spread_by_least_squares(heights, gap):
    wanted = np.sort(np.clip(heights, 0.0, 10.0))[::-1]
    found = _spread(wanted, gap, 0.0, 10.0)
    assert (-np.diff(found) >= gap - 1e-12).all()
    assert found.max() <= 10.0 + 1e-12
    assert found.min() >= -1e-12
    k = np.arange(wanted.size)
    best = isotonic_regression(wanted + gap * k, increasing=False).x
    inside = np.clip(best, gap * k[-1], 10.0)
    np.testing.assert_allclose(found, inside - gap * k, atol=1e-9)


def test_other_costs_other_orders_and_no_labels(comparison):
    order = ["Euler", "nobody", "Radau"]
    axis = comparison.plot(x="seconds", order=order, labels=False)
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert lines["Radau"].get_marker() == method_style(2)["marker"]
    assert lines["Euler"].get_linewidth() > lines["Radau"].get_linewidth()
    assert not [text for text in axis.texts if str(text.get_gid()).startswith("label:")]
    assert axis.get_xlabel() == "seconds"
    with pytest.raises(ValueError, match=r"unknown x 'secondss'. Did you mean 'seconds'"):
        comparison.plot(x="secondss")
    with pytest.raises(ValueError, match="nothing to draw"):
        mo.plotting.plot_comparison([{"method": "a", "error": math.nan, "work": 1}])
    with pytest.raises(ValueError, match="every row must have method, error and work"):
        mo.plotting.plot_comparison([{"method": "a"}])


def test_the_table_as_a_data_frame(comparison):
    pytest.importorskip("pandas", reason="needs the extra 'table'")
    frame = comparison.to_dataframe()
    assert len(frame) == len(comparison.rows)
    assert frame["method"].tolist() == [row["method"] for row in comparison.rows]


def test_notebooks_show_the_rows(comparison):
    text = comparison._repr_html_()
    assert text.count("<tr>") == len(comparison.rows) + 1
    assert "a Hessian 3, a factorisation 0" in text
