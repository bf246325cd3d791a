"""Task families: M losses f_i on a shared parameter, with weights p_i.

One file per family. A family is its data, packed once, and six compiled kernels
(``maml_ode.compiled.contract``); it knows nothing of objectives, flows or integrators.
"""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.tasks.adapters.callables import from_callables as from_callables
    from maml_ode.tasks.adapters.jax import from_jax as from_jax
    from maml_ode.tasks.adapters.torch import from_torch as from_torch
    from maml_ode.tasks.base import MissingDerivative as MissingDerivative
    from maml_ode.tasks.base import PrecisionWarning as PrecisionWarning
    from maml_ode.tasks.base import Smoothness as Smoothness
    from maml_ode.tasks.base import TaskFamily as TaskFamily
    from maml_ode.tasks.linear_regression import LinearRegression as LinearRegression
    from maml_ode.tasks.logistic import LogisticRegression as LogisticRegression
    from maml_ode.tasks.quadratic import Quadratic as Quadratic
    from maml_ode.tasks.sinusoid import Sinusoid as Sinusoid
    from maml_ode.tasks.svm import SVM as SVM
    from maml_ode.tasks.symbolic.family import Symbolic as Symbolic

__getattr__, __dir__ = attach(
    __name__,
    {
        "LinearRegression": "maml_ode.tasks.linear_regression",
        "LogisticRegression": "maml_ode.tasks.logistic",
        "MissingDerivative": "maml_ode.tasks.base",
        "PrecisionWarning": "maml_ode.tasks.base",
        "Quadratic": "maml_ode.tasks.quadratic",
        "SVM": "maml_ode.tasks.svm",
        "Sinusoid": "maml_ode.tasks.sinusoid",
        "Smoothness": "maml_ode.tasks.base",
        "Symbolic": "maml_ode.tasks.symbolic.family",
        "TaskFamily": "maml_ode.tasks.base",
        "from_callables": "maml_ode.tasks.adapters.callables",
        "from_jax": "maml_ode.tasks.adapters.jax",
        "from_torch": "maml_ode.tasks.adapters.torch",
    },
)

__all__ = __dir__()
