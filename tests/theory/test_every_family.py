"""certify answers on every family, at every scale, within its time and after Ctrl-C."""

import time

import numpy as np
import pytest
from scipy.sparse import csr_array

import maml_ode as mo
from maml_ode.theory import Certificates, Status, certify

pytestmark = pytest.mark.filterwarnings("error")

NAMES = [
    "smoothness", "strong_convexity", "gradient_variance", "lipschitz_hessian", "alpha_limits",
    "unique_minimum", "critical_set", "time_bound", "bimaml_time", "iteration_bound",
    "step_size_limit", "local_minimum", "fallback_stationarity", "which_guarantee",
]  # fmt: skip


def weights(rng, M):
    p = rng.dirichlet(np.ones(M))
    if M > 1 and rng.random() < 0.3:
        p = np.append(p[:-1] + p[-1] / (M - 1), 0.0)
    return p / p.sum()


def quadratic(rng, M, d, s):
    H = rng.standard_normal((M, d, d))
    H = s * (H @ H.swapaxes(1, 2) * rng.integers(0, 2) + rng.integers(-1, 2) * np.eye(d))
    return mo.tasks.Quadratic(H, rng.standard_normal((M, d)) * s, weights=weights(rng, M))


def samples(rng, M, d, s, labels):
    n = int(rng.integers(1, 6))
    X = rng.standard_normal((M, n, d)) * np.sqrt(s)
    if rng.random() < 0.3:
        X[..., 0] = 0.0
    return X, (np.sign(X[..., -1]) + (X[..., -1] == 0)) if labels else rng.standard_normal((M, n))


def regression(rng, M, d, s):
    X, y = samples(rng, M, d, s, False)
    if rng.random() < 0.5:
        return mo.tasks.LinearRegression([csr_array(x) for x in X], list(y))
    return mo.tasks.LinearRegression(X, y, weights=weights(rng, M))


def logistic(rng, M, d, s):
    return mo.tasks.LogisticRegression(
        *samples(rng, M, d, s, True), l2=s * rng.integers(0, 2), weights=weights(rng, M)
    )


def svm(rng, M, d, s):
    loss = str(rng.choice(["hinge", "squared_hinge", "smooth_hinge", "smooth_squared_hinge"]))
    return mo.tasks.SVM(*samples(rng, M, d, s, True), loss, l2=s * rng.integers(0, 2))


def sinusoid(rng, M, d, s):
    a, b = s * rng.integers(-1, 2) * rng.random(M), s * rng.standard_normal(M)
    return mo.tasks.Sinusoid(a, b, rng.uniform(0.5, 3, M), weights=weights(rng, M))


FORMULAS = {
    name: mo.tasks.Symbolic(name, "w")
    for name in ("exp(w)", "w-log(w)", "log(w)**2", "1/w", "w**4")
} | {"x*y + sin(x)": mo.tasks.Symbolic("x*y + sin(x)", ["x", "y"])}


def symbolic(rng, M, d, s):
    return FORMULAS[str(rng.choice(list(FORMULAS)))]


def callables(rng, M, d, s):
    sign, kinds = float(rng.integers(-1, 2)), rng.integers(0, 3)
    given = {}
    if kinds > 0:
        given["hessians"] = lambda i, w: s * (sign * np.eye(d) - np.diag(np.sin(w)))
    if kinds > 1:
        given["thirds"] = lambda i, w, v: -s * np.diag(np.cos(w) * v)
    return mo.tasks.from_callables(
        lambda i, w: s * (0.5 * sign * w @ w + np.sin(w).sum() + i * w[0]),
        lambda i, w: s * (sign * w + np.cos(w) + i * np.eye(d)[0]),
        n_tasks=M, dim=d, **given,
    )  # fmt: skip


MAKERS = [quadratic, regression, logistic, svm, sinusoid, symbolic, callables]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_certify_answers(make):
    rng = np.random.default_rng(20261125)
    for _ in range(6 if make is symbolic else 25):
        M, d = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        s = 10.0 ** rng.uniform(-9, 9) if rng.random() < 0.7 else 1.0
        tasks = make(rng, M, d, s)
        w0 = rng.uniform(0.1, 2.0, tasks.dim) * 10.0 ** rng.uniform(-3, 3)
        alpha = [0.0, 0.3 / s, 3.0 / s, 1e-320, 1e308][rng.integers(0, 5)]
        tol, eps0 = s * 10.0 ** rng.uniform(-12, 1), s * 10.0 ** rng.uniform(-3, 3)
        if rng.random() < 0.1:
            tol = eps0 = 1e-320
        report = certify(tasks, alpha, w0=w0, switch_tol=eps0, tol=tol)
        assert [item.name for item in report if item.name in NAMES] == NAMES
        assert report.summary()
        assert report.to_markdown()
        for item in report:
            assert not (item.holds and item.value is not None and np.isnan(item.value)), item
            assert not (item.holds and item.bound is not None and np.isnan(item.bound)), item
            if item.name == "time_bound" and item.holds:
                assert item.bound >= (item.value or 0.0) * (1 - 1e-9)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("alpha", [0.0, 0.1, 2.0])
