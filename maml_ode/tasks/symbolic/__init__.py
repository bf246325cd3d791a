"""Task losses given by a formula: text or SymPy -> tree -> steps -> derivatives -> source -> kernels."""

from typing import TYPE_CHECKING

from maml_ode._lazy import attach

if TYPE_CHECKING:
    from maml_ode.tasks.symbolic.family import Symbolic as Symbolic

__getattr__, __dir__ = attach(__name__, {"Symbolic": "maml_ode.tasks.symbolic.family"})
