"""Without a framework the package works, and says what to install."""

import subprocess
import sys

import pytest

import maml_ode as mo


@pytest.mark.parametrize(
    ("name", "make"), [("jax", mo.tasks.from_jax), ("torch", mo.tasks.from_torch)]
)
def test_a_missing_framework_is_named_with_its_extra(monkeypatch, name, make):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"pip install 'maml_ode\[{name}\]'"):
        make(lambda params, data: 0.0, {}, {})


def test_neither_is_imported_by_the_package_nor_by_its_names():
    code = "import maml_ode as mo, sys; mo.tasks.from_jax, mo.tasks.from_torch; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"jax", "torch", "numba", "scipy"} & set(out.stdout.split())
