"""The checker passes every family and catches every wrong derivative."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.derivative_check import _slope_at_small_steps

RNG = np.random.default_rng(0)
X = [RNG.normal(size=(n, 3)) for n in (1, 5, 8)]
Y = [np.where(RNG.random(len(x)) < 0.5, -1.0, 1.0) for x in X]
A = RNG.normal(size=(2, 3, 3))
FAMILIES = {
    "quadratic": lambda: mo.tasks.Quadratic(A @ A.transpose(0, 2, 1), A[:, 0]),
    "regression": lambda: mo.tasks.LinearRegression(X, [x[:, 0] ** 2 for x in X]),
    "logistic": lambda: mo.tasks.LogisticRegression(X, Y, l2=0.1, weights=[0.5, 0.2, 0.3]),
    "hinge": lambda: mo.tasks.SVM(X, Y, loss="hinge"),
    "squared hinge": lambda: mo.tasks.SVM(X, Y, loss="squared_hinge"),
    "smooth hinge": lambda: mo.tasks.SVM(X, Y, loss="smooth_hinge"),
    "smooth squared hinge": lambda: mo.tasks.SVM(X, Y, loss="smooth_squared_hinge"),
    "sinusoid": lambda: mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0]),
    "symbolic": lambda: mo.tasks.Symbolic(
        "a*x**2 + y**2 + sin(a*x*y)", ["x", "y"], {"a": [0.5, 1.0, 2.0]}
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_and_its_objectives_pass(name):
    family = FAMILIES[name]()
    for subject in (
        family,
        mo.ExpectedLoss(family),
        mo.MAMLLoss(family, 0.2),
        mo.MAMLLoss(family, 0.1, inner_steps=3),
    ):
        report = mo.check_derivatives(subject, rng=4)
        assert report.ok, str(report)
        assert report.slopes["gradient"] > 1.75
        assert report.errors["gradient"] < 1e-5


def broken(**wrong):
    """w -> exp(w1) + w1 w2^2 with one derivative replaced."""
    right = {
        "losses": lambda w: np.exp(w[0]) + w[0] * w[1] ** 2,
        "gradients": lambda w: np.array([np.exp(w[0]) + w[1] ** 2, 2 * w[0] * w[1]]),
        "hessians": lambda w: np.array([[np.exp(w[0]), 2 * w[1]], [2 * w[1], 2 * w[0]]]),
        "hvps": lambda w, v: right["hessians"](w) @ v,
        "thirds": lambda w, v: np.array([[np.exp(w[0]) * v[0], 2 * v[1]], [2 * v[1], 2 * v[0]]]),
    }
    used = right | wrong
    return mo.tasks.from_callables(
        [used["losses"]],
        [used["gradients"]],
        [used["hessians"]],
        [used["hvps"]],
        thirds=[used["thirds"]],
        n_tasks=1,
        dim=2,
    )


W = np.array([0.3, 0.7])


def hessian(w, scale=1.0):
    return np.array([[np.exp(w[0]), 2 * w[1]], [2 * scale * w[1], 2 * w[0]]])


def third(w, v, scale=1.0):
    return np.array([[np.exp(w[0]) * v[0], 2 * v[1]], [2 * v[1], 2 * scale * v[0]]])


WRONG = {
    "nothing": ({}, set()),
    "gradient": (
        {"gradients": lambda w: np.array([np.exp(w[0]) + w[1] ** 2 + 1e-4, 2 * w[0] * w[1]])},
        {"gradient", "Hessian"},
    ),
    "hvp": (
        {"hvps": lambda w, v: 1.001 * hessian(w) @ v},
        {"Hessian", "Hessian times v = HVP", "third derivative"},
    ),
    "hessian": (
        {"hessians": lambda w: hessian(w, 0.95)},
        {"Hessian symmetric", "Hessian times v = HVP"},
    ),
    "third": (
        {"thirds": lambda w, v: third(w, v, 1.005)},
        {"third derivative", "third derivative symmetric"},
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_derivatives_are_caught(case):
    wrong, caught = WRONG[case]
    report = mo.check_derivatives(broken(**wrong), W)
    failed = {check.name for check in report.checks if not check.ok}
    assert failed == caught
    assert report.ok == (not caught)
    head, *lines = str(report).splitlines()
    assert ("WRONG" in head) == bool(caught)
    assert [line[2:].split("  ")[0] for line in lines] == [check.name for check in report.checks]
    assert ["WRONG" in line for line in lines] == [not check.ok for check in report.checks]


@pytest.mark.parametrize("unit", [1e-200, 1e200])
@pytest.mark.parametrize("wrong", [None, "gradients", "hvps"])
def test_a_verdict_does_not_hang_on_the_unit_of_the_losses(unit, wrong):
    def scaled(name, function):
        size = 1.01 * unit if name == wrong else unit
        return lambda *arguments: size * function(*arguments)

    given = {
        "losses": lambda W: np.cosh(W).sum(axis=1),
        "gradients": np.sinh,
        "hvps": lambda W, V: np.cosh(W) * V,
    }
    tasks = mo.tasks.from_callables(
        **{name: scaled(name, function) for name, function in given.items()},
        n_tasks=2, dim=3, batched=True,
    )  # fmt: skip
    assert mo.check_derivatives(tasks).ok == (wrong is None)


def test_layer_by_layer_finite_differences_do_not_pass():
    """A one-sided difference quotient with too large a step, as some code bases use for HVPs."""

    def hvp(w, v):
        h = 1e-2
        g = broken().gradients
        return ((g(w + h * v) - g(w)) / h)[0]

    assert not mo.check_derivatives(broken(hvps=hvp), W).ok


def test_nothing_is_asked_further_away_than_the_largest_step():
    seen = []

    def asked(function):
        def noted(w, *vectors):
            seen.append(np.linalg.norm(w - W))
            return function(w, *vectors)

        return noted

    tasks = broken(
        losses=asked(lambda w: (w**4).sum()), gradients=asked(lambda w: 4 * w**3),
        hessians=asked(lambda w: np.diag(12 * w**2)), hvps=asked(lambda w, v: 12 * w**2 * v),
        thirds=asked(lambda w, v: np.diag(24 * w * v)),
    )  # fmt: skip
    assert mo.check_derivatives(tasks, W).ok
    assert max(seen) == pytest.approx(0.1, rel=1e-12)


def test_what_is_checked_is_what_there_is_and_no_matrix_of_many_parameters(monkeypatch):
    full = broken()
    by_gradients = mo.tasks.from_callables(
        lambda i, w: full.losses(w)[i], lambda i, w: full.gradients(w)[i], n_tasks=1, dim=2
    )
    names = ["gradient", "Hessian", "Hessian symmetric", "Hessian times v = HVP"]
    for small, subject, wanted in (
        (True, mo.ExpectedLoss(full), names),
        (True, by_gradients, names[:1]),
        (True, mo.ExpectedLoss(by_gradients), names[:1]),
        (False, mo.ExpectedLoss(full), names[:2]),
        (False, full, [*names[:2], "third derivative"]),
    ):
        monkeypatch.setattr("maml_ode.derivative_check.LARGEST_MATRIX", 2 if small else 1)
        assert [check.name for check in mo.check_derivatives(subject, W).checks] == wanted


def test_orders_and_errors_are_those_of_what_was_checked():
    report = mo.check_derivatives(broken(), W)
    assert [check.expected for check in report.checks] == [2, 3, 0, 0, 2, 0, 0]
    assert list(report.slopes) == ["gradient", "Hessian", "third derivative"]
    assert "(wanted 3)" in str(report)
    # products 0.1 % too large are off by as much of themselves
    wrong = mo.check_derivatives(broken(**WRONG["hvp"][0]), W).errors["Hessian"]
    assert wrong == pytest.approx(0.001 / 1.001, rel=1e-3)


def test_an_order_is_read_from_five_steps_of_six_a_decade():
    gradient = mo.check_derivatives(broken(), W).checks[0]
    assert gradient.steps == pytest.approx(10.0 ** (-1 - np.arange(37) / 6), rel=1e-12)
    h = np.array([0.1, 0.05, 0.02, 0.01, 0.001])
    assert _slope_at_small_steps(h, 3.0 * h**2) == pytest.approx(2.0, rel=1e-12)
    assert _slope_at_small_steps(h[1:], h[1:]) == np.inf
    more = np.append([1.0, 0.5], h)  # what they were before is forgotten
    assert _slope_at_small_steps(more, np.append([7.0, 0.0], h**3)) == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize("near", [1e-2, 1e-6])
@pytest.mark.parametrize("constant", [1e3, -1e6, 1e9])
def test_a_constant_leaves_rounding_and_no_wrong_derivative(constant, near):
    """Near the minimum of cosh the third derivative is small: the remainder passes through 0 on one side."""
    given = {
        "losses": lambda i, w: constant + np.cosh(w).sum(),
        "gradients": lambda i, w: np.sinh(w),
    }
    for scale in (1.0, 1.001):
        tasks = mo.tasks.from_callables(
            **given, hessians=lambda i, w, c=scale: c * np.diag(np.cosh(w)), n_tasks=1, dim=2
        )
        for seed in range(6):
            assert mo.check_derivatives(tasks, near * W, rng=seed).ok == (scale == 1.0)


def test_report_draws_itself_and_refuses_other_things():
    report = mo.check_derivatives(broken(), W)
    assert report.plot().get_xlabel() == "step h"
    with pytest.raises(TypeError, match="family or an objective"):
        mo.check_derivatives(lambda w: w)


@pytest.mark.parametrize(
    ("tasks", "w"),
    [
        (mo.tasks.LinearRegression([[[1.0]]], [[0.1]]), [0.1]),
        (mo.tasks.LinearRegression([[[1.0, 2.0], [3.0, 4.0]]], [[5.0, 11.0]]), [1.0, 2.0]),
        (mo.tasks.Sinusoid([0.5], [1.0], [1.0]), [1e6]),
    ],
    ids=["zero loss", "noise-free data", "far out"],
)
def test_cancellation_is_not_taken_for_a_wrong_derivative(tasks, w):
    assert mo.check_derivatives(tasks, w).ok
    assert mo.check_derivatives(mo.MAMLLoss(tasks, 0.01), w).ok
