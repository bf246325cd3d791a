"""The closed form on regressions whose columns repeat, depend on each other or differ in size by 18 decades.

The oracle is rational arithmetic: the data are floats, so G, c, the null space and the limit of the flow are
fractions, and nothing is rounded.
"""

import numpy as np
import pytest
from mpmath import mp
from sympy import QQ
from sympy.polys.matrices import DomainMatrix

import maml_ode as mo
from maml_ode.fields import FirstOrderField, ModifiedField, ReptileField
from maml_ode.integrate.exact import ExactPhase

EPS = np.finfo(float).eps


def fraction(x):
    return QQ(*float(x).as_integer_ratio())


def fractions(A):
    A = np.atleast_2d(A)
    return DomainMatrix([[fraction(x) for x in row] for row in A], A.shape, QQ)


def floats(A):
    return np.array(
        [[float(x.numerator) / 1 if x == 0 else to_float(x) for x in row] for row in A.to_list()]
    )


def to_mpf(x):
    return mp.mpf(int(x.numerator)) / mp.mpf(int(x.denominator))


def to_float(x):
    with mp.workdps(40):
        return float(to_mpf(x))


def exact_field(tasks, alpha, inner_steps, first_order=False):
    """K and k of the MAML or FO-MAML flow, as the definition has them."""
    d = tasks.dim
    G, c = DomainMatrix.zeros((d, d), QQ), DomainMatrix.zeros((d, 1), QQ)
    for X, y, s, p in zip(tasks.X, tasks.y, tasks.scales, tasks.weights, strict=True):
        X, y, twice, p = fractions(X), fractions(y[:, None]), 2 * fraction(s), fraction(p)
        H, b = X.transpose() * X * twice, X.transpose() * y * twice
        P, r = DomainMatrix.eye(d, QQ), DomainMatrix.zeros((d, 1), QQ)
        for _ in range(inner_steps):
            P, r = P - H * P * fraction(alpha), r - (H * r - b) * fraction(alpha)
        outer = p * DomainMatrix.eye(d, QQ) if first_order else P.transpose() * p
        G += outer * H * P
        c += outer * (b - H * r)
    return G, c


def exact_limit(G, c, w0):
    """The limit of the flow from w0, the rank, and a basis of the null space (rows)."""
    w0 = fractions(w0[:, None])
    reduced, pivots = G.rref()
    basis = reduced.extract(range(len(pivots)), range(G.shape[1]))  # of the row space
    z = (basis * G * basis.transpose()).lu_solve(basis * (c - G * w0))
    null = G.nullspace()
    return (
        floats(w0 + basis.transpose() * z)[:, 0],
        len(pivots),
        floats(null) if null.shape[0] else [],
    )


def random_regression(rng, kinds=("wide", "one-hot", "double", "sum", "full")):
    """A family with dyadic data, so that what depends on each other does so exactly; its column sizes."""
    n, d, M = int(rng.integers(2, 8)), int(rng.integers(3, 6)), int(rng.integers(1, 4))
    X = np.round(rng.normal(size=(n, d)) * 64) / 64
    kind = rng.choice(kinds)
    if kind == "wide":
        X = X[: max(1, d - 2)]
    if kind == "double":
        X[:, -1] = X[:, 0]
    if kind == "one-hot":
        X[:, 0], X[:, 1] = 1.0, rng.integers(0, 2, n)
        X[:, -1] = 1.0 - X[:, 1]
    if kind == "sum":
        X[:, -1] = 3.0 * X[:, 0] + X[:, 1]
    sizes = 2.0 ** rng.integers(-30, 31, d) if rng.random() < 0.7 else np.ones(d)
    samples = [X[rng.permutation(len(X))] * sizes for _ in range(M)]
    targets = [np.round(rng.normal(size=len(X)) * 64) / 64 for _ in range(M)]
    weights = None if rng.random() < 0.5 else rng.dirichlet(np.ones(M))
    return mo.tasks.LinearRegression(samples, targets, weights=weights), sizes