def test_formulas_with_a_domain_or_without_a_minimum(name, alpha):
    """An answer, or a sentence that asks for a point of the domain."""
    tasks = FORMULAS[name]
    if name in ("w-log(w)", "log(w)**2", "1/w"):
        with pytest.raises(ValueError, match="pass a w0= inside their domain"):
            certify(tasks, alpha)
        with pytest.raises(ValueError, match="not finite at w0: pass a w0= inside their domain"):
            certify(tasks, alpha, w0=[0.0])
    else:
        assert certify(tasks, alpha).summary()
    report = certify(tasks, alpha, w0=np.full(tasks.dim, 0.5))
    assert report["unique_minimum"].holds is not True


def test_a_minimum_in_a_domain_is_found_from_a_point_of_it():
    """w - log w has its minimum at 1; on (1/2, 3/2) it is proved by interval arithmetic."""
    tasks = FORMULAS["w-log(w)"]
    k = mo.theory.constants(tasks, mo.theory.Interval(0.5, 1.5))
    report = certify(tasks, 1e-3, w0=[0.9], constants=k)
    assert report["unique_minimum"].holds is True
    assert report["unique_minimum"].status is Status.BOUND


@pytest.mark.parametrize("w0", [[0.5], [-3.0]])
@pytest.mark.parametrize("p", [(0.5, 0.5), (0.9, 0.1), (1.0, 0.0)])
@pytest.mark.parametrize("curvature", [-1.0, -0.5])
def test_a_concave_task_beside_a_convex_one(w0, p, curvature):
    tasks = mo.tasks.Quadratic([[[3.0]], [[curvature]]], [[0.0], [1.0]], weights=p)
    report = certify(tasks, 0.1, w0=w0)
    rate = p[0] * 3 * 0.7**2 + p[1] * curvature * (1 - 0.1 * curvature) ** 2
    assert report["quadratic_exact"].value == pytest.approx(rate, rel=1e-12)
    assert report["unique_minimum"].holds is (rate > 0)
    fallback = report["fallback_stationarity"]
    if p[1] == 0.0:  # F - min f_1 = (3/2) (0.7 w)^2
        assert fallback.bound == pytest.approx(1.5 * (0.7 * w0[0]) ** 2 / 1e-16, rel=1e-12)
    else:  # the mean of the minima is -inf
        assert fallback.holds is None


def test_a_start_beyond_the_floats_decides_nothing():
    report = certify(mo.tasks.Quadratic([[[4.0]]], [[1.0]]), 0.1, w0=[1e308], switch_tol=0.1)
    assert report["unique_minimum"].holds is True
    for name in ("time_bound", "bimaml_time", "iteration_bound"):
        assert report[name].holds is None
        assert "inside their domain" in report[name].note


def test_what_time_does_not_suffice_for_is_not_computed():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 300, 60))
    tasks = mo.tasks.LogisticRegression(X, np.sign(X[..., 0]), l2=0.1)
    begin = time.perf_counter()
    report = certify(tasks, 0.1, w0=np.ones(60), max_seconds=0.05)
    assert time.perf_counter() - begin < 5.0
    assert isinstance(report, Certificates)
    left = [item for item in report if "not computed: max_seconds = 0.05 had passed" in item.note]
    assert left
    assert all(item.holds is None for item in left)
    assert [item.name for item in report if item.name in NAMES] == NAMES
    assert (
        "max_seconds = 0.05 had passed" in report.summary()
    )  # whether or not a guarantee was found before
    with pytest.raises(ValueError, match="max_seconds must be at least 0"):
        certify(tasks, 0.1, max_seconds=-1.0)


@pytest.mark.parametrize("after", [0, 1, 5, 40, 200])
def test_ctrl_c_gives_back_what_was_computed(after):
    calls = 0

    def gradient(i, w):
        nonlocal calls
        calls += 1
        if calls == after + 1:
            raise KeyboardInterrupt
        return w + 0.1 * np.cos(w) + i

    tasks = mo.tasks.from_callables(
        lambda i, w: 0.5 * w @ w + 0.1 * np.sin(w).sum() + i * w.sum(), gradient,
        lambda i, w: np.diag(1 - 0.1 * np.sin(w)), n_tasks=2, dim=2,
        thirds=lambda i, w, v: np.diag(-0.1 * np.cos(w) * v),
    )  # fmt: skip
    report = certify(tasks, 0.1, w0=[1.0, 2.0])
    assert calls > after
    assert [item.name for item in report if item.name in NAMES] == NAMES
    left = [item for item in report if item.note == "not computed: interrupted"]
    assert left
    if after < 40:
        assert "interrupted" in report.summary()


def test_the_bar_goes_to_standard_error(capsys):
    report = certify(mo.tasks.Quadratic([[[1.0]]], [[1.0]]), 0.1, progress=True)
    out = capsys.readouterr()
    assert out.out == ""
    assert "certify" in out.err
    assert report["quadratic_exact"].holds


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((3.0, 0.1), "tasks must be a task family such as .*, not float"),
        ((FORMULAS["exp(w)"], 0.1, True), "constants must come from maml_ode.theory.constants"),
    ],
)
def test_what_is_no_problem_is_refused(arguments, match):
    tasks, alpha, *constants = arguments
    with pytest.raises(TypeError, match=match):
        certify(tasks, alpha, constants=constants[0] if constants else None)
