"""Bounds on rounding by hand: errors that were there are passed on as the worst case has them, and no more."""

import itertools
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.objectives.affine_field import AffineField, _ModifiedEigen, modified_affine_field
from maml_ode.objectives.dense_eigen import DenseEigen
from maml_ode.objectives.first_order_fields import _is_symmetric, fomaml_field, reptile_field
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.inner_maps import InnerMaps, _scaled, curvature, slope
from maml_ode.objectives.least_squares import (
    Residual,
    _finite,
    _power,
    maml_residual,
    reptile_residual,
)
from maml_ode.objectives.rounded import Rounded
from maml_ode.objectives.row_form import by_rows
from maml_ode.objectives.spectrum import Spectrum
from maml_ode.tasks.base import QuadraticTerms
from maml_ode.tasks.least_squares import LeastSquares

EPS = np.finfo(float).eps


def scalar(value, error=0.0):
    return Rounded(np.array([[value]]), error)


def test_operations_by_hand():
    a, b = scalar(3.0, 0.5), scalar(-2.0, 0.25)
    # (3 + 0.5)(2 + 0.25) - 3 2, and so on: the worst that the errors can do
    assert (a @ b).error == pytest.approx(3.5 * 2.25 - 6.0, rel=1e-14)
    assert (a + b).error == pytest.approx(0.75, rel=1e-14)
    assert (a - b).error == pytest.approx(0.75, rel=1e-14)
    assert (-4.0 * a).error == pytest.approx(2.0, rel=1e-14)
    assert ((a @ b).value, (a - b).value, (-4.0 * a).value) == (-6.0, 5.0, -12.0)
    # A product of n terms: n eps |A| |B|; one rounding: eps/2.
    wide, tall = Rounded(np.array([[3.0, 4.0, 0.0]])), Rounded(np.array([[0.0], [2.0], [0.0]]))
    assert (wide @ tall).error == pytest.approx(3 * EPS * 5.0 * 2.0, rel=1e-14, abs=0)
    assert (tall @ wide).error == pytest.approx(1 * EPS * 5.0 * 2.0, rel=1e-14, abs=0)
    assert (wide + wide).error == pytest.approx(0.5 * EPS * 10.0, rel=1e-14, abs=0)
    assert wide.T.value.shape == (3, 1)
    assert scalar(3.0, 0.5).T.error == 0.5
    assert not scalar(np.inf).is_finite
    assert not Rounded(np.array([1.0, np.nan])).is_finite
    assert not scalar(1.0, np.inf).is_finite
    row = Rounded(np.array([3.0, 4.0, 0.0])) @ tall
    assert (row.value, row.error) == ([8.0], pytest.approx(3 * EPS * 5.0 * 2.0, rel=1e-14, abs=0))
    assert scalar(1.0, 1.0).is_finite


@pytest.mark.parametrize("inner_steps", [1, 2, 3])
@pytest.mark.parametrize("h", [0.5, 3.0, -0.5, 9.0])
def test_what_an_unsure_curvature_does_to_inner_steps_is_attained(h, inner_steps):
    """P = (1 - alpha h)^k: with h off by e, |P| grows to (|1 - alpha h| + alpha e)^k for one sign of e."""
    alpha, e, beta = 0.25, 0.01, 0.02
    terms = QuadraticTerms(
        np.array([[[h]]]), np.array([[2.0]]), np.zeros(1), np.array([e]), np.array([beta])
    )
    maps = InnerMaps.of_task(terms, 0, alpha, inner_steps)
    kept = abs(1 - alpha * h)
    assert maps.P.error == pytest.approx((kept + alpha * e) ** inner_steps - kept**inner_steps)

    def follow(h, b):
        P, r, slopes, offsets = 1.0, 0.0, 0.0, 0.0
        for _ in range(inner_steps):
            slopes, offsets = slopes + h * P, offsets - (h * r - b)
            P, r = P - alpha * h * P, r - alpha * (h * r - b)
        return np.array([P, r, slopes, offsets])

    found = [float(np.squeeze(x.value)) for x in (maps.P, maps.r, maps.slopes, maps.offsets)]
    np.testing.assert_allclose(found, follow(h, 2.0), rtol=1e-14, atol=1e-14)
    corners = [follow(h + s * e, 2.0 + t * beta) for s, t in itertools.product((-1, 1), repeat=2)]
    worst = np.abs(np.array(corners) - follow(h, 2.0)).max(axis=0)
    bounds = np.array([maps.P.error, maps.r.error, maps.slopes.error, maps.offsets.error])
    assert (worst <= bounds * (1 + 1e-12)).all()
    if 0 < alpha * h < 1:  # the worst of b and of h go together; of sums, within a factor
        assert bounds[1] == pytest.approx(worst[1], rel=1e-9)
        assert (bounds <= 3.0**inner_steps * worst).all()


