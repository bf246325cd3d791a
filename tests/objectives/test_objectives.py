"""F, grad F, Hess F and HVPs against 60-digit arithmetic that shares no code with the package."""

import mpmath
import numpy as np
import pytest
import sympy

import maml_ode as mo

DIGITS = 60


class TaskOracle:
    """One task's loss and gradient in mpmath, from a SymPy expression."""

    def __init__(self, expression, variables):
        gradient = [sympy.diff(expression, x) for x in variables]
        self._function = sympy.lambdify(variables, [expression, gradient], "mpmath")

    def loss(self, w):
        return self._function(*w)[0]

    def gradient(self, w):
        return self._function(*w)[1]


def maml_oracle(support, query, weights, alpha, inner_steps):
    """Return F as a function of a list of mpf, by following the inner steps as they are defined."""

    def F(w):
        total = mpmath.mpf(0)
        for p, f, g in zip(weights, support, query, strict=True):
            u = list(w)
            for _ in range(inner_steps):
                u = [x - mpmath.mpf(alpha) * dx for x, dx in zip(u, f.gradient(u), strict=True)]
            total += mpmath.mpf(p) * g.loss(u)
        return total

    return F


def differences(F, w):
    """Gradient and Hessian of F by central differences in 60 digits: errors of about 1e-24."""
    h = mpmath.mpf("1e-14")
    d = len(w)

    def at(*moves):
        point = list(w)
        for j, s in moves:
            point[j] += s * h
        return F(point)

    gradient = [(at((j, 1)) - at((j, -1))) / (2 * h) for j in range(d)]
    hessian = [
        [
            (at((j, 1), (k, 1)) - at((j, 1), (k, -1)) - at((j, -1), (k, 1)) + at((j, -1), (k, -1)))
            / (4 * h * h)
            for k in range(d)
        ]
        for j in range(d)
    ]
    return np.array(gradient, dtype=float), np.array(hessian, dtype=float)


def rational(x):
    return sympy.Rational(float(x))


def variables(d):
    return sympy.symbols(f"w0:{d}")


def linear_model(rng, sizes, d, kind, **options):
    """A linear-model family at ragged sizes, and its SymPy losses."""
    X = [rng.normal(size=(n, d)) for n in sizes]
    w = variables(d)
    expressions = []
    if kind == "linear_regression":
        y = [rng.normal(size=n) for n in sizes]
        family = mo.tasks.LinearRegression(X, y, **options)
    else:
        y = [np.where(rng.random(n) < 0.5, -1.0, 1.0) for n in sizes]
        if kind == "logistic":
            family = mo.tasks.LogisticRegression(X, y, **options)
        else:
            family = mo.tasks.SVM(X, y, loss=kind, **options)
    s = sympy.Rational(1, 10)
    for X_i, y_i in zip(X, y, strict=True):
        total = sympy.Integer(0)
        for row, label in zip(X_i, y_i, strict=True):
            z = sum(rational(x) * v for x, v in zip(row, w, strict=True))
            m = 1 - rational(label) * z
            total += {
                "linear_regression": lambda z=z, label=label: (rational(label) - z) ** 2,
                "logistic": lambda m=m: sympy.log(1 + sympy.exp(m - 1)),
                "squared_hinge": lambda m=m: sympy.Piecewise((m**2, m > 0), (0, True)),
                "smooth_hinge": lambda m=m: s * sympy.log(1 + sympy.exp(m / s)),
                "smooth_squared_hinge": lambda m=m: (s * sympy.log(1 + sympy.exp(m / s))) ** 2,
            }[kind]()
        l2 = rational(options.get("l2", 0.0))
        expressions.append(total / len(y_i) + l2 / 2 * sum(v**2 for v in w))
    return family, expressions


