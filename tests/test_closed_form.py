"""Formulas by SymPy against the compiled families and objectives, which know nothing of them."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import sympy

import maml_ode as mo

WEIGHTS = [0.6, 0.4]
FIGURE_1 = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
SINUSOID = mo.tasks.Sinusoid([0.5, 0.7], [1.0, 0.3], [1.0, 3.0], weights=WEIGHTS)
OTHER = mo.tasks.Sinusoid([0.4, 0.2], [0.5, 0.6], [2.0, 1.0], weights=WEIGHTS)
FORMULA = mo.tasks.Symbolic(
    "x**2 + y**2/2 + a*sin(x*y) + exp(-b*y)",
    "x y",
    {"a": [0.3, 0.5], "b": [1.0, 0.2]},
    weights=WEIGHTS,
)
H = [[[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 3.0]], np.diag([1.0, 3.0, 0.5])]
QUADRATIC = mo.tasks.Quadratic(
    H, [[1.0, 0.0, 2.0], [0.5, -1.0, 0.0]], [0.25, -1.0], weights=WEIGHTS
)
REGRESSION = mo.tasks.LinearRegression(
    np.random.default_rng(0).normal(size=(2, 5, 3)), np.random.default_rng(1).normal(size=(2, 5))
)
SUBJECTS = {
    "Figure 1": mo.MAMLLoss(FIGURE_1, 0.4),
    "sinusoid": mo.ExpectedLoss(SINUSOID),
    "sinusoid K=3": mo.MAMLLoss(SINUSOID, 0.2, inner_steps=3),
    "sinusoid query": mo.MAMLLoss(SINUSOID, 0.2, inner_steps=2, query=OTHER),
    "formula": mo.ExpectedLoss(FORMULA),
    "formula K=1": mo.MAMLLoss(FORMULA, 0.1),
    "quadratic": mo.ExpectedLoss(QUADRATIC),
    "quadratic K=2": mo.MAMLLoss(QUADRATIC, 0.2, inner_steps=2),
    "regression": mo.MAMLLoss(REGRESSION, 0.1, inner_steps=2, query=REGRESSION),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_formulas_are_those_of_the_objective(name):
    objective, rng = SUBJECTS[name], np.random.default_rng(0)
    form = mo.closed_form(objective)
    d = objective.dim
    assert len(form.symbols) == d
    assert form.value.free_symbols <= set(form.symbols)
    assert form.gradient.shape == (d, 1)
    assert form.hessian.shape == (d, d)
    function = form.lambdify()
    for w in rng.normal(size=(4, d)):
        value, gradient, hessian = function(w)
        assert value == pytest.approx(objective.value(w), rel=1e-12)
        np.testing.assert_allclose(gradient, objective.gradient(w), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(hessian, objective.hessian(w), rtol=1e-11, atol=1e-11)
        at = dict(zip(form.symbols, map(float, w), strict=True))
        assert float(form.value.subs(at)) == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(
            np.array(form.hessian.subs(at), dtype=float), hessian, rtol=1e-11, atol=1e-12
        )


@pytest.mark.parametrize(
    "tasks", [SINUSOID, FORMULA, QUADRATIC], ids=["sinusoid", "formula", "quadratic"]
)
def test_every_task_has_its_own(tasks):
    w, alpha = np.linspace(0.3, -0.4, tasks.dim), 0.1
    form = mo.closed_form(tasks)
    assert len(form.tasks) == tasks.n_tasks
    for i, part in enumerate(form.tasks):
        value, gradient, hessian = part.lambdify()(w)
        assert value == pytest.approx(tasks.losses(w)[i], rel=1e-13)
        np.testing.assert_allclose(gradient, tasks.gradients(w)[i], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(hessian, tasks.hessians(w)[i], rtol=1e-12, atol=1e-13)
        assert part.symbols == form.symbols
    adapted = mo.MAMLLoss(tasks, alpha).adapt(w)
    values = [part.lambdify()(w)[0] for part in mo.closed_form(mo.MAMLLoss(tasks, alpha)).tasks]
    np.testing.assert_allclose(values, tasks.losses(adapted), rtol=1e-12)


def test_symbols_are_the_users_names():
    assert mo.closed_form(FORMULA).symbols == sympy.symbols("x y")
    assert mo.closed_form(SINUSOID).symbols == (sympy.Symbol("w"),)
    assert mo.closed_form(QUADRATIC).symbols == sympy.symbols("w1 w2 w3")
    assert mo.closed_form(mo.tasks.Quadratic([[[1.0]]], [[1.0]])).symbols == (sympy.Symbol("w"),)
    # A query family in other letters is written in those of the support.
    other = mo.tasks.Symbolic("c*v**2 + u**4", "u v", {"c": [1.0, 2.0]}, weights=WEIGHTS)
    F = mo.MAMLLoss(FORMULA, 0.1, query=other)
    form = mo.closed_form(F)
    assert form.value.free_symbols == set(sympy.symbols("x y"))
    assert form.lambdify()([0.2, -0.3])[0] == pytest.approx(F.value([0.2, -0.3]), rel=1e-12)


def test_the_formulas_of_figure_1_in_latex():
    form = mo.closed_form(FIGURE_1)
    text = form.latex()
    assert text.startswith("\\begin{aligned}\nf(w) &= 0.505 w^{2} - 0.5 \\sin{\\left(w \\right)}")
    assert (
        "f'(w) &= 1.01 w - 0.5 \\cos{\\left(w \\right)} - 0.005 \\cos{\\left(100 w \\right)} \\\\"
        in text
    )
    assert "f''(w) &= " in text
    assert form.tasks[1].latex().splitlines()[1].startswith("f_{2}(w) &=")
    quadratic = mo.closed_form(mo.MAMLLoss(QUADRATIC, 0.2)).latex()
    assert "\\nabla F(w) &= \\left[\\begin{matrix}" in quadratic
    third = mo.closed_form(mo.tasks.Quadratic([[[2 / 3]]], [[0.0]]))
    assert "0.333 w^{2}" in third.latex(digits=3)
    assert third._repr_latex_().startswith("$$")


def entries_of(text):
    """The equations of an aligned environment, rows that go on in the next put together again."""
    lines = text.split("\n")
    assert (lines[0], lines[-1]) == ("\\begin{aligned}", "\\end{aligned}")
    assert all(line.endswith(" \\\\") for line in lines[1:-2])
    joined = " ".join(line.removesuffix(" \\\\") for line in lines[1:-1])
    return joined.replace("&\\quad {} ", "").replace("&=", "\n&=")


@pytest.mark.parametrize("steps", [1, 2])
def test_long_sums_go_on_in_the_next_row(steps):
    """However narrow, the rows put together are SymPy's own words for the formula."""
    form = mo.closed_form(mo.MAMLLoss(FIGURE_1, 0.4, inner_steps=steps))
    whole = form.latex(width=10_000)
    assert whole.count("&") == 3
    for width in (10, 60, 80):
        text = form.latex(width=width)
        assert entries_of(text) == entries_of(whole)
        assert text.count("&") > 3