def by_one_row(x, y, scale, alpha, inner_steps):
    data = LeastSquares([np.array([[x, 0.0]])], [np.array([y])], np.array([scale]))
    return by_rows(data, np.array([1.0]), alpha, inner_steps)


def test_an_inner_step_that_cancels_by_rows_is_bounded_from_above_and_below():
    """G = 2 s x^2 (1 - 2 alpha s x^2)^2 where the bracket is all rounding, in fractions."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        x = float(rng.uniform(0.5, 2.0))
        alpha = 0.5 / (x * x)
        if rng.random() < 0.5:
            alpha = float(np.nextafter(alpha, rng.choice([0.0, 9.0])))
        G, c, _ = by_one_row(x, 1.0, 1.0, alpha, 1)
        left = 1 - 2 * Fraction(alpha) * Fraction(x) ** 2
        exact = 2 * Fraction(x) ** 2 * left**2
        assert abs(Fraction(float(G.value[0, 0])) - exact) <= Fraction(G.error)
        assert G.error <= 2000 * EPS**2
        assert abs(Fraction(float(c.value[0])) - exact / Fraction(x)) <= Fraction(c.error)


def test_the_root_of_a_weight_is_rounded_too():
    """The worst of 40,000 draws: the square root and the product are off by more than half a unit, twice."""
    p, s, x = 0.9122392583251321, 0.5690581427747151, 1.0220470384977476
    G, _, _ = by_one_row(x, 1.0, p * s, 0.0, 0)
    exact = 2 * Fraction(p * s) * Fraction(x) ** 2
    assert abs(Fraction(float(G.value[0, 0])) - exact) <= Fraction(G.error)
    # n eps for the product, twice the 1.5 eps of a row: half for its rounding, 1 for the root's.
    assert G.error == pytest.approx(4 * EPS * float(exact), rel=1e-6, abs=0)


def test_errors_of_stacked_rows_and_of_inner_steps_by_rows():
    """Rows of X that are orthogonal: X X' = diag(4, 1), I - 0.125 X X' = diag(0.5, 0.875)."""
    from maml_ode.objectives.row_form import _after_steps, _stacked

    X = Rounded(np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    for steps in (1, 2):
        _, targets = _after_steps(X, Rounded(np.array([0.0, 0.0]), 1.0), 0.125, steps)
        assert targets.error == pytest.approx(0.875**steps, rel=1e-12)  # attained by (0, 1)
    both = _stacked([Rounded(np.zeros((1, 2)), 3.0), Rounded(np.ones((2, 2)), 4.0)])
    assert (both.value.shape, both.error) == ((3, 2), 5.0)


def test_the_norm_of_a_dense_field_and_its_bar_by_hand():
    field = DenseEigen(np.diag([3.0, 0.0]), np.array([4.0, 0.0]), 0.0, 0.0)
    norm, bar = field.norm(np.array([2.0, 7.0]), np.array([2.0, 0.0]))
    assert norm == 2.0  # |4 - 3 2|
    assert bar == pytest.approx(
        2 * EPS * (4.0 + 3.0 * 2.0), rel=1e-14, abs=0
    )  # d eps (|k| + |K| size)
    unsure = DenseEigen(np.diag([3.0, 0.0]), np.array([4.0, 0.0]), 1e-3, 1e-2)
    assert unsure.norm(np.array([2.0, 7.0]), np.array([3.0, 4.0]))[1] == pytest.approx(
        1e-3 * 5.0 + 1e-2, rel=1e-9
    )


def test_what_a_tilted_null_vector_sees_is_no_motion_and_more_is():
    """K = diag(4, 0) to 1e-6, k to 1e-5, w = (-3, 0): |w| = 3, and the rest point is 4 away."""
    leak = 1e-6 * 3.0 + 1e-5 + 1e-6 * 4.0
    for share, moves in ((0.999, False), (1.001, True)):
        field = DenseEigen(np.diag([4.0, 0.0]), np.array([4.0, share * leak]), 1e-6, 1e-5)
        amplitudes = field.amplitudes(np.array([-3.0, 0.0]))
        assert amplitudes[1] == 16.0
        assert (amplitudes[0] != 0.0) == moves
    rising = DenseEigen(np.diag([1.0, -1.0]), np.array([0.0, 8.0]), 0.0, 0.0)
    w = np.array([0.0, np.nextafter(-8.0, 0.0)])  # what is left of 8 - 8 is one rounding
    assert rising.amplitudes(w)[0] == 0.0
    falling = DenseEigen(np.diag([1.0, 0.5]), np.array([0.0, 4.0]), 0.0, 0.0)
    w = np.array([0.0, np.nextafter(8.0, 0.0)])  # where it decays, rounding does no harm
    assert falling.amplitudes(w)[0] == 0.5 * (8.0 - w[1]) > 0.0


def test_whose_expected_loss_it_is(make_quadratic):
    tasks = make_quadratic()
    f = mo.ExpectedLoss(tasks)
    assert f.is_expected_loss_of(tasks)
    assert not f.is_expected_loss_of(make_quadratic())


def test_powers_are_off_by_no_more_than_they_say():
    for x in np.random.default_rng(0).uniform(-2.0, 2.0, 200):
        for n in (1, 2, 3, 7):
            value, error = _power(np.array([x]), 0.0, n)
            assert abs(Fraction(float(value[0])) - Fraction(float(x)) ** n) <= Fraction(
                float(error[0])
            )
            assert error[0] <= 2 * n * EPS * abs(value[0])
    # An x that is off by 1/2: (2 + 1/2)^3 - 2^3
    assert _power(np.array([-2.0]), 0.5, 3)[1][0] == pytest.approx(2.5**3 - 8.0, rel=1e-14)


def test_what_unsure_weights_of_rows_do_by_hand():
    """v = (1, 1), weights unsure to (1, 3): 1 + 3, and twice the larger for every pair that may be mixed."""
    one = np.ones(2)
    residual = Residual(np.eye(2), one, 10 * one, np.array([1.0, 3.0]), one, 1.0, np.array([0]))
    assert residual.quadratic_error(one[:, None])[0] == 4.0 + 2 * 3.0 * 2
    apart = Residual(np.eye(2), one, 10 * one, np.array([1.0, 3.0]), one, 1.0, np.array([0, 1]))
    assert apart.quadratic_error(one[:, None])[0] == 4.0  # rows of two tasks are not mixed
    lost = Residual(
        np.eye(2), one, np.array([0.5, 10.0]), np.array([1.0, 3.0]), one, 1.0, np.array([0, 1])
    )
    assert (
        lost.quadratic_error(one[:, None])[0] == 4.5
    )  # a weight that is rounding may as well be 0


def test_sizes_of_two_families_by_hand():
    """One row each, a = 2 alpha = 0.1: 3 + 0.1 (3 4) (1 + (1 + 0.1 4^2)) 4 without cancellation."""
    support = LeastSquares([np.array([[4.0, 0.0]])], [np.array([5.0])], np.array([1.0]))
    query = LeastSquares([np.array([[3.0, 0.0]])], [np.array([7.0])], np.array([1.0]))
    for steps, total in ((1, 1.0), (2, 1.0 + 2.6)):
        residual = maml_residual(support, query, np.array([1.0]), 0.05, steps)
        mixing = 0.1 * 12.0 * total
        np.testing.assert_allclose(residual.sizes, [np.sqrt(2.0) * (3.0 + mixing * 4.0), 0.0])
        assert residual.q_size == pytest.approx(np.sqrt(2.0) * (7.0 + mixing * 5.0))
        kept = (1.0 - 0.1 * 16.0) ** steps  # of the distance to the support's 5/4
        assert residual.Z[0, 0] ** 2 == pytest.approx(2.0 * (3.0 * kept) ** 2)


def test_reptile_without_a_step_size_is_a_multiple_of_the_gradient_flow():
    data = LeastSquares([np.array([[2.0, 1.0]])], [np.array([1.0])], np.array([1.0]))
    residual = reptile_residual(data, np.array([1.0]), 0.0, 3)
    np.testing.assert_array_equal(residual.phi, [3.0])
    assert residual.phi_error[0] < 20 * EPS


def test_an_error_passes_through_a_step_that_cancels_as_far_as_rounding_lets_it():
    """Targets of 0 +- 1 by I - a x^2 with a x^2 = 1 to a bit: what is left of them is that bit, in fractions."""
    from maml_ode.objectives.row_form import _after_steps

    rng = np.random.default_rng(4)
    for _ in range(300):
        x = float(rng.uniform(0.5, 2.0))
        step = float(np.nextafter(1.0 / (x * x), rng.choice([0.0, 9.0])))
        _, targets = _after_steps(scalar(x), Rounded(np.zeros(1), 1.0), step, 1)
        left = abs(1 - Fraction(step) * Fraction(x) ** 2)
        assert left <= Fraction(targets.error) <= 16 * Fraction(EPS)


def test_the_unit_that_is_left_of_a_contraction_by_hand():
    """I - a h = 0: what passes through it is eps (1 + |a h|) = 2 eps, which is seen beside nothing else."""
    from maml_ode.objectives.row_form import _after_steps

    # Of an error of 1: 2 eps by the product's own bar, 2 eps by the contraction.
    _, targets = _after_steps(scalar(1.0), Rounded(np.zeros(1), 1.0), 1.0, 1)
    assert targets.error == 4 * EPS
    # b = 0 +- 1: r is off by 1 after a step, and by 1 and what passes of it after two.
    for h, alpha in ((1.0, 1.0), (2.0, 0.5)):
        terms = QuadraticTerms(
            np.array([[[h]]]), np.zeros((1, 1)), np.zeros(1), np.zeros(1), np.array([1.0 / alpha])
        )
        maps = InnerMaps.of_task(terms, 0, alpha, 2)
        assert maps.r.error == 1.0 + 2 * EPS


def test_what_a_null_vector_of_exact_data_sees_of_a_distant_rest_point():
    """K = diag(4, 0): the solver's 2 d eps |K| = 16 eps, times the distance of 8."""
    for share, moves in ((0.99, False), (1.01, True)):
        field = DenseEigen(np.diag([4.0, 0.0]), np.array([32.0, share * 128 * EPS]), 0.0, 0.0)
        amplitudes = field.amplitudes(np.zeros(2))
        assert amplitudes[1] == 32.0
        assert (amplitudes[0] != 0.0) == moves


