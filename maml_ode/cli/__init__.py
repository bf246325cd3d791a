"""The command line, ``maml-ode``: list the experiments, run one, regenerate the paper's figures.

Exit codes: 0 done; 2 the command cannot be understood or carried out as given; 3 the run ended without
reaching what was asked for; 130 interrupted.
"""

from maml_ode.cli.commands import main

__all__ = ["main"]
