"""The constants of sparse linear models are those of the same data held densely."""

import numpy as np
import pytest
import scipy.sparse as sp

import maml_ode as mo
import maml_ode.tasks.linear_regression

FAMILIES = {
    "regression": (mo.tasks.LinearRegression, {}),
    "logistic": (mo.tasks.LogisticRegression, {"l2": 0.1}),
    "squared_hinge": (mo.tasks.SVM, {"loss": "squared_hinge"}),
    "smooth_hinge": (mo.tasks.SVM, {"loss": "smooth_hinge", "l2": 0.2, "reduction": "sum"}),
}


@pytest.mark.parametrize("d", [4, 30])
@pytest.mark.parametrize("name", FAMILIES)
def test_constants_do_not_depend_on_how_the_data_are_held(name, d, monkeypatch):
    monkeypatch.setattr(maml_ode.tasks.linear_regression, "MATRIX_OF_THE_DATA", 10)
    rng = np.random.default_rng(3)
    X = [rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.4) for n in (6, 9)]
    y = [rng.choice([-1.0, 1.0], n) for n in (6, 9)]
    family, settings = FAMILIES[name]
    dense = mo.theory.constants(family(X, y, **settings))
    sparse = mo.theory.constants(family([sp.csr_array(X_i) for X_i in X], y, **settings))
    for constant in ("mu", "L", "kappa", "mu_f", "L_f", "sigma"):
        got, expected = getattr(sparse, constant), getattr(dense, constant)
        assert got.status is expected.status
        np.testing.assert_allclose(got.value, expected.value, rtol=1e-12, atol=1e-13)
