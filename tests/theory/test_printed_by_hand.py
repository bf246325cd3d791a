"""What the paper prints, recomputed by SymPy from the words themselves; and bounds of relatives, term by term."""

import math
import re

import numpy as np
import pytest
import sympy as sp
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication,
    parse_expr,
    standard_transformations,
)

import maml_ode as mo
from maml_ode import theory
from maml_ode.theory import derived
from maml_ode.theory.bounds import pointwise, printed
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.bounds.relatives import shift_multiple
from maml_ode.theory.certificates.bounding_curves import bounding_curves

READ = (*standard_transformations, convert_xor, implicit_multiplication)
NAMES = ("mu", "L", "kappa", "sigma", "eps0", "K", "alpha", "eps", "g", "iota", "zeta")


def evaluated(text, **numbers):
    names = {name: sp.Symbol(name) for name in NAMES} | {
        "cbrt": sp.cbrt,
        "sqrt": sp.sqrt,
        "log": sp.log,
    }
    # (36 kappa sigma + ...): a product is written by spaces, and a / b c means a/(b c) nowhere
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", "*", text)
    found = parse_expr(text, local_dict=names, transformations=READ)
    return float(found.subs({names[name]: value for name, value in numbers.items()}).evalf(30))


def constants(rng):
    mu = rng.uniform(0.1, 2.0)
    return {
        "mu": mu,
        "L": mu * rng.uniform(1.0, 9.0),
        "kappa": rng.uniform(0.1, 3.0),
        "sigma": rng.uniform(0.1, 3.0),
    }


def test_every_term_of_a_printed_limit_is_what_its_name_says():
    rng = np.random.default_rng(0)
    for _ in range(5):
        k, eps0, K = constants(rng), rng.uniform(0.1, 2.0), rng.uniform(0.1, 2.0)
        for terms, more in (
            (printed.printed_alpha_b2(k["mu"], k["L"]), {}),
            (printed.printed_alpha_3_6(*k.values()), {}),
            (printed.printed_alpha_3_7(*k.values(), eps0), {"eps0": eps0}),
            (printed.printed_alpha_3_9(*k.values(), K), {"K": K}),
            (printed.printed_alpha_3_10(*k.values(), K), {"K": K}),
            (
                printed.printed_alpha_3_10(*k.values()),
                {"K": (1 + math.sqrt(k["L"] / k["mu"])) * k["sigma"]},
            ),
        ):
            assert len(terms) >= 2
            for name, value in terms.items():
                name = name.replace("(1/2)", "(S(1)/2)").replace("(1/3)", "(S(1)/3)")
                assert value == pytest.approx(evaluated(name, **k, **more), rel=1e-13), name
    free = printed.printed_alpha_3_6(1.0, 2.0, 0.0, 1.0)
    assert sum(value == math.inf for value in free.values()) == 2


