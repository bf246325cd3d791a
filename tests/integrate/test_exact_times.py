"""Times and states of the closed form: in any units, up to the largest float and no further."""

import math

import numpy as np
import pytest
from mpmath import mp

import maml_ode as mo
from maml_ode.flows import GradientNormBelow
from maml_ode.integrate.exact import ExactPhase, why_not_exact
from maml_ode.integrate.exact_momentum import MomentumPhase
from maml_ode.integrate.steppers.exact import _shares
from maml_ode.objectives.affine_field import AffineField


def phase_of(H, w0, c=None, start=0.0):
    H = np.asarray(H, dtype=float)
    return ExactPhase.begin(
        AffineField(H, np.zeros(len(H)) if c is None else np.asarray(c, float)), start, np.array(w0)
    )


SCALES = [1e-300, 1e-150, 1e-13, 1.0, 1e10, 1e13, 1e17, 1e100, 1e150, 1e300]


@pytest.mark.parametrize("s", SCALES)
def test_a_dip_of_the_norm_is_found_in_any_units(s):
    """H = s diag(1, -0.1): ||g||^2 = s^2 (100 exp(-2x) + 1e-8 exp(0.2x)), x = s t, dips once."""
    bottom = math.log(10 * 100 / 1e-8) / 2.2
    least = math.sqrt(100 * math.exp(-2 * bottom) + 1e-8 * math.exp(0.2 * bottom))
    phase = phase_of(s * np.diag([1.0, -0.1]), [10.0, 1e-3])
    with mp.workdps(30):
        exact = mp.findroot(
            lambda x: 100 * mp.exp(-2 * x) + mp.mpf("1e-8") * mp.exp(x / 5) - (1.001 * least) ** 2,
            11.41,
        )
    assert phase.time_to_norm(s * 1.001 * least) * s == pytest.approx(float(exact), rel=1e-9)
    assert phase.time_to_norm(s * 0.999 * least) == math.inf
    assert phase.time_to_norm(s * 11.0) == 0.0


@pytest.mark.parametrize("s", SCALES)
def test_the_time_to_a_norm_of_one_rate(s):
    phase = phase_of([[s]], [3.0], start=2.0)
    assert phase.time_to_norm(3e-9 * s) * s == pytest.approx(math.log(1e9), rel=1e-14)
    assert phase.time_to_norm(0.0) == phase.time_to_norm(-1.0) == math.inf
    assert phase.time_to_norm(3.0 * s) == 0.0
    value, slope = phase.log_norm(1.0 / s)
    assert value == pytest.approx(math.log(3.0) + math.log(s) - 1.0, rel=1e-14)
    assert slope / s == pytest.approx(-1.0, rel=1e-14)


def test_the_norm_at_the_time_is_just_past_the_threshold():
    rng = np.random.default_rng(0)
    for _ in range(300):
        d = int(rng.integers(1, 5))
        rates = 10.0 ** rng.uniform(-9, 9, d) * np.where(rng.random(d) < 0.2, -1e-6, 1.0)
        phase = phase_of(np.diag(rates), rng.normal(size=d))
        start = np.linalg.norm(phase.amplitudes)
        threshold = start * 10.0 ** -rng.uniform(0, 12)
        t = phase.time_to_norm(threshold)
        if math.isfinite(t):
            before, after = (phase.log_norm(t * (1 + e))[0] for e in (-1e-9, 0.0))
            assert after <= math.log(threshold) < before
        else:
            times = np.geomspace(1e-3, 1e3, 200) / np.abs(rates[:, None])
            assert min(phase.log_norm(x)[0] for x in times.ravel()) > math.log(threshold)


@pytest.mark.parametrize("s", SCALES)
def test_the_slope_of_the_log_norm_of_two_rates(s):
    """||g||^2 = s^2 (9 exp(-2x) + 16 exp(-4x)), x = s t; its logarithm has half the slope -(18 + 64)/25 at 0."""
    phase = phase_of(s * np.diag([1.0, 2.0]), [3.0, 2.0])
    for x in (0.0, 0.3, 2.0):
        parts = 9 * math.exp(-2 * x), 16 * math.exp(-4 * x)
        value, slope = phase.log_norm(x / s)
        assert value == pytest.approx(
            math.log(s) + 0.5 * math.log(sum(parts)), rel=1e-12, abs=1e-14
        )
        assert slope / s == pytest.approx(-(parts[0] + 2 * parts[1]) / sum(parts), rel=1e-12)


