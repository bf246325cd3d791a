"""The Bari test set for IVP solvers: stiff problems with published reference solutions.

F. Mazzia and C. Magherini, "Test Set for Initial Value Problem Solvers", release 2.4, University of Bari (2008).
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from maml_ode.integrate.solvers import METHODS, RKC2, Rodas4P, Rodas5P

implicit = pytest.mark.parametrize("method", [Rodas4P, Rodas5P])


def hires(t, y):
    a, b, c, d, e, f, g, h = y
    return np.array(
        [
            -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
            1.71 * a - 8.75 * b,
            -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d,
            -1.745 * e + 0.43 * f + 0.43 * g,
            -280.0 * f * h + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
            280.0 * f * h - 1.81 * g,
            -280.0 * f * h + 1.81 * g,
        ]
    )


HIRES_START = [1.0, 0, 0, 0, 0, 0, 0, 0.0057]
HIRES_END = 321.8122
HIRES = [
    7.371312573325668e-4, 1.442485726316185e-4, 5.888729740967575e-5, 1.175651343283149e-3,
    2.386356198831331e-3, 6.238968252742796e-3, 2.849998395185769e-3, 2.850001604814231e-3,
]  # fmt: skip


def robertson(t, y):
    slow, fast = 0.04 * y[0] - 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return np.array([-slow, slow - fast, fast])


def robertson_jacobian(t, y):
    return np.array(
        [
            [-0.04, 1e4 * y[2], 1e4 * y[1]],
            [0.04, -1e4 * y[2] - 6e7 * y[1], -1e4 * y[1]],
            [0.0, 6e7 * y[1], 0.0],
        ]
    )


ROBERTSON = [2.083340149701255e-8, 8.333360770334713e-14, 0.9999999791665050]


def van_der_pol(t, y):
    return np.array([y[1], 1e3 * (1 - y[0] ** 2) * y[1] - y[0]])


def van_der_pol_jacobian(t, y):
    return np.array([[0, 1], [-2e3 * y[0] * y[1] - 1, 1e3 * (1 - y[0] ** 2)]])


VAN_DER_POL = [1.706167732170469, -8.928097010248125e-4]


def oregonator(t, y):
    a, b, c = y
    return np.array(
        [77.27 * (b + a * (1 - 8.375e-6 * a - b)), (c - (1 + a) * b) / 77.27, 0.161 * (a - c)]
    )


OREGONATOR = [1.000814870318523, 1228.178521549917, 132.0554942846706]


@pytest.mark.parametrize("name", METHODS)
def test_hires(name):
    # Mildly stiff: every method gets there, the explicit pairs at their stability limit.
    tol = 1e-4 if name == "RKC2" else 1e-6
    run = solve_ivp(
        hires, (0, HIRES_END), HIRES_START, method=METHODS[name], rtol=tol, atol=1e-4 * tol
    )
    np.testing.assert_allclose(run.y[:, -1], HIRES, rtol=20 * tol)


def test_hires_costs():
    costs = {}
    for name in ("Tsit5", "RKC2", "Rodas5P"):
        run = solve_ivp(
            hires, (0, HIRES_END), HIRES_START, method=METHODS[name], rtol=1e-4, atol=1e-8
        )
        costs[name] = run.nfev
    assert costs["Rodas5P"] < costs["RKC2"] < costs["Tsit5"] / 10


@implicit
@pytest.mark.parametrize("jac", [robertson_jacobian, None], ids=["analytic", "differences"])
def test_robertson_to_1e11(method, jac):
    # Concentrations span fourteen decades: one absolute tolerance per component.
    run = solve_ivp(
        robertson,
        (0, 1e11),
        [1.0, 0, 0],
        method=method,
        rtol=1e-7,
        atol=[1e-13, 1e-17, 1e-11],
        jac=jac,
    )
    assert run.success
    np.testing.assert_allclose(run.y[:, -1], ROBERTSON, rtol=5e-6)
    assert np.abs(run.y.sum(axis=0) - 1).max() < 1e-10  # mass


@implicit
@pytest.mark.parametrize("jac", [van_der_pol_jacobian, None], ids=["analytic", "differences"])
def test_van_der_pol_to_2000(method, jac):
    run = solve_ivp(van_der_pol, (0, 2000), [2.0, 0], method=method, rtol=1e-7, atol=1e-7, jac=jac)
    np.testing.assert_allclose(run.y[:, -1], VAN_DER_POL, rtol=5e-6)


@implicit
def test_oregonator_to_360(method):
    run = solve_ivp(oregonator, (0, 360), [1.0, 2, 3], method=method, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(run.y[:, -1], OREGONATOR, rtol=3e-5)


def medical_akzo_nobel(t, y):
    """Diffusion of antibodies into tissue; u, v at 200 points, interleaved; parabolic."""
    u, v = y[0::2], y[1::2]
    n = len(u)
    zeta = np.arange(1, n + 1) / n
    drift, spread = (zeta - 1) ** 3 / 8.0, (zeta - 1) ** 4 / 16.0
    left = np.concatenate([np.full_like(u[:1], 2.0 if t <= 5 else 0.0), u[:-1]])
    right = np.concatenate([u[1:], u[-1:]])
    out = np.empty_like(y)
    reaction = 100.0 * u * v
    out[0::2] = drift * (right - left) * n / 2 + spread * (left - 2 * u + right) * n**2 - reaction
    out[1::2] = -reaction
    return out


def test_medical_akzo_nobel():
    # 400 equations, for which no linear system is solved.
    run = solve_ivp(
        medical_akzo_nobel, (0, 20), np.tile([0.0, 1.0], 200), method=RKC2, rtol=1e-4, atol=1e-7
    )
    assert run.nfev < 20_000
    # The set's reference at v_40, v_75 and, vanishing, u_40, u_75 (components 79, 80, 149, 150).
    assert run.y[78, -1] == pytest.approx(0.2339942217046434e-3, rel=1e-2)
    assert run.y[148, -1] == pytest.approx(0.3595616017506735e-3, rel=1e-2)
    assert abs(run.y[79, -1]) < 1e-4
    assert abs(run.y[149, -1]) < 1e-4
