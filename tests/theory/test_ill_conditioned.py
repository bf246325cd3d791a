"""Certificates of quadratics at condition numbers up to 1e18, against 60 digits of mpmath.

What is said to be exact is, to 1e-10; what is a bound lies on its safe side; nothing crashes.
"""

import mpmath
import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import Status, certify

mpmath.mp.dps = 60


def matrix(rng, d, condition):
    q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    H = q @ np.diag(np.geomspace(1.0, 1.0 / condition, d)) @ q.T
    return 10.0 ** rng.uniform(-3, 3) * 0.5 * (H + H.T)


def oracle(tasks, alpha, inner):
    """Return eigenvalues, eigenvectors and c of the exact G from the tasks' floats."""
    terms, d = tasks.quadratic, tasks.dim
    G, c = mpmath.zeros(d), mpmath.zeros(d, 1)
    for p, H, b in zip(tasks.weights, terms.H, terms.b, strict=True):
        H, b = mpmath.matrix(H.tolist()), mpmath.matrix(b.tolist())
        A = mpmath.eye(d) - mpmath.mpf(alpha) * H if inner else mpmath.eye(d)
        r = mpmath.mpf(alpha) * b if inner else mpmath.zeros(d, 1)
        G += mpmath.mpf(float(p)) * (A * H * A)
        c += mpmath.mpf(float(p)) * (A * (b - H * r))
    values, vectors = mpmath.eigsy(G)
    return list(values), vectors, G, c


def norm_after(G_parts, w, factor):
    """Return ||V factor(lambda) V'(G w - c)||."""
    values, vectors, G, c = G_parts
    parts = vectors.T * (G * mpmath.matrix([float(x) for x in w]) - c)
    return mpmath.sqrt(sum((factor(v) * x) ** 2 for v, x in zip(values, parts, strict=True)))


def check(tasks, alpha, w0, tol):
    """Compare every number of the certificates with the oracle; return the names of those that were exact."""
    report = certify(tasks, alpha, w0=w0, tol=tol, switch_tol=1e3 * tol)
    exact = oracle(tasks, alpha, inner=True)
    low, high = min(exact[0]), max(exact[0])
    found = set()

    rate = report["quadratic_exact"]
    if rate.status is Status.EXACT:
        assert abs(rate.value - low) <= 1e-10 * abs(low)
        found.add("rate")
    else:
        assert rate.value <= low
    unique = report["unique_minimum"].holds
    assert unique is not True or low > 0
    assert unique is not False or low <= 0

    step = report["step_size_limit"]
    if step.status is Status.EXACT:
        assert abs(step.value * high / 2 - 1) <= 1e-10
        found.add("step")
    else:
        assert step.value * high <= 2

    time = report["time_bound"]
    assert time.holds is not False
    if time.holds:
        assert norm_after(exact, w0, lambda v: mpmath.exp(-v * time.bound)) <= tol
        assert time.value <= time.bound
        if time.status is Status.EXACT and time.value > 0:
            reached = norm_after(exact, w0, lambda v: mpmath.exp(-v * time.value))
            assert abs(reached / tol - 1) <= 1e-10 * max(float(high) * time.value, 1)
            found.add("time")

    steps = report["iteration_bound"]
    if steps.holds and np.isfinite(steps.bound):
        size = mpmath.mpf(float(steps.note.split("= ")[-1]))
        reached = norm_after(exact, w0, lambda v: abs(1 - size * v) ** int(steps.bound))
        assert reached <= tol
        found.add("steps")
    return found


def test_nothing_is_violated_up_to_condition_1e18():
    number = 60
    rng = np.random.default_rng(20261125)
    found = []
    for k in range(number):
        d, M = int(rng.integers(1, 4)), 1 if k % 3 else 2
        condition = 10.0 ** (rng.uniform(12, 14.5) if k % 2 else rng.uniform(0, 18))
        tasks = mo.tasks.Quadratic(
            [matrix(rng, d, condition) for _ in range(M)], rng.uniform(-1, 1, (M, d))
        )
        L = float(mo.theory.constants(tasks).L)
        w0 = rng.standard_normal(d) * 10.0 ** rng.uniform(-1, 1)
        found.append(check(tasks, rng.uniform(0.0, 0.9) / L, w0, 10.0 ** rng.uniform(-9, -3) * L))
    for name in ("rate", "step", "time", "steps"):
        assert sum(name in one for one in found) >= number // 8, name


def test_nothing_is_violated_where_alpha_cancels_the_curvature():
    number = 40
    """|1 - alpha h| down to half of rounding: what is left of h (1 - alpha h)^2 is rounding."""
    rng = np.random.default_rng(7)
    for k in range(number):
        h = 10.0 ** rng.uniform(-3, 3)
        alpha = (1.0 + rng.choice([-1, 1]) * 10.0 ** rng.uniform(-16.5, -6)) / h
        d = 1 + k % 2
        H = h * np.eye(d) + (k % 4 == 3) * np.diag(np.arange(d)) * h * 1e-9
        w0 = rng.uniform(1, 2, d) * 10.0 ** rng.uniform(0, 12)
        check(
            mo.tasks.Quadratic([H], np.zeros((1, d))), alpha, w0, 10.0 ** rng.uniform(-15, -3) * h
        )


