"""Formulas with exponentials against mpmath: their code overflows only where they do."""

import importlib.util
import math
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy

import maml_ode as mo
from maml_ode.tasks.symbolic.exponentials import stable
from maml_ode.tasks.symbolic.grammar import parse
from maml_ode.tasks.symbolic.tree import (
    Call,
    Constant,
    LogAdd,
    Name,
    Number,
    Power,
    Product,
    Sum,
)

_spec = importlib.util.spec_from_file_location(
    "interpreted", Path(__file__).parent / "interpreted.py"
)
interpreted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(interpreted)

FAR = 500.0  # beyond it every derivative is 0 or its limit


def precision(w):
    """Return digits, and the size below which what is left of cancelled exponentials counts as 0."""
    far = np.abs(w).max() > FAR
    return (120, mpmath.mpf("1e-80")) if far else (800, mpmath.mpf("1e-290"))


def oracle(text, names, derivatives_of):
    """Return the derivatives that SymPy finds of the formula as written, decimals as doubles."""
    symbols = sympy.symbols(names)
    expression = sympy.sympify(text, locals=dict(zip(names, symbols, strict=True)))
    decimals = {f: sympy.Rational(float(f)) for f in expression.atoms(sympy.Float)}
    n = sum(name in "wxyz" for name in names)
    return derivatives_of(expression.xreplace(decimals), symbols[:n], symbols[n:])


def exact(array):
    return np.vectorize(lambda a: mpmath.mpf(float(a)), otypes=[object])(array)


def check(text, variables, parameters, points, reference, each_entry=True):
    """Compare loss, gradient, Hessian and third derivative, to 1e-13 of each entry or of the largest."""
    family = mo.tasks.Symbolic(text, variables, parameters)
    code = interpreted.kernels(family)
    for w in points:
        got = interpreted.derivatives(family, w, namespace=code)
        digits, smallest = precision(w)
        with mpmath.workdps(digits):
            wanted = reference(w, parameters.values())
            for order, (result, expected) in enumerate(zip(got, wanted, strict=True)):
                assert np.isfinite(result).all(), (text, w, order)
                size = abs(expected) if each_entry else np.max(abs(expected))
                error = abs(exact(result) - expected)
                assert np.all(error <= mpmath.mpf("1e-13") * size + smallest), (text, w, order)


LINE = [[s * x] for x in (1e4, 710.0, 300.25, 40.125, 3.3, 0.7, 0.011) for s in (1, -1)]
PLANE = [
    [1e4, 9999.5],
    [1e4, -1e4],
    [-1e4, 1e4],
    [-1e4, -9997.0],
    [1e3, -900.0],
    [300.25, -200.5],
    [12.3, 40.5],
    [0.3, -0.7],
]


@pytest.mark.parametrize(
    "text",
    [
        "log(1 + exp(w))",
        "1/(1 + exp(-w))",
        "exp(w)/(1 + exp(w))",
        "exp(w)/(1 + exp(w))**2",
        "exp(2*w)*(1/(1 + exp(w)))**2",
        "1/(1 + exp(-w))*(1 - 1/(1 + exp(-w)))",
        "1/(1 + exp(-w))**3",
        "-2/(-3 - exp(w))",
        "log(1/(1 + exp(-w)))",
        "log(1 - 1/(1 + exp(-w))) = -log(1 + exp(w))",
        "log(1 + exp(log(1 + exp(w))))",
        "log(1 + log(1 + exp(w)))",
        "log(2 + 3*exp(w - 1.5))",
        "log(1 + exp(w) + exp(-w))",
        "log(1 + exp(-w**2))",
        "log(cosh(w))",
        "log((exp(w) + exp(-w))/2)",
        "log(exp(w)*(1 + exp(-w))*(2 + exp(w)))",
        "(exp(w) - exp(-w))/(exp(w) + exp(-w))",
        "sinh(w)/cosh(w)",
        "tanh(w) = 1 - 2/(1 + exp(2*w))",
        "1 - tanh(w)**2 = 4/(exp(w) + exp(-w))**2",
        "log(1 + tanh(w)) = log(2) - log(1 + exp(-2*w))",
        "1/cosh(w)",
        "1/cosh(w)**2",
        "1/sqrt(1 + exp(w))",
        "(1 + exp(w))/(2 + exp(w))",
        "2**w/(2**w + 3**w)",
        "exp(w)*exp(-w) + exp(-w**2/2)",
    ],
)
def test_formulas_of_one_variable(text, derivatives_of):
    formula, _, same = text.partition(" = ")
    check(formula, "w", {}, LINE, oracle(same or formula, ["w"], derivatives_of))


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("s*log(exp(x/s) + exp(y/s))", {"s": 0.37}),
        ("-s*log(exp(-x/s) + exp(-y/s))", {"s": 0.01}),
        ("log(exp(x) + exp(y) + 1)", {}),
        ("exp(x)/(exp(x) + exp(y))", {}),
        ("exp(x)/(exp(x) + exp(y) + 1)", {}),
        ("exp(x + y)/(exp(x) + exp(y))**2", {}),
        ("log(cosh(k*(x - y)))", {"k": 1.7}),
        ("K/(1 + exp(-k*(x - y)))**s", {"K": -2.0, "k": 1.1, "s": 0.7}),
    ],
)
def test_formulas_of_two_variables(text, parameters, derivatives_of):
    check(text, "x y", parameters, PLANE, oracle(text, ["x", "y", *parameters], derivatives_of))


