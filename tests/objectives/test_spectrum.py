"""Spectra with error bars: the exact eigenvalue is within its bar, and the bar is no larger than it must be."""

import math

import numpy as np
import pytest
from mpmath import mp

import maml_ode as mo
from maml_ode.fields import FirstOrderField, ModifiedField, ReptileField
from maml_ode.objectives import quadratic_form
from maml_ode.objectives.affine_field import AffineField
from maml_ode.objectives.quadratic_form import QuadraticForm
from maml_ode.objectives.spectrum import Spectrum, norm_bound, solver_error

EPS = np.finfo(float).eps
DIGITS = 80


def exact(A):
    return mp.matrix(np.asarray(A).tolist())


def eigenvalues(A):
    return sorted(mp.eigsy((A + A.T) / 2, eigvals_only=True))


def exact_matrix(kind, H, weights, alpha, inner_steps):
    """The matrix of a flow on quadratic tasks, as its definition has it."""
    d = H[0].rows
    total = mp.zeros(d)
    for h, p in zip(H, weights, strict=True):
        P, slopes = mp.eye(d), mp.zeros(d)
        for _ in range(inner_steps):
            slopes += h * P
            P -= mp.mpf(alpha) * (h * P)
        term = {"F": P.T * h * P, "FO-MAML": h * P, "Reptile": slopes}[kind]
        total += mp.mpf(p) * term
    return total


def field_of(kind, tasks, alpha, inner_steps):
    if kind == "F":
        return mo.MAMLLoss(tasks, alpha, inner_steps).quadratic_form.field
    if kind == "FO-MAML":
        return FirstOrderField(tasks, alpha, inner_steps).affine
    return ReptileField(tasks, alpha, inner_steps).affine


def assert_within_bars(spectrum, exact_values):
    bounds = zip(spectrum.lower_bounds(), exact_values, spectrum.upper_bounds(), strict=True)
    for low, truth, high in bounds:
        assert mp.mpf(float(low)) <= truth <= mp.mpf(float(high))


def random_matrices(rng):
    """Symmetric matrices of condition up to 1e18, of either definiteness and of any size."""
    d, M = int(rng.integers(1, 6)), int(rng.integers(1, 3))
    H = []
    for _ in range(M):
        Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
        values = 10.0 ** rng.uniform(-18 * rng.random(), 0, d)
        values[0] = 1.0
        if d > 1 and rng.random() < 0.2:
            values[-1] *= -1
        matrix = (Q * values) @ Q.T * 10.0 ** rng.integers(-5, 6)
        H.append(0.5 * (matrix + matrix.T))
    return mo.tasks.Quadratic(H, np.zeros((M, d)))


def rounding_scale(H, weights, alpha, inner_steps):
    """What d eps perturbations of H and of P = (I - alpha H)^k do to sum p P H P, in exact norms."""
    total = 0.0
    for h, p in zip(H, weights, strict=True):
        values = eigenvalues(h)
        size = float(max(map(abs, values)))
        P = float(max(abs((1 - mp.mpf(alpha) * v) ** inner_steps) for v in values))
        unit = len(values) * EPS
        slip = unit * (1 + alpha * size) ** inner_steps
        total += p * size * ((P + slip) ** 2 - P**2 + unit * P**2)
    return total


def test_bars_of_matrices_hold_and_are_not_silly():
    rng = np.random.default_rng(20261125)
    ratios = []
    with mp.workdps(DIGITS):
        for _ in range(300):
            tasks, inner_steps = random_matrices(rng), int(rng.choice([1, 3]))
            top = max(np.abs(np.linalg.eigvalsh(h)).max() for h in tasks.H)
            # alpha H at 1 to all digits, near 1, and anywhere
            alpha = (1 + 10.0 ** rng.uniform(-17, 0) * rng.choice([-1, 0, 1])) / top
            H = [exact(h) for h in tasks.H]
            kind = rng.choice(["F", "F", "FO-MAML", "Reptile"])
            spectrum = field_of(kind, tasks, alpha, inner_steps).spectrum
            assert_within_bars(
                spectrum, eigenvalues(exact_matrix(kind, H, tasks.weights, alpha, inner_steps))
            )
            np.testing.assert_array_equal(spectrum.zero, np.abs(spectrum.values) <= spectrum.error)
            if kind == "F":
                scale = rounding_scale(H, tasks.weights, alpha, inner_steps)
                ratios.append(spectrum.error.max() / scale)
    assert max(ratios) < 1e3
    assert 0.1 < np.median(ratios) < 30


