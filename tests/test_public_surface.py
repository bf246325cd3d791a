"""Every public name says what it takes, returns and raises, shows an example, and stands in the reference."""

import enum
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import maml_ode as mo

ROOT = Path(__file__).parent.parent
ROOMS = ("tasks", "objectives", "flows", "fields", "integrate", "theory", "plotting", "experiments")
# What verbs return and no room exports: reached as maml_ode.<module>.<name>.
RESULTS = (
    "comparing.Comparison",
    "sweeping.Sweep",
    "sweeping.SweepInterrupted",
    "update_check.UpdateReport",
    "derivative_check.DerivativeReport",
)


def public_names():
    """{name as a user writes it behind mo.: class or function}."""
    found = {}
    for room in ("", *ROOMS, "errata"):
        module = importlib.import_module(f"maml_ode.{room}".rstrip("."))
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                found.setdefault(value, f"{room}.{name}".lstrip("."))
    for name in RESULTS:
        module, _, last = name.rpartition(".")
        found.setdefault(getattr(importlib.import_module(f"maml_ode.{module}"), last), name)
    return {name: value for value, name in found.items()}


PUBLIC = public_names()


def sections(doc):
    """{heading: text} of a numpydoc docstring, the summary under ''."""
    parts = re.split(r"^(\w[\w ]*)\n-+$", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def named(text):
    """The names that a section of parameters describes."""
    return {
        name.strip().lstrip("*")
        for line in textwrap.dedent(text).splitlines()
        if line and not line.startswith(" ")
        for name in line.partition(" : ")[0].split(",")
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name):
    value = PUBLIC[name]
    doc = inspect.getdoc(value)
    assert doc, "no docstring"
    parts = sections(doc)
    summary = parts[""].strip().partition("\n\n")[0]
    assert summary.endswith((".", ":")), f"the summary is no sentence: {summary!r}"
    if inspect.isclass(value) and issubclass(value, BaseException):
        return
    assert ">>> " in parts.get("Examples", ""), "no example"
    if inspect.isfunction(value):
        taken = set(inspect.signature(value).parameters)
        told = named(parts.get("Parameters", ""))
        assert taken <= told, f"does not say what {sorted(taken - told)} are"
        assert {"Returns", "Yields"} & set(parts), "does not say what it returns"
        source = inspect.getsource(inspect.unwrap(value))
        assert "Raises" in parts or not re.search(r"^\s+raise ", source, re.MULTILINE)
    elif not issubclass(value, enum.Enum) and value.__init__ is not object.__init__:
        assert {"Parameters", "Attributes"} & set(parts), "does not say what it holds"


def test_methods_and_properties_are_documented():
    silent = [
        f"{name}.{attribute}"
        for name, value in PUBLIC.items()
        if inspect.isclass(value)
        for attribute, member in inspect.getmembers(value)
        if not attribute.startswith("_")
        and (inspect.isroutine(member) or isinstance(member, property))
        and (getattr(member, "__module__", None) or value.__module__).startswith("maml_ode")
        and not inspect.getdoc(member)
    ]
    assert silent == []


def listed_in_the_reference():
    """{name: object} of docs/api.md."""
    listed = re.findall(
        r"^   ([a-zA-Z_][\w.]+)$",
        (ROOT / "docs" / "api.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(listed) == len(set(listed))
    found = {}
    for name in listed:
        module, _, last = name.rpartition(".")
        found[name] = getattr(importlib.import_module(f"maml_ode.{module}".rstrip(".")), last)
    return found


def test_the_reference_holds_every_public_name():
    shown = {id(value) for value in listed_in_the_reference().values()}
    assert [name for name, value in PUBLIC.items() if id(value) not in shown] == []


def test_the_gallery_shows_every_picture():
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    pictures = {name for name in mo.plotting.__all__ if name.startswith("plot_")}
    assert {name for name in pictures if name not in text} == {"plot_trajectory"}
    # The gallery's page says of every section which function has drawn it.
    for part in text.split("\n## ")[1:]:
        assert "```python\n" in part, part
        assert "{py:func}" in part, part


def test_bars_in_docstrings_are_norms_or_code():
    """A single ``|x|`` outside of code is a substitution to the site, which has none."""
    listed = listed_in_the_reference()
    documented = dict(listed)
    for name, value in listed.items():
        if inspect.isclass(value):
            documented |= {f"{name}.{key}": member for key, member in vars(value).items()}
    found = []
    for name, value in documented.items():
        prose = (inspect.getdoc(value) or "") if not name.rpartition(".")[2].startswith("_") else ""
        prose = prose.partition("\nExamples\n")[0]
        prose = re.sub(r"::\n\n(?: +.*\n|\n)+", "", prose + "\n")  # blocks of formulas
        plain = re.sub(r"``.*?``|`[^`]*`|\|\|", "", prose, flags=re.DOTALL)
        if re.search(r"(?:^|[\s(])\|[^|\s]", plain):
            found.append(name)
    assert found == []
