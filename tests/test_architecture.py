"""The house's layers: nothing imports what stands above it, and importing the package is light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import maml_ode

ROOT = Path(maml_ode.__file__).parent
PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
README = PYPROJECT.with_name("README.md")

# From the ground up; a module may import its own floor and those below.
FLOORS = [
    {"_real_numbers"},
    {"_validation", "_lazy", "_files", "_frozen", "_html", "_aligned", "sizes"},
    {"_norms"},
    {"_schema"},
    {"_archive"},
    # What runs long computations knows nothing of the paper: no floor below is a family or a flow.
    {"runs"},
    {"compiled.pipeline"},
    {"compiled.bitcode"},
    {"compiled.compilers"},
    {"compiled.decorators"},
    {"compiled.scratch"},
    {"compiled.contract"},
    {"compiled"},
    {"tasks"},
    {"counts", "energy", "sensitivity", "stop"},
    {"objectives"},
    {"adaptation", "derivative_check", "flows", "formulas"},
    {"fields", "update_candidates", "update_check"},
    {"trajectory"},
    {"_checked_runs"},
    {"integrate"},
    {"integrate.ensembles"},
    {
        "theory.quantities",
        "theory.regions",
        "theory.budget",
        "theory.evaluation",
        "theory.minimizer",
        "theory.step_size",
    },
    {"theory.intervals"},
    {"theory.family_constants"},
    {"theory.bounds"},
    {"theory"},
    # A problem of a user's own takes its constants from theory where they are left open.
    {"experiments"},
    {"errata"},
    {"plotting"},
    {"comparing", "learning", "sweeping"},
    {"reproduce"},
    {"cli"},
]
# What draws itself imports the drawing room when the method is called.
ALLOWED_UPWARD = {
    ("trajectory", "plotting"),
    ("adaptation", "plotting"),
    ("derivative_check", "plotting"),
    ("sweeping", "plotting"),
    ("theory", "plotting"),
    ("integrate.ensembles", "plotting"),
}
ENTRANCES = {
    "",
    "comparing",
    "compiled",
    "flows",
    "tasks",
    "objectives",
    "integrate",
    "integrate.ensembles",
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


def statements_of(tree):
    """Yield the nodes of a module that run, wherever they stand; not those for type checkers alone."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            stack.extend(node.orelse)
        else:
            stack.extend(ast.iter_child_nodes(node))


def imports_of(path, running_only=False):
    tree = ast.parse(path.read_text())
    for node in statements_of(tree) if running_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "maml_ode":
                yield from (f"maml_ode.{alias.name}" for alias in node.names)
            else:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(["maml_ode", *path.relative_to(ROOT).with_suffix("").parts])
        yield name.removesuffix(".__init__"), path


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


def test_no_module_imports_itself_through_others():
    """No circle, not even by imports inside functions; a package's entrance only names what is behind it."""
    paths = dict(modules())
    # Those that import lazily, when a name is asked for, stand in nobody's way.
    entrances = {
        name
        for name, path in paths.items()
        if path.name == "__init__.py" and "attach(" in path.read_text()
    }
    graph = {
        name: {found for found in imports_of(path, running_only=True) if found in paths}
        - entrances
        - {name}
        for name, path in paths.items()
        if name not in entrances
    }
    # A trajectory draws itself, and what it draws with looks at none but trajectories.
    graph["maml_ode.trajectory"] -= {"maml_ode.plotting"}
    open_, done = [], set()

    def visit(name):
        assert name not in open_, " -> ".join([*open_[open_.index(name) :], name])
        if name in done:
            return
        open_.append(name)
        for found in sorted(graph.get(name, ())):
            visit(found)
        open_.pop()
        done.add(name)

    for name in graph:
        visit(name)
    assert len(done) > 200


def test_modules_are_short():
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_a_driver_knows_no_method_and_watchers_no_driver():
    """The inside of integrate/, from the ground up."""
    floors = [
        {"norms", "norm_bounds", "roots", "tally", "callback", "warnings", "times", "progress"},
        {"evaluation", "stiffness", "exact", "exact_momentum"},
        {"solvers"},
        {"plan", "record", "segment", "methods", "lifting"},
        {"watch", "rest", "diagnose", "assemble", "resume", "checks"},
        {"locate", "finish"},
        {"steppers", "driver"},
        {"sensitivities"},
        {"solve_verb", "euler_verb"},
        {"ensembles"},
    ]
    level = {name: k for k, floor in enumerate(floors) for name in floor}
    for name, path in modules():
        parts = name.split(".")
        if parts[:2] != ["maml_ode", "integrate"] or len(parts) < 3:
            continue
        for found in imports_of(path):
            there = found.split(".")
            if there[:2] == ["maml_ode", "integrate"] and len(there) > 2 and there[2] in level:
                assert level[there[2]] <= level[parts[2]], f"{name} imports {found}"
                assert (parts[2], there[2]) != ("driver", "steppers") or there[3] == "protocol"
                assert (parts[2], there[2]) != ("steppers", "driver")


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


def test_the_readmes_example_imports_what_it_shows_and_nothing_else(tmp_path):
    example = re.search(r"```python\n(import maml_ode as mo\n.*?)```", README.read_text(), re.S)[1]
    picture = str(tmp_path / "picture.png")
    code = example.replace('"maml_flow.png"', repr(picture))
    assert repr(picture) in code
    assert modules_after(f"import matplotlib; matplotlib.use('Agg')\n{code}") & set(HEAVY) == {
        "matplotlib"
    }


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