def test_a_norm_that_rises_from_the_start_never_falls():
    """Parts of 1 and 0.5 with rates 1 and -10: the smaller one is below 0.6, but the norm only grows."""
    phase = phase_of(np.diag([1.0, -10.0]), [1.0, 0.05])
    assert phase.log_norm(0.0) == pytest.approx((0.5 * math.log(1.25), 1.5 / 1.25))
    assert phase.time_to_norm(0.6) == math.inf
    alone = phase_of([[-1.0]], [0.5])
    assert (alone.time_to_norm(0.5), alone.time_to_norm(0.499)) == (0.0, math.inf)


def test_a_lasting_part_above_the_threshold_is_never_below_it(monkeypatch):
    phase = phase_of(np.diag([1.0, 0.0]), [1.0, 0.0], c=[0.0, 0.1])
    assert phase.time_to_norm(0.0999) == math.inf
    assert phase.time_to_norm(0.1001) == pytest.approx(-0.5 * math.log(0.1001**2 - 0.01), rel=1e-9)
    # sqrt(exp(-2 t) + 0.01) is 0.1 to all digits from t = 18 on, and that is small enough.
    assert 16.0 < phase.time_to_norm(0.1) < 21.0
    np.testing.assert_allclose(phase.states(np.array([1e12]))[:, 0], [0.0, 1e11])
    monkeypatch.delattr(ExactPhase, "_by_newton")  # nothing is looked for where nothing can be
    assert phase.time_to_norm(0.0999) == math.inf


def test_one_rate_from_rest():
    """w' = 1 - w from 0 is 1 - exp(-t)."""
    times = np.array([0.0, 1e-8, 1.0, 50.0, 1e300])
    w = phase_of([[1.0]], [0.0], c=[1.0]).states(times)[0]
    np.testing.assert_allclose(w, -np.expm1(-times), rtol=1e-15)


def test_a_time_too_short_for_its_product_with_the_rate_is_no_standstill():
    """Also beside a longer one: 1e-149 times 1e-200 is no float, 1e100 times 1e-200 is."""
    w = phase_of([[1e-149]], [0.0], c=[1e100]).states(np.array([1e-200, 1.0]))[0]
    np.testing.assert_allclose(w, [1e-100, 1e100], rtol=1e-14)


def test_an_equilibrium_does_not_move():
    phase = phase_of(np.zeros((2, 2)), [1.0, 2.0])
    assert phase.log_norm(1.0) == (-math.inf, 0.0)
    assert phase.time_to_norm(1e-8) == 0.0
    np.testing.assert_array_equal(phase.states(np.array([0.0, 1e300])), [[1, 1], [2, 2]])
    np.testing.assert_array_equal(phase.sample_times(1.0), np.linspace(0, 1, 101))


def test_states_of_every_size_of_rate_amplitude_and_time():
    """a (1 - exp(-lambda t))/lambda has no overflow that the result does not have."""
    rng = np.random.default_rng(1)
    with mp.workdps(50):
        for _ in range(2000):
            rate, part, t = 10.0 ** rng.uniform(-290, 290, 3) * rng.choice([-1, 1], 3)
            t = abs(t) if rng.random() < 0.3 else 10.0 ** rng.uniform(-3, 3) / abs(rate)
            if abs(math.log10(abs(rate)) + math.log10(t)) > 300:
                continue
            # The amplitude of w' = part - rate w at w = 0.
            phase = phase_of([[rate]], [0.0], c=[part])
            exponent = -mp.mpf(float(rate)) * mp.mpf(float(t))
            exact = mp.mpf(float(part)) / mp.mpf(float(rate))
            exact *= -mp.expm1(exponent) if exponent < 1e4 else -mp.inf
            w = phase.states(np.array([t]))[0, 0]
            if abs(exact) > 1e308:
                assert abs(exact) < 1.8e308 or not np.isfinite(w)
            elif abs(exact) > 1e-300:
                assert abs(w / exact - 1) < 1e-12


