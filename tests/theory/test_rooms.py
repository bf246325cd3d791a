"""The rooms of theory: no module imports in a circle, and every name that it had still answers."""

import ast
from pathlib import Path

import pytest

import maml_ode as mo

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
