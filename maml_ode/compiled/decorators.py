"""How the functions of the compiled layer are compiled: each for one signature, and for its callers alone.

``numba.njit(signature)`` compiles a function where it stands, when its module is imported, and three times: the
code itself, a wrapper for calls from Python, and one for its use as a value. For short functions the wrappers
take longer than the code. So each function says who calls it:

- `inner`: other compiled functions only;
- `kernel`: compiled functions that hold it as a value (``maml_ode.compiled.contract``);
- `entry`: Python, and other compiled functions;
- `on_demand`: Python only. It is compiled, or read from the cache, at its first call: most runs follow -grad F and
  need nothing of what a Hessian needs. `kernel_on_demand` likewise waits until a family is packed with it;
- `shared`: other compiled functions, with which it is compiled, and Python, for which it is compiled again at
  its first call;
- `shared_kernel`: all of them, once, when the first asks for it.

All take Numba's further options and keep machine code on disk. ``driver=True`` says that a function spends its
time in the kernels that it calls.
"""

from __future__ import annotations

import functools
import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from types import FunctionType
from typing import Any

from numba import njit
from numba.core.registry import CPUDispatcher

from maml_ode.compiled.compilers import compile_for, is_made_for, options_of

__all__ = [
    "OnDemand",
    "compiled",
    "entry",
    "inner",
    "kernel",
    "kernel_on_demand",
    "on_demand",
    "shared",
    "shared_kernel",
]

_BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options_of("inner")}
_NAME_LENGTH = 12


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python's cyclic collector from running.

    What a compiler builds lives until it is done: to look through it again and again takes a tenth of its time. It
    is handed over as old then, without the look that would follow at once.
    """
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            if gc.get_freeze_count() == 0:
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _kept(driver: bool) -> dict[str, Any]:
    """Return the options of what is compiled with wrappers."""
    return {"cache": True, **options_of("driver" if driver else "kernel")}


def _told_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that was made for the values in its closure a name that tells of them.

    Machine code is linked by its name: two functions that were made in one place have one name, but for a number
    that Numba counts up in every process. Read from the cache, code of different processes would meet under one
    name, and one function would be taken for the other.
    """
    closure = function.__closure__ or ()
    mark = getattr(function, "told_apart", None)
    if closure and mark is None:
        values = ", ".join(_spelt(cell.cell_contents) for cell in closure)
        digest = hashlib.sha256(values.encode()).hexdigest()[:_NAME_LENGTH]
        function.__qualname__ = f"{function.__qualname__}_{digest}"
        function.told_apart = True  # type: ignore[attr-defined]
    return function


def _spelt(value: Any) -> str:
    """Return what stands in a closure in words that are the same in every process."""
    function = getattr(value, "py_func", None) or getattr(value, "__wrapped__", None)
    if function is not None:
        return f"{function.__module__}.{function.__qualname__}"
    if isinstance(value, tuple):
        return f"({', '.join(_spelt(item) for item in value)})"
    if isinstance(value, (bool, int, float, str, type(None))):
        return repr(value)
    raise TypeError(
        "a compiled function's closure may hold numbers, texts and compiled functions, not "
        f"{type(value).__name__}; hand it over as an argument."
    )


def inner(signature: Any, **options: Any) -> Callable[..., Any]:
    """Return the decorator of a function that only compiled functions call.

    It is compiled, for the declared signature, with the first of its callers; where they come from the cache it
    is not even read.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**{"cache": True, **_BARE, **options})(_told_apart(function))
        dispatcher.__class__ = _Inner
        dispatcher.declared = signature
        return dispatcher

    return decorate


def shared(signature: Any, driver: bool = False, **options: Any) -> Callable[..., Any]:
    """Return the decorator of an `inner` that Python calls too, in some runs."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = inner(signature, **options)(function)
        dispatcher.__class__ = _Shared
        # The copy has a name, and so a place on disk, of its own: it is the same code with another wrapper.
        copy = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        copy.__qualname__ = f"{function.__qualname__}_from_python"
        dispatcher.from_python = on_demand(signature, driver=driver, **options)(copy)
        return dispatcher

    return decorate


def shared_kernel(signature: Any, driver: bool = False, **options: Any) -> Callable[..., Any]:
    """Return the decorator of a function that compiled code calls or holds, and Python calls: all in most runs."""

    def decorate(function: Callable[..., Any]) -> Any:
        wrapped = {"no_cpython_wrapper": False, "no_cfunc_wrapper": is_made_for()}
        dispatcher = inner(signature, **{**wrapped, **_kept(driver), **options})(function)
        dispatcher.__class__ = _ForAll
        return dispatcher

    return decorate