def flowed(parts, w, t):
    """Return w(t) of the exact flow from ``w``."""
    values, vectors, G, c = parts
    centre = mpmath.lu_solve(G, c)
    start = vectors.T * (mpmath.matrix([mpmath.mpf(x) for x in w]) - centre)
    moved = [mpmath.exp(-v * t) * x for v, x in zip(values, start, strict=True)]
    return centre + vectors * mpmath.matrix(moved)


def norm_at(parts, w):
    return mpmath.norm(parts[2] * mpmath.matrix(list(w)) - parts[3])


def switch_time(parts, w0, eps0):
    def excess(t):
        return mpmath.log(norm_at(parts, flowed(parts, w0, t)) / eps0)

    end = mpmath.log(norm_at(parts, w0) / eps0) / min(parts[0])
    return mpmath.findroot(excess, (0, end), solver="anderson")


def test_two_phases_reach_the_tolerance_in_the_bound():
    """The flow of f to eps0 and then that of F, both by mpmath."""
    rng = np.random.default_rng(3)
    held, exact = 0, 0
    for k in range(12):
        d, condition = 1 + k % 3, 10.0 ** rng.uniform(0, 10 if k % 2 else 3)
        tasks = mo.tasks.Quadratic(
            [matrix(rng, d, condition) for _ in range(2)], rng.uniform(-1, 1, (2, d))
        )
        alpha, w0 = 0.3 / float(mo.theory.constants(tasks).L), rng.standard_normal(d)
        f, F = oracle(tasks, alpha, inner=False), oracle(tasks, alpha, inner=True)
        start = float(norm_at(f, w0))
        eps0, tol = 1e-2 * start, 1e-5 * start
        report = certify(tasks, alpha, w0=w0, switch_tol=eps0, tol=tol)["bimaml_time"]
        if not report.holds:
            continue
        switch = switch_time(f, w0, eps0)
        state = flowed(f, w0, switch)
        assert norm_at(F, flowed(F, state, report.bound - switch)) <= tol
        held += 1
        if report.status is Status.EXACT:
            exact += 1
            reached = norm_at(F, flowed(F, state, report.value - switch))
            assert abs(reached / tol - 1) <= 1e-8
    assert held >= 8
    assert exact >= 3


@pytest.mark.parametrize(
    ("H", "b", "alpha", "w0", "tol"),
    [
        (
            [[0.40581756973367267, 0.4910495594429611], [0.4910495594429611, 0.5941824302663312]],
            [-0.7708322971089947, 0.6370381226690208], 0.25, [0.0, 0.0], 1e-6,
        ),
        (
            [[0.7365569006847293, -0.20155515214417558, -0.3916839115290727],
             [-0.20155515214417558, 0.05515461781803521, 0.10718219640535047],
             [-0.3916839115290727, 0.10718219640535047, 0.20828903456892686]],
            [-0.377631441598554, -0.8911268999611209, -0.25156975669161896], 0.5, [0.0] * 3, 1e-6,
        ),
        ([[3.465481269627542]], [0.0], 0.2885602093453286, [1e12], 1e-15),
        ([[0.0012143797338379353]], [0.0], 823.4656525760618, [1.0], 1e-9),
    ],
    ids=["bound too short by rounding", "bracket of two solvers", "one step", "one value"],
)  # fmt: skip
def test_problems_that_were_certified_wrongly(H, b, alpha, w0, tol):
    check(mo.tasks.Quadratic([H], [b]), alpha, w0, tol)


def deviations(tasks):
    """Return the exact (G, nu, sd at argmin f) of a family's floats, and the extreme eigenvalues of its tasks."""
    H = [mpmath.matrix(one.tolist()) for one in tasks.quadratic.H]
    b = [mpmath.matrix(one.tolist()) for one in tasks.quadratic.b]
    p, d = [mpmath.mpf(float(x)) for x in tasks.weights], tasks.dim
    G = sum((x * one for x, one in zip(p, H, strict=True)), mpmath.zeros(d))
    w = mpmath.lu_solve(G, sum((x * one for x, one in zip(p, b, strict=True)), mpmath.zeros(d, 1)))
    second = sum((x * (one - G) ** 2 for x, one in zip(p, H, strict=True)), mpmath.zeros(d))
    inverse = G**-1
    product = inverse * second * inverse
    nu = mpmath.sqrt(max(mpmath.eigsy((product + product.T) / 2, eigvals_only=True)))
    rests = [one * w - c for one, c in zip(H, b, strict=True)]
    sd = mpmath.sqrt(sum(x * mpmath.norm(rest) ** 2 for x, rest in zip(p, rests, strict=True)))
    ends = [mpmath.eigsy(one, eigvals_only=True) for one in H]
    return G, nu, sd, min(min(e) for e in ends), max(max(e) for e in ends)