def test_bars_of_regressions_hold_and_know_the_relative_accuracy():
    """Columns of sizes 1e-9 to 1e9: X'X has lost the small eigenvalues, the bars of the spectrum have not."""
    rng = np.random.default_rng(5)
    widths = []
    with mp.workdps(DIGITS):
        for _ in range(150):
            n, d, M = int(rng.integers(2, 9)), int(rng.integers(2, 6)), int(rng.integers(1, 4))
            X = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-9, 10, d)
            samples = [X[rng.permutation(n)] for _ in range(M)]
            y = rng.normal(size=(M, n))
            tasks = mo.tasks.LinearRegression(samples, y, weights=rng.dirichlet(np.ones(M)))
            twice = [2 * mp.mpf(s) for s in tasks.scales]
            H = [t * (exact(x).T * exact(x)) for t, x in zip(twice, tasks.X, strict=True)]
            top = float(max(max(eigenvalues(h)) for h in H))
            kind, inner_steps = rng.choice(["F", "FO-MAML", "Reptile"]), int(rng.choice([1, 2, 3]))
            share = rng.choice([0.1, 0.6, 1.0, 1.3])
            spectrum = field_of(kind, tasks, share / top, inner_steps).spectrum
            matrix = exact_matrix(kind, H, tasks.weights, share / top, inner_steps)
            assert_within_bars(spectrum, eigenvalues(matrix))
            if kind == "F" and share < 1 and d <= n:
                widths.append(spectrum.relative_errors().max())
    assert np.median(widths) < 1e-12


def test_an_inner_step_that_all_but_cancels_is_not_a_rate():
    h, alpha = 3.465481269627542, 0.2885602093453286
    spectrum = mo.MAMLLoss(mo.tasks.Quadratic([[[h]]], [[0.0]]), alpha).quadratic_form.spectrum
    with mp.workdps(DIGITS):  # about 6 digits are left
        exact_rate = mp.mpf(h) * (1 - mp.mpf(alpha) * mp.mpf(h)) ** 2
        assert_within_bars(spectrum, [exact_rate])
        assert abs(spectrum.values[0] / exact_rate - 1) > 1e-9
    assert spectrum.is_positive_definite
    assert spectrum.relative_errors()[0] < 1e-5
    h, alpha = 0.0012143797338379353, 823.4656525760618  # and none here
    spectrum = mo.MAMLLoss(mo.tasks.Quadratic([[[h]]], [[0.0]]), alpha).quadratic_form.spectrum
    with mp.workdps(DIGITS):
        assert_within_bars(spectrum, [mp.mpf(h) * (1 - mp.mpf(alpha) * mp.mpf(h)) ** 2])
    assert spectrum.is_singular
    assert spectrum.rank == 0
    # H = h I of any dimension cancels in the same way.
    many = mo.tasks.Quadratic([h * np.eye(3)], np.zeros((1, 3)))
    assert mo.MAMLLoss(many, alpha).quadratic_form.spectrum.rank == 0


def test_an_ill_conditioned_matrix_keeps_its_bar():
    H = [[0.40581756973367267, 0.4910495594429611], [0.4910495594429611, 0.5941824302663312]]
    tasks = mo.tasks.Quadratic([H], [[-0.7708322971089947, 0.6370381226690208]])
    spectrum = mo.ExpectedLoss(tasks).quadratic_form.spectrum
    with mp.workdps(DIGITS):
        assert_within_bars(spectrum, eigenvalues(exact(H)))
    assert spectrum.relative_errors()[0] > 1e-3