def test_the_last_finite_time():
    phase = phase_of([[-1.0]], [2.0], start=5.0)
    end = phase.last_finite_time(1e6)
    assert np.isfinite(phase.states(np.array([end]))).all()
    assert not np.isfinite(phase.states(np.array([math.nextafter(end, math.inf)]))).all()
    assert end == pytest.approx(5.0 + math.log(np.finfo(float).max / 2.0), abs=1e-9)
    assert phase.last_finite_time(100.0) == 100.0
    assert phase_of([[1.0]], [2.0]).last_finite_time(1e300) == 1e300
    # Linear motion, too, ends somewhere.
    pushed = phase_of([[0.0]], [0.0], c=[1e200])
    assert pushed.last_finite_time(1e300) == pytest.approx(np.finfo(float).max / 1e200)


def test_the_growing_part_of_an_indefinite_quadratic_in_any_units():
    for s in (1e-300, 1e-150, 1.0, 1e150, 1e300):
        phase = phase_of(s * np.diag([1.0, -0.1]), [10.0, 1e-3])
        reach = 10 * (math.log(np.finfo(float).max) - math.log(1e-3))
        assert phase.last_finite_time(1e5 / s if s > 1e-300 else 1e305) * s == pytest.approx(
            reach, 1e-9
        )


@pytest.mark.parametrize("condition", [1e12, 1e15, 1e16, 1e18, 1e300])
def test_any_condition_gives_states(condition):
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    H = (Q * [1.0, 1e-3, 1.0 / condition]) @ Q.T
    H, centre = 0.5 * (H + H.T), np.array([1.0, -2.0, 3.0])
    flow = mo.maml_flow(mo.tasks.Quadratic([H], [H @ centre]), 0.5)
    run = mo.solve(flow, np.zeros(3), tol=1e-9, t_max=1e25, method="exact")
    assert np.isfinite(run.y).all()
    along = Q.T @ (run.w - centre)
    np.testing.assert_allclose(along[:2], 0.0, atol=1e-5)
    # The slowest direction arrives, or, where its rate is rounding, has not moved.
    assert abs(along[2]) <= abs(Q[:, 2] @ centre) * (1 + 1e-6)


def test_a_fresh_norm_knows_how_far_rounding_of_the_way_reaches():
    """From 1e10 the state at the end has an error of 1e-6, which the field there shows."""
    phase = phase_of(np.diag([1.0, 3.0]), [1e10, -1e10], c=[1.0, 1.0])
    end = phase.time_to_norm(1e-12)
    norm, bar = phase.norm(end)
    assert norm <= 1e-12 + bar
    assert 1e-7 < bar < 1e-4
    near = phase_of(np.diag([1.0, 3.0]), [1.1, 0.3], c=[1.0, 1.0])
    norm, bar = near.norm(near.time_to_norm(1e-12))
    assert norm <= 1e-12 + bar
    assert bar < 1e-14


def test_a_state_too_rough_for_tol_is_waited_for_up_to_the_horizon_and_no_further():
    """From 1e10 the state is rough to 2e-6: by the formula tol is met at log(1e10/tol), by the state later."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, 3.0])], [[1.0, 1.0]]))
    seen = set()
    for tol in np.geomspace(2.5e-6, 1e-4, 12):
        formula = math.log(1e10 / tol)
        free = mo.solve(mo.gradient_flow(f), [1e10, -1e10], tol=tol, method="exact")
        assert free.stop is mo.StopReason.STATIONARY
        assert free.final_time >= formula - 1e-6
        assert math.hypot(free.w[0] - 1, 3 * free.w[1] - 1) <= 1.001 * tol
        end = formula + 1.0
        run = mo.solve(mo.gradient_flow(f), [1e10, -1e10], tol=tol, method="exact", t_max=end)
        waits = free.final_time > end
        assert run.stop is (mo.StopReason.HORIZON if waits else mo.StopReason.STATIONARY)
        assert run.final_time == (end if waits else free.final_time)
        assert (run.success, run.status) == (True, 0 if waits else 1)
        seen.add(waits)
    assert seen == {True, False}


def test_sample_times_show_the_transient_of_what_moves():
    still = phase_of(np.diag([1e6, 1.0]), [0.0, 1.0])  # the stiff direction is at rest
    times = still.sample_times(10.0)
    assert times[0] == 0.0
    assert times[-1] == 10.0
    assert times[1] >= 0.01
    moving = phase_of(np.diag([1e6, 1.0]), [1.0, 1.0], start=3.0).sample_times(10.0)
    assert moving[0] == 3.0
    assert moving[-1] == 13.0
    assert np.count_nonzero(moving - 3.0 < 1e-3) > 30


def test_a_solution_of_two_phases_at_any_time():
    """exp(-t) until the gradient's norm is exp(-1), at t = 1, then exp(1 - 2 t)."""
    first, second = (mo.ExpectedLoss(mo.tasks.Quadratic([[[s]]], [[0.0]])) for s in (1.0, 2.0))
    until = GradientNormBelow(first, math.exp(-1.0))
    flow = mo.Flow([mo.Phase(first, until=until), mo.Phase(second)])
    run = mo.solve(flow, [1.0], tol=0, t_max=3.0, method="exact", dense_output=True)
    assert (run.sol.t_min, run.sol.t_max) == (0.0, 3.0)
    np.testing.assert_allclose(run.sol([0.5, 1.0, 2.0])[0], np.exp([-0.5, -1.0, -3.0]), rtol=1e-14)
    assert run.sol(2.0).shape == (1,)