def random_formula(rng):
    """Return a text with random shifts, scales and powers, in x and y."""

    def exponent():
        a, b, c = rng.choice([-2.5, -1.0, 0.5, 1.0, 3.0], size=3).tolist()
        return str(
            rng.choice([f"({a}*x + {c})", f"({a}*x + {b}*y)", f"(x - y)/{abs(a)}", f"({b}*y)"])
        )

    terms = [f"{rng.choice([0.25, 1.0, 3.0])}*exp({exponent()})" for _ in range(rng.integers(1, 4))]
    total = " + ".join([*terms, str(rng.choice(["1", "0.5"]))])
    kind = rng.choice(["log", "share", "power", "cosh", "mixed"])
    if kind == "log":
        return f"log({total})"
    if kind == "share":
        return f"{terms[0]}/({total})"
    if kind == "power":
        return f"({total})**(-{rng.choice(['2', '0.5', '3'])})"
    if kind == "cosh":
        return f"log(cosh({exponent()})) + tanh({exponent()})"
    return f"(x*{terms[0]} - 2*{terms[-1]})/({total})"


def test_random_formulas(derivatives_of):
    rng = np.random.default_rng(20261125)
    for _ in range(20):
        text = random_formula(rng) + " + 0*x + 0*y"
        points = rng.integers(-8, 9, size=(3, 2)) * np.array([[1024.0], [8.0], [0.125]])
        check(text, "x y", {}, points, oracle(text, ["x", "y"], derivatives_of), each_entry=False)


def test_logistic_loss_agrees_with_the_linear_model():
    X = np.array([[[1000.0], [-900.0]]])
    y = np.array([[1.0, 1.0]])
    written = mo.tasks.LogisticRegression(X, y, reduction="sum")
    derived = mo.tasks.Symbolic("log(1 + exp(-1000*w)) + log(1 + exp(900*w))", "w")
    for w in ([1.0], [-1.0], [0.01], [-3e-4]):
        for name in ("losses", "gradients", "hessians"):
            np.testing.assert_allclose(
                getattr(derived, name)(w), getattr(written, name)(w), rtol=1e-13, atol=1e-300
            )
        np.testing.assert_allclose(
            derived.third(w, [1.0]), written.third(w, [1.0]), rtol=1e-12, atol=1e-300
        )
    run = mo.solve(mo.gradient_flow(mo.ExpectedLoss(derived)), [1.0], t_max=1e-3)
    assert run.stop is mo.StopReason.HORIZON


def test_signs_of_parameters_decide_and_wrong_signs_are_not_assumed():
    positive = mo.tasks.Symbolic("log(a + b*exp(w))", "w", {"a": [2.0], "b": [3.0]})
    mixed = mo.tasks.Symbolic("log(a + b*exp(w))", "w", {"a": [2.0, 2.0], "b": [3.0, -1.0]})
    assert interpreted.derivatives(positive, [800.0])[0] == pytest.approx(
        800 + math.log(3), rel=1e-15
    )
    for task, expected in ((0, math.log(2 + 3 * math.exp(0.5))), (1, math.log(2 - math.exp(0.5)))):
        assert interpreted.derivatives(mixed, [0.5], task)[0] == pytest.approx(expected, rel=1e-14)
    assert math.isnan(interpreted.derivatives(mixed, [1.0], 1)[0])


def test_a_sum_of_many_exponentials():
    text = "log(" + " + ".join(f"exp({k}*w/7)" for k in range(60)) + ")"
    family = mo.tasks.Symbolic(text, "w")
    code = interpreted.kernels(family)
    for w in (1e4, -1e4, 0.3):
        loss, gradient, hessian, _ = interpreted.derivatives(family, [w], namespace=code)
        u = np.arange(60) * w / 7
        share = np.exp(u - u.max())
        share /= share.sum()
        slopes = np.arange(60) / 7
        assert loss == pytest.approx(u.max() + np.log(np.exp(u - u.max()).sum()), rel=1e-13)
        assert gradient[0] == pytest.approx(share @ slopes, rel=1e-12, abs=1e-300)
        variance = share @ (slopes - share @ slopes) ** 2
        assert hessian[0, 0] == pytest.approx(variance, rel=1e-11, abs=1e-280)