def sinusoids(rng, M):
    a, b, omega = rng.uniform(0.5, 2, M), rng.normal(size=M), rng.uniform(1, 5, M)
    (w,) = variables(1)
    expressions = [
        rational(a[i]) * w**2 - rational(b[i]) * sympy.sin(rational(omega[i]) * w) for i in range(M)
    ]
    return mo.tasks.Sinusoid(a, b, omega), expressions


def quadratics(rng, M, d):
    A = rng.normal(size=(M, d, d))
    H, b, c = A @ A.transpose(0, 2, 1), rng.normal(size=(M, d)), rng.normal(size=M)
    w = variables(d)
    expressions = []
    for i in range(M):
        quadratic = sum(rational(H[i, j, k]) * w[j] * w[k] for j in range(d) for k in range(d)) / 2
        expressions.append(
            quadratic - sum(rational(b[i, j]) * w[j] for j in range(d)) + rational(c[i])
        )
    return mo.tasks.Quadratic(H, b, c), expressions


def callables_of(expressions, d):
    """The same losses as Python functions, from the symbolic derivatives."""
    w = variables(d)

    def function(expression):
        return sympy.lambdify([w], expression, "numpy")

    losses, gradients, hessians, thirds = [], [], [], []
    for e in expressions:
        gradient = sympy.Matrix([e]).jacobian(sympy.Matrix(w)).T
        hessian = gradient.jacobian(sympy.Matrix(w))
        cube = [hessian.diff(x) for x in w]
        f, g, h = function(e), function(gradient), function(hessian)
        T = [function(slab) for slab in cube]
        losses.append(lambda u, f=f: float(f(u)))
        gradients.append(lambda u, g=g: np.asarray(g(u), float).reshape(d))
        hessians.append(lambda u, h=h: np.asarray(h(u), float).reshape(d, d))
        thirds.append(
            lambda u, v, T=T: sum(
                x * np.asarray(t(u), float).reshape(d, d) for x, t in zip(v, T, strict=True)
            )
        )
    return mo.tasks.from_callables(
        losses, gradients, hessians, thirds=thirds, n_tasks=len(expressions), dim=d
    )


CASES = {
    "quadratic M=1 d=1": lambda rng: quadratics(rng, 1, 1),
    "quadratic M=3 d=2": lambda rng: quadratics(rng, 3, 2),
    "sinusoid M=1": lambda rng: sinusoids(rng, 1),
    "sinusoid M=3": lambda rng: sinusoids(rng, 3),
    "regression n=1 d=1": lambda rng: linear_model(rng, [1], 1, "linear_regression"),
    "regression ragged": lambda rng: linear_model(rng, [1, 5, 2], 3, "linear_regression"),
    "logistic n=1 d=1": lambda rng: linear_model(rng, [1], 1, "logistic", l2=0.3),
    "logistic ragged": lambda rng: linear_model(rng, [4, 1], 2, "logistic", l2=0.1),
    "squared hinge": lambda rng: linear_model(rng, [3, 2], 2, "squared_hinge"),
    "smooth hinge": lambda rng: linear_model(rng, [3, 1], 2, "smooth_hinge"),
    "smooth squared hinge": lambda rng: linear_model(
        rng, [2, 3], 2, "smooth_squared_hinge", l2=0.2
    ),
}


PYTHON_LEVEL = ("quadratic M=3 d=2", "sinusoid M=3", "logistic ragged")