def test_why_a_flow_has_no_closed_form(make_quadratic):
    f, F = mo.ExpectedLoss(make_quadratic()), mo.MAMLLoss(make_quadratic(), 0.1)
    rule = GradientNormBelow(f, 0.1)
    assert why_not_exact(mo.Flow([mo.Phase(f, until=rule), mo.Phase(F)])) is None
    again = mo.Flow([mo.Phase(f, until=rule, then=1), mo.Phase(F)])
    assert "follow each other" in why_not_exact(again)
    other = GradientNormBelow(F, 0.1)
    assert "its own gradient" in why_not_exact(mo.Flow([mo.Phase(f, until=other), mo.Phase(F)]))
    chosen = mo.Flow([mo.Phase(f, until=rule), mo.Phase(F)], rule="retest")
    assert "'retest'" in why_not_exact(chosen)
    bent = mo.ExpectedLoss(mo.tasks.Sinusoid([1.0], [1.0], [1.0]))
    assert "not affine" in why_not_exact(mo.gradient_flow(bent))


def decaying(rates, amplitudes):
    rates, amplitudes = np.array(rates), np.array(amplitudes)
    return ExactPhase(None, 0.0, np.zeros(rates.size), rates, np.eye(rates.size), amplitudes)


def test_a_logarithm_with_more_corners_than_tangents_is_bracketed():
    """Rates 20^-j and amplitudes exp(1300 0.9^j): where one tangent meets the target the next rate leads."""
    j = np.arange(75)
    threshold, heights = math.exp(-600.0), 1300.0 * 0.9**j
    phase = decaying(20.0**-j, np.exp(heights - 600.0))
    assert phase._by_newton(-600.0, *phase._log_norm(0.0)) is None
    tau = phase.time_to_norm(threshold)

    def norm(t):
        with mp.workdps(40):
            return mp.sqrt(
                sum(
                    mp.exp(2 * (mp.mpf(h) - mp.mpf(r) * t))
                    for h, r in zip(heights, 20.0**-j, strict=True)
                )
            )

    assert (
        norm(mp.mpf(tau) * (1 - mp.mpf(10) ** -11))
        > 1
        >= norm(mp.mpf(tau) * (1 + mp.mpf(10) ** -11))
    )


def test_tangents_alone_come_to_the_time_of_a_plain_decay():
    """16 exp(-2 t) + 9 exp(-4 t) = s^2 is a quadratic in exp(-2 t)."""
    for digits in range(1, 14):
        threshold = 5.0 * 10.0**-digits
        phase = decaying([1.0, 2.0], [4.0, 3.0])
        target = math.log(threshold)
        theta = phase._by_newton(target, *phase._log_norm(0.0))
        with mp.workdps(40):
            part = (mp.sqrt(256 + 36 * mp.mpf(threshold) ** 2) - 16) / 18
            exact = float(-mp.log(part) / 2)
        assert theta is not None
        assert theta / phase._fastest == pytest.approx(exact, rel=1e-14)
        assert phase._by_brackets(target) == pytest.approx(theta, rel=1e-13)