def test_what_a_spectrum_says():
    spectrum = Spectrum.of_matrix(np.diag([3.0, 1e-17, -0.5]))
    np.testing.assert_array_equal(spectrum.values, [-0.5, 0.0, 3.0])
    np.testing.assert_array_equal(spectrum.zero, [False, True, False])
    assert (spectrum.dim, spectrum.rank, spectrum.is_singular) == (3, 2, True)
    assert (spectrum.smallest, spectrum.largest, spectrum.radius) == (-0.5, 3.0, 3.0)
    assert spectrum.smallest_positive == 3.0
    assert not spectrum.is_positive_definite
    assert spectrum.error[1] == spectrum.error[0] + 1e-17  # which 0 has replaced
    relative = spectrum.relative_errors()
    assert math.isinf(relative[1])
    assert relative[2] == spectrum.error[2] / 3.0
    assert (spectrum.lower_bounds() < spectrum.upper_bounds()).all()
    assert Spectrum.of_matrix(np.array([[-2.0]])).smallest_positive == math.inf
    assert Spectrum.of_matrix(np.array([[-2.0]])).relative_errors()[0] == 0.0
    assert Spectrum.of_matrix(np.array([[0.0]])).relative_errors()[0] == 0.0
    assert Spectrum.with_bars(np.ones(1), np.eye(1), np.ones(1)).rank == 0
    assert (solver_error(1, 5.0), solver_error(4, 3.0)) == (0.0, 24.0 * EPS)
    assert Spectrum.of_matrix(np.diag([1.0, 2.0])).is_positive_definite
    assert Spectrum.of_matrix(np.diag([-1.0, 0.25, 0.5])).smallest_positive == 0.25


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_norm_bounds_hold_without_overflow(scale):
    rng = np.random.default_rng(0)
    for _ in range(50):
        A = rng.normal(size=(4, 4)) * (rng.random((4, 4)) < 0.5)
        assert np.linalg.norm(A, 2) <= norm_bound(A * scale) / scale * (1 + 1e-15)
    assert norm_bound(np.eye(5)) == 1.0
    assert norm_bound(np.ones((2, 2)) * scale) / scale == pytest.approx(2.0)
    assert norm_bound(np.zeros(3)) == 0.0


def test_null_directions_stay_where_rounding_alone_would_move_them():
    """c is in the range of G by construction; the computed c has a part outside it."""
    rng = np.random.default_rng(7)
    for _ in range(200):
        d = int(rng.integers(2, 6))
        Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
        values = 10.0 ** rng.uniform(-8, 3, d)
        values[: int(rng.integers(1, d))] = 0.0
        G = (Q * values) @ Q.T
        G = 0.5 * (G + G.T)
        centre = rng.normal(size=d) * 10.0 ** rng.integers(-3, 4)
        field = mo.MAMLLoss(mo.tasks.Quadratic([G], [G @ centre]), 0.1 / values.max())
        field = field.quadratic_form.field
        amplitudes = field.amplitudes(rng.normal(size=d))
        assert (amplitudes[field.spectrum.zero] == 0.0).all()
        assert np.count_nonzero(amplitudes) == field.spectrum.rank


def test_a_push_along_a_null_direction_is_a_motion():
    field = AffineField(np.diag([1.0, 0.0]), np.array([0.0, 1e-8]))
    np.testing.assert_array_equal(field.amplitudes(np.array([2.0, 5.0])), [1e-8, -2.0])


def test_growing_directions_start_from_their_smallest_part():
    H = np.diag([1.0, -0.1])
    field = mo.ExpectedLoss(mo.tasks.Quadratic([H], np.zeros((1, 2)))).quadratic_form.field
    np.testing.assert_allclose(field.amplitudes(np.array([10.0, 1e-18])), [1e-19, -10.0])
    assert field.amplitudes(np.array([10.0, 0.0]))[0] == 0.0


def test_the_modified_field_shares_the_eigenvectors_of_the_gradient_flow():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3))
    tasks = mo.tasks.Quadratic(root @ root.transpose(0, 2, 1), rng.normal(size=(2, 3)))
    for share in (0.5, 3.0):  # also where I - alpha H is not positive
        F = mo.MAMLLoss(tasks, share / np.linalg.norm(tasks.H[0], 2))
        field, w = ModifiedField(F, 0.3).affine, rng.normal(size=3)
        spectrum = field.spectrum
        np.testing.assert_allclose(
            (spectrum.vectors * spectrum.values) @ spectrum.vectors.T, field.K, rtol=1e-12
        )
        value = field.k - field.K @ w
        np.testing.assert_allclose(spectrum.vectors @ field.amplitudes(w), value, rtol=1e-12)
        norm, bar = field.norm(w)
        assert abs(norm - np.linalg.norm(value)) <= bar < 1e-11 * norm
        with mp.workdps(DIGITS):
            H = [exact(h) for h in tasks.H]
            G = exact_matrix("F", H, tasks.weights, F.alpha, 1)
            assert_within_bars(spectrum, eigenvalues(G + mp.mpf(0.15) * G * G))