def test_derivatives_with_long_entries_are_written_out_one_by_one():
    formula = mo.tasks.Symbolic("exp(-x**2)*y + z*(x - y)**2", "x y z", weights=[1.0])
    short = mo.closed_form(formula).latex()
    assert "f(x, y, z) &= " in short
    assert "\\nabla f(x, y, z) &= \\left[" in short
    long = mo.closed_form(mo.MAMLLoss(formula, 0.1)).latex()
    assert "matrix" not in long
    named = [line.split("F(")[0] for line in long.split("\n") if "&=" in line]
    seconds = ("x", "x"), ("x", "y"), ("x", "z"), ("y", "y"), ("y", "z"), ("z", "z")
    firsts = [rf"\partial_{{{a}}} " for a in "xyz"]
    assert named == ["", *firsts, *(rf"\partial_{{{a}}} \partial_{{{b}}} " for a, b in seconds)]
    # A Hessian of many short numbers stays a matrix.
    many = mo.closed_form(mo.tasks.Quadratic([np.eye(9) + 0.25], [np.zeros(9)])).latex()
    assert many.count("matrix") == 4
    with pytest.raises(ValueError, match="width must be at least 1"):
        mo.closed_form(formula).latex(width=0)


def test_the_site_shows_the_formulas_of_figure_1():
    page = (Path(__file__).parent.parent / "docs" / "paper.md").read_text(encoding="utf-8")
    problem = mo.experiments.load("figure1")
    for form in (
        mo.closed_form(problem.tasks),
        mo.closed_form(mo.MAMLLoss(problem.tasks, problem.alpha)),
    ):
        assert f"$$\n{form.latex(digits=4)}\n$$" in page


