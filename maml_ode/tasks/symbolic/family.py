"""Task losses given by a formula."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, freeze
from maml_ode.tasks.compiled_family import CompiledFamily
from maml_ode.tasks.symbolic.declared_names import check_names, declared_names, split_names
from maml_ode.tasks.symbolic.grammar import parse
from maml_ode.tasks.symbolic.tree import CONSTANTS, Node, listed, names

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
        tan, asin, acos, atan, sinh, cosh, tanh, asinh, acosh, atanh, exp, log, sqrt, erf, and
        logistic(x) = 1/(1 + exp(-x)), softplus(x) = log(1 + exp(x)), logsumexp(x, y, ...). A SymPy
        expression may hold the same and nothing else, the last three as ``sympy.Function("softplus")(x)``.
        Constant exponents are at most 64.
    variables : str, sympy.Symbol or sequence of these
        The coordinates of w in order; text may name several, separated by spaces or commas. Symbols of
        SymPy's may have any name, names in text are identifiers.
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
        If the expression is not in the grammar or exceeds its limits, or is real nowhere; if it holds a
        name that is not declared, or a declared name does not occur in it; for parameters of different
        lengths or not finite; for weights that are negative or do not sum to 1. At the first evaluation,
        if the derivatives are too large to compile or are not found in time.

    Notes
    -----
    Symbols are matched by name; their assumptions are dropped. Functions that are not smooth (abs, max, sign,
    ...) are refused. The others are smooth inside their domain, which is what ``smoothness`` means by
    ``SMOOTH``. Where the argument of a root or of a fractional power is 0, derivatives are infinite or NaN;
    outside the domain the loss and all its derivatives are NaN. Like terms are collected, so that x/x
    is 1 also at x = 0.

    Sums of exponentials with positive coefficients (numbers, and parameters and expressions that are positive
    for every task) do not overflow in logarithms, denominators and roots: log(1 + exp(w)), 1/(1 + exp(-w)),
    log(cosh(w)), s*log(exp(x/s) + exp(y/s)), exp(a)/(exp(a) + exp(b)) and all their derivatives hold to
    rounding wherever they are numbers. Not so where coefficients have both signs or an unknown one, as
    in 1/(exp(w) - 1) or log(1 + w**2*exp(w)), in nests like exp(-exp(-w)), or with more than about a
    hundred exponentials in one sum: there a loss that is finite can be NaN once exp overflows, beyond
    arguments of 709.

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
        in_text = isinstance(expression, str)
        self.variables = declared_names("variables", split_names(variables), in_text)
        if not self.variables:
            raise ValueError("variables must name at least one coordinate of w.")
        given = {} if parameters is None else dict(parameters)
        by_name = dict(
            zip(declared_names("parameters", given, in_text), given.values(), strict=True)
        )
        # Sorted: families that differ in the order of their parameters share their code.
        self._parameter_names = tuple(sorted(by_name))
        shared = set(self.variables) & set(self._parameter_names)
        if shared:
            raise ValueError(
                f"{listed(shared)} must be either a variable or a parameter, not both."
            )
        self._tree = _tree(expression)
        # A symbol of SymPy's is never one of its numbers, whatever it is called.
        constants = CONSTANTS if in_text else ()
        declared = (*self.variables, *self._parameter_names)
        check_names(names(self._tree), declared, constants)
        self._values = _table({name: by_name[name] for name in self._parameter_names})
        super().__init__(self._values.shape[1], len(self.variables), weights)
        self._steps()  # refuses what cannot be derived
        from maml_ode.tasks.symbolic.reality import check_real

        check_real(self._tree, self.variables, self._parameter_names)

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters' values, one per task."""
        return {
            name: freeze(row.view())
            for name, row in zip(self._parameter_names, self._values, strict=True)
        }

    def _restricted(self, chosen: npt.NDArray[np.intp], weights: Array) -> Symbolic:
        family = Symbolic.__new__(Symbolic)
        CompiledFamily.__init__(family, chosen.size, self.dim, weights)
        family.variables, family._parameter_names = self.variables, self._parameter_names
        family._tree, family._values = self._tree, np.ascontiguousarray(self._values[:, chosen])
        return family

    def _steps(self) -> Steps:
        return _steps(self._tree, self.variables, self._parameter_names)

    @cached_property
    def expression(self) -> Any:
        """The loss in plain symbols of the given names."""
        import sympy

        symbols = _symbols(self.variables, self._parameter_names).items()
        return self._steps().expanded().xreplace({s: sympy.Symbol(name) for name, s in symbols})

    @cached_property
    def stable_expression(self) -> Any:
        """The loss in the functions of ``stable_functions``, which do not overflow; decimals are exact fractions.

        Where the parameters' signs do not allow for that, or the formula is too large, as in ``expression``.
        """
        import sympy

        from maml_ode.tasks.symbolic.exponentials import stable
        from maml_ode.tasks.symbolic.stable_functions import STABLE
        from maml_ode.tasks.symbolic.steps import Steps
        from maml_ode.tasks.symbolic.tree import exact

        symbols = _symbols(self.variables, self._parameter_names)
        try:
            tree = stable(exact(self._tree), self._known_signs())
            expression = Steps(tree, symbols, STABLE).expanded()
        except ValueError:
            return self.expression
        return expression.xreplace({s: sympy.Symbol(name) for name, s in symbols.items()})

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
        return _source(self._tree, self.variables, tuple(self._known_signs().items()))

    def _known_signs(self) -> dict[str, int]:
        """Return 1 or -1 for the parameters that are positive or negative for every task, else 0."""
        signs = [1 if (row > 0.0).all() else -1 if (row < 0.0).all() else 0 for row in self._values]
        return dict.fromkeys(self.variables, 0) | dict(
            zip(self._parameter_names, signs, strict=True)
        )

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
def _source(tree: Node, variables: tuple[str, ...], signs: tuple[tuple[str, int], ...]) -> str:
    from maml_ode.tasks.symbolic.exponentials import stable
    from maml_ode.tasks.symbolic.source import kernel_source
    from maml_ode.tasks.symbolic.stable_functions import STABLE
    from maml_ode.tasks.symbolic.steps import Steps

    known = dict(signs)
    parameters = tuple(known)[len(variables) :]
    symbols = _symbols(variables, parameters)
    try:
        steps = Steps(stable(tree, known), symbols, STABLE)
        return kernel_source(steps, len(variables), len(parameters))
    except ValueError:
        # Beyond the limits in its stable form; as it stands it may be within them.
        steps = Steps(tree, symbols, STABLE)
        return kernel_source(steps, len(variables), len(parameters))


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