@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize(
    ("case", "python_level"),
    [(case, False) for case in CASES] + [(case, True) for case in PYTHON_LEVEL],
)
def test_maml_loss_and_derivatives_to_1e_11(case, python_level, inner_steps):
    rng = np.random.default_rng(7)
    family, expressions = CASES[case](rng)
    if python_level:
        family = callables_of(expressions, family.dim)
    d, alpha = family.dim, 0.125
    w, v = rng.normal(size=d), rng.normal(size=d)
    oracles = [TaskOracle(e, variables(d)) for e in expressions]
    with mpmath.workdps(DIGITS):
        F = maml_oracle(oracles, oracles, family.weights, alpha, inner_steps)
        point = [mpmath.mpf(float(x)) for x in w]
        value = float(F(point))
        gradient, hessian = differences(F, point)
    objective = mo.MAMLLoss(family, alpha, inner_steps=inner_steps)
    assert objective.value(w) == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(
        objective.gradient(w), gradient, rtol=0, atol=1e-11 * np.abs(gradient).max()
    )
    scale = 1e-11 * max(np.abs(hessian).max(), 1e-300)
    np.testing.assert_allclose(objective.hessian(w), hessian, rtol=0, atol=scale)
    np.testing.assert_allclose(objective.hvp(w, v), hessian @ v, rtol=0, atol=3 * scale)
    np.testing.assert_array_equal(objective.hessian(w), objective.hessian(w).T)


def test_query_family_and_weights():
    rng = np.random.default_rng(3)
    weights = np.array([0.2, 0.5, 0.3])
    support, fs = linear_model(rng, [2, 4, 3], 2, "logistic", l2=0.1, weights=weights)
    query, gs = linear_model(rng, [1, 2, 2], 2, "smooth_hinge", weights=weights)
    w, v, alpha = rng.normal(size=2), rng.normal(size=2), 0.3
    with mpmath.workdps(DIGITS):
        F = maml_oracle(
            [TaskOracle(e, variables(2)) for e in fs],
            [TaskOracle(e, variables(2)) for e in gs],
            weights,
            alpha,
            2,
        )
        point = [mpmath.mpf(float(x)) for x in w]
        value = float(F(point))
        gradient, hessian = differences(F, point)
    objective = mo.MAMLLoss(support, alpha, inner_steps=2, query=query)
    assert objective.value(w) == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(objective.gradient(w), gradient, rtol=1e-11)
    np.testing.assert_allclose(objective.hessian(w), hessian, atol=1e-11 * np.abs(hessian).max())
    np.testing.assert_allclose(objective.hvp(w, v), hessian @ v, rtol=1e-10)


@pytest.mark.parametrize("case", ["quadratic M=3 d=2", "sinusoid M=3", "logistic ragged"])
def test_alpha_zero_is_the_expected_loss_exactly(case):
    rng = np.random.default_rng(11)
    family, _ = CASES[case](rng)
    w, v = rng.normal(size=(2, family.dim))
    f, F = mo.ExpectedLoss(family), mo.MAMLLoss(family, 0.0, inner_steps=2)
    assert F.value(w) == f.value(w)
    np.testing.assert_array_equal(F.gradient(w), f.gradient(w))
    np.testing.assert_array_equal(F.hessian(w), f.hessian(w))
    np.testing.assert_array_equal(F.hvp(w, v), f.hvp(w, v))


def test_adapt_gives_the_inner_iterates():
    family, _ = sinusoids(np.random.default_rng(5), 3)
    w = np.array([0.7])
    u = np.tile(w, (3, 1))
    for _ in range(4):
        u = u - 0.1 * family.gradients(u)
    np.testing.assert_allclose(mo.MAMLLoss(family, 0.1, inner_steps=4).adapt(w), u, rtol=1e-15)


def test_quadratic_families_are_aggregated_to_one_matrix():
    """G = sum p_i A_i H_i A_i: the d x d matrix of the paper's quadratic case, whatever M is."""
    rng = np.random.default_rng(2)
    A = rng.normal(size=(50, 4, 4))
    H, b = A @ A.transpose(0, 2, 1), rng.normal(size=(50, 4))
    p = rng.dirichlet(np.ones(50))
    objective = mo.MAMLLoss(mo.tasks.Quadratic(H, b, weights=p), 0.05)
    contraction = np.eye(4) - 0.05 * H
    G = np.einsum("m,mij,mjk,mkl->il", p, contraction, H, contraction)
    np.testing.assert_allclose(objective.hessian(np.zeros(4)), G, rtol=1e-12)
    minimiser = np.linalg.solve(G, np.einsum("m,mij,mjk,mk->i", p, contraction, contraction, b))
    assert np.linalg.norm(objective.gradient(minimiser)) < 1e-11


