"""Symbolic families: derivatives against mpmath, the hand-written families, and the cache of their code."""

import itertools
import json
import math
import os
import pickle
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import sympy

import maml_ode as mo
from maml_ode.tasks.symbolic import load as generated_kernels
from maml_ode.tasks.symbolic.grammar import parse
from maml_ode.tasks.symbolic.tree import FUNCTIONS, MAX_DEPTH, names

FIGURE1 = "a*w**2 - b*sin(omega*w)"
PRODUCTS = ("losses", "gradients", "hessians", "hvps", "third", "third_vectors")


def products(family, w, v, q):
    """All six evaluations, in the order of PRODUCTS."""
    return (
        family.losses(w),
        family.gradients(w),
        family.hessians(w),
        family.hvps(w, v),
        family.third(w, v),
        family.third_vectors(w, v, q),
    )


def mpmath_products(function, w, v, q):
    """The six products of one task by mpmath's numerical differentiation, which knows no SymPy."""
    d = len(w)
    w, v, q = ([mpmath.mpf(float(x)) for x in values] for values in (w, v, q))

    def partial(*index):
        return mpmath.diff(function, tuple(w), tuple(index.count(k) for k in range(d)))

    tensors = [function(*w)]
    for order in (1, 2, 3):
        tensor = np.empty((d,) * order, dtype=object)
        for index in itertools.combinations_with_replacement(range(d), order):
            value = partial(*index)
            for permuted in set(itertools.permutations(index)):
                tensor[permuted] = value
        tensors.append(tensor)
    third = tensors[3] @ np.array(v)
    return (*tensors[:3], tensors[2] @ np.array(v), third, third @ np.array(q))


def assert_equal(got, expected, rtol, what):
    got, expected = np.asarray(got), np.asarray(expected).astype(float)
    assert np.abs(got - expected).max() <= rtol * np.abs(expected).max(), what


