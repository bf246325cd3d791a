"""The house's layers: nothing imports what stands above it, and importing the package is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import maml_ode

ROOT = Path(maml_ode.__file__).parent
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"

# From the ground up; a module may import its own floor and those below.
FLOORS = [
    {"_real_numbers"},
    {"_validation", "_lazy", "_files", "sizes"},
    {"_schema"},
    {"_archive"},
    # What runs long computations knows nothing of the paper: no floor below is a family or a flow.
    {"runs"},
    {"compiled.contract"},
    {"compiled"},
    {"tasks"},
    {"counts", "energy", "stop"},
    {"objectives"},
    {"derivative_check", "flows"},
    {"fields"},
    {"trajectory"},
    {"integrate"},
    {"experiments"},
    {
        "theory.quantities",
        "theory.regions",
        "theory.budget",
        "theory.evaluation",
        "theory.minimizer",
    },
    {"theory.intervals"},
    {"theory.family_constants"},
    {"theory.bounds"},
    {"theory"},
    {"errata"},
    {"plotting"},
    {"reproduce"},
    {"cli"},
]
# A trajectory draws itself: the method imports the drawing room when it is called.
ALLOWED_UPWARD = {("trajectory", "plotting")}
ENTRANCES = {
    "",
    "compiled",
    "flows",
    "tasks",
    "objectives",
    "integrate",
    "experiments",
    "theory",
    "errata",
    "errata.__main__",
    "plotting",
    "reproduce",
}


def room_of(module):
    """Return the floor and the room of a dotted module name below ``maml_ode``."""
    parts = module.split(".")
    for length in (2, 1):
        name = ".".join(parts[:length])
        for floor, rooms in enumerate(FLOORS):
            if name in rooms:
                return floor, name
    return None


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "maml_ode":
                yield from (f"maml_ode.{alias.name}" for alias in node.names)
            else:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_imports_what_stands_above_it():
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = "" if module == "__init__" else module
        if module in ENTRANCES:
            continue  # package entrances only name what is behind them
        here = room_of(module)
        assert here is not None, f"{module} stands on no floor"
        for name in imports_of(path):
            there = (
                room_of(name.removeprefix("maml_ode.")) if name.startswith("maml_ode.") else None
            )
            if there and there[0] > here[0] and (here[1], there[1]) not in ALLOWED_UPWARD:
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(wrong)


HEAVY = ("numba", "scipy", "sympy", "matplotlib", "sklearn", "pandas", "rich", "click", "flint")


def modules_after(code):
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return {name.split(".")[0] for name in out}


@pytest.mark.parametrize(
    "code",
    [
        "import maml_ode",
        "import maml_ode as mo; F = mo.MAMLLoss(mo.tasks.Quadratic([[[1.0]]], [[1.0]]), 0.1)"
        "; F.gradient([2.0]); mo.bimaml_flow(F.tasks, 0.1, 0.5)",
    ],
    ids=["import", "a quadratic flow"],
)
def test_importing_stays_light(code):
    assert not modules_after(code) & set(HEAVY)


def test_every_public_name_resolves_and_is_documented():
    for name in dir(maml_ode):
        value = getattr(maml_ode, name)
        assert value.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        maml_ode.nonsense  # noqa: B018


def test_no_private_names_of_libraries_and_no_pins():
    for path in ROOT.rglob("*.py"):
        for name in imports_of(path):
            top, *rest = name.split(".")
            if top in ("scipy", "numpy", "numba", "sklearn", "matplotlib", "sympy", "flint"):
                assert not any(part.startswith("_") for part in rest), f"{path}: {name}"
    assert "<" not in "".join(line for line in PYPROJECT.read_text().splitlines() if ">=" in line)