def test_gradient_never_forms_a_hessian():
    def refuse(i, w):
        raise AssertionError("a Hessian was formed")

    tasks = mo.tasks.from_callables(
        lambda i, w: 0.5 * float(w @ w),
        lambda i, w: w,
        refuse,
        lambda i, w, v: v,
        n_tasks=2,
        dim=3,
    )
    np.testing.assert_allclose(mo.MAMLLoss(tasks, 0.5).gradient([4.0, 0.0, 8.0]), [1.0, 0.0, 2.0])


def test_declared_costs_equal_an_outside_counter():
    kinds = ("losses", "gradients", "hvps", "hessians", "thirds", "third_vectors")
    calls = dict.fromkeys(kinds, 0)

    def counted(name, value):
        def function(*_):
            calls[name] += 1
            return value

        return function

    M, d = 3, 2
    tasks = mo.tasks.from_callables(
        counted("losses", 1.0),
        counted("gradients", np.ones(d)),
        counted("hessians", np.eye(d)),
        counted("hvps", np.ones(d)),
        thirds=counted("thirds", np.eye(d)),
        third_vectors=counted("third_vectors", np.ones(d)),
        n_tasks=M,
        dim=d,
    )
    w = np.zeros(d)
    for objective in (
        mo.ExpectedLoss(tasks),
        mo.MAMLLoss(tasks, 0.1),
        mo.MAMLLoss(tasks, 0.1, inner_steps=3),
    ):
        for evaluate, cost in (
            (lambda F=objective: F.value(w), objective.value_cost),
            (lambda F=objective: F.gradient(w), objective.gradient_cost),
            (lambda F=objective: F.hvp(w, w), objective.hvp_cost),
            (lambda F=objective: F.hessian(w), objective.hessian_cost),
        ):
            calls.update(dict.fromkeys(calls, 0))
            evaluate()
            assert {name: n / M for name, n in calls.items()} == {
                name: getattr(cost, name) for name in calls
            }


def test_bad_arguments_are_refused_in_a_sentence():
    family = mo.tasks.Sinusoid([1.0, 1.0], [0.1, 0.2], [1.0, 2.0])
    other = mo.tasks.Sinusoid([1.0], [0.1], [1.0])
    with pytest.raises(ValueError, match="alpha must be finite"):
        mo.MAMLLoss(family, float("nan"))
    with pytest.raises(ValueError, match="inner_steps must be at least 1"):
        mo.MAMLLoss(family, 0.1, inner_steps=0)
    with pytest.raises(TypeError, match="inner_steps must be an integer"):
        mo.MAMLLoss(family, 0.1, inner_steps=1.5)
    with pytest.raises(ValueError, match=r"\(M, d\) = \(2, 1\), but it has \(1, 1\)"):
        mo.MAMLLoss(family, 0.1, query=other)
    with pytest.raises(ValueError, match="same weights"):
        mo.MAMLLoss(
            family,
            0.1,
            query=mo.tasks.Sinusoid([1.0, 1.0], [0.1, 0.2], [1.0, 2.0], weights=[0.3, 0.7]),
        )
    with pytest.raises(TypeError, match="from_callables"):
        mo.ExpectedLoss(lambda w: 0.0)
    with pytest.raises(ValueError, match=r"w must have shape \(1,\), but it has shape \(2,\)"):
        mo.MAMLLoss(family, 0.1).gradient([1.0, 2.0])
    gradient_only = mo.tasks.from_callables(lambda i, w: 0.0, lambda i, w: w, n_tasks=1, dim=1)
    with pytest.raises(TypeError, match="fomaml_flow"):
        mo.MAMLLoss(gradient_only, 0.1)