def test_a_modified_field_of_an_indefinite_quadratic_is_sorted_anew():
    H = np.diag([-1.0, -8.0, 1.0])  # lambda (1 + h lambda/2) with h = 0.5: -0.75, 8, 1.25
    objective = mo.ExpectedLoss(mo.tasks.Quadratic([H], [[1.0, 2.0, 3.0]]))
    field = ModifiedField(objective, 0.5).affine
    np.testing.assert_allclose(field.spectrum.values, [-0.75, 1.25, 8.0])
    w = np.array([0.3, 0.1, -0.2])
    np.testing.assert_allclose(
        field.spectrum.vectors @ field.amplitudes(w), field.k - field.K @ w, atol=1e-14
    )


def test_the_rest_point_differs_in_no_null_direction():
    tasks = mo.tasks.LinearRegression([[[1.0, 1.0], [2.0, 2.0]]], [[1.0, 2.0]])
    field = mo.ExpectedLoss(tasks).quadratic_form.field
    np.testing.assert_allclose(field.equilibrium(np.array([3.0, 0.0])), [2.0, -1.0], rtol=1e-14)


def test_a_form_of_data_and_of_matrices_at_once():
    """Steps on least squares judged by quadratics, and the other way round: (I - alpha H) Q (I - alpha H)."""
    tasks = mo.tasks.LinearRegression([[[2.0, 0.0]]], [[1.0]])
    query = mo.tasks.Quadratic([np.diag([3.0, 5.0])], [[1.0, 1.0]])
    H = tasks.hessians(np.zeros(2))[0]
    contraction = np.eye(2) - 0.1 * H
    for support, judge, inner in ((tasks, query, query.H[0]), (query, tasks, H)):
        steps = contraction if support is tasks else np.eye(2) - 0.1 * query.H[0]
        spectrum = mo.MAMLLoss(support, 0.1, query=judge).quadratic_form.spectrum
        wanted = np.linalg.eigvalsh(steps @ inner @ steps)
        np.testing.assert_allclose(spectrum.values, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("H", "b", "alpha"), [(1.0, 1e300, -1e10), (1e200, 0.0, 1.0)], ids=["slope", "curvature"]
)
def test_a_form_one_of_whose_numbers_overflows_is_none(H, b, alpha):
    """P = 1 - alpha H: P b of 1e310 beside P^2 H = 1e20, and P^2 H of 1e600 beside P b = 0."""
    assert mo.MAMLLoss(mo.tasks.Quadratic([[[H]]], [[b]]), alpha).quadratic_form is None


def test_columns_of_zeros_and_tasks_without_weight_are_null():
    X = np.array([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]])
    tasks = mo.tasks.LinearRegression(X, np.ones((2, 2)), weights=[1.0, 0.0])
    spectrum = mo.MAMLLoss(tasks, 0.01).quadratic_form.spectrum
    assert spectrum.rank == 1
    assert spectrum.values[1] > 0
    nothing = mo.tasks.LinearRegression(np.zeros((1, 2, 2)), np.ones((1, 2)))
    assert mo.MAMLLoss(nothing, 0.01).quadratic_form.spectrum.rank == 0


@pytest.mark.parametrize(
    ("at_once", "blocks"), [(2**14, [5]), (9, [2, 2, 1]), (1, [1] * 5)], ids=["all", "two", "one"]
)
def test_a_quadratic_form_evaluates_many_points_as_it_does_one(
    make_quadratic, at_once, blocks, monkeypatch
):
    """All at once, two by two, and one by one."""
    seen, row_norms = [], quadratic_form.row_norms
    monkeypatch.setattr(quadratic_form, "NUMBERS_AT_ONCE", at_once)
    monkeypatch.setattr(
        quadratic_form, "row_norms", lambda rows: seen.append(len(rows)) or row_norms(rows)
    )
    form = mo.MAMLLoss(make_quadratic(), 0.2).quadratic_form
    w = np.arange(1.0, 5.0)
    np.testing.assert_allclose(form.hvp(w), [sum(row * w) for row in form.G])
    points = np.random.default_rng(0).normal(size=(5, 4))
    values, norms = form.values_and_gradient_norms(points)
    assert seen == blocks
    np.testing.assert_allclose(values, [form.value(w) for w in points], rtol=1e-13)
    np.testing.assert_allclose(
        norms, [np.linalg.norm(form.gradient(w)) for w in points], rtol=1e-13
    )
    given = QuadraticForm(
        np.eye(1), np.ones(1), 0.0
    )  # the matrix is the data: only evaluation rounds
    assert given.spectrum.error[0] == 0.0
    norm, bar = given.field.norm(np.zeros(1))
    assert norm == 1.0
    assert 0 < bar <= 2 * EPS
