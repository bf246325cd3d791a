"""The examples in docstrings run as they stand; public names say what they do."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import maml_ode

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(maml_ode.__path__, "maml_ode.")
    if not module.name.startswith(("maml_ode.compiled", "maml_ode.tasks.kernels"))
)
# Modules that are imported only where an extra is installed.
EXTRAS = {
    "maml_ode.experiments.networks": "jax",
    "maml_ode.tasks.adapters.jax_": "jax",
    "maml_ode.tasks.adapters.torch_": "torch",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run_and_public_names_are_documented(name):
    for start, extra in EXTRAS.items():
        if name.startswith(start):
            pytest.importorskip(extra)
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} does not say what it is for"
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    for public in getattr(module, "__all__", []):
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"
