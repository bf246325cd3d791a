"""Our ``OdeSolver`` classes, usable as ``scipy.integrate.solve_ivp(method=...)``."""

from scipy.integrate import OdeSolver

from maml_ode.integrate.solvers.tsit5 import Tsit5

__all__ = ["METHODS", "Tsit5"]

METHODS: dict[str, type[OdeSolver]] = {"Tsit5": Tsit5}
