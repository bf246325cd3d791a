"""The edges of the bounds: where a branch changes, where nothing is promised, and matrices that turn."""

import math
import types

import numpy as np
import pytest
import rich.progress
from scipy.linalg import eigh
from scipy.optimize import brentq

import maml_ode as mo
from maml_ode.theory import derived
from maml_ode.theory.bounds import (
    descent_steps,
    flow_times,
    lemmas,
    pointwise,
    printed,
    products,
    step_limits,
)  # fmt: skip
from maml_ode.theory.bounds.logarithms import whole_steps
from maml_ode.theory.bounds.near_a_point import local_certificate
from maml_ode.theory.bounds.sublevel_sets import Landscape, landscapes
from maml_ode.theory.bounds.switch_advice import switch_advice, switched_once
from maml_ode.theory.certificates.bar import certificate_bar
from maml_ode.theory.certificates.bounding_curves import _gap_and_gradient
from maml_ode.theory.certificates.of_a_run import bimaml_certificate
from maml_ode.theory.certificates.setting import Setting

from .by_hand import ALPHA, L_I, MU, MU_I, SIGMA, TASKS, X_STAR, known


@pytest.mark.parametrize(
    ("phases", "switches", "once"),
    [
        ([0, 0, 1, 1], [1.0], True),
        ([0, 0, 0], [], True),
        ([0, 1, 0], [1.0], False),
        ([1, 0], [1.0], False),
        ([0, 0, 1], [1.0, 1.5, 1.7], False),  # between two records it was back
    ],
)
def test_a_run_that_switched_once(phases, switches, once):
    run = types.SimpleNamespace(phase=np.array(phases), switch_times=np.array(switches))
    assert switched_once(run) is once


def test_phase_1_that_is_as_dear_as_phase_2_never_pays():
    tasks = mo.tasks.Quadratic([[[2.0]], [[2.0]]], [[1.0], [-1.0]])
    advice = switch_advice(tasks, 0.0, 1.0)  # alpha = 0: F = f, so kappa_c = c = 1
    assert (advice.kappa_c, advice.switch_tol, advice.rule) == (1.0, None, None)


def test_one_number_beyond_the_range_among_many_is_seen():
    with pytest.raises(ValueError, match="mu must be at most L"):
        derived.psi(0.1, [1.0, 3.0], [2.0, 2.0])
    with pytest.raises(ValueError, match="alpha must be at most 1/L"):
        derived.psi([0.1, 0.6], 1.0, 2.0)
    with pytest.raises(ValueError, match="alpha must not be negative"):
        derived.psi([0.1, -0.1], 1.0, 2.0)
    low, high = products.contraction_range(1.0 + 1e-12, 1.0, 1.0)  # 1/L rounded up
    assert (low, high) == (0.0, pytest.approx(0.0, abs=1e-11))
    assert products.contraction_range(1.0 / 49.0, 0.0, 49.0)[0] == pytest.approx(0.0, abs=1e-15)


def test_none_is_a_number_only_where_it_is_the_default():
    @products.of_single_numbers
    def either(x, y=None, z=2.0):
        return (x, y, z)

    assert either(1) == (1.0, None, 2.0)
    assert either(1, None) == (1.0, None, 2.0)
    assert either(1, 3, 4) == (1.0, 3.0, 4.0)
    for wrong in ((None,), (1, 2, None)):
        with pytest.raises((TypeError, ValueError)):
            either(*wrong)


def test_the_defect_of_no_step_is_zero():
    assert derived.defect_norm(0.0, 1.0, 2.0) == 0.0
    assert derived.defect_norm([0.0, 0.5], 1.0, 2.0) == pytest.approx(
        [0.0, 1.0 / math.sqrt(0.9375)]
    )


def test_a_whole_number_of_steps_is_rounded_up_by_one_part_in_a_trillion_only():
    assert whole_steps(1e11 + 0.85, 1.0) == 1e11 + 1
    assert whole_steps(1e11 + 0.95, 1.0) == 1e11 + 2


def turned(rng, d):
    H = rng.normal(size=(d, d))
    return H @ H.T / d + np.eye(d)


