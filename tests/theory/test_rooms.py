"""The rooms of theory: no module imports in a circle, and every name that it had still answers."""

import ast
import inspect
import re
from functools import cached_property
from pathlib import Path

import pytest

import maml_ode as mo
from maml_ode.theory.bounds import (
    descent_steps,
    flow_times,
    near_a_point,
    pointwise,
    products,
    quadratic_exact,
    relatives,
    step_limits,
    sublevel_sets,
)

ROOT = Path(mo.__file__).parent


def _imports(path, modules):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                if name in modules:
                    yield name


def test_no_module_of_theory_imports_itself_on_the_way_round():
    modules = {}
    for path in (ROOT / "theory").rglob("*.py"):
        if path.name != "__init__.py":  # entrances only name what is behind them
            parts = path.relative_to(ROOT.parent).with_suffix("").parts
            modules[".".join(parts)] = path
    graph = {name: set(_imports(path, modules)) for name, path in modules.items()}
    while graph:
        leaves = {name for name, below in graph.items() if not below & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: below for name, below in graph.items() if name not in leaves}


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("convergence", "time_bound"),
        ("derived", "psi"),
        ("discrete", "iteration_bound"),
        ("inequalities", "descent_lower"),
        ("local", "local_certificate"),
        ("printed", "printed_zeta"),
        ("variants", "moreau_curvature"),
        ("family_constants", "Constants"),
        ("family_constants", "constants"),
    ],
)
def test_the_names_of_before_answer(room, name):
    assert callable(getattr(getattr(mo.theory, room), name))
    assert all(getattr(mo.theory, public) is not None for public in dir(mo.theory))
    assert callable(mo.theory.constants)


NO_BOUNDS = {"contraction_range", "h", "first_order_shift", "shift_multiple", "landscapes"}
PARTS = {
    "level",
    "minimizer",
    "state",
    "singular",
    "unique",
    "definite",
    "status",
    "psi",
    "rho",
    "b",
}
MODULES = (descent_steps, flow_times, near_a_point, pointwise, products, relatives, step_limits)


def _bounds():
    for module in MODULES:
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isfunction(member) and name not in NO_BOUNDS:
                yield f"{module.__name__}.{name}", member
    for owner in (sublevel_sets.Landscape, quadratic_exact.QuadraticFacts):
        for name, member in vars(owner).items():
            told = inspect.isfunction(member) or isinstance(member, (property, cached_property))
            if told and not name.startswith("_") and name not in PARTS:
                yield f"{owner.__name__}.{name}", member


@pytest.mark.parametrize(
    ("name", "bound"), list(_bounds()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_bound_says_on_which_side_it_is(name, bound):
    assert re.search(r"\*\*(tight|upper|lower)\*\*", bound.__doc__, re.IGNORECASE), name