def test_what_rounding_leaves_in_a_growing_direction_by_hand():
    """8 - 8 in d = 2: (d + 2) eps (8 + 8) = 64 eps."""
    field = DenseEigen(np.diag([1.0, -1.0]), np.array([0.0, 8.0]), 0.0, 0.0)
    for left, moves in ((56 * EPS, False), (72 * EPS, True)):
        assert (field.amplitudes(np.array([0.0, left - 8.0]))[0] != 0.0) == moves


def test_error_bars_of_a_field_that_grows_by_hand():
    """Z = diag(2, z), phi = (1, -1), columns of sizes s: bars of 4 and -z^2 from every source that there is."""
    from maml_ode.objectives.graded import decompose

    one, none = np.ones(2), np.zeros(2)
    signs, starts = np.array([1.0, -1.0]), np.array([0, 1])
    solver = 2 * 2 * EPS * 4.0
    for z, size in ((1.0, 1.0), (5e-8, 1e-5)):
        residual = Residual(np.diag([2.0, z]), one, signs, none, np.array([2.0, size]), 1.0, starts)
        u = residual.unit
        off = u * np.array([size, 2.0])
        sigma = np.array([z, 2.0])
        bars = 2 * sigma * off + off**2 + solver + 2 * u * np.sqrt(2.0) * sigma**2
        values = np.array([-(z**2), 4.0])
        lost = np.abs(values) <= bars
        assert lost[0] == (z < 1.0)
        spectrum = decompose(residual).spectrum
        np.testing.assert_allclose(spectrum.values, np.where(lost, 0.0, values), rtol=1e-14)
        expected = np.where(lost, bars + np.abs(values), bars)
        np.testing.assert_allclose(spectrum.error, expected, rtol=1e-9, atol=0)