def scaled_condition(tasks, rank):
    """Condition of the columns brought to one length: what no method can do better than eps times."""
    X = np.vstack(tasks.X)
    lengths = np.linalg.norm(X, axis=0)
    sigma = np.linalg.svd(X / np.where(lengths > 0, lengths, 1.0), compute_uv=False)
    return sigma[0] / sigma[rank - 1]


def step_for(tasks, share):
    return share / max(
        2 * s * np.linalg.norm(X, 2) ** 2 for s, X in zip(tasks.scales, tasks.X, strict=True)
    )


def test_the_flow_ends_at_the_minimiser_and_moves_nothing_else():
    """400 regressions at t = 10^12 times the slowest time constant."""
    rng = np.random.default_rng(20261125)
    for _ in range(400):
        tasks, sizes = random_regression(rng)
        alpha, inner_steps = step_for(tasks, rng.uniform(0.05, 0.6)), int(rng.choice([1, 3]))
        field = mo.MAMLLoss(tasks, alpha, inner_steps).quadratic_form.field
        w0 = rng.normal(size=tasks.dim) / sizes
        limit, rank, null = exact_limit(*exact_field(tasks, alpha, inner_steps), w0)
        assert field.spectrum.rank == rank
        phase = ExactPhase.begin(field, 0.0, w0)
        w = phase.states(np.array([1e12 / field.spectrum.smallest_positive]))[:, 0]
        unit = EPS * scaled_condition(tasks, rank)
        scale = np.linalg.norm(sizes * (np.abs(limit) + np.abs(w0))) + 1.0
        assert np.linalg.norm(sizes * (w - limit)) <= 1e3 * unit * scale
        for n in null:
            assert abs(n @ (w - w0)) <= 50 * unit * (np.abs(n) @ (np.abs(w) + np.abs(w0)))


def test_first_order_flows_whose_inner_steps_overshoot():
    """alpha L up to 2.5 in one task: rows of negative weight, whose sum with the others may still decay."""
    rng = np.random.default_rng(11)
    growing = 0
    for _ in range(80):
        tasks, sizes = random_regression(rng)
        samples = [X * f for X, f in zip(tasks.X, (1.0, 0.5, 0.25), strict=False)]
        tasks = mo.tasks.LinearRegression(samples, list(tasks.y), weights=tasks.weights)
        alpha = step_for(tasks, rng.uniform(0.6, 2.5))
        field = FirstOrderField(tasks, alpha).affine
        w0 = rng.normal(size=tasks.dim) / sizes
        limit, rank, null = exact_limit(*exact_field(tasks, alpha, 1, first_order=True), w0)
        spectrum = field.spectrum
        phase = ExactPhase.begin(field, 0.0, w0)
        if spectrum.values[0] < 0:
            growing += 1
            w = phase.states(np.array([1.0 / spectrum.radius]))[:, 0]
        else:
            assert spectrum.rank == rank
            w = phase.states(np.array([1e12 / spectrum.smallest_positive]))[:, 0]
            lengths = np.sqrt(np.diag(field.K))
            lengths = np.where(lengths > 0, lengths, 1.0)
            core = np.linalg.eigvalsh(field.K / np.outer(lengths, lengths))
            unit = EPS * scaled_condition(tasks, rank) / core[-rank] * core[-1]
            scale = np.linalg.norm(sizes * (np.abs(limit) + np.abs(w0))) + 1.0
            assert np.linalg.norm(sizes * (w - limit)) <= 1e4 * unit * scale
        for n in null:
            unit = EPS * scaled_condition(tasks, rank)
            assert abs(n @ (w - w0)) <= 100 * unit * (np.abs(n) @ (np.abs(w) + np.abs(w0)))
    assert 10 < growing < 70


