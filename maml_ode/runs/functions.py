"""A user's function: its name, the version of its code, and whether other processes find it."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import os
import pickle
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

from maml_ode._validation import shown, unknown_name
from maml_ode.runs.values import digest, plain

__all__ = ["check_importable", "code_version", "find_function", "qualified_name"]

Function = Callable[..., Any]


def qualified_name(function: Function) -> str:
    """Return ``module:function``, with what a ``functools.partial`` binds; a script goes by its file's name.

    Raises
    ------
    TypeError
        For an object that has no such name, or bound values that are no plain ones.
    """
    if isinstance(function, functools.partial):
        bound = {str(place): value for place, value in enumerate(function.args)} | function.keywords
        values = {
            name: plain(f"{name} of the partial function", one) for name, one in bound.items()
        }
        return f"{qualified_name(function.func)} with {', '.join(values)} = {digest(values)[:16]}"
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str) or inspect.ismethod(function):
        raise TypeError(
            f"with a store run must be a function, not {shown(function)}: its points are kept under its name "
            "and the version of its code."
        )
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    return f"{module}:{name}"


def code_version(function: Function) -> str:
    """Return a digest of a function's code, which comments, layout and its docstring do not change.

    What the function reads or calls is not part of it.
    """
    if isinstance(function, functools.partial):
        return code_version(function.func)
    inner = inspect.unwrap(function)
    try:
        text = _normal(textwrap.dedent(inspect.getsource(inner)))
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        text = _of_code(getattr(inner, "__code__", None))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _normal(source: str) -> str:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a lambda in the middle of an expression
        return source
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _of_code(code: CodeType | None) -> str:
    if code is None:
        return ""
    constants = [
        _of_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def check_importable(function: Function) -> None:
    """Refuse a function that another process does not find by its name.

    Raises
    ------
    TypeError
    """
    inner = function.func if isinstance(function, functools.partial) else function
    why = None
    try:
        pickle.dumps(function)
    except Exception:  # whatever the parts of a callable object raise
        why = "is defined inside another function, or is a lambda"
    else:
        main = sys.modules["__main__"]
        known = getattr(main, "__spec__", None) is not None or os.path.exists(
            getattr(main, "__file__", "")
        )
        if getattr(inner, "__module__", None) == "__main__" and not known:
            why = "was typed at a prompt or in a notebook"
    if why is not None:
        raise TypeError(
            f"run {why}, so that other processes do not find it; define it at the top of a module (a .py file) "
            "and import it from there, or leave out executor= to run it in this process."
        )


def find_function(text: str, example: str = "study:run") -> Function:
    """Return the function of ``"package.module:function"``; the working directory is on the path.

    Parameters
    ----------
    text : str
    example : str
        What the refusal of a text that names no function shows.

    Raises
    ------
    ValueError
        If there is no such module, or no such function in it (the nearest is suggested).
    TypeError
        If it is no function.
    """
    module_name, colon, name = text.partition(":")
    if not colon or not name or not all(part.isidentifier() for part in module_name.split(".")):
        raise ValueError(
            f"{shown(text)} names no function; write package.module:function, as in {example} for the function "
            f"{example.partition(':')[2]} of the file {example.partition(':')[0]}.py."
        )
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there and misses another one
        raise ValueError(
            f"there is no module {error.name!r}, neither in the working directory {here} nor among the installed "
            "ones; start from the directory that holds it, or install it."
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            functions = [key for key, one in vars(found).items() if callable(one) and key[0] != "_"]
            raise ValueError(unknown_name(f"function of {module_name}", part, functions))
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{text} must be a function, not {shown(found)}.")
    function: Function = found
    return function