def test_error_bars_of_a_null_space_by_hand():
    """Z = (1, 0), the second column of size 2: its off^2, and the threshold's square over the unit's, 8."""
    from maml_ode.objectives.graded import decompose

    residual = Residual(
        np.array([[1.0, 0.0]]), np.ones(1), np.ones(1), np.zeros(1), np.array([1.0, 2.0]), 1.0,
        np.array([0]),
    )  # fmt: skip
    u = residual.unit
    spectrum = decompose(residual).spectrum
    np.testing.assert_array_equal(spectrum.values, [0.0, 1.0])
    own = 2 * u + u**2
    np.testing.assert_allclose(spectrum.error, [4 * u**2 * 9, own + 4 * u**2], rtol=1e-9, atol=0)


def test_what_is_given_has_no_error_and_what_was_formed_has_its_own():
    H, b, c = np.array([[[2.0]], [[3.0]]]), np.array([[5.0], [7.0]]), np.zeros(2)
    given = QuadraticTerms(H, b, c)
    formed = QuadraticTerms(H, b, c, np.array([0.1, 0.2]), np.array([0.3, 0.4]))
    for terms, errors in ((given, (0.0, 0.0)), (formed, (0.2, 0.4))):
        parts = curvature(terms, 1), slope(terms, 1)
        assert [part.value.item() for part in parts] == [3.0, 7.0]
        assert tuple(part.error for part in parts) == errors