def test_a_ball_in_the_plane_by_hand():
    """Tasks whose Hessians do not commute: A H A as matrices, not entry by entry."""
    rng = np.random.default_rng(3)
    alpha, z = 0.1, np.array([0.3, -0.2, 0.5])
    H = np.array([turned(rng, 3) for _ in range(2)])
    tasks = mo.tasks.Quadratic(H, rng.normal(size=(2, 3)))
    pulls = [(np.eye(3) - alpha * h) @ h @ (np.eye(3) - alpha * h) for h in H]
    wanted = eigh(0.5 * (pulls[0] + pulls[1]), eigvals_only=True)[0]
    spectra = np.linalg.eigvalsh(H)
    found = local_certificate(
        tasks, alpha, z, mu_i=spectra[:, 0], L_i=spectra[:, -1], kappa_i=[0.0, 0.0]
    )
    assert found.strong_convexity == pytest.approx(wanted, rel=1e-12)
    assert found.unique is True


def test_a_gradient_of_zero_on_a_ridge_certifies_nothing():
    """At a maximum of F the gradient is 0 and m_loc < 0: no critical point is called unique."""
    ridge = mo.tasks.Quadratic([[[-2.0]]], [[0.0]])
    for radius in (None, 0.5):
        found = local_certificate(
            ridge, 0.1, [1.0], mu_i=[-2.0], L_i=[-2.0], kappa_i=[0.0], radius=radius
        )
        assert found.strong_convexity == pytest.approx(-2 * 1.2**2, rel=1e-14)
        assert (found.unique, found.distance) == (False, math.inf)
    level = mo.tasks.Quadratic([[[0.0]]], [[0.0]])  # F = 0: base and slope are both 0
    found = local_certificate(level, 0.1, [1.0], mu_i=[0.0], L_i=[0.0], kappa_i=[0.0])
    assert (found.unique, found.radius) == (False, 0.0)
    # far from the minimiser of a convex F the ball must be large enough
    bowl = mo.tasks.Quadratic([[[2.0]]], [[0.0]])
    m = 2 * 0.8**2
    for radius, unique in ((2.9, False), (3.1, True)):
        found = local_certificate(
            bowl, 0.1, [3.0], mu_i=[2.0], L_i=[2.0], kappa_i=[0.0], radius=radius
        )
        assert found.gradient_F_norm == pytest.approx(3 * m, rel=1e-14)
        assert found.unique is unique


def test_nothing_outside_of_the_domain_has_a_radius():
    tasks = mo.tasks.from_callables(
        lambda i, w: np.log(w).sum(), lambda i, w: np.where(w > 0, 1 / w, np.nan),
        lambda i, w: np.diag(np.where(w > 0, -1 / w**2, np.nan)), n_tasks=1, dim=1,
    )  # fmt: skip
    found = local_certificate(tasks, 1.0, [0.5], mu_i=[-1.0], L_i=[1.0], kappa_i=[1.0], radius=0.1)
    assert found.radius == 0.0


def test_logistic_deviation_by_hand():
    """Slopes in [0, 1]: the tasks' middles differ by 1/8, and R = 3/2 and 5/4."""
    X, y = [np.array([[1.0], [2.0]]), np.array([[1.0], [1.5]])], [np.array([1.0, -1.0])] * 2
    k = mo.theory.constants(mo.tasks.LogisticRegression(X, y, l2=0.1))
    rms = math.sqrt((1.5**2 + 1.25**2) / 2)
    assert float(k.sigma) == pytest.approx(1 / 16 + rms / 2, rel=1e-13)


def test_a_task_without_features_does_not_bend():
    """The squared hinge's third derivative is unbounded, but it is multiplied by X = 0."""
    X, y = np.array([[[0.0]], [[2.0]]]), np.array([[1.0], [1.0]])
    k = mo.theory.constants(mo.tasks.SVM(X, y, loss="squared_hinge", l2=0.1))
    assert k.kappa_i.tolist() == [0.0, math.inf]
    k = mo.theory.constants(mo.tasks.LogisticRegression(X, y, l2=0.1))
    assert k.kappa_i == pytest.approx([0.0, 8 / (6 * math.sqrt(3))], rel=1e-13)


def test_the_bar_counts_what_is_done(monkeypatch, capsys):
    bars = []

    class Kept(rich.progress.Progress):
        def __init__(self, *args, **named):
            super().__init__(*args, **named)
            bars.append(self)

    monkeypatch.setattr(rich.progress, "Progress", Kept)
    with certificate_bar(False, 3) as begin:
        begin("nothing")
    assert not bars
    with certificate_bar(True, 3) as begin:
        task = bars[0].tasks[0]
        for done, name in enumerate(("first", "second", "third")):
            begin(name)
            assert (task.completed, task.total, task.description) == (done, 3, name)
    assert (task.completed, task.description) == (3, "done")
    out, err = capsys.readouterr()
    assert out == ""
    assert "certify" in err


