"""The grammar and the guarded step to SymPy: what is accepted means what it says, the rest is refused."""

import time

import mpmath
import numpy as np
import pytest
import sympy

from maml_ode.tasks.symbolic.grammar import parse
from maml_ode.tasks.symbolic.read_sympy import read
from maml_ode.tasks.symbolic.steps import Steps
from maml_ode.tasks.symbolic.tree import FUNCTIONS, MAX_DEPTH, MAX_NODES, names

SYMBOLS = {name: sympy.Symbol(name, real=True) for name in ("x", "y", "a", "e")}
ORACLE = {name: getattr(mpmath, name) for name in FUNCTIONS} | {"pi": mpmath.pi, "E": mpmath.e}


def sympify(text):
    return Steps(parse(text), SYMBOLS).expanded()


def value_at(steps, values, digits):
    """Evaluate step by step, so that SymPy sees short expressions only."""
    known = {SYMBOLS[name]: value for name, value in values.items()}
    for symbol, definition in steps.definitions.items():
        known[symbol] = definition.evalf(digits, subs=known)
    return mpmath.mpmathify(steps.value.evalf(digits, subs=known))


def random_text(rng, depth):
    """Return a text of the grammar and the same formula in Python with exact literals."""
    kind = (
        rng.choice(["leaf", "+", "-", "*", "/", "**", "call", "unary", "()"]) if depth else "leaf"
    )
    if kind == "leaf":
        if rng.random() < 0.5:
            name = str(rng.choice(["x", "y", "a", "pi"]))
            return name, name
        number = str(rng.choice(["2", "3", "10", "0.5", "1.25e0", ".75", "3.", "25E-2"]))
        return number, f"mpf('{number}')"
    left, left_oracle = random_text(rng, depth - 1)
    if kind == "call":
        function = str(rng.choice(FUNCTIONS))
        return f"{function}({left})", f"{function}({left_oracle})"
    if kind == "unary":
        sign = str(rng.choice(["-", "+", "- -"]))
        return f"{sign}{left}", f"{sign}{left_oracle}"
    if kind == "()":
        return f"( {left})", f"({left_oracle})"
    if kind == "**":
        exponent = str(rng.choice(["2", "3", "-1", "0.5", "a"]))
        literal = exponent if exponent == "a" else f"mpf('{exponent}')"
        return f"{left}**{exponent}", f"{left_oracle}**{literal}"
    right, right_oracle = random_text(rng, depth - 1)
    space = " " if rng.random() < 0.5 else ""
    return f"{left}{space}{kind}{space}{right}", f"{left_oracle}{kind}{right_oracle}"


def test_random_texts_mean_what_python_means():
    rng = np.random.default_rng(20210413)
    values = {"x": mpmath.mpf("0.3125"), "y": mpmath.mpf("1.625"), "a": mpmath.mpf("2.25")}
    n_compared = n_refused = 0
    with mpmath.workdps(40):
        for _ in range(1500):
            text, oracle = random_text(rng, 4)
            try:
                steps = Steps(parse(text), SYMBOLS)
            except ValueError:
                n_refused += 1  # constants that are not real or out of range
                continue
            try:
                expected = eval(oracle, ORACLE | values | {"mpf": mpmath.mpf})
            except (ZeroDivisionError, OverflowError, ValueError):
                continue
            if not isinstance(expected, mpmath.mpf) or not 1e-30 < abs(expected) < 1e30:
                continue
            got = value_at(steps, values, 40)
            # SymPy folds decimal constants in double precision.
            assert abs(got / expected - 1) < 1e-10, text
            n_compared += 1
    assert n_compared > 700
    assert n_refused < 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-x**2", "Mul(-1, Pow(x, 2))"),
        ("2**3**2*x", "Mul(512, x)"),
        ("x/y/a", "x/(y*a)"),
        ("x-y-a", "x+(-y)+(-a)"),
        ("x**-y", "1/x**y"),
        ("--x", "x"),
        ("x*-y", "-(x*y)"),
        ("x**2.0", "x**2"),
        ("e**2", "e*e"),  # e is declared among the symbols
        ("E**x", "exp(x)"),
        ("x\n + y", "x+y"),
    ],
)
def test_precedence_and_meaning(text, expected):
    namespace = SYMBOLS | {"Mul": sympy.Mul, "Pow": sympy.Pow, "exp": sympy.exp}
    assert sympify(text) == eval(expected, namespace)


def test_integers_stay_exact_and_decimals_are_doubles():
    assert sympify("x/3") == sympy.Rational(1, 3) * SYMBOLS["x"]
    assert float(sympify("0.1")) == 0.1