def test_a_step_size_for_every_coordinate_scales_rows_with_one_rounding():
    sizes, matrix = np.array([2.0, -4.0]), np.array([[3.0, 0.0], [0.0, 5.0]])
    for part, expected in (
        (Rounded(matrix, 0.5), [[6.0, 0.0], [0.0, -20.0]]),
        (Rounded(matrix[1], 0.5), [0.0, -20.0]),
    ):
        scaled = _scaled(sizes, part)
        np.testing.assert_array_equal(scaled.value, expected)
        assert scaled.error == 4.0 * 0.5 + 0.5 * EPS * 4.0 * 5.0
        exact = _scaled(sizes, Rounded(part.value))
        assert exact.error == 0.5 * EPS * 4.0 * 5.0


def test_error_bars_of_a_modified_field_by_hand():
    """G = diag(2, 10), h = 0.3: lambda (1 + h lambda/2) = 2.6 and 25; G is known to 40 eps, its solver's."""
    gradient = AffineField(np.diag([2.0, 10.0]), np.array([4.0, 5.0]))
    field = modified_affine_field(gradient, 0.3)
    bar = 2 * 2 * EPS * 10.0
    np.testing.assert_allclose(gradient.spectrum.error, [bar, bar], rtol=1e-15, atol=0)
    np.testing.assert_allclose(field.spectrum.values, [2.6, 25.0], rtol=1e-15)
    slope = 1.0 + 0.3 * np.array([2.0, 10.0])  # d/dlambda, at the bar's middle up to bar^2
    rounding = 2 * EPS * np.array([2.0, 10.0]) * (1.0 + 0.15 * 10.0)
    np.testing.assert_allclose(field.spectrum.error, bar * slope + rounding, rtol=1e-12, atol=0)
    w = np.array(
        [0.5, 0.25]
    )  # the field is (3, 2.5) there, and (3.9, 6.25) with the factors 1.3 and 2.5
    norm, own = gradient.norm(w)
    assert norm == pytest.approx(np.hypot(3.0, 2.5), rel=1e-15)
    found, reach = field.norm(w)
    assert found == pytest.approx(np.hypot(3.9, 6.25), rel=1e-15)
    assert reach == pytest.approx(2.5 * (own + EPS * norm), rel=1e-12, abs=0)


