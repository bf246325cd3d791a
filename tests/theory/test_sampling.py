"""What constants by sampling and over periods are made of, on problems whose numbers are known."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import maml_ode as mo
from maml_ode.theory import Ball
from maml_ode.theory.family_constants import linear_models, sampling, sinusoid


def lanczos(*matrices):
    stack = np.array(matrices)
    return sampling._lanczos_ends(
        lambda v: np.einsum("mij,mj->mi", stack, v), *stack.shape[:2], np.random.default_rng(1)
    )


def test_the_ends_of_spectra_by_products():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 8, 8))
    A = A + A.swapaxes(1, 2) - np.array([0.0, 20.0, -20.0])[:, None, None] * np.eye(8)
    assert lanczos(*A) == pytest.approx(np.linalg.eigvalsh(A)[:, [0, -1]], rel=1e-10)
    # one product spans an invariant subspace, two the other; no 0 comes from the rest
    ends = lanczos(2.0 * np.eye(6), np.diag([-3.0] * 3 + [-1.0] * 3))
    assert ends == pytest.approx(np.array([[2.0, 2.0], [-3.0, -1.0]]), rel=1e-10)
    unknown = lanczos(np.full((4, 4), np.nan), np.eye(4))
    assert unknown.shape == (2, 2)
    assert np.isnan(unknown).all()
    # of a large matrix the ends come first
    wide = np.diag(np.concatenate([[-50.0, 90.0], np.linspace(0.0, 1.0, 298)]))
    assert lanczos(wide)[0] == pytest.approx([-50.0, 90.0], rel=1e-10)


def test_sampled_constants_by_products_are_those_by_matrices(monkeypatch):
    rng = np.random.default_rng(4)
    tasks = mo.tasks.LogisticRegression(
        rng.normal(size=(2, 9, 5)), np.sign(rng.normal(size=(2, 9))), l2=0.1
    )
    dense = sampling.sampled_constants(tasks, Ball(np.zeros(5), 1.0))
    monkeypatch.setattr(sampling, "MATRIX_PER_TASK", 0)
    products = sampling.sampled_constants(tasks, Ball(np.zeros(5), 1.0))
    for name in ("mu", "L", "mu_f", "L_f", "sigma"):
        assert getattr(products, name) == pytest.approx(getattr(dense, name), rel=1e-9)


@pytest.mark.parametrize("thirds", [True, False])
def test_third_derivatives_of_cubics(thirds):
    """f_i = a_i x^3 + y^2: the largest |D^3 f_i[v, v, v]| is 6 |a_i|, at v = (1, 0)."""
    a = (2.0, -0.5)
    own = (
        {"thirds": lambda i, w, v: np.array([[6 * a[i] * v[0], 0.0], [0.0, 0.0]])} if thirds else {}
    )
    tasks = mo.tasks.from_callables(
        lambda i, w: a[i] * w[0] ** 3 + w[1] ** 2,
        lambda i, w: np.array([3 * a[i] * w[0] ** 2, 2 * w[1]]),
        lambda i, w: np.diag([6 * a[i] * w[0], 2.0]),
        n_tasks=2, dim=2, **own,
    )  # fmt: skip
    assert tasks.has_thirds is thirds
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = sampling._third_norms(tasks, np.array([0.3, -1.0]), 2.0, rng)
        assert found == pytest.approx([12.0, 3.0], rel=1e-9)


def test_a_jump_beyond_the_floats_is_that_of_its_task_alone():
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.0, lambda i, w: np.zeros(1),
        lambda i, w: np.full((1, 1), i * math.copysign(1.5e308, w[0] - 0.25)), n_tasks=2, dim=1,
    )  # fmt: skip
    found = sampling._third_norms(tasks, np.array([0.25]), 1.0, np.random.default_rng(0))
    assert found.tolist() == [0.0, math.inf]


def test_sample_points_fill_the_ball():
    ball = Ball([1.0, -2.0, 0.5], 0.7)
    points = sampling._points(ball, 40, np.random.default_rng(0))
    far = np.linalg.norm(points - ball.center, axis=1)
    assert points.shape == (41, 3)
    assert far[0] == 0.0
    assert far[1:21] == pytest.approx(np.full(20, 0.7), rel=1e-12)
    assert (far[21:] < 0.7).all()
    assert len(np.unique(far)) > 20
    assert far[21:].mean() == pytest.approx(
        0.7 * 0.75, rel=0.15
    )  # uniform in the ball: 3/4 of its radius


def test_what_sampling_says_of_a_quadratic():
    """Curvatures 1/2 and 3, everywhere: each is deflated or inflated by 1.2; argmin f = (2, 1/3)."""
    H, b = np.diag([0.5, 3.0]), np.array([1.0, 1.0])
    tasks = mo.tasks.from_callables(
        lambda i, w: w @ H @ w / 2 - b @ w, lambda i, w: H @ w - b, lambda i, w: H, n_tasks=1, dim=2
    )
    inside = sampling.sampled_constants(tasks, Ball([1.0, 0.0], 2.0))
    assert (inside.mu, inside.mu_f) == pytest.approx((0.5 / 1.2, 0.5 / 1.2), rel=1e-12)
    assert (inside.L, inside.L_f) == pytest.approx((3.6, 3.6), rel=1e-12)
    assert inside.minimizer == pytest.approx([2.0, 1 / 3], abs=1e-9)
    assert inside.sigma0 < math.inf


def test_nothing_is_known_where_a_loss_is_not_finite():
    """sqrt(w) on a ball that reaches below 0."""
    with np.errstate(invalid="ignore"):
        tasks = mo.tasks.from_callables(
            lambda i, w: np.sqrt(w[0]), lambda i, w: 0.5 / np.sqrt(w),
            lambda i, w: np.diag(-0.25 * w**-1.5), n_tasks=2, dim=1,
        )  # fmt: skip
        k = sampling.sampled_constants(tasks, Ball([0.5], 1.0))
    assert (k.mu, k.mu_f) == (-math.inf, -math.inf)
    assert (k.L, k.L_f, k.kappa, k.sigma) == (math.inf,) * 4
    assert k.mu_i.tolist() == [-math.inf] * 2
    assert k.L_i.tolist() == k.kappa_i.tolist() == [math.inf] * 2
    assert "not finite" in k.mu.note


def test_a_minimiser_outside_of_the_region_says_nothing_of_the_region():
    """f_i = +-40 w^4 + w^2 - 8 w: curvatures 2 +- 0.48 near 0 are unlike those on the way to argmin f = 4."""
    tasks = mo.tasks.Symbolic("s*w**4/100 + w**2 - 8*w", "w", {"s": [1.0, -1.0]})
    for region in (Ball([0.0], 0.5), mo.theory.Interval(-0.5, 0.5)):
        k = mo.theory.constants(tasks, region)
        assert k.mu_f > 0
        assert (k.minimizer, k.sigma0) == (None, math.inf)
    around = mo.theory.constants(tasks, Ball([4.0], 0.5))
    assert around.minimizer == pytest.approx([4.0], abs=1e-9)
    assert around.sigma0 == pytest.approx(4 * 4.0**3 / 100, rel=1e-6)
    ways = mo.tasks.from_callables(
        lambda i, w: w[0] ** 2, lambda i, w: 2 * w, lambda i, w: 2 * np.eye(1), n_tasks=2, dim=1
    )
    assert sampling.sampled_constants(ways, Ball([5.0], 1.0)).minimizer is None
    assert sampling.sampled_constants(ways, Ball([0.5], 1.0)).minimizer == pytest.approx([0.0])


def test_periods():
    assert sinusoid.common_period(np.array([4.0, 4e4])) == pytest.approx(math.pi / 2, rel=1e-14)
    assert sinusoid.common_period(np.array([4.0, 40004.0])) is None
    assert sinusoid.common_period(np.array([0.25, 5000.0])) is None  # 20,000 oscillations
    assert sinusoid.common_period(np.array([0.25, 2500.0])) == pytest.approx(8 * math.pi, rel=1e-14)
    assert sinusoid.common_period(np.empty(0)) == 1.0


def test_suprema_over_a_period():
    rng = np.random.default_rng(2)
    for shift in rng.uniform(0, 2 * math.pi, 10):
        bound, attained = sinusoid.supremum(
            lambda w, s=shift: (np.cos(w - s), -np.sin(w - s)), 1.0, 5.0, 2 * math.pi
        )
        assert 1.0 <= bound <= 1.0 + 1e-11
        assert attained
    assert sinusoid.supremum(lambda w: (np.cos(w), -np.sin(w)), 1.0, 5.0, None) == (5.0, False)
    # slopes +-1 and +-2 at their worst, -1/2 apart from the mean of 1 and -2: (1 + 4)/2 - 1/4
    assert sinusoid._independent_variance(np.array([1.0, 2.0]), np.array([0.5, 0.5])) == 2.25
    # the second moment where there are too many corners
    assert sinusoid._independent_variance(np.full(13, 3.0), np.full(13, 1 / 13)) == pytest.approx(9)


def test_the_supremum_of_a_spike_between_two_centres():
    """cos(w/2)^2n about an edge of the first cells, next to 0 at all their centres: only its bend tells of it."""
    n, edge = 1e8, 2 * math.pi * 100 / 4096

    def spike(w):
        x = 0.5 * (np.remainder(w - edge + math.pi, 2 * math.pi) - math.pi)
        value = np.exp(2 * n * np.log(np.cos(x)))
        return value, -n * np.tan(x) * value

    # f = exp(-n x^2/4) but for O(1/n), and f'' <= n exp(-3/2) < n/4
    bound, attained = sinusoid.supremum(spike, n / 4, 2.0, 2 * math.pi)
    assert attained
    assert 1.0 <= bound <= 1.0 + 4e-12
    flat = sinusoid.supremum(lambda w: (np.ones_like(w), np.zeros_like(w)), 1.0, 2.0, 2 * math.pi)
    # 2^20 evaluations do not tell a constant from what may bend by 1
    assert flat == (1.0 + 0.5 * (math.pi / 2**19) ** 2, False)


@pytest.mark.parametrize("seed", range(4))
def test_the_steepest_bend_of_a_variance(seed):
    """Attained by c cos(omega w) and -d cos(omega w); else not undercut by any of three waves."""
    rng = np.random.default_rng(seed)
    p, (c, d) = rng.dirichlet([2.0, 2.0]), rng.uniform(0.2, 3.0, 2)
    omega = float(rng.uniform(0.5, 4.0))
    variance = float(
        p @ [c**2, d**2] - (p @ [c, -d]) ** 2
    )  # V = variance cos^2, V'' <= 2 omega^2 of it
    found = sinusoid._bend_of_variance(np.array([c, d]), np.full(2, omega), p)
    assert found == pytest.approx(2 * omega**2 * variance, rel=1e-12)
    assert sinusoid._bend_of_variance(
        np.array([c]), np.array([omega]), np.ones(1)
    ) == pytest.approx(0.0, abs=1e-12)

    # of unlike frequencies without a common period the phases come as near to any as one likes
    p, c = rng.dirichlet([1.0] * 3), rng.uniform(0.2, 3.0, 3)
    omega = rng.uniform(0.2, 4.0, 3)
    w = rng.uniform(-1e3, 1e3, 20_000)
    signs = np.array([1.0, -1.0, 1.0])[:, None]
    phase = omega[:, None] * w
    g, dg, ddg = (
        signs * c[:, None] * x
        for x in (
            np.cos(phase),
            -omega[:, None] * np.sin(phase),
            -(omega[:, None] ** 2) * np.cos(phase),
        )
    )
    bends = 2 * (p @ (dg**2 + g * ddg) - (p @ dg) ** 2 - (p @ g) * (p @ ddg))
    top = sinusoid._bend_of_variance(c, omega, p)
    assert bends.max() <= top * (1 + 1e-12)
    assert top <= 3 * bends.max()


@pytest.mark.parametrize("seed", range(4))
def test_suprema_of_sums_of_waves(seed):
    """Of f'' and of the deviation, against the highest of a fine grid and a search from there."""
    rng = np.random.default_rng(seed)
    b, omega = rng.uniform(-2, 2, 3), rng.choice(np.arange(1, 8), 3, replace=False).astype(float)
    k = mo.theory.constants(mo.tasks.Sinusoid([0.5] * 3, b, omega))

    def highest(function):
        grid = np.linspace(0, 2 * math.pi, 4001)
        w = grid[np.argmax([function(x) for x in grid])]
        found = minimize_scalar(
            lambda x: -function(x), bounds=(w - 2e-3, w + 2e-3), method="bounded",
            options={"xatol": 1e-12},
        )  # fmt: skip
        return -found.fun

    def bend(w):
        return 1.0 + (b * omega**2 * np.sin(omega * w)).mean()

    assert k.L_f == pytest.approx(highest(bend), rel=1e-10)
    assert k.mu_f == pytest.approx(-highest(lambda w: -bend(w)), rel=1e-10)
    wanted = highest(lambda w: np.std(b * omega * np.cos(omega * w)))
    assert k.sigma == pytest.approx(wanted, rel=1e-10)
    assert {q.status.value for q in (k.L_f, k.mu_f, k.sigma)} == {"exact"}


def test_constants_of_linear_models_by_hand():
    small = mo.tasks.LogisticRegression([[[0.1]]], [[1.0]])
    assert pytest.approx(0.01 / 4, rel=1e-12) == mo.theory.constants(small).L
    X, y = np.array([[1.0], [2.0], [0.5], [3.0]]), np.array([1.0, -1.0, 1.0, -1.0])
    groups = np.array(["a", "a", "b", "b"])
    for family, without, left_out in (
        (mo.tasks.LogisticRegression, "l2 = 0: not strongly convex", "0 along the intercept"),
        (mo.tasks.SVM, "l2 = 0: not known to be strongly convex", "l2 leaves out the intercept"),
    ):
        for l2, words in ((0.0, without), (0.1, left_out)):
            tasks = family.from_table(X, y, groups, fit_intercept=True, l2=l2)
            assert words in mo.theory.constants(tasks).mu.note


def test_equal_tasks_differ_by_their_slopes_alone_and_small_data_have_small_constants():
    """One sample x = 0.1 in both tasks: R = |x|, about the common middle R/2 remains, and L = x^2/4."""
    k = mo.theory.constants(mo.tasks.LogisticRegression([[[0.1]]] * 2, [[1.0]] * 2))
    assert (k.sigma, k.L) == pytest.approx((0.05, 0.0025), rel=1e-12)
    ends = linear_models._gram_extremes(np.diag([0.1, 0.2]))
    assert ends == pytest.approx((0.01, 0.04), rel=1e-12)


def test_the_largest_derivatives_of_the_losses():
    """sup of sigma'', and of the second and third derivatives of log(1 + e^x)^2."""
    x = np.linspace(-8, 12, 2_000_001)
    s = 0.5 * (1 + np.tanh(0.5 * x))
    soft = np.logaddexp(0.0, x)
    second = 2 * (s**2 + soft * s * (1 - s))
    third = np.abs(6 * s**2 * (1 - s) + 2 * soft * s * (1 - s) * (1 - 2 * s))
    for value, seen in (
        (linear_models.LOGISTIC_THIRD, (s * (1 - s) * np.abs(1 - 2 * s)).max()),
        (linear_models.SQUARED_SOFTPLUS_SECOND, second.max()),
        (linear_models.SQUARED_SOFTPLUS_THIRD, third.max()),
    ):
        assert seen <= value * (1 + 1e-12)
        assert value <= seen * (1 + 2e-5)
