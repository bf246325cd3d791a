"""What of the compiled layer is compiled when, and for whom."""

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numba import float64, int64, types
from numba.core.errors import TypingError

import maml_ode as mo
from maml_ode.compiled import matrices
from maml_ode.compiled.decorators import (
    compiled,
    entry,
    inner,
    kernel,
    on_demand,
    shared,
    shared_kernel,
)


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


def test_a_family_is_packed_without_the_curvature_that_waits():
    a, b, omega, alpha, w = 0.5, 1.0, 2.0, 0.1, np.array([0.3])
    tasks = mo.tasks.Sinusoid([a], [b], [omega])
    out = np.zeros((1, 1))
    with pytest.raises(RuntimeError, match="a kernel is called that nobody has set"):
        matrices.hessian(tasks.problem, tasks.problem, w, 0.0, 0, out)
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


def test_what_compiled_functions_share_with_python():
    @shared(float64(float64), cache=False)
    def square(x):
        return x * x

    @shared_kernel(float64(float64), cache=False)
    def cube(x):
        return x * square(x)

    assert square.signatures == cube.signatures == []
    assert square(3.0) == 9.0
    assert square.signatures == []  # what Python calls is a copy
    assert cube(2.0) == 8.0
    assert square.signatures == cube.signatures == [(float64,)]

    @on_demand(float64(types.FunctionType(float64(float64)), float64), cache=False)
    def value(function, x):
        return function(x)

    assert value(compiled(cube), 3.0) == 27.0


def test_a_function_is_kept_under_what_it_closes_over_and_refuses_to_be_read():
    def multiple(factor):
        @inner(float64(float64), cache=False)
        def times(x):
            return factor * x

        return times

    assert pickle.dumps(multiple(2.0)) == pickle.dumps(multiple(2.0)) != pickle.dumps(multiple(3.0))
    with pytest.raises(TypeError, match=r"times_\w+ is compiled where it stands"):
        pickle.loads(pickle.dumps(multiple(2.0)))


def test_a_run_compiles_its_own_loss_and_form_and_a_second_process_nothing():
    code = """
import numpy as np, maml_ode as mo
from numba.core import event
rng = np.random.default_rng(0)
tasks = mo.tasks.LogisticRegression(rng.standard_normal((2, 9, 3)), np.ones((2, 9)), l2=0.1)
with event.install_recorder("numba:compile") as compiled:
    assert mo.solve(mo.maml_flow(tasks, 0.1), np.ones(3), method="DOP853").success
from maml_ode.compiled import fields, maml
from maml_ode.tasks.kernels import linear_model, margin_losses, sparse_products
logistic = linear_model.kernels(margin_losses.LOGISTIC, False)
assert fields.affine_value.__dict__.keys().isdisjoint({"compiled"})
assert "compiled" not in vars(logistic.bent_gradient)
others = [maml.first_order_gradient, maml.reptile_gradient, sparse_products.add_products]
others += [*margin_losses.loss_functions(margin_losses.SQUARED), margin_losses.loss_functions(1).bent_derivatives]
assert [other.signatures for other in others] == [[]] * len(others)
print(len(compiled.buffer))
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n"


def test_functions_made_in_one_place_have_names_of_their_own():
    """Code is linked by name: two losses under one name, read from two processes' caches, would be one."""
    from maml_ode.tasks.kernels.linear_model import kernels
    from maml_ode.tasks.kernels.margin_losses import loss_functions
    from maml_ode.tasks.kernels.samples import sample_functions

    made = [kernels(kind, sparse) for kind in range(6) for sparse in (False, True)]
    names = [one.gradient.py_func.__qualname__ for one in made]
    names += [loss_functions(kind).derivatives.py_func.__qualname__ for kind in range(6)]
    names += [sample_functions(sparse).task.py_func.__qualname__ for sparse in (False, True)]
    assert len(set(names)) == len(names)


def test_a_caller_compiled_in_a_later_process_takes_in_what_an_earlier_one_kept(tmp_path):
    source = """
from numba import float64
from maml_ode.compiled.decorators import entry, inner

@inner(float64(float64))
def inverse(x):
    return 1.0 / x

def plus(number):
    @entry(float64(float64))
    def added(x):
        return inverse(x) + number
    return added
"""
    (tmp_path / "kept_kernels.py").write_text(source)
    code = """
import sys
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    from kept_kernels import plus
    added = plus(float(sys.argv[1]))
print(added(2.0), len(compiled.buffer) // 2)
try:
    added(0.0)
except ZeroDivisionError as error:  # by way of the environment of the inner function
    print(error)
"""
    found = []
    for number in ("1", "3", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code, number],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split("\n")[:2])
    zero = "division by zero"
    assert found == [["1.5 2", zero], ["3.5 1", zero], ["1.5 0", zero]]


def test_with_a_version_of_numba_that_nobody_has_tried_its_own_compiler_takes_all(tmp_path):
    code = """
import sys
import numba
numba.version_info = numba.version_info._replace(short=(0, 61))
from numba import float64
from maml_ode.compiled.decorators import entry, inner

@inner(float64(float64), cache=False)
def inverse(x):
    return 1.0 / x

def half(x):
    return 0.5 * inverse(x)

print(entry(float64(float64), cache=False)(half)(4.0), "maml_ode.compiled.bitcode" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.split() == ["0.125", "False"], done.stderr


def test_the_collector_runs_again_after_a_compilation_whether_it_succeeded_or_not():
    @inner(float64(float64), cache=False)
    def within(x):
        return x

    entry(float64(float64), cache=False)(lambda x: within(x))
    assert gc.isenabled()
    with pytest.raises(TypingError):
        entry(float64(float64), cache=False)(lambda x: within(x).nothing)
    assert gc.isenabled()