@pytest.mark.parametrize("value", [-3.0, 2.0])
def test_the_bar_of_a_modified_eigenvalue_is_attained(value):
    """lambda (1 + h lambda/2) at the far end of a wide bar, which is away from 0."""
    own, h = 0.5, 0.25
    gradient = SimpleNamespace(spectrum=Spectrum(np.array([value]), np.eye(1), np.array([own])))
    spectrum = _ModifiedEigen(gradient, h).spectrum
    ends = [x * (1 + h * x / 2) for x in (value - own, value, value + own)]
    assert spectrum.values == pytest.approx([ends[1]], rel=1e-15)
    worst = own * (1 + h * (abs(value) + own / 2))
    assert spectrum.error == pytest.approx([worst], rel=1e-13)
    if value > 0:
        assert ends[2] - ends[1] == pytest.approx(worst, rel=1e-14)
    assert max(abs(end - ends[1]) for end in ends) <= worst * (1 + 1e-14)


@pytest.mark.parametrize("unit", [1e-40, 1.0, 1e40])
def test_error_bars_of_a_small_eigenvalue_by_hand(unit):
    """Z = diag(2, z), z being four roundings of its column: 2 z (z/4) + (z/4)^2, in any unit of the losses."""
    from maml_ode.objectives.graded import decompose

    size, none = 1e3, np.zeros(2)
    u = Residual(np.eye(2), none + 1, none + 1, none, none + 1, 1.0, np.array([0, 1])).unit
    z = 4 * u * size
    residual = Residual(
        np.diag([2.0, z]), np.ones(2), np.full(2, unit), none, np.array([2.0, size]), 1.0,
        np.array([0, 1]),
    )  # fmt: skip
    spectrum = decompose(residual).spectrum
    np.testing.assert_allclose(spectrum.values, [unit * z**2, unit * 4.0], rtol=1e-14)
    off = np.array([z / 4, 2 * u])
    bars = unit * (2 * np.array([z, 2.0]) * off + off**2)
    np.testing.assert_allclose(spectrum.error, bars, rtol=1e-9, atol=0)