def value_of(node, values):
    """Evaluate a tree as it is written; the functions that rewriting adds by their definitions."""
    match node:
        case Number(value):
            exact = Fraction(value)
            return mpmath.mpf(exact.numerator) / exact.denominator
        case Constant(name) | Name(name):
            return values[name]
        case Sum(terms):
            return mpmath.fsum(value_of(term, values) for term in terms)
        case Product(factors):
            return mpmath.fprod(value_of(factor, values) for factor in factors)
        case Power(base, exponent):
            power = value_of(exponent, values)
            if abs(power) > 1e3:
                raise OverflowError(power)
            return value_of(base, values) ** power
        case LogAdd(first, second, difference):
            a, b, d = (value_of(part, values) for part in (first, second, difference))
            assert abs(a - b - d) <= mpmath.mpf("1e-40") * (1 + abs(a) + abs(b))
            return mpmath.log(mpmath.exp(a) + mpmath.exp(b))
        case Call(function, argument):
            x = value_of(argument, values)
            if abs(x) > 1e6:
                raise OverflowError(function)
            return DEFINITIONS[function](x)


def share(x):
    return 1 / (1 + mpmath.exp(-x))


DEFINITIONS = {
    name: getattr(mpmath, name) for name in ("exp", "log", "cosh", "sinh", "tanh", "sqrt")
}
DEFINITIONS |= {
    "logistic": share,
    "logistic_slope": lambda x: share(x) * share(-x),
    "log_cosh": lambda x: mpmath.log(mpmath.cosh(x)),
    "log1p": lambda x: mpmath.log(1 + x),
}


def random_tree(rng, depth):
    """Return a text with many exponentials, quotients and roots."""
    kind = rng.choice(["leaf", "+", "+", "*", "/", "/", "**", "call", "call", "exp", "exp"])
    if depth == 0 or kind == "leaf":
        return str(rng.choice(["x", "y", "a", "b", "1", "2", "0.5", "1", "E"]))
    left = random_tree(rng, depth - 1)
    if kind == "exp":
        return f"exp({rng.choice(['', '-', '2*'])}{left})"
    if kind == "call":
        return (
            f"{rng.choice(['log', 'cosh', 'sinh', 'tanh', 'sqrt', 'softplus', 'logistic'])}({left})"
        )
    if kind == "**":
        return f"({left})**({rng.choice(['2', '-1', '-2', '0.5', '-0.5', '3', 'x', 'b'])})"
    sign = rng.choice(["+", "-"]) if kind == "+" else kind
    return f"({left}){sign}({random_tree(rng, depth - 1)})"


def test_rewriting_changes_no_value_and_no_domain():
    rng = np.random.default_rng(4)
    compared = rewritten = 0
    for _ in range(1_200):
        text = random_tree(rng, 4)
        tree = parse(text)
        new = stable(tree, {"x": 0, "y": 0, "a": 1, "b": -1})
        rewritten += new != tree
        numbers = rng.uniform(-1.5, 1.5, size=2)
        values = dict(zip("xyabE", [*numbers, 0.7, -1.2, mpmath.e], strict=True))
        with mpmath.workdps(60):
            values = {name: +mpmath.mpf(value) for name, value in values.items()}
            values["E"] = mpmath.e()
            try:
                old = value_of(tree, values)
            except (ZeroDivisionError, OverflowError, ValueError):
                continue
            if not 1e-15 < abs(old) < 1e15:
                continue
            try:
                got = value_of(new, values)
            except OverflowError:
                continue
            if isinstance(old, mpmath.mpc):
                # outside its domain; a difference of rounding errors may be left of it
                assert isinstance(got, mpmath.mpc) or abs(old.imag) < 1e-40 * abs(old), text
                continue
            assert abs(got - old) <= mpmath.mpf("1e-13") * abs(old), text
            compared += 1
    assert compared > 300
    assert rewritten > 300


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("logistic(x) - logistic(-x)", 1e-9, 5e-10),
        ("logistic(x) + logistic(-x)", 0.3, 1.0),
        ("3*logistic(x) + 2*logistic(-x)", 1e4, 3.0),
        ("a - a*logistic(x)", 50.0, 1.5 * math.exp(-50.0)),
        ("a*logistic(x)*tanh(x) - a", 0.0, -1.5),
        ("a - a*logistic(x) + 2 - 2*logistic(x)", 50.0, 3.5 * math.exp(-50.0)),
        ("1 - tanh(x)", 30.0, 2 * math.exp(-60.0)),
        ("1 + tanh(x)", -30.0, 2 * math.exp(-60.0)),
        ("2 - 1*tanh(x)", 1e4, 1.0),
        ("3 - 3*tanh(x)**2", 30.0, 12 * math.exp(-60.0)),
        ("a - a*logistic(x) + x*logistic(x) - x*logistic(-x)", -1e-9, 0.75),
    ],
)
def test_what_nearly_cancels_is_joined(text, x, expected):
    family = mo.tasks.Symbolic(text + " + 0*a", "x", {"a": [1.5]})
    loss, *_ = interpreted.derivatives(family, [x])
    assert loss == pytest.approx(expected, rel=2e-9 if "x*" in text else 1e-14, abs=1e-300)
