"""The bounds' own functions read numbers through the same door as everything public."""

import inspect

import numpy as np
import pytest

from maml_ode.theory.bounds import lemmas, pointwise, printed, products, relatives

GOOD = {
    "alpha": 0.1, "mu": 0.5, "L": 2.0, "kappa": 0.3, "sigma": 0.7, "gamma": 0.4, "gap": 0.2, "lam": 4.0,
    "gradient_norm": 0.6, "task_gradient_norm": 0.6, "gradient_F_norm": 0.5, "mean_query_norm": 0.8,
    "mean_gradient_norm": 0.8, "mean_prox_gradient_norm": 0.3, "inner_steps": 1, "t": 1.0, "f_gap": 0.2,
    "nu": 0.2, "mu_F": 0.4, "L_F": 2.0, "norm": 0.6, "h": 0.5, "x": 0.5,
}  # fmt: skip
HOSTILE = [
    "0.1", True, None, 1j, 10**400, np.datetime64("2020"), np.ma.masked_array([0.1], [True]), object(),
]  # fmt: skip


def functions():
    for module in (lemmas, pointwise, printed, products, relatives):
        for name in module.__all__:
            function = getattr(module, name)
            if not inspect.isfunction(function) or name in ("as_numbers", "all_numbers"):
                continue
            parameters = inspect.signature(function).parameters
            needed = [n for n, p in parameters.items() if p.default is p.empty]
            if needed and set(needed) <= set(GOOD):
                yield pytest.param(function, needed, id=f"{module.__name__.split('.')[-1]}.{name}")


CASES = list(functions())


def test_most_functions_are_tried():
    assert len(CASES) >= 20


@pytest.mark.parametrize(("function", "needed"), CASES)
def test_what_is_no_real_number_is_refused(function, needed):
    function(**{name: GOOD[name] for name in needed})
    for argument in needed:
        for value in HOSTILE:
            arguments = {name: GOOD[name] for name in needed} | {argument: value}
            with pytest.raises((TypeError, ValueError), match=argument):
                function(**arguments)


NEVER_NEGATIVE = {
    "sigma", "kappa", "gamma", "gap", "f_gap", "gradient_norm", "gradient_F_norm", "task_gradient_norm",
    "mean_query_norm", "mean_gradient_norm", "mean_prox_gradient_norm",
}  # fmt: skip


@pytest.mark.parametrize(("function", "needed"), CASES)
def test_a_negative_norm_makes_no_bound(function, needed):
    for argument in NEVER_NEGATIVE & set(needed):
        for value in (-1e-3, np.array([0.5, -0.5])):
            arguments = {name: GOOD[name] for name in needed} | {argument: value}
            with pytest.raises(ValueError, match=f"^{argument} must"):
                function(**arguments)
