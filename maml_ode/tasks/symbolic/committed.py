"""Kernels that are generated like those of a formula of the user's, and kept with the package.

``python -m maml_ode.tasks.symbolic.committed`` writes them anew, to the same bytes unless the generator or a
formula has changed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import maml_ode.tasks.kernels
from maml_ode._files import write_atomically
from maml_ode.tasks.symbolic.family import Symbolic

__all__ = ["FORMULAS", "committed_source", "write_committed"]

# By the name of the module in maml_ode.tasks.kernels: the loss, the coordinates of w, the parameters.
FORMULAS = {"sinusoid": ("a*w**2 - b*sin(omega*w)", "w", ("a", "b", "omega"))}

_HEAD = '''\
"""Kernels of f_i(w) = {formula}, with {listed} of each task.

Layout: floats = [{layout}], integers = [M].

Generated; ``python -m maml_ode.tasks.symbolic.committed`` writes this file.
"""

# ruff: noqa: F401, RET504
# fmt: off
'''
# Compiled when they are asked for, as those of the families written by hand.
_WAITING = ("HESSIAN", "THIRD", "THIRD_VECTOR")
_CONTRACT = "    Kernels,\n)\n"
_SAYS = {
    "loss": "Return f_i(w).",
    "gradient": "Set out = grad f_i(w).",
    "hvp": "Set out = Hess f_i(w) v.",
    "hessian": "Set out = Hess f_i(w).",
    "third": "Set out = D^3 f_i(w)[v].",
    "third_vector": "Set out = D^3 f_i(w)[v, q].",
}


def committed_source(name: str) -> str:
    """Return the text of a generated module of ``maml_ode.tasks.kernels``."""
    formula, variables, parameters = FORMULAS[name]
    values: dict[str, Any] = {parameter: [-1.0, 1.0] for parameter in parameters}  # of any sign
    family = Symbolic(formula, variables, values)
    names = list(family.parameters)
    _, _, code = family.source.partition('"""\n')
    for kind in _WAITING:
        code = code.replace(f"@njit({kind}, cache=ON_DISK,", f"@kernel_on_demand({kind},")
    code = code.replace(
        _CONTRACT, _CONTRACT + "from maml_ode.compiled.decorators import kernel_on_demand\n"
    )
    for kernel, sentence in _SAYS.items():
        code = re.sub(rf"(def {kernel}\(.*\):\n)", rf'\1    """{sentence}"""\n', code)
    head = _HEAD.format(
        formula=formula, listed=", ".join(names), layout=", ".join(f"{n} (M)" for n in names)
    )
    return head + code


def write_committed(folder: Path | None = None) -> list[Path]:
    """Write every generated module into ``folder``, that of the package by default."""
    if folder is None:
        folder = Path(next(iter(maml_ode.tasks.kernels.__path__)))
    written = []
    for name in FORMULAS:
        path = folder / f"{name}.py"
        write_atomically(path, committed_source(name).encode())
        written.append(path)
    return written


if __name__ == "__main__":
    write_committed()