def test_a_norm_that_turns_above_its_threshold_never_comes_to_it():
    """exp(-2 t) + 0.81 exp(2 t) is least, 1.8, at t = log(1/0.9)/2; the growing part alone is below."""
    phase = decaying([1.0, -1.0], [1.0, 0.9])
    least = math.sqrt(1.8)
    assert phase.time_to_norm(least * (1 - 1e-6)) == math.inf
    assert phase.time_to_norm(1.2) == math.inf
    assert phase.time_to_norm(least * (1 + 1e-6)) == pytest.approx(
        0.5 * math.log(1 / 0.9), abs=2e-3
    )


@pytest.mark.parametrize(
    ("excess", "below"),
    [
        (0.0, [2e-15, 2e-13, 2e-11, 2e-9, 2e-7, 2e-5, 2e-3, 0.2]),
        (1e-4, [2e-4, 2e-2]),
        (0.00497, [0.00994]),  # a hundred times that is 0.994, and 0.01 of tol is next anyway
        (0.1, [0.2]),
        (0.495, []),
        (3.0, []),
    ],
)
def test_parts_of_tol_that_are_aimed_at_fall_to_a_hundredth_and_on(excess, below):
    found = list(_shares(excess))
    np.testing.assert_allclose(1.0 - np.array(found[:-3]), below, rtol=0.06)
    assert found[-3:] == [1e-2, 1e-4, 1e-8]


def test_a_path_of_which_one_coordinate_overflows_ends_before_that():
    """w = (exp(-t), exp(t)): the first one is finite for ever."""
    saddle = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, -1.0])], [[0.0, 0.0]]))
    run = mo.solve(mo.gradient_flow(saddle), [1.0, 1.0], t_max=1e4, method="exact", tol=0)
    assert run.stop is mo.StopReason.NON_FINITE
    assert np.isfinite(run.y).all()
    assert run.final_time == pytest.approx(math.log(np.finfo(float).max), rel=1e-12)


def test_what_a_closed_form_costs_is_counted(monkeypatch):
    """A decomposition a phase, and the field where it begins and at every time that is tried for its end."""
    looks, norm = [], AffineField.norm
    monkeypatch.setattr(AffineField, "norm", lambda *given: looks.append(1) or norm(*given))
    f = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, 3.0])], [[1.0, 1.0]]))
    twice = mo.Flow([mo.Phase(f, until=GradientNormBelow(f, 1.0)), mo.Phase(f)])
    for flow, w0, tol in ((mo.gradient_flow(f), [1e10, -1e10], 3e-6), (twice, [5.0, 2.0], 1e-3)):
        looks.clear()
        run = mo.solve(flow, w0, tol=tol, method="exact", diagnostics=False, dense_output=True)
        phases = len(flow.phases)
        assert (len(looks) > 1) is (phases == 1)  # the state of the first one is rough
        assert run.nfev == run.counts.gradients == phases + len(looks)
        assert run.counts.factorizations == run.counts.hessians == phases
        assert run.njev == run.nlu == phases
        if phases == 2:  # nothing is rough, so that compiled code tries as often
            assert mo.solve(flow, w0, tol=tol, method="exact", diagnostics=False).nfev == run.nfev


def test_with_no_tolerance_no_rest_is_looked_for(monkeypatch):
    """A search for a norm of 0 would step on to the horizon."""
    f = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))
    flow = mo.Flow([mo.Phase(mo.fields.MomentumField(f, 1.0), until=GradientNormBelow(f, 0.1))])
    monkeypatch.delattr(MomentumPhase, "time_to_norm")
    run = mo.solve(flow, [1.0], tol=0, t_max=50.0, method="exact")
    assert run.stop is mo.StopReason.SWITCHED
    assert abs(run.w[0]) == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize(("duration", "points"), [(0.2, 101), (0.26, 201), (0.4, 201)])
def test_times_are_even_until_something_has_decayed(duration, points):
    """At a rate of 4: up to duration 1/4 there is no transient, then 100 times on a logarithmic scale."""
    times = decaying([4.0, 1.0], [1.0, 2.0]).sample_times(duration)
    assert times.size == points
    assert (times[0], times[-1]) == (0.0, duration)
    gaps = np.abs(np.linspace(0.0, duration, 101)[:, None] - times)
    assert gaps.min(axis=1).max() <= 1e-15
    if points == 201:
        assert times[gaps.min(axis=0) > 1e-15][0] == pytest.approx(0.005, rel=1e-12)