def test_rates_curves_and_times_as_printed():
    rng = np.random.default_rng(1)
    for _ in range(6):
        k = constants(rng)
        mu, L, sigma = k["mu"], k["L"], k["sigma"]
        alpha, g, eps, eps0 = (
            0.03 * mu / L**2 / (1 + L),
            rng.uniform(3, 9) * sigma / mu,
            1e-5,
            rng.uniform(0.1, 1.0),
        )
        zeta = evaluated(
            "mu - 1.25 L^2 alpha (L^3 alpha^2 + 2 L^2 alpha + 2)", mu=mu, L=L, alpha=alpha
        )
        assert printed.printed_zeta(alpha, mu, L) == pytest.approx(zeta, rel=1e-13)
        assert printed.printed_lemma_3_8(g, sigma, alpha, mu, L) == pytest.approx(
            sigma**2 / 2 - zeta * g**2
        )
        t = np.array([0.0, 0.7, 50.0 / zeta])
        curve = printed.printed_curve_b2(t, g, sigma, alpha, mu, L)
        assert curve[0] == pytest.approx(g**2)
        assert curve[-1] == pytest.approx(sigma**2 / 2 / zeta)
        middle = (g**2 - sigma**2 / 2 / zeta) * math.exp(-0.7 * zeta) + sigma**2 / 2 / zeta
        assert curve[1] == pytest.approx(middle, rel=1e-12)
        iota = zeta - mu / 2
        numbers = {"mu": mu, "sigma": sigma, "eps": eps, "g": g, "iota": iota, "eps0": eps0}
        approach = evaluated("(2/mu)*log((mu^2*g^2 - mu*sigma^2/2)/(iota*sigma^2))", **numbers)
        rest = evaluated("(16/mu)*log((5 + 9/sqrt(mu))*sigma/(4*eps))", **numbers)
        assert printed.printed_time_3_6(g, sigma, alpha, mu, L, eps) == pytest.approx(
            approach + rest, rel=1e-12
        )
        near = 0.99 * sigma / math.sqrt(mu)
        assert printed.printed_time_3_6(near, sigma, alpha, mu, L, eps) == pytest.approx(
            rest, rel=1e-12
        )
        assert math.isnan(printed.printed_time_3_6(g, 0.0, alpha, mu, L, eps))
        assert math.isnan(printed.printed_time_3_6(g, sigma, 1.0 / L**2 + 1.0, mu, L, eps))
        both = evaluated(
            "(2/mu)*log(g^2/eps0^2) + (16/mu)*log((9*eps0 + 5*sigma)/(4*eps))", **numbers
        )
        assert printed.printed_time_3_7(g, sigma, mu, eps0, eps) == pytest.approx(both, rel=1e-12)
        assert printed.printed_hessian_range_c2(mu, L) == pytest.approx((mu / 8, 9 * L / 8))
        assert printed.printed_limit_section_3_3(sigma) == pytest.approx(sigma**2 / 4)
        x = alpha * L
        b3 = (1 + 2 * x + x**2) * g + (2 * x + x**2) * sigma
        assert printed.printed_gradient_of_F_b3(g, sigma, alpha, L) == pytest.approx(b3)
        assert printed.printed_gradient_of_F_d2(eps0, sigma, L) == pytest.approx(
            sigma + math.sqrt(2 * L * eps0)
        )
        assert printed.printed_gradient_of_f_c1(eps0, sigma) == pytest.approx(2 * eps0 + sigma)
        assert printed.printed_fallback_time_d5(g, eps0) == pytest.approx(math.sqrt(g / eps0))


def test_pointwise_bounds_term_by_term():
    rng = np.random.default_rng(2)
    for _ in range(20):
        k = constants(rng)
        mu, L, kappa = k["mu"], k["L"], k["kappa"]
        alpha, gamma = rng.uniform(0.05, 0.9) / L, rng.uniform(0.1, 5.0)
        b = 1 - alpha * mu
        noise = alpha * kappa * b * gamma
        top = max(h * (1 - alpha * h) ** 2 for h in np.linspace(mu, L, 20_001))
        right = min(L * b * b + noise, top + (2 - alpha * mu) * noise)
        assert pointwise.curvature_upper(gamma, alpha, mu, L, kappa) == pytest.approx(
            right, rel=1e-7
        )
        a = 1 - alpha * L
        least = min(h * (1 - alpha * h) ** 2 for h in (mu, L))
        right = max(mu * a * a - noise, least - (1 + b) * noise)
        assert pointwise.curvature_lower(gamma, alpha, mu, L, kappa) == pytest.approx(
            right, rel=1e-9
        )
    # without a kappa nothing is known but at alpha = 0
    assert pointwise.curvature_upper(1.0, 0.0, 1.0, 2.0, math.inf) == pytest.approx(2.0)
    assert pointwise.curvature_upper(1.0, 0.1, 1.0, 2.0, math.inf) == math.inf
    assert pointwise.curvature_lower(1.0, 0.0, 1.0, 2.0, math.inf) == pytest.approx(1.0)
    assert pointwise.curvature_lower(1.0, 0.1, 1.0, 2.0, math.inf) == -math.inf
    assert pointwise.curvature_lower(1.0, 0.1, -1.0, 2.0, 0.0) == pytest.approx(-1.21)


def test_one_inner_step_is_what_is_meant_without_a_number():
    assert [shift_multiple(name) for name in ("maml", "fomaml", "reptile")] == [2.0, 1.0, 0.0]


