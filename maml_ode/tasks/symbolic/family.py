"""Task losses given by a formula."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, freeze, unknown_name
from maml_ode.tasks.base import CompiledFamily
from maml_ode.tasks.symbolic.grammar import parse
from maml_ode.tasks.symbolic.tree import CONSTANTS, FUNCTIONS, Node, names

if TYPE_CHECKING:
    from maml_ode.compiled.contract import Kernels
    from maml_ode.tasks.symbolic.steps import Steps

__all__ = ["Symbolic"]


class Symbolic(CompiledFamily):
    """Losses given by one formula f(w; theta_i) with parameters theta_i that differ between the tasks.

    Gradient, Hessian and third derivative are derived by SymPy and compiled by Numba at the first evaluation.
    Machine code is kept on disk and shared by all families with the same formula, so it is compiled once
    per machine; ``maml_ode.tasks.symbolic.load.cache_directory`` says where.

    Parameters
    ----------
    expression : str or sympy.Expr
        The loss. Text is read by a small grammar, without ``eval``: numbers, names, ``+ - * / **``,
        parentheses, the constants ``pi``, ``e`` and ``E`` (unless declared below) and the functions sin, cos,
        tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, exp, log, sqrt and erf. A SymPy
        expression may hold the same and nothing else. Constant exponents are at most 64.
    variables : str, sympy.Symbol or sequence of these
        The coordinates of w in order; text may name several, separated by spaces or commas.
    parameters : mapping of name to array_like of shape (M,), optional
        The values of every parameter, one per task; a scalar holds for all tasks. Without parameters
        of shape (M,) there is one task.
    weights : array_like of shape (M,), optional
        Task weights p_i; uniform by default.

    Attributes
    ----------
    variables : tuple of str
    parameters : dict of str to ndarray of shape (M,)
        Read-only arrays.
    expression : sympy.Expr
    gradient_expression : sympy.ImmutableDenseMatrix of shape (d, 1)
    hessian_expression : sympy.ImmutableDenseMatrix of shape (d, d)
    third_expression : sympy.ImmutableDenseNDimArray of shape (d, d, d)
        Closed forms, derived at first use.
    source : str
        The generated code.

    Raises
    ------
    TypeError
        If ``expression`` is neither text nor a SymPy expression, or a name is neither text nor a symbol.
    ValueError
        If the expression is not in the grammar or exceeds its limits; if it holds a name that is not
        declared, or a declared name does not occur in it; for parameters of different lengths or not
        finite; for weights that are negative or do not sum to 1. At the first evaluation, if the
        derivatives are too large to compile.

    Notes
    -----
    Symbols are matched by name; their assumptions are dropped. Functions that are not smooth (abs, max, sign,
    ...) are refused. The others are smooth inside their domain, which is what ``smoothness`` means by
    ``SMOOTH``. Where the argument of a root or of a fractional power is 0, derivatives are infinite or NaN;
    outside the domain the loss and all its derivatives are NaN. Like terms are collected, so that x/x
    is 1 also at x = 0.

    Examples
    --------
    The losses of Figure 1 of Xu, Chen and Karbasi (AISTATS 2021):

    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Symbolic(
    ...     "a*w**2 - b*sin(omega*w)",
    ...     "w",
    ...     {"a": [0.505, 0.505], "b": [1.0, 1e-4], "omega": [1.0, 100.0]},
    ... )
    >>> tasks.gradients([0.0])
    array([[-1.  ],
           [-0.01]])
    >>> tasks.hessian_expression
    Matrix([[2*a + b*omega**2*sin(omega*w)]])
    """

    def __init__(
        self,
        expression: Any,
        variables: Any,
        parameters: Mapping[Any, npt.ArrayLike] | None = None,
        weights: npt.ArrayLike | None = None,
    ) -> None:
        self.variables = _declared("variables", _split(variables))
        if not self.variables:
            raise ValueError("variables must name at least one coordinate of w.")
        given = {} if parameters is None else dict(parameters)
        by_name = dict(zip(_declared("parameters", given), given.values(), strict=True))
        # Sorted: families that differ in the order of their parameters share their code.
        self._parameter_names = tuple(sorted(by_name))
        shared = set(self.variables) & set(self._parameter_names)
        if shared:
            raise ValueError(
                f"{_listed(shared)} must be either a variable or a parameter, not both."
            )
        self._tree = _tree(expression)
        # A symbol of SymPy's is never one of its numbers, whatever it is called.
        constants = CONSTANTS if isinstance(expression, str) else ()
        declared = (*self.variables, *self._parameter_names)
        _check_names(names(self._tree), declared, constants)
        self._values = _table({name: by_name[name] for name in self._parameter_names})
        super().__init__(self._values.shape[1], len(self.variables), weights)
        self._steps()  # refuses what cannot be derived

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters' values, one per task."""
        return {
            name: freeze(row.view())
            for name, row in zip(self._parameter_names, self._values, strict=True)
        }

    def _steps(self) -> Steps:
        return _steps(self._tree, self.variables, self._parameter_names)

    @cached_property
    def expression(self) -> Any:
        """The loss in plain symbols of the given names."""
        import sympy

        symbols = _symbols(self.variables, self._parameter_names).items()
        return self._steps().expanded().xreplace({s: sympy.Symbol(name) for name, s in symbols})

    @cached_property
    def gradient_expression(self) -> Any:
        """The gradient, shape (d, 1)."""
        import sympy

        return sympy.ImmutableDenseMatrix([[self.expression.diff(w)] for w in self.variables])

    @cached_property
    def hessian_expression(self) -> Any:
        """The Hessian, shape (d, d)."""
        import sympy

        gradient = list(self.gradient_expression)
        return sympy.ImmutableDenseMatrix([[g.diff(w) for w in self.variables] for g in gradient])

    @cached_property
    def third_expression(self) -> Any:
        """The third derivative, shape (d, d, d)."""
        import sympy

        hessian = self.hessian_expression.tolist()
        return sympy.ImmutableDenseNDimArray(
            [[[h.diff(w) for w in self.variables] for h in row] for row in hessian]
        )

    @property
    def source(self) -> str:
        """The generated module that holds the kernels."""
        return _source(self._tree, self.variables, self._parameter_names)

    def _kernels(self) -> Kernels:
        from maml_ode.tasks.symbolic.load import load

        return load(self.source)

    def _formula(self) -> str:
        return f"{self.expression} in {self.variables} with {self._parameter_names}"

    def _packed(self) -> tuple[Array, npt.NDArray[np.int64]]:
        return self._values.ravel(), np.array([self.n_tasks], dtype=np.int64)


