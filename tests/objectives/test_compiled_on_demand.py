"""What of the compiled layer is compiled when, and for whom."""

import subprocess
import sys

import numpy as np
import pytest
from numba import float64, int64, types

import maml_ode as mo
from maml_ode.compiled import matrices
from maml_ode.compiled.decorators import compiled, entry, inner, kernel, on_demand


def test_an_inner_function_is_compiled_with_its_caller_and_for_what_it_declares():
    @inner(float64(float64), cache=False)
    def third_of(x):
        return x / 3 if x // 2 * 2 == x else x

    assert third_of.signatures == []

    @entry(float64(int64), cache=False)
    def of_an_integer(n):
        return third_of(n)

    assert third_of.signatures == [(float64,)]
    assert of_an_integer(4) == 4 / 3


def test_what_python_cannot_call_says_so():
    @inner(float64(float64), cache=False)
    def within(x):
        return x

    @kernel(float64(float64), cache=False)
    def held(x):
        return x

    for function in (within, held):
        with pytest.raises(TypeError, match=r"(within|held) is for compiled functions only"):
            function(1.0)


def test_a_kernel_can_be_held_as_a_value():
    @kernel(float64(float64), cache=False)
    def double(x):
        return 2 * x

    @on_demand(float64(types.FunctionType(float64(float64)), float64), cache=False)
    def twice(function, x):
        """Apply it twice."""
        return function(function(x))

    assert (twice.__name__, twice.__doc__) == ("twice", "Apply it twice.")
    assert "compiled" not in vars(twice)
    assert twice(compiled(double), 3.0) == 12.0
    assert "compiled" in vars(twice)
    with pytest.raises(TypeError, match="No matching definition"):
        twice(3.0, 3.0)


def test_a_run_along_gradients_compiles_no_curvature():
    code = """
import numpy as np, maml_ode as mo
from maml_ode.tasks.kernels import sinusoid
waiting = [sinusoid.hessian, sinusoid.third, sinusoid.third_vector]
asked = lambda: [hasattr(one, "__wrapped__") and "compiled" in vars(one) for one in waiting]
tasks = mo.tasks.Sinusoid([0.5, 0.7], [1.0, 0.3], [1.0, 2.0])
flow = mo.bimaml_flow(tasks, 0.1, 0.5)
assert mo.solve(flow, [-5.0], method="DOP853").success
assert mo.euler(flow, [-5.0], 0.1).success
assert asked() == [False] * 3
run = mo.solve(flow, [-5.0], method="Rodas5P")  # the handles that the fields hold are completed
assert run.success and asked() == [True] * 3
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_family_is_packed_with_nan_for_the_curvature_that_waits():
    a, b, omega, alpha, w = 0.5, 1.0, 2.0, 0.1, np.array([0.3])
    tasks = mo.tasks.Sinusoid([a], [b], [omega])
    out = np.zeros((1, 1))
    matrices.hessian(tasks.problem, tasks.problem, w, 0.0, 0, out)
    assert np.isnan(out)
    u = w[0] - alpha * (2 * a * w[0] - b * omega * np.cos(omega * w[0]))

    def curvature(x):
        return 2 * a + b * omega**2 * np.sin(omega * x)

    slope = 1 - alpha * curvature(w[0])
    bend = b * omega**3 * np.cos(omega * w[0])
    at_u = 2 * a * u - b * omega * np.cos(omega * u)
    expected = slope**2 * curvature(u) - alpha * bend * at_u
    F = mo.MAMLLoss(tasks, alpha)
    assert F.hessian(w)[0, 0] == pytest.approx(expected, rel=1e-13)
    assert F.hvp(w, [2.0])[0] == pytest.approx(2 * expected, rel=1e-13)
    matrices.hessian(tasks.problem, tasks.problem, w, alpha, 1, out)
    assert out[0, 0] == pytest.approx(expected, rel=1e-13)