# expression in the grammar, the same for mpmath, variables, parameters, points
CASES = [
    (
        FIGURE1,
        lambda w, a, b, omega: a * w**2 - b * mpmath.sin(omega * w),
        "w",
        {"a": [0.505, 0.505], "b": [1.0, 1e-4], "omega": [1.0, 100.0]},
        [[0.25], [-3.0]],
    ),
    (
        "a*log(1 + x**2*y**2) + exp(-b*z**2)*sin(x*y*z)/sqrt(1 + z**2) - 3*x/y/z + x**b - 2**-x",
        lambda x, y, z, a, b: (
            a * mpmath.log(1 + x**2 * y**2)
            + mpmath.exp(-b * z**2) * mpmath.sin(x * y * z) / mpmath.sqrt(1 + z**2)
            - 3 * x / y / z
            + x**b
            - mpmath.mpf(2) ** -x
        ),
        "x y z",
        {"a": [0.7, -1.3, 2.0], "b": 1.75},
        [[0.8, -1.1, 0.6], [1.9, 0.4, -1.2], [0.05, 2.0, 1.0]],
    ),
    (
        "tanh(a*tanh(x*y + z) + t)**2 + (x - s)*(y - 2)*(z + t)*(s + x)*(t - y) + y**z",
        lambda x, y, z, s, t, a: (
            mpmath.tanh(a * mpmath.tanh(x * y + z) + t) ** 2
            + (x - s) * (y - 2) * (z + t) * (s + x) * (t - y)
            + y**z
        ),
        "x, y, z, s, t",
        {"a": [0.9]},
        [[0.3, 0.8, -0.4, 1.1, 0.2]],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=["figure 1", "three variables", "five variables"])
def test_products_equal_high_precision_derivatives(case):
    text, function, variables, parameters, points = case
    family = mo.tasks.Symbolic(text, variables, parameters)
    M, d = family.n_tasks, family.dim
    assert (M, d) == (len(points), len(points[0]))
    rng = np.random.default_rng(5)
    v, q = rng.normal(size=(M, d)), rng.normal(size=(M, d))
    values = family.parameters
    for w in (points[0], points):  # one point for all tasks, one per task
        got = products(family, w, v, q)
        with mpmath.workdps(60):
            for i in range(M):
                theta = [mpmath.mpf(values[name][i]) for name in parameters]
                expected = mpmath_products(
                    lambda *x, theta=theta: function(*x, *theta),
                    np.broadcast_to(w, (M, d))[i],
                    v[i],
                    q[i],
                )
                for name, result, reference in zip(PRODUCTS, got, expected, strict=True):
                    assert_equal(result[i], reference, 1e-11, f"{name} of task {i}")


@pytest.fixture(scope="module")
def interpreted():
    """Return a function that runs a family's generated code in Python, without compiling it."""

    def kernels(family):
        namespace = {"KERNELS": None}
        source = family.source.replace("from numba import njit", "")
        namespace["njit"] = lambda *signature, **options: lambda function: function
        exec(source, namespace)
        return [namespace[name] for name in generated_kernels.Kernels.__dataclass_fields__]

    return kernels


def random_formula(rng, depth):
    """Return a smooth text in x, y and the parameter a, valid for Python with mpmath too."""
    kind = rng.choice(["leaf", "+", "*", "*", "/", "**", "call", "call"]) if depth else "leaf"
    if kind == "leaf":
        return str(rng.choice(["x", "y", "a", "x", "y", "3", "0.5"]))
    left = random_formula(rng, depth - 1)
    if kind == "call":
        function = str(rng.choice(["sin", "cos", "tanh", "atan", "asinh", "erf"]))
        return f"{function}({left})"
    if kind == "**":
        return f"({left})**2"
    right = random_formula(rng, depth - 1)
    return f"({left})/(1 + ({right})**2)" if kind == "/" else f"({left}){kind}({right})"


def test_random_formulas_in_interpreted_code(interpreted):
    rng = np.random.default_rng(2021)
    namespace = {name: getattr(mpmath, name) for name in FUNCTIONS}
    n_checked = 0
    while n_checked < 15:
        text = random_formula(rng, 5)
        if set(names(parse(text))) != {"x", "y", "a"}:
            continue
        family = mo.tasks.Symbolic(text, "x y", {"a": [1.3, -0.7]})
        data = family._packed()
        w, v, q = rng.uniform(-1, 1, size=(3, 2))
        shapes = {"gradient": 2, "hvp": 2, "hessian": (2, 2), "third": (2, 2), "third_vector": 2}
        loss, gradient, hvp, hessian, third, third_vector = interpreted(family)
        out = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
        gradient(1, w, data, out["gradient"])
        hessian(1, w, data, out["hessian"])
        hvp(1, w, v, data, out["hvp"])
        third(1, w, v, data, out["third"])
        third_vector(1, w, v, q, data, out["third_vector"])
        order = ("gradient", "hessian", "hvp", "third", "third_vector")
        got = [loss(1, w, data), *(out[name] for name in order)]
        code = compile(text, "formula", "eval")
        with mpmath.workdps(60):

            def function(x, y, code=code):
                return eval(code, namespace | {"x": x, "y": y, "a": mpmath.mpf(-0.7)})

            expected = mpmath_products(function, w, v, q)
            for name, result, reference in zip(PRODUCTS, got, expected, strict=True):
                scale = max(1e-6, float(np.abs(np.asarray(reference).astype(float)).max()))
                error = np.abs(np.asarray(result) - np.asarray(reference).astype(float)).max()
                assert error <= 1e-11 * scale, (text, name)
        n_checked += 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_in_interpreted_code(function, interpreted):
    family = mo.tasks.Symbolic(f"{function}(s*x + c)", "x", {"s": [0.4], "c": [0.3]})
    shift = 1.2 if function == "acosh" else 0.0
    w, data = np.array([0.35 + shift / 0.4]), family._packed()
    loss, gradient, _, hessian, third, _ = interpreted(family)
    out, matrix, cube = np.empty(1), np.empty((1, 1)), np.empty((1, 1))
    gradient(0, w, data, out)
    hessian(0, w, data, matrix)
    third(0, w, np.ones(1), data, cube)
    with mpmath.workdps(50):
        s, c, x = mpmath.mpf(0.4), mpmath.mpf(0.3), mpmath.mpf(w[0])
        reference = [
            float(mpmath.diff(lambda t: getattr(mpmath, function)(s * t + c), x, n))
            for n in range(4)
        ]
    got = [loss(0, w, data), out[0], matrix[0, 0], cube[0, 0]]
    np.testing.assert_allclose(got, reference, rtol=1e-13 * (1 + 10 * (function == "acosh")))


def test_large_and_deep_expressions_are_derived(interpreted):
    n = MAX_DEPTH - 1
    deep = mo.tasks.Symbolic("sin(2*" * n + "w" + ")" * n, "w")
    wide = mo.tasks.Symbolic("*".join(f"(w + {k})" for k in range(1, 21)), "w")
    assert interpreted(deep)
    third, out = interpreted(wide)[4], np.empty((1, 1))
    third(0, np.zeros(1), np.ones(1), wide._packed(), out)
    # the coefficient of w^3 in (w + 1)...(w + 20): 20! times the sum of 1/(j k l) over j < k < l
    triples = itertools.combinations(range(1, 21), 3)
    assert out[0, 0] == pytest.approx(
        6 * math.factorial(20) * math.fsum(1 / (j * k * m) for j, k, m in triples), rel=1e-13
    )
    factors = "*".join(f"sin({k}*a + b*c - d*e*f)" for k in range(110))
    huge = mo.tasks.Symbolic(factors, "a b c d e f")
    with pytest.raises(ValueError, match=r"more than 20000.*from_callables"):
        huge.losses(np.zeros(6))


def quadratic_formula(d):
    """The quadratic family of dimension d as text, with one parameter per entry of H, b, c."""
    rows = range(1, d + 1)
    terms = [f"h{r}{r}*w{r}**2/2" for r in rows]
    terms += [f"h{r}{c}*w{r}*w{c}" for r, c in itertools.combinations(rows, 2)]
    terms += [f"-b{r}*w{r}" for r in rows]
    return " + ".join([*terms, "c"]), [f"w{r}" for r in rows]


@pytest.mark.parametrize(("d", "M"), [(1, 1), (2, 5), (3, 4)])
def test_quadratic_family_is_derived_by_the_same_machinery(d, M):
    rng = np.random.default_rng(d)
    H = rng.normal(size=(M, d, d))
    H = H + H.transpose(0, 2, 1)
    b, c = rng.normal(size=(M, d)), rng.normal(size=M)
    weights = rng.dirichlet(np.ones(M))
    weights[-1] = 1 - weights[:-1].sum()
    text, variables = quadratic_formula(d)
    parameters = {f"h{r + 1}{s + 1}": H[:, r, s] for r in range(d) for s in range(r, d)}
    parameters |= {f"b{r + 1}": b[:, r] for r in range(d)} | {"c": c}
    derived = mo.tasks.Symbolic(text, variables, parameters, weights)
    written = mo.tasks.Quadratic(H, b, c, weights)
    np.testing.assert_array_equal(derived.weights, written.weights)
    for _ in range(3):
        v, q = rng.normal(size=(2, M, d))
        for w in (rng.normal(size=d), rng.normal(size=(M, d))):
            pairs = zip(
                PRODUCTS, products(derived, w, v, q), products(written, w, v, q), strict=True
            )
            for name, got, expected in pairs:
                assert_equal(got, expected, 1e-12, name)


@pytest.mark.parametrize("M", [1, 4])
def test_sinusoid_family_is_derived_by_the_same_machinery(M):
    rng = np.random.default_rng(M)
    a, b, omega = rng.uniform(0.1, 2, size=(3, M)) * [[1], [0.1], [10]]
    derived = mo.tasks.Symbolic(FIGURE1, "w", {"a": a, "b": b, "omega": omega})
    written = mo.tasks.Sinusoid(a, b, omega)
    for _ in range(3):
        v, q = rng.normal(size=(2, M, 1))
        for w in (rng.normal(size=1), rng.normal(size=(M, 1))):
            pairs = zip(
                PRODUCTS, products(derived, w, v, q), products(written, w, v, q), strict=True
            )
            for name, got, expected in pairs:
                assert_equal(got, expected, 1e-12, name)


def test_outside_its_domain_a_loss_and_its_derivatives_are_nan():
    family = mo.tasks.Symbolic("log(w) + v**2", "w v")
    inside, outside = products(family, [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]), [-1.0, 1.0]
    assert all(np.isfinite(result).all() for result in inside)
    for name, result in zip(PRODUCTS, products(family, outside, [1, 1], [1, 1]), strict=True):
        assert np.isnan(result).all(), name
    # at the boundary the loss is infinite, not undefined
    assert family.losses([0.0, 1.0])[0] == -np.inf
    assert family.gradients([0.0, 1.0])[0, 0] == np.inf


def test_a_power_with_a_parameter_has_its_derivatives_at_zero():
    family = mo.tasks.Symbolic("w**p", "w", {"p": [2.0, 3.0, 4.0]})
    np.testing.assert_array_equal(family.gradients([0.0]).ravel(), [0, 0, 0])
    np.testing.assert_array_equal(family.hessians([0.0]).ravel(), [2, 0, 0])
    np.testing.assert_array_equal(family.gradients([-2.0]).ravel(), [-4, 12, -32])


def test_derivative_check_and_maml_loss_accept_the_family():
    text, variables, parameters = CASES[0][0], CASES[0][2], CASES[0][3]
    family = mo.tasks.Symbolic(text, variables, parameters)
    assert mo.check_derivatives(family, w=[0.3]).ok
    # reference value of F at w = 0.25 for alpha = 0.4
    F = mo.MAMLLoss(family, 0.4)
    assert F.value([0.25]) == pytest.approx(-0.17701005214289014686, rel=2e-13)
    assert F.hessian([0.25])[0, 0] == pytest.approx(-2.6980783743004969215, rel=2e-13)


def test_closed_forms():
    family = mo.tasks.Symbolic("a*x**3*y", ["x", "y"], {"a": [1.0]})
    x, y, a = sympy.symbols("x y a")
    assert family.variables == ("x", "y")
    assert family.expression == a * x**3 * y
    assert family.gradient_expression == sympy.Matrix([3 * a * x**2 * y, a * x**3])
    assert family.hessian_expression == sympy.Matrix(
        [[6 * a * x * y, 3 * a * x**2], [3 * a * x**2, 0]]
    )
    assert family.third_expression.shape == (2, 2, 2)
    assert family.third_expression[0, 1, 0] == 6 * a * x
    assert family.smoothness is mo.tasks.Smoothness.SMOOTH


def test_sympy_input_with_assumptions_and_shared_kernels():
    w, omega = sympy.Symbol("w", real=True), sympy.Symbol("omega", positive=True)
    a, b = sympy.symbols("a b")
    given = mo.tasks.Symbolic(
        a * w**2 - b * sympy.sin(omega * w), w, {b: 1.0, a: [1.0], sympy.Symbol("omega"): 3.0}
    )
    text = mo.tasks.Symbolic(FIGURE1, "w", {"a": [2.0, 1.0], "b": 0.5, "omega": [4.0, 5.0]})
    assert given.source == text.source
    assert given._kernels() is text._kernels()
    np.testing.assert_array_equal(given.gradients([0.0]), [[-3.0]])
    np.testing.assert_array_equal(text.gradients([0.0]), [[-2.0], [-2.5]])


def test_pickle_and_read_only_parameters():
    values = np.array([0.5, 0.25])
    family = mo.tasks.Symbolic(FIGURE1, "w", {"a": values, "b": 1.0, "omega": 2.0}, [0.25, 0.75])
    values[0] = 7.0
    assert family.parameters["a"][0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        family.parameters["a"][0] = 1.0
    family.problem  # noqa: B018  (a native handle must not stand in the way)
    copy = pickle.loads(pickle.dumps(family))
    assert copy.expression == family.expression
    np.testing.assert_array_equal(copy.weights, family.weights)
    np.testing.assert_array_equal(copy.gradients([0.3]), family.gradients([0.3]))


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (
            ("a*w**2 + omga", "w", {"a": 1.0, "omega": 1.0}),
            ValueError,
            "'omga'.*Did you mean 'omega'",
        ),
        (("w**2", "w v"), ValueError, r"'v' does not occur.*\+ 0\*v"),
        (("w**2", "w", {"a": [1.0]}), ValueError, "'a' does not occur"),
        (("w**2", ""), ValueError, "at least one coordinate"),
        (("w**2", "w w"), ValueError, "given twice"),
        (("w**2", "w", {"w": [1.0]}), ValueError, "not both"),
        (("w**2", "2w"), ValueError, "no name"),
        (("w**2", ["w", "sin"]), ValueError, "name of a function"),
        (("w**2", ["w", 3]), TypeError, "names or SymPy symbols"),
        ((3.0, "w"), TypeError, "text or a SymPy expression, not float"),
        (("a*b*w", "w", {"a": [1, 2], "b": [1, 2, 3]}), ValueError, r"shape \(2,\).*shape \(3,\)"),
        (("a*w", "w", {"a": [[1.0]]}), ValueError, r"shape \(1, 1\)"),
        (("a*w", "w", {"a": []}), ValueError, r"shape \(0,\)"),
        (("a*w", "w", {"a": [np.nan]}), ValueError, "finite"),
        (("a*w", "w", {"a": ["1"]}), TypeError, "real numbers"),
        (("a*w", "w", {"a": [1, 2]}, [0.5, 0.6]), ValueError, "sum to 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input_is_refused(arguments, error, hint):
    with pytest.raises(error, match=hint):
        mo.tasks.Symbolic(*arguments)


def test_names_may_shadow_the_constants():
    family = mo.tasks.Symbolic("E*w**2 + e + pi", "w", {"E": [3.0], "e": [0.5]})
    assert family.losses([1.0])[0] == pytest.approx(3.5 + np.pi, rel=1e-15)


SCRIPT = """
import json, sys
import maml_ode as mo
family = mo.tasks.Symbolic("a*w**3 + exp(-w)", "w", {"a": [1.0, 2.0]})
light = "numba" not in sys.modules
gradients = family.gradients([0.5]).ravel().tolist()
stats = {name: getattr(family._kernels(), name).stats for name in family._kernels().__dict__}
hits = [sum(s.cache_hits.values()) for s in stats.values()]
misses = [sum(s.cache_misses.values()) for s in stats.values()]
print(json.dumps([light, gradients, hits, misses]))
"""


def run(environment):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_a_second_process_compiles_nothing(tmp_path):
    environment = {"MAML_ODE_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_CACHE_DIR": ""}
    light, gradients, hits, misses = run(environment)
    assert light  # building a family imports no Numba
    assert (hits, misses) == ([0] * 6, [1] * 6)
    np.testing.assert_allclose(gradients, [0.75 - np.exp(-0.5), 1.5 - np.exp(-0.5)], rtol=1e-15)
    assert run(environment) == [True, gradients, [1] * 6, [0] * 6]


def test_without_a_directory_that_can_be_written_code_stays_in_memory(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MAML_ODE_CACHE_DIR", str(blocked / "cache"))
    family = mo.tasks.Symbolic("w**2/7", "w")
    assert family.losses([7.0])[0] == 7.0
    assert blocked.read_text() == ""


def test_a_file_that_differs_is_rewritten_and_never_executed(tmp_path, monkeypatch):
    monkeypatch.setenv("MAML_ODE_CACHE_DIR", str(tmp_path))
    source = "ON_DISK = True\nKERNELS = 'genuine'\n"
    path = tmp_path / f"maml_ode_symbolic_{generated_kernels._digest(source)}.py"
    path.write_text("raise SystemExit('executed')\n")
    assert generated_kernels.load(source) == "genuine"
    assert path.read_text() == source
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="the directories of POSIX systems")
def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("MAML_ODE_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert generated_kernels.cache_directory() == tmp_path / ".cache" / "maml_ode"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert generated_kernels.cache_directory() == tmp_path / "xdg" / "maml_ode"
    monkeypatch.setenv("MAML_ODE_CACHE_DIR", "~/own")
    assert generated_kernels.cache_directory() == tmp_path / "own"