def _symbols(variables: tuple[str, ...], parameters: tuple[str, ...]) -> dict[str, Any]:
    """Return the symbols w0, w1, ..., p0, p1, ... of the generated code by the given names."""
    from maml_ode.tasks.symbolic.derivatives import parameter_symbols, variable_symbols

    symbols = (*variable_symbols(len(variables)), *parameter_symbols(len(parameters)))
    return dict(zip((*variables, *parameters), symbols, strict=True))


@lru_cache(maxsize=64)
def _steps(tree: Node, variables: tuple[str, ...], parameters: tuple[str, ...]) -> Steps:
    from maml_ode.tasks.symbolic.steps import Steps

    return Steps(tree, _symbols(variables, parameters))


@lru_cache(maxsize=64)
def _source(tree: Node, variables: tuple[str, ...], parameters: tuple[str, ...]) -> str:
    from maml_ode.tasks.symbolic.source import kernel_source

    return kernel_source(_steps(tree, variables, parameters), len(variables), len(parameters))


def _split(variables: Any) -> Iterable[Any]:
    if isinstance(variables, str):
        return variables.replace(",", " ").split()
    return variables if isinstance(variables, Iterable) else [variables]


def _declared(argument: str, given: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of strings and symbols, each checked."""
    found: list[str] = []
    for item in given:
        name = item if isinstance(item, str) else getattr(item, "name", None)
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be names or SymPy symbols, not {item!r}.")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(
                f"{argument}: {name!r} is no name; use letters, digits and _, as in w_1."
            )
        if name in FUNCTIONS:
            raise ValueError(f"{argument}: {name!r} is the name of a function; choose another.")
        if name in found:
            raise ValueError(f"{argument}: {name!r} is given twice.")
        found.append(name)
    return tuple(found)


def _tree(expression: Any) -> Node:
    if isinstance(expression, str):
        return parse(expression)
    import sympy

    if not isinstance(expression, sympy.Expr):
        raise TypeError(
            f"expression must be text or a SymPy expression, not {type(expression).__name__}."
        )
    from maml_ode.tasks.symbolic.read_sympy import read

    return read(expression)


def _check_names(found: list[str], declared: tuple[str, ...], constants: tuple[str, ...]) -> None:
    unknown = [name for name in found if name not in declared and name not in constants]
    if unknown:
        sentences = "; ".join(unknown_name("name", name, declared).rstrip(".") for name in unknown)
        raise ValueError(
            f"expression holds names that are neither variables nor parameters: {sentences}."
        )
    unused = [name for name in declared if name not in found]
    if unused:
        raise ValueError(
            f"{_listed(unused)} does not occur in the expression; remove it from the declarations, or "
            f"write + 0*{unused[0]} if the loss is meant not to depend on it."
        )


def _listed(found: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(found)))


def _table(parameters: Mapping[str, npt.ArrayLike]) -> Array:
    """Return the values as an array of shape (n_parameters, M)."""
    rows = {name: as_array(f"parameters[{name!r}]", value) for name, value in parameters.items()}
    lengths: dict[int, str] = {}
    for name, row in rows.items():
        if row.ndim > 1 or row.size == 0:
            raise ValueError(
                f"parameters[{name!r}] must have shape (M,) with one value per task, or be a scalar, "
                f"but it has shape {row.shape}."
            )
        if row.ndim == 1:
            lengths.setdefault(row.size, name)
    if len(lengths) > 1:
        (n, first), (m, second) = list(lengths.items())[:2]
        raise ValueError(
            f"parameters must all have one value per task, but parameters[{first!r}] has shape ({n},) "
            f"and parameters[{second!r}] has shape ({m},)."
        )
    n_tasks = next(iter(lengths), 1)
    table = np.empty((len(rows), n_tasks))
    for k, row in enumerate(rows.values()):
        table[k] = row
    return table
