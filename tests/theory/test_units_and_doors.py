"""Certificates in any unit of the losses; public theory takes numbers only, and the constants of its own tasks."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory import derived

H = np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]]])
B = np.array([[1.0, 0.0], [0.0, 1.0]])
CONSTANTS = {"alpha": 0.1, "mu": 1.0, "L": 3.0, "kappa": 1.0, "mu_f": 2.0, "L_f": 2.0, "sigma": 1.0}


def certificates(unit):
    tasks = mo.tasks.Quadratic(unit * H, unit * B)
    tolerances = {"switch_tol": 0.1 * unit, "tol": 1e-8 * unit}
    return mo.theory.certify(tasks, 0.1 / unit, w0=[1.0, 2.0], **tolerances)


@pytest.mark.parametrize("unit", [2.0**-600, 2.0**500])
def test_a_time_bound_has_the_unit_of_time(unit):
    for name in ("time_bound", "step_size_limit"):
        scaled, right = certificates(unit)[name], certificates(1.0)[name]
        assert scaled.holds == right.holds
        assert scaled.bound * unit == pytest.approx(right.bound, rel=1e-9)


def test_certificates_whose_squares_overflow_say_so():
    report = certificates(2.0**600)
    assert report["time_bound"].holds is None
    assert report["step_size_limit"].holds


@pytest.mark.parametrize("factor", ["1e-300", "1e160"])
def test_a_formula_in_extreme_units_has_certificates(factor):
    tasks = mo.tasks.Symbolic(f"{factor}*w**2", ["w"])
    assert mo.theory.certify(tasks, 0.01 / float(factor), w0=[0.5])


def in_units(unit):
    return {
        "matrices": mo.tasks.Quadratic(unit * H, B),
        "one number": mo.tasks.Quadratic([[[unit]]], [[unit]]),
        "waves": mo.tasks.Sinusoid([0.5 * unit] * 2, [unit, 1e-4 * unit], [1.0, 2.0]),
    }


@pytest.mark.parametrize("unit", [1e-310, 1e-308, 1e-160, 1e154, 1e300])
@pytest.mark.parametrize("kind", ["matrices", "one number", "waves"])
def test_certify_answers_in_every_unit(kind, unit):
    tasks = in_units(unit)[kind]
    for alpha in (0.1, min(0.1 / unit, 1e300)):
        for start, tol in ((1.0, 1e-8), (1e100, 1e-8 * unit)):
            report = mo.theory.certify(
                tasks, alpha, w0=np.full(tasks.dim, start), tol=max(tol, 1e-320), switch_tol=1e-3
            )
            for name in ("time_bound", "bimaml_time", "iteration_bound", "fallback_stationarity"):
                assert report[name].holds in (True, None)
                assert not report[name].holds or np.isfinite(report[name].bound), name


def test_a_time_beyond_the_floats_is_not_computed_until_the_losses_are_multiplied():
    """f = h w^2/2 with h = 1e-308: ||grad F|| = h g from w0 = g/h takes log(g/tol)/h, 1.8e309 for g/tol = 1e8."""

    def report(factor):
        tasks = mo.tasks.Quadratic([[[1e-308 * factor]]], [[factor]])
        return mo.theory.certify(
            tasks, 0.1 / factor, w0=[0.0], tol=1e-8 * factor, switch_tol=0.1 * factor
        )

    for name in ("time_bound", "bimaml_time"):
        item = report(1.0)[name]
        assert item.holds is None
        assert "beyond the range of floats; multiply the losses and the tolerances" in item.note
        assert "and divide alpha by it" in item.note
        item = report(2.0**100)[name]
        assert item.holds
        time = 8 * np.log(10.0) / (1e-308 * 2.0**100)
        assert item.value == pytest.approx(time, rel=1e-9)
        assert time * (1 - 1e-12) <= item.bound <= time * (1 + 1e-9)


@pytest.mark.parametrize("bad", ["0.1", True, 1j, np.datetime64("2020-01-01"), np.ma.masked])
def test_a_bound_takes_real_numbers_only(bad):
    for name in CONSTANTS:
        with pytest.raises((TypeError, ValueError), match=name):
            mo.theory.Landscape(**CONSTANTS | {name: bad})
    for name in ("alpha", "mu", "L"):
        given = {"alpha": 0.1, "mu": 1.0, "L": 3.0} | {name: bad}
        with pytest.raises((TypeError, ValueError), match=name):
            derived.psi(**given)


def test_constants_of_another_family_are_refused():
    tasks, other = mo.tasks.Quadratic(H, B), mo.tasks.Quadratic(H[:1], B[:1])
    with pytest.raises(ValueError, match="constants belong to a family"):
        mo.theory.certify(tasks, 0.1, constants=mo.theory.constants(other))
    assert mo.theory.certify(tasks, 0.1, constants=mo.theory.constants(tasks))


def test_monitor_takes_a_flow_only():
    tasks = mo.tasks.Quadratic(H, B)
    run = mo.solve(mo.maml_flow(tasks, 0.1), [1.0, 2.0])
    with pytest.raises(TypeError, match="flow must be a Flow"):
        mo.theory.monitor(run, tasks, 0.1, flow="MAML")
    assert mo.theory.monitor(run, tasks, 0.1, flow=mo.maml_flow(tasks, 0.1))