def test_many_regressions_with_a_known_null_vector():
    """2,000: the exact null vector sees no motion, and the field at the end is rounding."""
    rng = np.random.default_rng(1)
    for trial in range(2000):
        tasks, sizes = random_regression(rng, ["double"] if trial % 2 else ["sum"])
        null = np.zeros(tasks.dim)
        null[[0, 1, -1]] = (1, 0, -1) if trial % 2 else (3, 1, -1)
        null /= sizes
        objective = mo.MAMLLoss(tasks, step_for(tasks, rng.uniform(0.05, 0.6)))
        field = objective.quadratic_form.field
        w0 = rng.normal(size=tasks.dim) / sizes
        phase = ExactPhase.begin(field, 0.0, w0)
        end = 1e12 / field.spectrum.smallest_positive
        w = phase.states(np.array([end]))[:, 0]
        unit = EPS * scaled_condition(tasks, field.spectrum.rank)
        assert abs(null @ (w - w0)) <= 50 * unit * (np.abs(null) @ (np.abs(w) + np.abs(w0)))
        norm, bar = phase.norm(end)
        columns = sum(np.linalg.norm(X, axis=0) for X in tasks.X)
        evaluated = np.linalg.norm(columns) * (10.0 + columns @ (np.abs(w) + np.abs(w0)))
        assert norm <= bar <= 1e3 * EPS * evaluated


def test_states_at_finite_times_equal_the_matrix_exponential():
    rng = np.random.default_rng(3)
    with mp.workdps(60):
        for _ in range(12):
            tasks, sizes = random_regression(rng)
            alpha = step_for(tasks, 0.3)
            G, c = exact_field(tasks, alpha, 1)
            field = mo.MAMLLoss(tasks, alpha).quadratic_form.field
            w0 = rng.normal(size=tasks.dim) / sizes
            phase = ExactPhase.begin(field, 0.0, w0)
            t = 1.0 / rng.choice(field.spectrum.values[~field.spectrum.zero])
            d = tasks.dim
            K = mp.matrix(d + 1)  # w' = c - G w as one linear system
            for i, row in enumerate(G.to_list()):
                K[i, :d] = mp.matrix([[-to_mpf(x) for x in row]])
                K[i, d] = to_mpf(c.to_list()[i][0])
            exact = propagated(K, t, [*map(mp.mpf, w0.tolist()), mp.mpf(1)])
            scale = np.linalg.norm(sizes * (np.abs(exact) + np.abs(w0))) + 1.0
            unit = EPS * scaled_condition(tasks, field.spectrum.rank)
            w = phase.states(np.array([t]))[:, 0]
            assert np.linalg.norm(sizes * (w - exact)) <= 1e4 * unit * scale


def propagated(K, t, start):
    """exp(t K) start by the eigenvalues of the symmetric part: K = [[-G, c], [0, 0]]."""
    d = K.rows - 1
    values, vectors = mp.eigsy(-K[:d, :d])
    w, c = mp.matrix(start[:d]), K[:d, d]
    field = vectors.T * (c - (-K[:d, :d]) * w)
    tiny = max(abs(v) for v in values) * mp.mpf(10) ** -50
    moves = [
        a * (t if abs(v) < tiny else -mp.expm1(-v * t) / v)
        for a, v in zip(field, values, strict=True)
    ]
    return np.array([float(x) for x in w + vectors * mp.matrix(moves)])


def dummy_column(c):
    """An intercept with the dummies of a category and a column of size c; the share 0.1 of 1/L."""
    X = np.array([[1, 1, 0, 1.2], [1, 0, 1, 0.7], [1, 1, 0, 0.4], [1, 0, 1, 1.1], [1, 0, 1, 0.9]])
    X[:, 3] *= c
    tasks = mo.tasks.LinearRegression([X], [X @ [1, 2, 3, 0.5]])
    return tasks, step_for(tasks, 0.1)