def test_a_descent_that_vanishes_promises_nothing():
    """With alpha L = 1/2 and L_f beta = 1/2 both terms of P are exactly 1/4."""
    still = Landscape(alpha=0.25, mu=0.0, L=2.0, kappa=0.0, mu_f=0.5, L_f=2.0, sigma=0.1)
    assert descent_steps.descent_coefficients(still, 0.25)[0] == 0.0
    assert descent_steps.gap_after_step(still, 1.0, 0.25) == math.inf
    assert descent_steps.discrete_level_floor(still, 0.25) == math.inf


def test_steps_are_counted_from_far_outside_of_where_F_is_convex():
    """Without noise V(c) shrinks to argmin f; m(c) > 0 only for c some 1e18 times smaller than at the start."""
    bent = Landscape(alpha=0.1, mu=1.0, L=2.0, kappa=1.0, mu_f=1.0, L_f=2.0, sigma=0.0)
    assert bent.strong_convexity(1e4) < 0 < bent.strong_convexity(1.0)
    found = descent_steps.iteration_bound(bent, 1e10, 0.25, 1e-3)

    gap, steps = bent.level(1e10), 0
    while gap > found.level:
        gap, steps = descent_steps.gap_after_step(bent, gap, 0.25), steps + 1
    assert steps <= found.approach <= 2 * steps + 2
    assert found.approach < found.total < math.inf


@pytest.mark.parametrize("change", [{"alpha": 0.6}, {"alpha": 0.5}, {"mu": 0.0}, {"mu": -1.0}])
def test_no_unique_minimum_is_claimed_outside_of_the_hypotheses(change):
    numbers = {
        "alpha": 0.1,
        "mu": 1.0,
        "L": 2.0,
        "kappa": 0.0,
        "mu_f": 1.0,
        "L_f": 2.0,
        "sigma": 0.0,
    }
    assert flow_times.unique_minimum_level(Landscape(**numbers)) == 0.0
    assert flow_times.unique_minimum_level(Landscape(**{**numbers, **change})) is None


def test_a_curvature_of_exactly_zero_makes_no_minimum_unique():
    """One curvature 2: no bias, Gamma = sigma = 1, and 2 (1/2)^2 = (1/4) 4 (1/2)."""
    level = Landscape(alpha=0.25, mu=2.0, L=2.0, kappa=4.0, mu_f=2.0, L_f=2.0, sigma=1.0)
    assert (level.level_floor, level.strong_convexity(0.0)) == (0.0, 0.0)
    assert flow_times.unique_minimum_level(level) is None


@pytest.mark.parametrize(
    ("change", "step"),
    [({"mu_f": 0.45, "L_f": 0.5}, 1.9), ({"mu_f": 0.45, "L_f": 2.0, "kappa": 30.0}, 0.01)],
    ids=["a step beyond 2/(m + M)", "m < 0"],
)
def test_iterates_are_held_to_their_own_decay_only_where_a_step_contracts(change, step):
    numbers = {"alpha": 0.1, "mu": 0.4, "L": 2.0, "kappa": 0.0, "sigma": 0.1}
    model = Landscape(**{**numbers, **change})
    t = step * np.arange(4.0)
    gaps, found = _gap_and_gradient(model, t, 1.0, 1e-6, step)
    m = model.strong_convexity(gaps[0])
    assert (m > 0) != (step <= descent_steps.stable_step_size(model, gaps[0]))
    assert found[0] == 1e-6
    wanted = [model.gradient_bound(model.gradient_radius(gap)) for gap in gaps[1:]]
    assert found[1:] == pytest.approx(wanted, rel=1e-14)


def test_a_flat_task_leaves_the_others_their_curvature():
    """Curvatures 0 and 2: mu = 0, and yet lambda_min(Hess F) >= (0 + 2 (1 - 0.2)^2)/2."""
    k = mo.theory.constants(mo.tasks.Quadratic([[[0.0]], [[2.0]]], [[0.5], [1.0]]))
    assert k.mu == 0.0
    (own,) = landscapes(k, 0.1)
    assert own.strong_convexity(0.0) == pytest.approx(0.64, rel=1e-14)
    (common,) = landscapes(k, 0.1, per_task=False)
    assert common.strong_convexity(0.0) == 0.0