def test_how_far_tasks_are_apart_is_known_or_bounded_from_above_at_every_condition():
    """The pair (sigma0, nu) of 120 families of different Hessians, and what it is at most where it is a bound."""
    rng = np.random.default_rng(23)
    kinds = set()
    for trial in range(120):
        d, condition = 1 + trial % 4, 10.0 ** rng.uniform(0, 15)
        unit = 10.0 ** rng.choice([-9, 0, 9])
        H = [matrix(rng, d, condition) for _ in range(2 + trial % 2)]
        if trial % 3 == 0:  # all are soft in nearly the same direction, so that their mean is
            H = [one * (1.0 + 0.3 * k) for k, one in enumerate([H[0]] * len(H))]
        weights = rng.dirichlet(np.ones(len(H)))
        b = 1e6 ** rng.integers(-1, 2) * rng.standard_normal((len(H), d))
        tasks = mo.tasks.Quadratic(unit * np.array(H), b, weights=weights)
        found = mo.theory.constants(tasks)
        if found.minimizer is None:
            continue
        G, nu, sd, mu, L = deviations(tasks)
        soft = min(mpmath.eigsy(G, eigvals_only=True))
        widest = (L - mu) / (2 * soft)
        unit = 2.0**-52 * (d + len(H))
        own = 0.5 * (float(found.L) - float(found.mu)) / float(found.mu_f)
        lost = 16.0 * unit * float(found.L_f / found.mu_f)
        known, exact = (one.status is Status.EXACT for one in (found.nu, found.sigma0))
        if known:
            assert abs(found.nu / nu - 1) <= 1e-10
        elif lost < 1e-2:
            assert abs((found.nu - nu) / (lost * (1 + nu)) - 1) <= 0.5
            kinds.add("bound of nu")
        else:  # what eigenvalues between mu and L allow
            assert nu <= found.nu
            assert float(found.nu) == pytest.approx(own, rel=1e-12)
            kinds.add("fallback")
        if exact:
            assert abs(found.sigma0 / sd - 1) <= 1e-10
        else:
            largest = float(max(abs(L), abs(mu)))
            size = largest * np.linalg.norm(found.minimizer) + float(np.abs(b).max())
            margin = (1.0 + own) * 4.0 * unit * size
            assert 0.5 <= (found.sigma0 - sd) / margin <= 1.5
            kinds.add("bound of sigma0")
        kinds |= {"exact nu"} if known else set()
        kinds |= {"exact sigma0"} if exact else set()
        assert widest >= nu * (1 - mpmath.mpf(10) ** -30)
    assert kinds == {"exact nu", "bound of nu", "fallback", "exact sigma0", "bound of sigma0"}


def test_an_eigenvalue_that_is_small_beside_the_others_is_bounded_from_its_own_side():
    """mu of a matrix whose largest is huge, L of one whose smallest is; of two floats, against mpmath."""
    rng = np.random.default_rng(5)
    for _ in range(40):
        q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        H = q @ np.diag([1e12, 1.0, 1e-3]) @ q.T
        H = 0.5 * (H + H.T)
        for sign in (1.0, -1.0):
            tasks = mo.tasks.Quadratic(sign * np.array([H, 2.0 * H]), np.zeros((2, 3)))
            found = mo.theory.constants(tasks)
            ends = [
                mpmath.eigsy(mpmath.matrix((sign * k * H).tolist()), eigvals_only=True)
                for k in (1.0, 2.0)
            ]
            mu, L = min(min(e) for e in ends), max(max(e) for e in ends)
            small, large = (found.mu, found.L) if sign > 0 else (found.L, found.mu)
            assert (small.status, large.status) == (Status.BOUND, Status.EXACT)
            assert found.mu <= mu + abs(mu) * 1e-10 if sign < 0 else found.mu <= mu
            assert found.L >= L if sign < 0 else found.L >= L * (1 - 1e-10)
            assert abs(small - (mu if sign > 0 else L)) <= 0.1


def test_tasks_that_cancel_in_their_mean_are_far_apart():
    """diag(2, -1) and diag(2, 1 + 2e-12): G = diag(2, 1e-12), and nu = 1e12 of at most (2 + 1)/2 1e12."""
    tasks = mo.tasks.Quadratic([np.diag([2.0, -1.0]), np.diag([2.0, 1.0 + 2e-12])], np.ones((2, 2)))
    found = mo.theory.constants(tasks)
    _, nu, _, _, _ = deviations(tasks)
    assert nu <= found.nu <= 1.51 * nu