@pytest.mark.parametrize("unsure", [[0.1, 0.2, 0.0], [0.0, 0.0, 0.0]])
def test_the_norm_of_a_residual_field_and_its_bar_by_hand(unsure):
    Z, q = [[1.0, 2.0], [3.0, -4.0], [0.0, 1.0]], [1.0, 2.0, 3.0]
    phi, w, made_of = [2.0, -0.5, 1.0], [0.5, -1.0], [2.0, 3.0]
    residual = Residual(*map(np.array, (Z, q, phi, unsure)), np.ones(2), 1.0, np.array([0]))
    unit = 2 * EPS * (2 + np.sqrt(3.0) + 2.0)
    left = [
        b - sum(a * x for a, x in zip(row, w, strict=True)) for row, b in zip(Z, q, strict=True)
    ]
    assert left == [2.5, -3.5, 4.0]
    rounded = [unit * (1.0 + 2.0 + 6.0), unit * (2.0 + 6.0 + 12.0), unit * (3.0 + 3.0)]
    off = [
        abs(f) * (r + unit * abs(x)) + e * abs(x)
        for f, r, x, e in zip(phi, rounded, left, unsure, strict=True)
    ]
    norm, bar = residual.norm(np.array(w), np.array(made_of))
    # Z' (5, 1.75, 4) = (10.25, 7)
    assert norm == pytest.approx(np.hypot(10.25, 7.0), rel=1e-15)
    reach = off[0] + 3 * off[1], 2 * off[0] + 4 * off[1] + off[2]
    assert bar == pytest.approx(np.hypot(*reach), rel=1e-12, abs=0)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_field_of_two_families_is_that_of_its_steps(steps):
    """-grad of sum_i p_i s_i |y_i - X_i u_i|^2 by steps taken one by one, with their own derivative."""
    rng = np.random.default_rng(0)
    p, alpha, w, field = np.array([0.3, 0.7]), 0.05, rng.normal(size=3), np.zeros(3)
    support, query = (
        LeastSquares(
            [*rng.normal(size=(2, 4, 3))], [*rng.normal(size=(2, 4))], np.array([0.5, 1.5])
        )
        for _ in range(2)
    )
    for i in range(2):
        X, y, s = support.samples[i], support.targets[i], support.scales[i]
        u, slope = w, np.eye(3)
        for _ in range(steps):
            u = u - alpha * 2 * s * X.T @ (X @ u - y)
            slope = slope - alpha * 2 * s * X.T @ X @ slope
        X, y, s = query.samples[i], query.targets[i], query.scales[i]
        field -= p[i] * 2 * s * slope.T @ X.T @ (X @ u - y)
    found = maml_residual(support, query, p, alpha, steps)
    np.testing.assert_allclose(found.Z.T @ (found.phi * (found.q - found.Z @ w)), field, rtol=1e-12)


@pytest.mark.parametrize(("scale", "alpha"), [(1.0, 0.1), (1.0, -0.1), (4.0, 0.025)])
def test_a_weight_is_as_unsure_as_its_curvature_by_hand(scale, alpha):
    """One row of 3 parameters with |x|^2 = 4: 2 (1 + 3) eps (1 + 0.8) off in 1 -+ 0.8, squared."""
    family = LeastSquares([np.array([[0.0, 2.0, 0.0]])], [np.array([1.0])], np.array([scale]))
    residual = maml_residual(family, family, np.array([1.0]), alpha, 1)
    off, x = 2 * 4 * EPS * 1.8, 1.0 - np.copysign(0.8, alpha)
    assert residual.phi == pytest.approx([x**2], rel=1e-14)
    assert residual.phi_error == pytest.approx([2 * x * off + 2 * EPS * x**2], rel=0.1, abs=0)


