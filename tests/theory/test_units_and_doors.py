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
