"""Problems as data and constants, nothing else: the paper's, a network's, and a user's own.

``load(name)`` returns an `Experiment`, also that of a function of the user's:
``load("package.module:function")``. What the paper states and what it leaves out, so that the choice is ours, is
said in the docstring of the experiment's module and in ``Experiment.notes``.
"""

from maml_ode.experiments.experiment import Experiment
from maml_ode.experiments.registry import load, names, overrides

__all__ = ["Experiment", "load", "names", "overrides"]
