"""The names of variables and parameters, and how they are told apart.

Generated code has names of its own, so that a symbol of SymPy's may be called anything. Names that Unicode's NFKC
form makes equal, like the micro sign and the Greek letter, are one name, as they are in Python.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from maml_ode._validation import unknown_name
from maml_ode.tasks.symbolic.tree import FUNCTIONS, listed

__all__ = ["check_names", "declared_names", "normal_name", "split_names"]


def normal_name(name: str) -> str:
    """Return the one spelling of a name."""
    return unicodedata.normalize("NFKC", name)


def split_names(variables: Any) -> Iterable[Any]:
    """Return the names in a text, the items of an iterable, or the one symbol."""
    if isinstance(variables, str):
        return variables.replace(",", " ").split()
    return variables if isinstance(variables, Iterable) else [variables]


def declared_names(argument: str, given: Iterable[Any], in_text: bool) -> tuple[str, ...]:
    """Return the names of strings and symbols, each checked.

    Parameters
    ----------
    argument : str
        Where they come from, for the error messages.
    given : iterable
    in_text : bool
        Whether the expression is text: then only identifiers can occur in it.
    """
    found: list[str] = []
    for item in given:
        raw = item if isinstance(item, str) else getattr(item, "name", None)
        if not isinstance(raw, str):
            raise TypeError(f"{argument} must be names or SymPy symbols, not {item!r}.")
        name = normal_name(raw)
        if not raw or (in_text and not raw.isidentifier()):
            raise ValueError(
                f"{argument}: {raw!r} is no name; use letters, digits and _, as in w_1."
            )
        if name in FUNCTIONS:
            raise ValueError(f"{argument}: {raw!r} is the name of a function; choose another.")
        if name in found:
            raise ValueError(f"{argument}: {raw!r} is given twice.")
        found.append(name)
    return tuple(found)


def check_names(found: list[str], declared: tuple[str, ...], constants: tuple[str, ...]) -> None:
    """Refuse names that are not declared, and declared names that do not occur."""
    unknown = [name for name in found if name not in declared and name not in constants]
    if unknown:
        sentences = "; ".join(unknown_name("name", name, declared).rstrip(".") for name in unknown)
        raise ValueError(
            f"expression holds names that are neither variables nor parameters: {sentences}."
        )
    unused = [name for name in declared if name not in found]
    if unused:
        raise ValueError(
            f"{listed(unused)} does not occur in the expression; remove it from the declarations, or "
            f"write + 0*{unused[0]} if the loss is meant not to depend on it."
        )
