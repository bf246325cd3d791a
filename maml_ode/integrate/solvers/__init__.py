"""Our ``OdeSolver`` classes, usable as ``scipy.integrate.solve_ivp(method=...)``."""

from scipy.integrate import OdeSolver

from maml_ode.integrate.solvers.dop853 import DOP853
from maml_ode.integrate.solvers.rkc2 import RKC2
from maml_ode.integrate.solvers.rosenbrock import Rodas4P, Rodas5P
from maml_ode.integrate.solvers.tsit5 import Tsit5

__all__ = ["DOP853", "METHODS", "RKC2", "Rodas4P", "Rodas5P", "Tsit5"]

METHODS: dict[str, type[OdeSolver]] = {
    "Tsit5": Tsit5,
    "DOP853": DOP853,
    "RKC2": RKC2,
    "Rodas4P": Rodas4P,
    "Rodas5P": Rodas5P,
}
