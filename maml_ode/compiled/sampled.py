"""The fields of MAML for some of the tasks: plain means over the tasks that are named.

The formulas are those of ``maml_ode.compiled.maml``, where every task has its weight.
"""

from __future__ import annotations

import numpy as np
from numba import types

from maml_ode.compiled import derivatives
from maml_ode.compiled.contract import INDEX, PROBLEM, REAL, VECTOR
from maml_ode.compiled.decorators import on_demand
from maml_ode.compiled.maml import (
    take_step,
    tapes_for,
    task_first_order_gradient,
    task_gradient,
)
from maml_ode.compiled.scratch import stack
from maml_ode.compiled.vectors import add_multiple, copy

TASKS = types.int64[::1]


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, TASKS, VECTOR))
def gradient(problem, query, w, alpha, inner_steps, tasks, out):
    """Out = the mean of the gradients of g_i(u_i) in w over the tasks."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = tapes_for(problem, query, inner_steps, 1, stack())
    product = np.empty(w.size)
    adjoint = np.empty(w.size)
    copy(w, path[0])
    out[:] = 0.0
    for i in tasks:
        task_gradient(problem, query, i, alpha, path, tapes, product, adjoint)
        add_multiple(1.0 / tasks.size, adjoint, out)


@on_demand(types.void(PROBLEM, PROBLEM, VECTOR, REAL, INDEX, TASKS, VECTOR))
def first_order_gradient(problem, query, w, alpha, inner_steps, tasks, out):
    """Out = the mean of grad g_i(u_i) over the tasks."""
    path = np.empty((inner_steps + 1, w.size))
    tapes = tapes_for(problem, query, inner_steps, 0, stack())
    scratch = np.empty(w.size)
    copy(w, path[0])
    out[:] = 0.0
    for i in tasks:
        task_first_order_gradient(problem, query, i, alpha, path, tapes, scratch)
        add_multiple(1.0 / tasks.size, scratch, out)


@on_demand(types.void(PROBLEM, VECTOR, REAL, INDEX, TASKS, VECTOR))
def reptile_gradient(problem, w, alpha, inner_steps, tasks, out):
    """Out = the mean of the sums of the inner gradients over the tasks."""
    point = np.empty(w.size)
    slope = np.empty(w.size)
    tape = derivatives.tape(problem, 0)
    out[:] = 0.0
    for i in tasks:
        copy(w, point)
        for _ in range(inner_steps):
            derivatives.gradient(problem, i, point, 0, tape, slope)
            take_step(point, alpha, slope, point)
            add_multiple(1.0 / tasks.size, slope, out)