def kernel(signature: Any, driver: bool = False, **options: Any) -> Callable[..., Any]:
    """Return the decorator of a function that compiled functions hold as a value."""

    def decorate(function: Callable[..., Any]) -> Any:
        bare = {"no_cpython_wrapper": True, "no_cfunc_wrapper": is_made_for()}
        options_here = {**_kept(driver), **bare, **options}
        dispatcher = _compiled_now(signature, options_here, function)
        dispatcher.__class__ = _ForCompiledCode
        return dispatcher

    return decorate


def entry(signature: Any, driver: bool = False, **options: Any) -> Callable[..., Any]:
    """Return the decorator of a function that Python calls, and that compiled functions may call."""
    options_here = {**_kept(driver), "no_cfunc_wrapper": True, **options}

    def decorate(function: Callable[..., Any]) -> Any:
        return _compiled_now(signature, options_here, function)

    return decorate


def _compiled_now(signature: Any, options: dict[str, Any], function: Callable[..., Any]) -> Any:
    """Return a function that is compiled for one signature, and never for another."""
    dispatcher = njit(**options)(_told_apart(function))
    with _collector_paused():
        compile_for(dispatcher, signature)
    dispatcher.disable_compile()
    return dispatcher


def on_demand(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], OnDemand]:
    """Return the decorator of an `entry` that waits for its first call."""
    return partial(OnDemand, compiler=entry(signature, **options))


def kernel_on_demand(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], OnDemand]:
    """Return the decorator of a `kernel` that waits until a family is packed with it."""
    return partial(OnDemand, compiler=kernel(signature, **options))


class _ForCompiledCode(CPUDispatcher):
    """A function without the wrapper that Python would call, which Numba calls all the same."""

    def __reduce__(self) -> Any:
        """Return what tells it from others, the same in every process.

        Numba keeps the code of a function under what its closure holds, such as this.
        """
        closure = self.py_func.__closure__ or ()
        name = f"{self.py_func.__module__}.{self.py_func.__qualname__}"
        return _refuse_to_read, (name, *(cell.cell_contents for cell in closure))

    def __call__(self, *arguments: Any) -> Any:
        """Refuse."""
        name = self.py_func.__qualname__
        raise TypeError(f"{name} is for compiled functions only; decorate it as an entry.")

    def __wrapper_address__(self) -> int:
        """Return the address at which C would call the function, which for our compilers nobody does: -1."""
        if is_made_for():
            return -1
        made: Any = self.overloads[self.signatures[0]]
        return int(made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name))


def _refuse_to_read(name: str, *closure: Any) -> Any:
    raise TypeError(f"{name} is compiled where it stands; import it there.")


class _Inner(_ForCompiledCode):
    """A function that is compiled with its first caller."""

    declared: Any

    def compile(self, sig: Any) -> Any:
        """Compile for the declared signature, whatever that caller's arguments are: Numba converts them."""
        with _collector_paused():
            result = compile_for(self, self.declared)
        self.disable_compile()
        return result


class _Shared(_Inner):
    """A function that is compiled with its first caller, and once more when Python calls it."""

    from_python: OnDemand

    def __call__(self, *arguments: Any) -> Any:
        """Call the copy for Python."""
        return self.from_python(*arguments)


class _ForAll(_Inner):
    """A function that is compiled once, with all its wrappers, when it is first asked for."""

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        self.make_ready()
        return CPUDispatcher.__call__(self, *arguments)

    def make_ready(self) -> None:
        """Compile the function, or read it from the cache, if that has not been done."""
        if not self.overloads:
            self.compile(self.declared)


class OnDemand:
    """A function of Python that is compiled when it is first called.

    Compiled code cannot call it; ``compiled`` is what it can hold as a value.

    Parameters
    ----------
    function : callable
    compiler : callable
        Returns the compiled function.
    """

    def __init__(
        self, function: Callable[..., Any], compiler: Callable[[Callable[..., Any]], Any]
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._compiler = compiler

    @cached_property
    def compiled(self) -> Any:
        """The compiled function."""
        return self._compiler(self._function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        return self.compiled(*arguments)


def compiled(function: Any) -> Any:
    """Return a function as compiled code can hold it, compiled now if it has waited."""
    if isinstance(function, _ForAll):
        function.make_ready()
        return function
    return function.compiled if isinstance(function, OnDemand) else function