def test_the_limit_of_alpha_has_the_unit_of_an_inverse_curvature():
    """zeta_1 = 0 at the limit, where it is positive below and not above."""
    for mu, L in (
        (1.0, 1.01),
        (1.0, 1.25),
        (1.0, 4.0),
        (1e-200, 3e-200),
        (1e-310, 4e-310),
        (1e300, 5e300),
    ):
        limit = derived.zeta_corrected_limit(mu, L)
        if mu > 1e-300:
            of_one = derived.zeta_corrected_limit(1.0, L / mu)
            assert limit * mu == pytest.approx(of_one, rel=1e-12)
        assert math.isinf(limit) or derived.zeta_corrected(limit * 0.999, mu, L) > 0
    assert derived.zeta_corrected(derived.zeta_corrected_limit(1.0, 4.0) * 1.001, 1.0, 4.0) < 0


@pytest.mark.parametrize("step_size", [0.05, 0.45, 0.9])
def test_descent_on_a_quadratic_decays_by_its_slowest_factor(step_size):
    """G = diag(1, 2) at alpha = 0: a step multiplies by 1 - beta and 1 - 2 beta; the larger magnitude bounds."""
    tasks = mo.tasks.Quadratic([[[1.0, 0.0], [0.0, 2.0]]], [[0.0, 0.0]])
    run = mo.euler(mo.maml_flow(tasks, 0.0), [3.0, 1.0], step_size, max_iter=6)
    facts = QuadraticFacts(mo.MAMLLoss(tasks, 0.0).quadratic_form)
    quantities = (np.full(7, np.nan), run.task_grad_norm, run.grad_norm)
    curves = bounding_curves(run, {0: "F"}, theory.constants(tasks), 0.0, facts, *quantities)
    factor = max(abs(1 - step_size), abs(1 - 2 * step_size))
    assert curves["grad_bound"] == pytest.approx(
        run.grad_norm[0] * factor ** np.arange(7), rel=1e-12
    )
    assert (run.grad_norm <= curves["grad_bound"] * (1 + 1e-12)).all()
    # where f is followed instead, the gap's curve holds up to 2/(mu_f + L_f) = 2/3 only
    along_f = bounding_curves(run, {0: "f"}, theory.constants(tasks), 0.0, None, *quantities)
    if step_size <= 2.0 / 3.0:
        decay = run.task_grad_norm[0] * (1 - step_size) ** np.arange(7)
        assert along_f["task_grad_bound"] == pytest.approx(decay, rel=1e-12)
        assert along_f["gap_bound"] == pytest.approx(decay**2 / 2, rel=1e-12)
    else:
        assert np.isnan(along_f["task_grad_bound"]).all()
        assert np.isnan(along_f["gap_bound"]).all()


def test_advice_on_the_switch_from_its_parts():
    """Two parabolas: rates lambda(H) = 1 and lambda(H (1 - alpha H)^2) = .81 at alpha = .1."""
    tasks = mo.tasks.Quadratic([[[1.0]], [[1.0]]], [[1.0], [3.0]])
    assert theory.switch_advice(tasks, 0.1, cost_ratio=0.5).rule is None
    advice = theory.switch_advice(tasks, 0.1, cost_ratio=2.5)
    assert advice.rates == pytest.approx((1.0, 0.81))
    assert advice.kappa_c == pytest.approx(2.5 / 0.81)
    per_step = theory.switch_advice(tasks, 0.1, cost_ratio=2.5, step_size=0.5)
    assert per_step.rates == pytest.approx((-math.log(0.5), -math.log(1 - 0.405)))
    assert per_step.kappa_c == pytest.approx(2.5 * math.log(0.5) / math.log(0.595))
    # kappa_c = 1.05 / .81 = 1.3: beyond 1 there is advice
    assert theory.switch_advice(tasks, 0.1, cost_ratio=1.05).switch_tol is not None
    for step in (1.0, 1.1, 1.9):  # a step of 1/lambda leaves no rate to compare
        with pytest.raises(ValueError, match="step_size"):
            theory.switch_advice(tasks, 0.1, step_size=step)
    for name in ("cost_ratio", "step_size"):
        with pytest.raises(ValueError, match=name):
            theory.switch_advice(tasks, 0.1, **{name: 0.0})
    with pytest.raises(TypeError, match="tasks"):
        theory.switch_advice([1.0], 0.1)
    with pytest.raises(ValueError, match="no local minimiser of F was found"):
        theory.switch_advice(mo.tasks.Quadratic([[[3.0]], [[-1.0]]], [[0.0], [1.0]]), 0.2)
