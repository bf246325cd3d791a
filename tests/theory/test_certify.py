"""Certificates: names, verdicts, statuses, tables; Figure 1's table; attempts to make them lie."""

import json

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import maml_ode as mo
from maml_ode.theory import Ball, Certificate, Hypothesis, Status, Sublevel, certify

FIGURE_1 = mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0])
NAMES = [
    "smoothness", "strong_convexity", "gradient_variance", "lipschitz_hessian", "alpha_limits",
    "unique_minimum", "critical_set", "time_bound", "bimaml_time", "iteration_bound",
    "step_size_limit", "local_minimum", "fallback_stationarity", "which_guarantee",
]  # fmt: skip


def test_figure_1_table():
    """Every digit of the table of limits for Figure 1's tasks."""
    limits = mo.theory.alpha_limits(mo.theory.constants(FIGURE_1), switch_tol=0.505)
    wanted = {
        "Theorem B.2": 6.39e-4,
        "Theorem 3.6": 5.104e-7,
        "Theorem 3.7": 7.894e-7,
        "Theorem 3.9": 2.475e-5,
        "Theorem 3.10": 7.894e-7,
        "zeta > 0": 9.86e-4,
        "zeta > mu/2": 4.94e-4,
        "Theorem B.2 with 1/15": 1.650e-4,
        "zeta_1 > 0": 2.481e-3,
        "zeta_1 >= mu/2": 1.239e-3,
        "unique minimum, closed form": 4.95e-5,
        "unique minimum": 1.979e-4,
    }
    for name, value in wanted.items():
        digits = len(f"{value:.3e}".split("e")[0].rstrip("0").replace(".", ""))
        assert f"{limits[name].value:.{digits - 1}e}" == f"{value:.{digits - 1}e}", name
    terms = limits["Theorem 3.6"].terms
    assert terms["1/(2L)"] == pytest.approx(0.24876, abs=5e-6)
    assert sorted(terms.values())[1] == pytest.approx(7.894e-7, rel=1e-4)
    radius = (1 + np.sqrt(201)) * 0.505
    assert radius == pytest.approx(7.6646, abs=5e-5)
    nine = mo.theory.alpha_limits(mo.theory.constants(FIGURE_1), K=radius)["Theorem 3.9"]
    assert nine.value == pytest.approx(7.894e-7, rel=1e-4)
    assert limits["unique minimum"].value / limits["Theorem 3.6"].value == pytest.approx(388, abs=1)
    assert limits["unique minimum, per task"].value > limits["unique minimum"].value
    assert limits["Theorem 3.10"].binding == "mu/(8 kappa (2K + sigma))"
    assert "unique minimum" in limits.passed(1.9e-4)
    assert "unique minimum" not in limits.passed(2e-4)
    for text in (limits.table(), limits.to_markdown()):
        assert "Theorem 3.10" in text
    with pytest.raises(KeyError, match=r"Did you mean 'Theorem 3\.9'"):
        limits["Theorem 3.8"]


def test_figure_1_is_not_certified_at_its_own_alpha():
    report = certify(FIGURE_1, 0.4, w0=[-5.0], switch_tol=0.1)
    assert [item.name for item in report if item.name in NAMES] == NAMES
    assert report["unique_minimum"].holds is False  # counted: seven critical points
    assert "not certified" in report["unique_minimum"].note  # what the constants say
    assert report["alpha_limits"].holds is None
    assert report["time_bound"].holds is None
    assert report["strong_convexity"].status is Status.EXACT
    assert "no uniqueness holds" in report.summary()
    small = certify(FIGURE_1, 1.9e-4, w0=[-5.0], switch_tol=0.1)
    assert small["unique_minimum"].holds is True
    assert small["time_bound"].holds is True
    assert small["bimaml_time"].bound < np.inf
    assert "exactly one critical point" in small.summary()