def test_the_site_draws_the_rows_of_a_formula():
    pytest.importorskip("latex2mathml", reason="needs the extra 'docs'")
    pytest.importorskip("docutils", reason="needs the extra 'docs'")
    path = Path(__file__).parent.parent / "docs" / "mathml.py"
    spec = importlib.util.spec_from_file_location("mathml", path)
    mathml = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mathml)
    text = mo.closed_form(mo.MAMLLoss(FIGURE_1, 0.4)).tasks[0].latex()
    drawn = mathml._mathml(text, display="block")
    assert drawn.count("<mtr>") == text.count("&") > 3
    assert "&</mi>" not in drawn
    assert drawn.count("text-align: left") == drawn.count("<mtr>")
    assert "<mrow><mi>&#x02032;</mi><mi>&#x02032;</mi></mrow>" in mathml._mathml("F_{1}''(w)")


def test_numbers_are_those_of_the_family_to_the_last_bit():
    H = np.nextafter(0.1, 1.0)
    form = mo.closed_form(mo.tasks.Quadratic([[[H]]], [[0.0]]))
    assert float(form.hessian[0]) == H
    assert (
        mo.closed_form(mo.tasks.Quadratic([[[4.0]]], [[3.0]])).value
        == 2 * form.symbols[0] ** 2 - 3 * form.symbols[0]
    )


def test_the_largest_quadratics_and_many_tasks_take_no_time():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 12, 12))
    tasks = mo.tasks.Quadratic(root @ root.transpose(0, 2, 1), rng.normal(size=(4, 12)))
    F = mo.MAMLLoss(tasks, np.linspace(0.001, 0.01, 12), inner_steps=5)
    form = mo.closed_form(F)
    w = rng.normal(size=12)
    at = dict(zip(form.symbols, map(float, w), strict=True))
    assert float(form.value.subs(at)) == pytest.approx(F.value(w), rel=1e-12)
    own = [float(one.value.subs(at)) for one in form.tasks]
    np.testing.assert_allclose(own, tasks.losses(F.adapt(w)), rtol=1e-12)


def test_a_form_survives_pickling():
    form = pickle.loads(pickle.dumps(mo.closed_form(SINUSOID)))
    assert form.lambdify()([0.3])[0] == pytest.approx(
        mo.ExpectedLoss(SINUSOID).value([0.3]), rel=1e-13
    )


def test_what_has_no_formula_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(
        TypeError, match="must be a task family, an ExpectedLoss or a MAMLLoss, not 3"
    ):
        mo.closed_form(3)
    logistic = mo.tasks.LogisticRegression(rng.normal(size=(2, 4, 2)), np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"write its loss as mo\.tasks\.Symbolic"):
        mo.closed_form(logistic)
    large = mo.tasks.Quadratic(np.eye(13)[None], np.zeros((1, 13)))
    with pytest.raises(ValueError, match="d <= 12, but this family has d = 13"):
        mo.closed_form(large)
    with pytest.raises(ValueError, match="take fewer inner steps"):
        mo.closed_form(mo.MAMLLoss(FORMULA, 0.1, inner_steps=6))
    for digits, error in ((0, ValueError), (-1, ValueError), ("3", TypeError), (2.0, TypeError)):
        with pytest.raises(error, match=r"^digits must be"):
            mo.closed_form(FORMULA).latex(digits)
    with pytest.raises(ValueError, match=r"w must have shape \(2,\)"):
        mo.closed_form(FORMULA).lambdify()([1.0])