def test_a_task_that_does_not_count_may_have_an_infinite_constant():
    k = known()
    object.__setattr__(k, "weights", np.array([1.0, 0.0]))
    object.__setattr__(k, "kappa_i", np.array([0.4, math.inf]))
    own = landscapes(k, ALPHA)[0]
    low, high = 1 - ALPHA * MU_I[0], 1 - ALPHA * L_I[0]
    assert own.kappa_rms == pytest.approx(0.4 * low, rel=1e-14)
    assert own.mu_mean == pytest.approx(MU_I[0] * high**2, rel=1e-14)


def test_the_printed_time_of_both_phases_from_a_small_gradient():
    k = known()
    numbers = (k.mu.value, k.L.value, k.kappa.value, k.sigma.value)
    alpha = 0.5 * min(printed.printed_alpha_3_7(*numbers, 0.3).values())
    setting = Setting(TASKS, alpha, k, X_STAR + np.array([0.3]), 0.3, 1e-4)
    gradient = setting.start.gradient_norm
    assert 0.3 < gradient < 1.0
    wanted = printed.printed_time_3_7(gradient, SIGMA, MU, 0.3, 1e-4)
    assert bimaml_certificate(setting).printed == pytest.approx(wanted, rel=1e-13)
    above = Setting(TASKS, 2.0 * alpha + 1e-9, k, setting.w0, 0.3, 1e-4)
    assert bimaml_certificate(above).printed is None


def test_limits_on_alpha_where_one_noise_model_proves_nothing():
    """sigma = 1e6 proves nothing that sd <= sigma0 + nu ||grad f|| does not; either of them is enough."""
    affine = {"sigma0": 0.2, "nu": 0.3}
    with_both = step_limits.alpha_limits(known(sigma=1e6, **affine))
    alone = step_limits.alpha_limits(known(sigma=math.inf, **affine))
    for name in ("unique minimum", "unique minimum, per task"):
        assert alone[name].value > 1e-3
        assert with_both[name].value >= alone[name].value * (1 - 1e-9)


def test_printed_limits_far_above_one():
    """Curvatures of 1e-3: zeta is 0 near alpha = 360 and mu/2 near 180, below 1/L = 1000."""
    mu, top = 0.9e-3, 1e-3
    small = {"mu_f": mu, "L_f": top, "mu": mu, "L": top}
    limits = step_limits.alpha_limits(known(**small, kappa=1e-9, sigma=1e-9))
    for name, share in (("zeta > 0", 0.0), ("zeta > mu/2", 0.5)):
        wanted = brentq(
            lambda a, share=share: mu * (1 - share)
            - 1.25 * top**2 * a * (top**3 * a**2 + 2 * top**2 * a + 2),
            1e-9, 1e9, xtol=1e-12,
        )  # fmt: skip
        assert limits[name].value == pytest.approx(min(wanted, 1 / top), rel=1e-9)
        assert wanted < 1 / top


def test_a_table_of_limits():
    limits = step_limits.alpha_limits(known(), 0.3)
    for limit in limits:
        assert limit.name not in limits.passed(limit.value)  # strictly below it
        assert limit.name in limits.passed(limit.value * (1 - 1e-15) - 1e-300)
    rows = limits.table().splitlines()
    forms = ["printed" if limit.printed else "corrected" for limit in limits]
    assert len({row.index(f"  {form}") for row, form in zip(rows, forms, strict=True)}) == 1


def test_the_largest_curvature_by_products_alone(monkeypatch):
    rng = np.random.default_rng(3)
    tasks = mo.tasks.LogisticRegression(
        rng.normal(size=(2, 9, 4)), np.sign(rng.normal(size=(2, 9)))
    )
    F, w = mo.MAMLLoss(tasks, 0.3), rng.normal(size=4)
    top = eigh(F.hessian(w), eigvals_only=True)[-1]
    monkeypatch.setattr(step_limits, "MATRIX_ONCE", 4)
    assert mo.theory.step_size_limit(F, w).status is mo.theory.Status.EXACT
    monkeypatch.setattr(step_limits, "MATRIX_ONCE", 3)
    by_products = mo.theory.step_size_limit(F, w)
    assert by_products == pytest.approx(2 / top, rel=1e-5)
    assert by_products.status is mo.theory.Status.ESTIMATE