def test_reports_can_be_read_and_written():
    report = certify(FIGURE_1, 1e-7, w0=[1.0], switch_tol=0.1)
    assert report["time_bound"].printed > report["time_bound"].bound
    assert report["bimaml_time"].printed > 0
    assert json.loads(json.dumps(report.to_dicts()))[5]["name"] == "unique_minimum"
    for text in (report.table(), report.to_markdown(), str(report)):
        assert "unique_minimum" in text
        assert report.summary() in text
    for item in report:
        assert item.name in str(item)
    with pytest.raises(KeyError, match="Did you mean 'time_bound'"):
        report["time_bounds"]
    assert report[0].name == "smoothness"
    assert isinstance(report, list)


def test_an_estimate_never_certifies_without_saying_so():
    item = Certificate("x", "s", "f", (), True, status=Status.ESTIMATE)
    assert "estimated" in item.note
    tasks = mo.tasks.from_callables(
        losses=lambda i, w: w @ w + 0.1 * np.sin(w[0]) + i * w[0],
        gradients=lambda i, w: 2 * w + np.array([0.1 * np.cos(w[0]) + i, 0.0]),
        hessians=lambda i, w: np.diag([2.0 - 0.1 * np.sin(w[0]), 2.0]),
        thirds=lambda i, w, v: np.diag([-0.1 * np.cos(w[0]) * v[0], 0.0]),
        n_tasks=2,
        dim=2,
    )
    report = certify(tasks, 0.05, w0=[3.0, 1.0], switch_tol=0.1)
    assert report["unique_minimum"].status is Status.ESTIMATE
    proved = [item for item in report if item.holds is True and item.status is Status.ESTIMATE]
    assert proved
    assert all("estimated" in item.note + item.statement for item in proved)
    assert "estimated" in report.summary()


def test_a_hidden_spike_fools_sampling_but_not_the_status():
    """A bump of curvature too narrow to be sampled: what is claimed is only estimated."""
    width, at = 1e-4, 0.7312345

    def spike(w):
        return np.exp(-(((w[0] - at) / width) ** 2))

    tasks = mo.tasks.from_callables(
        losses=lambda i, w: 0.5 * w @ w,
        gradients=lambda i, w: w + 0.0,
        hessians=lambda i, w: np.array([[1.0 - 50.0 * spike(w)]]),
        thirds=lambda i, w, v: np.zeros((1, 1)),
        n_tasks=1,
        dim=1,
    )
    report = certify(tasks, 0.1, constants=mo.theory.constants(tasks, Ball([0.0], 3.0)))
    unique = report["unique_minimum"]
    assert unique.holds is True  # and wrong: the spike reverses the curvature
    assert mo.MAMLLoss(tasks, 0.1).hessian([at / 0.9])[0, 0] < 0 < unique.value
    assert unique.status is Status.ESTIMATE
    assert "estimated, not proved" in unique.note
    assert "estimated" in report.summary()


def test_local_constants_make_local_claims():
    """On V(c) the claim needs V(c_inf) within; a region that is too small certifies nothing."""
    tasks = mo.tasks.Sinusoid([1.0, 1.6], [0.4, 0.3], [1.0, 2.0])
    everywhere = certify(tasks, 0.02, w0=[2.0])
    assert everywhere["gradient_variance"].holds is False
    assert everywhere["unique_minimum"].holds is True  # by the affine model
    local = certify(tasks, 0.02, w0=[2.0], constants=mo.theory.constants(tasks, Sublevel(30.0)))
    assert local["unique_minimum"].holds is True
    assert "region" in local["unique_minimum"].note
    tiny = certify(tasks, 0.02, w0=[2.0], constants=mo.theory.constants(tasks, Sublevel(1e-9)))
    assert tiny["time_bound"].holds is None
    away = certify(tasks, 0.02, w0=[2.0], constants=mo.theory.constants(tasks, Ball([9.0], 0.5)))
    assert away["unique_minimum"].holds is None