HOSTILE = [
    # code
    "__import__('os').system('true')",
    "x.__class__",
    "x[0]",
    "lambda: x",
    "[x for x in y]",
    "x if y else a",
    "(x := 2)",
    "'x'",
    "f'{x}'",
    "x; y",
    "x # y",
    "open(x)",
    "eval(x)",
    "x(2)",
    "x.sin()",
    # other operators and literals
    "x^2",
    "x // y",
    "x % y",
    "x @ y",
    "x == y",
    "x < y",
    "not x",
    "~x",
    "x, y",
    "1_000",
    "0x10",
    "2j",
    "2x",
    "x y",
    "",
    "()",
    "sin",
    "sin x",
    "sin()",
    "sin(x, y)",
    "(x",
    "x)",
    "x +",
    "\uff53in(x)",
    # not smooth, or not functions here
    "abs(x)",
    "Max(x, 0)",
    "sign(x)",
    "gamma(x)",
    # not real numbers
    "1/0",
    "x + 1/(2 - 2)",
    "1/(x - x)",
    "log(0)",
    "sqrt(-1)",
    "acos(2)",
    "(-8)**(1/3)",
    # resources: in the text
    "9" * 100,
    "1e999",
    "1e-999",
    "(" * 100_000,
    "(" * 5_000 + "x" + ")" * 5_000,
    "x**" * 3_000 + "x",
    "+".join(["x"] * 4_000),
    "sin(" * 1_000 + "x" + ")" * 1_000,
    # resources: in what SymPy would evaluate
    "9**9**9",
    "2**(10**9)",
    "x**65",
    "x**-65",
    "x**10.0**9",
    "((x**64)**64)**64",
    "((2*x)**64)**64",
    "x**40*x**40",
    "((10**39 + 1)/(10**39 + 3))**64",
    "2**(x - x + 10**9)",
    "exp(10**9*log(2))",
    "2**(10**9*log(5)/log(2))",
    "exp(exp(exp(exp(2))))",
    "exp(exp(exp(23.0 + x - x)))",
    "cosh(cosh(cosh(10 + x - x)))",
    "exp(1e300)",
    "pi**pi**pi**pi",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
def test_hostile_texts_are_refused_at_once(text):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"^expression"):
        Steps(parse(text), SYMBOLS)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "exp(10**9*log(2*x))",
        "exp(x + 10**9*log(2*x))",
        "x**(10**9*log(2)/log(x))",
        "exp(x + 1e10)*exp(-x)",
    ],
)
def test_what_is_harmless_in_steps_is_not_written_out(text):
    steps = Steps(parse(text), SYMBOLS)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"^expression: the (exponent|constant)"):
        steps.expanded()
    assert time.perf_counter() - start < 1.0


def test_what_is_refused_can_be_large_enough():
    assert sympify("x**64").exp == 64
    assert sympify("exp(64*log(x))") == SYMBOLS["x"] ** 64
    assert sympify("-" * 5_000 + "x") == SYMBOLS["x"]
    parse("+".join(["x"] * (MAX_NODES // 2)))
    assert sympify("sin(" * (MAX_DEPTH - 1) + "x" + ")" * (MAX_DEPTH - 1)).has(sympy.sin)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("x^2", r"write \*\* for powers"),
        ("2x", r"'x' at position 1 of '2x'; write \* for a product"),
        ("arcsin(x)", "Did you mean 'asin'"),
        ("ln(x)", "called log"),
        ("abs(x)", r"not smooth.*sqrt\(x\*\*2"),
        ("sin x", r"sin\(x\)"),
        ("x**100", "exponent 100 is too large.*at most 64"),
        ("1/0", "division by zero"),
        ("sqrt(-2)", "not a real number"),
    ],
)
def test_refusals_say_what_to_do(text, hint):
    with pytest.raises(ValueError, match=hint):
        sympify(text)


def test_names_in_order_of_appearance():
    assert names(parse("b*x**c + sin(b/a)*2")) == ["b", "x", "c", "a"]


def test_sympy_expressions_are_read_by_name():
    x, a = sympy.Symbol("x", positive=True), sympy.Symbol("a", integer=True)
    given = a * sympy.sqrt(x) / 3 + sympy.exp(-sympy.pi * x) - 0.25 * x**a
    X, A = SYMBOLS["x"], SYMBOLS["a"]
    assert (
        Steps(read(given), SYMBOLS).expanded()
        == A * sympy.sqrt(X) / 3 + sympy.exp(-sympy.pi * X) - 0.25 * X**A
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (sympy.Abs(SYMBOLS["x"]), "not smooth"),
        (sympy.Max(SYMBOLS["x"], 0), "not smooth"),
        (sympy.Piecewise((SYMBOLS["x"], SYMBOLS["x"] > 0), (0, True)), "not smooth"),
        (sympy.Function("f")(SYMBOLS["x"]), "unknown function 'f'"),
        (sympy.Derivative(SYMBOLS["x"] ** 2, SYMBOLS["x"]), r"\.doit\(\)"),
        (sympy.I * SYMBOLS["x"], "not understood"),
        (sympy.oo, "not understood|infinite"),
        (SYMBOLS["x"] ** 100, "exponent 100 is too large"),
        (sympy.Integer(10) ** 400 * SYMBOLS["x"], "too large"),
        (sympy.MatrixSymbol("A", 2, 2)[0, 0], "not understood"),
    ],
    ids=str,
)
def test_sympy_expressions_outside_the_grammar_are_refused(given, hint):
    with pytest.raises(ValueError, match=hint):
        Steps(read(given), SYMBOLS).expanded()
