"""Runs the generated code of a family in Python, with compiled code's arithmetic: inf and NaN, no exceptions."""

import math
import types

import numpy as np

INVERSE = {f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
NAMES = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "log1p")
MATH = types.SimpleNamespace(
    **{name: getattr(np, name) for name in NAMES},
    **{name: getattr(np, inverse) for name, inverse in INVERSE.items()},
    erf=math.erf,
    isnan=math.isnan,
    nan=math.nan,
)


def kernels(family):
    """Return the functions of the generated module by name."""
    source = family.source.replace("from numba import njit", "").replace("import math\n", "")
    namespace = {"math": MATH, "njit": lambda *_, **__: lambda function: function}
    exec(source, namespace)
    return namespace


def derivatives(family, w, task=0, namespace=None):
    """Return loss, gradient, Hessian and third derivative of one task at one point."""
    namespace = namespace or kernels(family)
    data, w = family._packed(), np.asarray(w, dtype=float)
    d = w.size
    gradient, hessian, third = (np.full((d,) * order, np.nan) for order in (1, 2, 3))
    with np.errstate(all="ignore"):
        loss = namespace["loss"](task, w, data)
        namespace["gradient"](task, w, data, gradient)
        namespace["hessian"](task, w, data, hessian)
        for k in range(d):
            namespace["third"](task, w, np.eye(d)[k], data, third[k])
    return loss, gradient, hessian, third