@pytest.mark.parametrize("steps", [0, 2])
def test_the_form_of_two_quadratic_families_by_steps_one_by_one(steps):
    """Every term: curvature, slope and constant, with weights, of judges that are not the tasks' own."""
    rng = np.random.default_rng(3)
    half = rng.normal(size=(4, 3, 3))
    H, b, c = half + half.transpose(0, 2, 1), rng.normal(size=(4, 3)), rng.normal(size=4)
    p, alpha = np.array([0.2, 0.8]), 0.1
    tasks = mo.tasks.Quadratic(H[:2], b[:2], c[:2], weights=p)
    query = mo.tasks.Quadratic(H[2:], b[2:], c[2:], weights=p)
    F = mo.MAMLLoss(tasks, alpha, steps, query) if steps else mo.ExpectedLoss(query)
    form = F.quadratic_form
    for w in (np.zeros(3), *rng.normal(size=(3, 3))):
        value = 0.0
        for i in range(2):
            u = w
            for _ in range(steps):
                u = u - alpha * (H[i] @ u - b[i])
            value += p[i] * (u @ H[2 + i] @ u / 2 - b[2 + i] @ u + c[2 + i])
        assert form.value(w) == pytest.approx(value, rel=1e-13)
    huge = mo.tasks.Quadratic([1e200 * np.eye(1)], [[1.0]])
    assert mo.MAMLLoss(huge, 1e150).quadratic_form is None
    slope_only = mo.tasks.Quadratic([[[1e-200]]], [[1e200]])
    assert mo.MAMLLoss(slope_only, 1e200).quadratic_form is None


@pytest.mark.parametrize(
    ("H", "b", "alpha"), [(1.0, 1e300, -1e10), (1e200, 0.0, 1.0)], ids=["slope", "curvature"]
)
def test_first_order_fields_one_of_whose_numbers_overflows_have_no_matrix(H, b, alpha):
    tasks = mo.tasks.Quadratic([[[H]]], [[b]])
    assert fomaml_field(InnerSteps(tasks, tasks, alpha, 2)) is None
    assert reptile_field(InnerSteps(tasks, tasks, alpha, 3)) is None


def test_first_order_fields_know_their_eigenvalues_whatever_they_are_made_of():
    """By data, by matrices, and by data that are judged by others with the same curvature."""
    data = mo.tasks.LinearRegression([[[2.0, 0.0]]], [[1.0]])
    judge = mo.tasks.LinearRegression([[[2.0, 0.0]]], [[5.0]])
    given = mo.tasks.Quadratic([np.diag([3.0, 1.0])], [[1.0, 1.0]])
    h = data.hessians(np.zeros(2))[0, 0, 0]
    for support, query, wanted in (
        (data, data, [0.0, h * (1 - 0.1 * h)]),
        (data, judge, [0.0, h * (1 - 0.1 * h)]),
        (given, given, [0.9, 2.1]),
    ):
        field = fomaml_field(InnerSteps(support, query, 0.1, 1))
        np.testing.assert_allclose(field.spectrum.values, wanted, rtol=1e-14)
    np.testing.assert_allclose(
        reptile_field(InnerSteps(given, given, 0.1, 2)).spectrum.values, [1.9, 5.1], rtol=1e-14
    )


@pytest.mark.parametrize(("off", "is_one"), [(1e-12, True), (1.5e-12, False), (-1.5e-12, False)])
def test_a_matrix_is_symmetric_to_a_millionth_of_a_millionth_of_its_largest_entry(off, is_one):
    value = np.array([[1.0, off], [0.0, 0.3]])
    assert _is_symmetric(Rounded(value)) is is_one
    assert _is_symmetric(Rounded(4.0 * value.T)) is is_one
    assert _is_symmetric(Rounded(np.array([[0.0, 2.0], [2.0, 0.0]])))


@pytest.mark.parametrize(
    ("size", "phi", "fits"),
    [(1e149, 1.0, True), (1e151, 1.0, False), (1e140, 1e30, False), (1e140, 1e18, True),
     (1e151, 1e-10, False), (1e140, np.inf, False)],
)  # fmt: skip
def test_products_of_data_stay_below_the_root_of_the_largest_float(size, phi, fits):
    """Columns of that size, times the root of the largest weight where it is above 1, below 1e150."""
    one = np.ones(1)
    residual = Residual(
        size * np.ones((1, 2)), one, phi * one, 0 * one, size * np.ones(2), 1.0, np.array([0])
    )
    assert _finite(residual) is (residual if fits else None)
