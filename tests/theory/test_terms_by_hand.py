"""Terms of bounds and certificates that a small problem does not make active by itself, recomputed by loops."""

import math

import numpy as np
import pytest

import maml_ode as mo
from maml_ode import theory
from maml_ode.theory.bounds.sublevel_sets import landscapes
from maml_ode.theory.budget import OutOfTime, check_time, time_limit

WAVES = mo.tasks.Sinusoid([1.0, 1.5, 2.0], [0.3, 0.2, 0.8], [1.0, 2.0, 1.2], [0.5, 0.2, 0.3])


@pytest.mark.parametrize("c", [0.0, 0.1, 2.0])
def test_the_tasks_own_constants_sharpen_the_range_of_the_hessian(c):
    alpha, k = 0.02, theory.constants(WAVES)
    [own] = landscapes(k, alpha)[:1]
    [common] = landscapes(k, alpha, per_task=False)[:1]
    gamma = own.mean_gradient_norm(c)
    rms = math.sqrt(
        sum(
            p * (q * (1 - alpha * m)) ** 2
            for p, q, m in zip(k.weights, k.kappa_i, k.mu_i, strict=True)
        )
    )
    low = sum(
        p * m * (1 - alpha * L) ** 2 for p, m, L in zip(k.weights, k.mu_i, k.L_i, strict=True)
    )
    high = sum(
        p * L * (1 - alpha * m) ** 2 for p, m, L in zip(k.weights, k.mu_i, k.L_i, strict=True)
    )
    assert own.strong_convexity(c) == pytest.approx(
        max(common.strong_convexity(c), low - alpha * rms * gamma), rel=1e-12
    )
    assert own.smoothness(c) == pytest.approx(
        min(common.smoothness(c), high + alpha * rms * gamma), rel=1e-12
    )
    assert own.smoothness(c) < common.smoothness(c)
    assert own.strong_convexity(c) > common.strong_convexity(c)


def test_where_sums_of_noise_overflow_or_vanish():
    kappa = {"kappa": 1.0, "mu_f": 1.0, "L_f": 2.0}
    assert theory.Landscape(alpha=0.1, mu=1.0, L=2.0, sigma=0.0, **kappa).gap_floor == 0.0
    assert theory.Landscape(alpha=0.5, mu=1.0, L=2.0, sigma=1.0, **kappa).gap_floor == math.inf
    assert theory.Landscape(alpha=0.1, mu=1.0, L=2.0, sigma=math.inf, **kappa).gap_floor == math.inf
    # A'A has psi = 2 c0^2 - b^2 < 0 where c0/b < 1/sqrt 2, whatever the noise
    assert theory.Landscape(alpha=0.49, mu=0.01, L=2.0, sigma=0.0, **kappa).gap_floor == math.inf


def test_a_task_without_weight_may_have_no_constants_in_the_range_of_the_hessian():
    tasks = mo.tasks.Quadratic(
        [[[1.0]], [[2.0]], [[1e3]]], np.zeros((3, 1)), weights=[0.5, 0.5, 0.0]
    )
    k = theory.constants(tasks)
    [own, *_] = landscapes(k, 1e-4)
    assert own.smoothness(0.0) == pytest.approx(0.5 * (1 * 0.9999**2 + 2 * 0.9998**2), rel=1e-9)
    assert math.isfinite(own.strong_convexity(0.0))


def test_what_is_certified_of_relatives():
    report = theory.certify(WAVES, 0.1, w0=[0.5])
    k = theory.constants(WAVES)
    rate = k.mu / (1 + 0.1 * k.mu)
    moreau = report["moreau_rate"]
    assert moreau.holds
    assert (moreau.value, moreau.bound) == (pytest.approx(rate), 0.0)
    assert moreau.slack == moreau.value
    on_a_region = theory.certify(
        WAVES, 0.1, w0=[0.5], constants=theory.constants(WAVES, theory.Interval(-1.0, 1.0))
    )
    assert on_a_region["moreau_rate"].holds is None
    assert "fomaml_floor" not in {item.name for item in on_a_region}
    for alpha in (0.0, 1.0 / k.L, 0.9):  # none of alpha = 0, alpha L = 1 and alpha L > 1
        names = {item.name for item in theory.certify(WAVES, alpha, w0=[0.5])}
        assert not names & {"moreau_rate", "fomaml_floor"}
    assert "moreau_rate" in {item.name for item in theory.certify(WAVES, 0.99 / k.L, w0=[0.5])}


def test_a_limit_of_time_ends_and_is_lifted():
    with time_limit(60.0):
        check_time()
        with time_limit(None):
            check_time()
    with time_limit(0.0), pytest.raises(OutOfTime):
        check_time()
    check_time()
