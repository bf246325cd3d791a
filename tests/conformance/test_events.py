"""Events from the literature, as switches of flows: each found once, none missed, none for ever."""

import time

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.flows import SwitchRule

METHODS = ["Tsit5", "DOP853", "Rodas5P", "RK45", "Radau", "LSODA"]
ANY = mo.ExpectedLoss(mo.tasks.Quadratic([np.eye(2)], [[0.0, 0.0]]))


def relay(above, below, surface):
    """``above`` where surface > 0 and ``below`` elsewhere, tested again and again."""
    return mo.Flow(
        [
            mo.Phase(CallableField(above, 2), until=lambda t, w: surface(w)),
            mo.Phase(CallableField(below, 2)),
        ],
        objective=ANY,
        rule=SwitchRule.RETEST,
    )


@pytest.mark.parametrize("method", METHODS)
def test_lsodar_demo_finds_two_roots_inside_one_step(method):
    """y' = ((2 ln y + 8)/t - 5) y, y(1) = 1; ln y - 2.2491 vanishes at 2.47 and at 2.53 (ODEPACK)."""

    def field(w):
        t, y = w
        return np.array([1.0, ((2 * np.log(y) + 8) / t - 5) * y])

    flow = relay(field, field, lambda w: 2.2491 - np.log(w[1]))
    run = mo.solve(flow, [1.0, 1.0], method=method, t_max=3.0, tol=0, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(1.0 + run.switch_times, [2.47, 2.53], atol=2e-6)
    exact = np.exp(-(4.0**2) + 5 * 4.0 - 4)
    assert run.w[1] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_oscillator_restarted_at_its_roots_fires_each_once(method):
    def rotate(w):
        return np.array([-w[1], w[0]])

    flow = relay(rotate, rotate, lambda w: w[1])
    run = mo.solve(flow, [1.0, 1e-3], method=method, t_max=20.0, tol=0, rtol=1e-9, atol=1e-11)
    phase = np.arctan2(1e-3, 1.0)
    expected = np.pi * np.arange(1, 7) - phase
    np.testing.assert_allclose(run.switch_times, expected, atol=1e-6)
    assert run.stop is mo.StopReason.HORIZON


def test_zeno_ends_by_name():
    """Super-twisting control switches ever faster and comes to rest in finite time."""

    def above(w):
        return np.array([w[1] - 1.5 * np.sqrt(abs(w[0])), -1.1])

    def below(w):
        return np.array([w[1] + 1.5 * np.sqrt(abs(w[0])), 1.1])

    began = time.perf_counter()
    run = mo.solve(
        relay(above, below, lambda w: w[0]), [1.0, 0.5], method="RK45", t_max=50.0, tol=0,
        max_seconds=20.0,
    )  # fmt: skip
    assert time.perf_counter() - began < 20.0
    assert not run.success
    assert run.stop in (mo.StopReason.CHATTERING, mo.StopReason.STEP_TOO_SMALL)
    assert len(run.switch_times) > 5
    assert np.abs(run.w).max() < 1e-3
    gaps = np.diff(run.switch_times[:6])
    assert (gaps[1:] < gaps[:-1]).all()


def test_sliding_is_named_within_one_switch():
    flow = relay(lambda w: np.array([1.0, -1.0]), lambda w: np.array([1.0, 1.0]), lambda w: w[1])
    run = mo.solve(flow, [0.0, 1.0], t_max=50.0, tol=0)
    assert run.stop is mo.StopReason.CHATTERING
    assert len(run.switch_times) == 1
    assert run.final_time == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["Tsit5", "DOP853", "RKC2", "Rodas5P", "RK45"])
def test_error_falls_with_the_tolerance_as_fast_with_a_switch_as_without(method, make_quadratic):
    """Shampine and Thompson, Event location for ordinary differential equations (2000).

    Read where the slopes have settled: at looser tolerances the few steps of a run make them wander.
    """
    tasks, w0 = make_quadratic(d=5, condition=30.0, seed=1), 3.0 * np.ones(5)
    eps0 = 0.3 * np.linalg.norm(mo.ExpectedLoss(tasks).gradient(w0))
    tolerances = np.logspace(-6, -11, 25)
    slopes = []
    for flow in (mo.maml_flow(tasks, 0.4), mo.bimaml_flow(tasks, 0.4, eps0)):
        exact = mo.solve(flow, w0, t_max=12.0, tol=0, method="exact").w
        errors = [
            np.linalg.norm(
                mo.solve(flow, w0, t_max=12.0, tol=0, method=method, rtol=r, atol=r / 10).w - exact
            )
            for r in tolerances
        ]
        slopes.append(np.polyfit(np.log(tolerances), np.log(errors), 1)[0])
    assert slopes[1] == pytest.approx(slopes[0], abs=0.1)
    assert slopes[0] > 0.6
