"""Functions that return float32: told of once, and judged by the rounding of that type."""

import warnings

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.energy import count_rises, rises

EPS = float(np.finfo(np.float32).eps)


def single(family, wrong=None, batched=True):
    """The losses of a family, computed in double and rounded to float32 on the way in and out."""

    def rounded(name):
        def call(*arguments):
            points = [np.asarray(a, dtype=np.float32) for a in arguments]
            value = np.asarray(getattr(family, name)(*points), dtype=np.float32)
            return value * np.float32(1.01) if name == wrong else value

        return call if batched else lambda i, *arguments: call(*arguments)[i]

    return mo.tasks.from_callables(
        rounded("losses"),
        rounded("gradients"),
        rounded("hessians"),
        rounded("hvps"),
        thirds=rounded("third"),
        third_vectors=rounded("third_vectors"),
        n_tasks=family.n_tasks,
        dim=family.dim,
        batched=batched,
    )


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mo.tasks.PrecisionWarning)
        yield


@pytest.mark.parametrize("batched", [True, False])
def test_it_is_said_once(make_logistic, batched):
    tasks = single(make_logistic(), batched=batched)
    assert tasks.precision == np.finfo(float).eps
    with pytest.warns(mo.tasks.PrecisionWarning, match="returned float32, about 6 digits"):
        tasks.gradients(np.zeros(3))
    assert tasks.precision == EPS
    tasks.hvps(np.zeros(3), np.ones(3))  # a second warning would be an error here
    field = mo.fields.CallableField(lambda w: np.float32(-1) * np.float32(w), 1)
    with pytest.warns(mo.tasks.PrecisionWarning, match="the field's function returned float32"):
        field(np.ones(1))
    assert field.precision == EPS


@pytest.mark.parametrize("seed", range(3))
def test_the_checker_passes_what_is_right_and_catches_what_is_wrong_by_a_hundredth(
    make_logistic, silent, seed
):
    family = make_logistic(seed=seed)
    tasks = single(family)
    for subject in (tasks, mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, 0.2)):
        report = mo.check_derivatives(subject, rng=seed)
        assert report.ok, str(report)
    for name in ("gradients", "hvps", "third_vectors"):
        assert not mo.check_derivatives(single(family, wrong=name), rng=seed).ok


def test_tolerances_are_those_of_its_rounding(make_logistic, silent):
    family = make_logistic()
    tasks = single(family)
    exact = mo.solve(mo.maml_flow(family, 0.2), np.ones(3), tol=1e-10)
    for tol in (1e-4, 1e-6):
        run = mo.solve(mo.maml_flow(tasks, 0.2), np.ones(3), tol=tol)
        assert run.success
        assert run.energy.rises == 0
        assert run.counts.steps < 200
        np.testing.assert_allclose(run.w, exact.w, atol=100 * tol)


@pytest.mark.parametrize("seed", range(3))
def test_a_norm_out_of_its_reach_ends_the_run_soon_and_says_why(silent, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(3, 8, 10)), np.where(rng.random((3, 8)) < 0.5, -1.0, 1.0)
    tasks = single(mo.tasks.SVM(X, y, loss="smooth_squared_hinge", l2=0.1))
    run = mo.solve(mo.maml_flow(tasks, 0.2), np.ones(10), tol=1e-10)
    assert run.stop is mo.StopReason.TOLERANCE_OUT_OF_REACH
    assert "the losses are computed with eps = 1.2e-07: raise it" in run.message
    assert run.counts.steps < 500
    assert run.grad_norm[-1] < 1e-5
    # The remedy that the message names.
    assert mo.solve(mo.maml_flow(tasks, 0.2), np.ones(10), tol=1e-5).success


def test_double_precision_is_as_before():
    tolerances = mo.integrate.plan.Tolerances(1e-8, 1e-10, False, False)
    assert tolerances.seen_in(np.finfo(float).eps) is tolerances
    fixed = mo.integrate.plan.Tolerances(1e-9, 1e-11, True, True)
    assert (fixed.seen_in(EPS).rtol, fixed.seen_in(EPS).atol) == (1e-9, 1e-11)
    coarse = tolerances.seen_in(EPS)
    assert coarse.rtol > 10 * EPS
    assert coarse.tightened() is None


def test_a_rise_counts_beyond_the_rounding_of_its_type():
    values = np.array([1.0, 1.0 + 2 * EPS, 1.0 + 40 * EPS])
    assert count_rises(values)[0] == 2
    assert count_rises(values, EPS) == (1, pytest.approx(38 * EPS))
    assert rises(1.0, 1.0 + 2 * EPS)
    assert not rises(1.0, 1.0 + 2 * EPS, EPS)