@pytest.mark.parametrize(
    ("tasks", "alpha", "name", "failed"),
    [
        (mo.tasks.Sinusoid([-0.2], [1.0], [1.0]), 0.1, "unique_minimum", "mu > 0"),
        (mo.tasks.Sinusoid([1.0], [1.0], [1.0]), 0.5, "time_bound", "alpha < 1/L"),
        (mo.tasks.LogisticRegression([[[1.0]]], [[1]]), 0.1, "time_bound", "mu > 0"),
        (mo.tasks.SVM([[[1.0]]], [[1]], l2=1.0), 0.1, "fallback_stationarity", "continuous"),
        (mo.tasks.SVM([[[1.0]]], [[1]], l2=1.0), 0.1, "bimaml_time", "Lipschitz"),
        (mo.tasks.Sinusoid([1.0], [1.0], [1.0]), 0.5, "iteration_bound", "alpha < 1/L"),
        (mo.tasks.Sinusoid([1.0], [1.0], [1.0]), 0.5, "step_size_limit", "alpha < 1/L"),
        (mo.tasks.Sinusoid([-0.2], [1.0], [1.0]), 0.1, "critical_set", "mu > 0"),
        (mo.tasks.Sinusoid([-0.2], [1.0], [1.0]), 0.1, "alpha_limits", "mu > 0"),
    ],
)
def test_no_certificate_outside_the_hypotheses(tasks, alpha, name, failed):
    item = certify(tasks, alpha, w0=[2.0], switch_tol=0.1)[name]
    assert item.holds is not True
    missed = [str(hypothesis) for hypothesis in item.hypotheses if hypothesis.holds is not True]
    assert any(failed in text for text in missed), missed


def test_a_concave_quadratic_has_no_minimum():
    report = certify(mo.tasks.Quadratic([[[-1.0]]], [[1.0]]), 0.1, w0=[2.0], switch_tol=0.1)
    assert report["unique_minimum"].holds is report["alpha_limits"].holds is False
    assert report["quadratic_exact"].value == pytest.approx(-1.21, rel=1e-15)
    assert report["step_size_limit"].value == np.inf
    for name in ("time_bound", "bimaml_time", "iteration_bound"):
        assert report[name].holds is None
    assert "has no unique minimum" in report.summary()


def critical_points(F, low, high, count=8_001):
    grid = np.linspace(low, high, count)[:, None]
    slopes = np.array([F.gradient(w)[0] for w in grid])
    return int((np.diff(np.sign(slopes)) != 0).sum())


def test_adversarial_search_does_not_make_uniqueness_lie():
    """Climb to the least F'' at the largest certified alpha; then count critical points."""
    rng = np.random.default_rng(7)

    def build(x):
        a = np.array([1.0, np.exp(0.3 * np.tanh(x[0]))])
        omega = np.exp(np.tanh(x[1:3])) * np.array([1.0, 3.0])
        share = 0.999 / (1 + np.exp(-x[3:5]))
        return mo.tasks.Sinusoid(a, 2 * a * share * np.sign([1.0, x[5]]) / omega**2, omega)

    certified = 0
    for _ in range(6):
        x = rng.normal(0, 1.5, 6)
        best = -np.inf
        for _ in range(12):
            trial = x + rng.normal(0, 0.5, 6)
            tasks = build(trial)
            k = mo.theory.constants(tasks)
            alpha = mo.theory.alpha_limits(k)["unique minimum, per task"].value * (1 - 1e-9)
            if not 0 < alpha * k.L < 1:
                continue
            # the smaller F'' is somewhere near the minimum, the nearer to a lie
            F = mo.MAMLLoss(tasks, alpha)
            lowest = min(F.hessian(np.array([w]))[0, 0] for w in np.linspace(-1.5, 1.5, 61))
            if -lowest / float(k.mu) > best:
                best, x, worst = -lowest / float(k.mu), trial, (tasks, alpha)
        tasks, alpha = worst
        report = certify(tasks, alpha)
        if report["unique_minimum"].holds is True:
            certified += 1
            assert critical_points(mo.MAMLLoss(tasks, alpha), -10, 10) == 1
    assert certified >= 4