@pytest.mark.parametrize("c", [1e4, 1e5, 1e6, 1e7, 1e8, 1e9])
@pytest.mark.parametrize("flow", ["MAML", "f", "FO-MAML", "Reptile", "modified"])
def test_dummies_with_an_intercept_beside_a_large_column(c, flow):
    tasks, alpha = dummy_column(c)
    F = mo.MAMLLoss(tasks, alpha)
    field = {
        "MAML": lambda: F.quadratic_form.field,
        "f": lambda: mo.ExpectedLoss(tasks).quadratic_form.field,
        "FO-MAML": lambda: FirstOrderField(tasks, alpha).affine,
        "Reptile": lambda: ReptileField(tasks, alpha, 3).affine,
        "modified": lambda: ModifiedField(F, alpha).affine,
    }[flow]()
    phase = ExactPhase.begin(field, 0.0, np.zeros(4))
    for t in (1e4, 1e8, 1e12, 1e300):
        w = phase.states(np.array([t]))[:, 0]
        assert abs(np.array([1, -1, -1, 0]) @ w) < 1e-14
        np.testing.assert_allclose(w, [7 / 3, 2 / 3, 5 / 3, 0.5], rtol=3e-15 * c, atol=0)
    # tol = 1e-8 is met by the exact norm; what is left at the end is within its own rounding bar.
    end = phase.time_to_norm(1e-8)
    assert 15 < end < 70
    norm, bar = phase.norm(end)
    assert norm <= 1e-8 + bar


def test_more_columns_than_samples_of_large_features():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 50)) * 1e4, rng.normal(size=20)
    tasks = mo.tasks.LinearRegression([X], [y])
    expected = np.linalg.lstsq(X, y)[0]
    for t_max in (1e6, np.inf):
        run = mo.solve(mo.maml_flow(tasks, step_for(tasks, 0.1)), np.zeros(50), t_max=t_max)
        assert np.linalg.norm(run.w - expected) < 1e-11 * np.linalg.norm(expected)


def test_three_tasks_with_dummies_and_a_large_column():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, 60, 4))
    X[:, :, 0], X[:, :, 1] = 1.0, rng.integers(0, 2, (3, 60))
    X[:, :, 2] = 1.0 - X[:, :, 1]
    X[:, :, 3] *= 1e4
    tasks = mo.tasks.LinearRegression(X, rng.normal(size=(3, 60)))
    run = mo.solve(mo.bimaml_flow(tasks, step_for(tasks, 0.1), 0.1), np.ones(4), t_max=1e12)
    assert run.w @ [1, -1, -1, 0] == pytest.approx(-1.0, abs=1e-14)


def test_two_equal_columns_for_a_very_long_time():
    tasks = mo.tasks.LinearRegression([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]], [[1.0, 2.0, 2.0]])
    run = mo.solve(mo.maml_flow(tasks, 0.01), [10.0, 0.0], tol=0.0, t_max=1e14)
    assert run.w[0] - run.w[1] == pytest.approx(10.0, abs=1e-14)


def test_sparse_samples_take_the_same_route():
    from scipy.sparse import csr_array

    tasks, alpha = dummy_column(1e6)
    sparse = mo.tasks.LinearRegression([csr_array(X) for X in tasks.X], list(tasks.y))
    values = [
        mo.MAMLLoss(family, alpha).quadratic_form.spectrum.values for family in (tasks, sparse)
    ]
    np.testing.assert_allclose(*values, rtol=1e-13)


def test_a_query_family_of_its_own_samples():
    tasks, alpha = dummy_column(1e6)
    rng = np.random.default_rng(2)
    X = tasks.X[0][rng.integers(0, 5, 8)] * [1, 1, 1, 1.0]
    query = mo.tasks.LinearRegression([X], [rng.normal(size=8)])
    form = mo.MAMLLoss(tasks, alpha, 2, query=query).quadratic_form
    assert form.spectrum.rank == 3
    w0 = np.array([1.0, 2.0, 3.0, 1e-6])
    w = ExactPhase.begin(form.field, 0.0, w0).states(np.array([1e14]))[:, 0]
    assert (w - w0) @ [1, -1, -1, 0] == pytest.approx(0.0, abs=1e-13)
    norm, bar = form.field.norm(w)
    assert norm <= bar < 1e-3 * form.field.norm(w0)[0]