@pytest.mark.parametrize(
    ("alpha", "mu"), [(0.05, 0.0), (1.5 / 2.6, MU)], ids=["mu = 0", "alpha L = 1.5"]
)
def test_a_sublevel_set_is_a_ball_where_the_theory_of_sublevel_sets_does_not_apply(alpha, mu):
    k, level = known(mu=mu), 0.02
    found = mo.theory.step_size_limit(mo.MAMLLoss(TASKS, alpha), mo.theory.Sublevel(level), k)
    radius, total = math.sqrt(2 * level / 1.6), 0.0
    for low, top, bend, g in zip(k.mu_i, k.L_i, k.kappa_i, TASKS.gradients([X_STAR]), strict=True):
        wide = max(abs(1 - alpha * low), abs(1 - alpha * top))
        total += 0.5 * (top * wide**2 + alpha * bend * wide * (abs(g[0]) + top * radius))
    assert found == pytest.approx(2 / total, rel=1e-9)
    assert found.status is mo.theory.Status.BOUND


def test_the_step_size_limit_of_a_quadratic_knows_its_rounding():
    """H = 1 + 1e-9 and alpha = 1: (1 - alpha H)^2 = 1e-18 is known to 1e-7 of itself, never exactly."""
    F = mo.MAMLLoss(mo.tasks.Quadratic([[[1.0 + 1e-9]]], [[0.0]]), 1.0)
    found = mo.theory.step_size_limit(F, [0.3])
    assert found.status is mo.theory.Status.BOUND
    exact = (1.0 + 1e-9) - 1.0
    assert found <= 2 / ((1.0 + 1e-9) * exact * exact)


def test_bounds_at_the_edge_of_their_branches():
    # a = 0 = psi, so that nothing is known of grad f from grad F
    assert pointwise.gradient_of_f_upper(1.0, 0.0, 1.0, 1.0, 1.0) == math.inf
    # where a Hessian jumps and nothing is stepped, F is f
    assert pointwise.curvature_lower(2.0, 0.0, 1.0, 3.0, math.inf) == 1.0
    assert pointwise.curvature_upper(2.0, 0.0, 1.0, 3.0, math.inf) == 3.0
    # K' = (r + 1) sigma gives K = 0, which Corollary D.4 leaves out
    assert np.isnan(lemmas.printed_nested_d4(3.0, 1.0, 1.0, 4.0)).all()
    assert np.isfinite(lemmas.printed_nested_d4(3.001, 1.0, 1.0, 4.0)).all()
    # 1.25 * 9 * 0.1 * (0.27 + 1.8 + 2) * 4 + 0.125
    assert lemmas.printed_coupling_b1(2.0, 0.5, 0.1, 3.0) == pytest.approx(18.44, rel=1e-14)
    # ||g||^2 = sigma^2/mu is still the second phase alone: 16 log((14 * 0.5)/(4 * 0.01))
    assert printed.printed_time_3_6(0.5, 0.5, 1e-3, 1.0, 1.0, 0.01) == pytest.approx(
        16 * math.log(7 / 0.04), rel=1e-14
    )
    with pytest.raises(ValueError, match="radius must be greater than 0"):
        local_certificate(TASKS, ALPHA, [0.0], mu_i=MU_I, L_i=L_I, kappa_i=[1.0, 1.0], radius=0.0)


@pytest.mark.parametrize("change", [{"kappa_rms": "1"}, {"nu": "1"}, {"mu": None}])
def test_every_number_of_a_landscape_goes_through_the_door(change):
    numbers = {"alpha": 0.1, "mu": 1.0, "L": 2.0, "kappa": 0.0, "mu_f": 1.0, "L_f": 2.0}
    with pytest.raises((TypeError, ValueError), match=next(iter(change))):
        Landscape(**{**numbers, "sigma": 0.0, **change})
    assert type(Landscape(**numbers, sigma=np.float32(0.5), nu=1).nu) is float


def test_rates_of_the_two_phases_in_steps():
    """Curvatures 1 and 3: f has 2, F has (1 (0.9)^2 + 3 (0.7)^2)/2 = 1.14."""
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[1.0], [-1.0]])
    advice = switch_advice(tasks, 0.1, step_size=0.2)
    assert advice.rates == pytest.approx((-math.log(0.6), -math.log(1 - 0.228)), rel=1e-13)
    assert switch_advice(tasks, 0.1).rates == pytest.approx((2.0, 1.14), rel=1e-13)
    with pytest.raises(TypeError, match="tasks"):
        switch_advice("tasks", 0.1)
    with pytest.raises(ValueError, match="step_size must be greater than 0"):
        switch_advice(tasks, 0.1, step_size=0.0)