def test_adversarial_search_does_not_make_times_lie():
    """Random tasks, starts and alphas up to the certified limit: no run is later than its certificate."""
    rng = np.random.default_rng(13)
    late = []
    for _ in range(15):
        omega = rng.uniform(0.3, 4.0, 2)
        a = rng.uniform(0.5, 2.0, 2)
        b = 2 * a * rng.uniform(0, 0.999, 2) / omega**2 * rng.choice([-1, 1], 2)
        tasks = mo.tasks.Sinusoid(a, b, omega, weights=rng.dirichlet([1.0, 1.0]))
        limits = mo.theory.alpha_limits(mo.theory.constants(tasks))
        alpha = limits["unique minimum, per task"].value * float(rng.uniform(0.3, 0.9999))
        w0 = rng.normal(0, 10.0 ** rng.uniform(-2, 2), 1)
        time = certify(tasks, alpha, w0=w0, tol=1e-5)["time_bound"]
        if time.holds is not True:
            continue
        F = mo.MAMLLoss(tasks, alpha)
        reached = lambda t, w, F=F: abs(F.gradient(w)[0]) - 1e-5  # noqa: E731
        reached.terminal = True
        run = solve_ivp(
            lambda t, w, F=F: -F.gradient(w), (0, 1.1 * time.bound), w0, method="LSODA",
            rtol=1e-9, atol=1e-12, events=reached,
        )  # fmt: skip
        assert run.status == 1
        assert run.t[-1] <= time.bound * (1 + 1e-4)
        late.append(time.bound / run.t[-1])
    assert len(late) >= 10
    assert min(late) < 1.5  # and the promise is not an idle one


def test_step_size_limit_at_a_point_and_on_a_region():
    tasks = mo.tasks.Sinusoid([1.0], [0.4], [2.0])
    F = mo.MAMLLoss(tasks, 0.05)
    at = mo.theory.step_size_limit(F, [0.7])
    assert at.status is Status.EXACT
    assert float(at) == pytest.approx(2 / F.hessian([0.7])[0, 0])
    for region in (Ball([0.0], 2.0), Sublevel(1.0), mo.theory.Interval(-2.0, 2.0)):
        limit = mo.theory.step_size_limit(F, region)
        assert limit.status is Status.BOUND
        radius = 2.0 if not isinstance(region, Sublevel) else 0.5
        for w in np.linspace(-radius, radius, 81):
            assert limit <= 2 / max(F.hessian([w])[0, 0], 1e-12) * (1 + 1e-9)
    f = mo.ExpectedLoss(tasks)
    assert mo.theory.step_size_limit(f, Ball([0.0], 1.0)) == pytest.approx(2 / 3.6)
    quadratic = mo.MAMLLoss(mo.tasks.Quadratic([[[2.0]]], [[1.0]]), 0.25)
    assert mo.theory.step_size_limit(quadratic, [0.0]) == pytest.approx(2 / 0.5)
    with pytest.raises(ValueError, match="inner_steps = 1"):
        mo.theory.step_size_limit(mo.MAMLLoss(tasks, 0.05, inner_steps=2), Ball([0.0], 1.0))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="alpha must be finite"):
        certify(FIGURE_1, np.nan)
    with pytest.raises(ValueError, match="tol must be greater than 0"):
        certify(FIGURE_1, 0.1, tol=0.0)
    with pytest.raises(ValueError, match=r"w0 must have shape \(1,\)"):
        certify(FIGURE_1, 0.1, w0=[1.0, 2.0])
    with pytest.raises(ValueError, match="w0 must be finite"):
        certify(FIGURE_1, 0.1, w0=[np.nan])


def test_hypotheses_print():
    assert str(Hypothesis("mu > 0", None, "unknown")) == "mu > 0: undecided (unknown)"
