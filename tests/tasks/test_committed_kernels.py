"""Kernels that are generated and kept are what the generator writes today, and what a formula of a user's has."""

from pathlib import Path

import numpy as np
import pytest

import maml_ode as mo
import maml_ode.tasks.kernels
from maml_ode.tasks.symbolic import committed

FOLDER = Path(next(iter(maml_ode.tasks.kernels.__path__)))


@pytest.mark.parametrize("name", committed.FORMULAS)
def test_they_are_generated_again_to_the_same_bytes(name, tmp_path):
    (written,) = [path for path in committed.write_committed(tmp_path) if path.stem == name]
    assert written.read_bytes() == (FOLDER / f"{name}.py").read_bytes()


def test_a_sinusoid_is_the_symbolic_family_of_its_formula_to_the_last_bit():
    rng = np.random.default_rng(0)
    values = dict(
        zip(("a", "b", "omega"), rng.normal(size=(3, 4)) * [[1.0], [1.0], [9.0]], strict=True)
    )
    formula, variables, _ = committed.FORMULAS["sinusoid"]
    ours, theirs = mo.tasks.Sinusoid(**values), mo.tasks.Symbolic(formula, variables, values)
    w, v, q = rng.normal(size=(3, 1))
    for method, arguments in (
        ("losses", (w,)), ("gradients", (w,)), ("hessians", (w,)), ("hvps", (w, v)), ("third", (w, v)),
        ("third_vectors", (w, v, q)),
    ):  # fmt: skip
        np.testing.assert_array_equal(
            getattr(ours, method)(*arguments), getattr(theirs, method)(*arguments), method
        )
