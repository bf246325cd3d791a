"""Losses, the MAML loss and their derivatives as formulas, by SymPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_count, shown
from maml_ode.objectives import ExpectedLoss, Objective
from maml_ode.tasks.base import QuadraticTerms, TaskFamily
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.tasks.symbolic import Symbolic

__all__ = ["ClosedForm", "closed_form"]

LARGEST_DIM = 12
"""Of a quadratic family: its form has d (d + 1)/2 terms a task."""

MOST_OPERATIONS = 20_000
"""Of the value: each inner step multiplies its length."""


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """A function of w as a formula with its derivatives, numbers in the place of parameters.

    Attributes
    ----------
    symbols : tuple of d sympy.Symbol
        The coordinates of w: the variables of a `Symbolic` family, else w, or w1, ..., wd.
    value : sympy.Expr
        For a family or an objective the sum over the tasks weighted by p_i; for one of ``tasks`` its own loss.
    tasks : tuple of M ClosedForm
        The same for each task: f_i of a family and of `ExpectedLoss`, F_i of `MAMLLoss`.
    name : str
        What ``latex`` calls it: "f", "F", "f_1", ...

    Examples
    --------
    >>> import maml_ode as mo
    >>> form = mo.closed_form(mo.tasks.Symbolic("a*w**2 - sin(w)", ["w"], {"a": [1.0, 2.0]}))
    >>> form.value
    1.5*w**2 - 1.0*sin(w)
    >>> form.gradient[0]
    3.0*w - 1.0*cos(w)
    >>> value, gradient, hessian = form.lambdify()([0.0])
    >>> float(gradient[0])
    -1.0
    """

    symbols: tuple[Any, ...]
    value: Any
    tasks: tuple[ClosedForm, ...] = ()
    name: str = "f"

    @cached_property
    def gradient(self) -> Any:
        """The gradient, sympy.ImmutableDenseMatrix of shape (d, 1)."""
        import sympy

        return sympy.ImmutableDenseMatrix([[self.value.diff(w)] for w in self.symbols])

    @cached_property
    def hessian(self) -> Any:
        """The Hessian, sympy.ImmutableDenseMatrix of shape (d, d)."""
        import sympy

        d = len(self.symbols)
        upper = {
            (j, k): self.gradient[j].diff(self.symbols[k]) for j in range(d) for k in range(j, d)
        }
        return sympy.ImmutableDenseMatrix(d, d, lambda j, k: upper[min(j, k), max(j, k)])

    def latex(self, digits: int = 6, width: int = 80) -> str:
        """Return value, gradient and Hessian as one LaTeX ``aligned`` environment, for ``$$...$$``.

        Parameters
        ----------
        digits : int
            Significant digits of the numbers shown.
        width : int
            About how many characters are in a row before a sum goes on in the next. Gradients and Hessians whose
            entries are longer are written out, one partial derivative after the other.
        """
        import sympy

        digits, width = check_count("digits", digits), check_count("width", width)

        def shortened(expression: Any) -> Any:
            numbers = expression.atoms(sympy.Float)
            return expression.xreplace(
                {x: _number(float(f"{float(x):.{digits}g}")) for x in numbers}
            )

        names = [sympy.latex(symbol) for symbol in self.symbols]
        one, own = len(names) == 1, names != [f"w_{{{k + 1}}}" for k in range(len(names))]
        at = f"({', '.join(names) if own else 'w'})"
        rows = _rows(f"{self.name}{at}", shortened(self.value), width)
        for order, matrix in ((1, self.gradient), (2, self.hessian)):
            entries = shortened(matrix)
            primes, nabla = "'" * order, rf"\nabla{'' if order == 1 else '^2'}"
            if one:
                rows += _rows(f"{self.name}{primes}{at}", entries[0], width)
            elif order * max(_shown(entry) for entry in entries) <= width:
                rows.append(rf"{nabla} {self.name}{at} &= {sympy.latex(entries)}")
            else:
                for place in _upper(len(names), order):
                    by = " ".join(rf"\partial_{{{names[k]}}}" for k in place)
                    at_place = entries[(*place, 0)[:2]]
                    rows += _rows(f"{by} {self.name}{at}", at_place, width)
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def lambdify(self) -> Callable[[npt.ArrayLike], tuple[float, Array, Array]]:
        """Return function(w) -> (value, gradient, hessian): a float and arrays of shape (d,) and (d, d).

        The formulas are evaluated as they stand: log(1 + exp(w)) overflows at w = 800, where the losses of a
        `Symbolic` family do not.
        """
        import sympy

        d = len(self.symbols)
        entries = [self.value, *self.gradient, *self.hessian]
        compiled = sympy.lambdify(self.symbols, entries, modules=["scipy", "numpy"], cse=True)

        def function(w: npt.ArrayLike) -> tuple[float, Array, Array]:
            with np.errstate(all="ignore"):
                numbers = np.array(compiled(*as_point("w", w, d)), dtype=np.float64)
            return float(numbers[0]), numbers[1 : d + 1], numbers[d + 1 :].reshape(d, d)

        return function

    def __repr__(self) -> str:
        text = str(self.value)
        text = text if len(text) <= 70 else text[:67] + "..."
        return f"ClosedForm({self.name}({', '.join(map(str, self.symbols))}) = {text})"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"


def closed_form(tasks_or_objective: TaskFamily | Objective) -> ClosedForm:
    """Return a loss and its derivatives as SymPy expressions.

    Parameters
    ----------
    tasks_or_objective : TaskFamily or Objective
        A `Sinusoid`, `Symbolic` or quadratic family (d at most 12; `LinearRegression` of small d too), which
        stands for f = sum_i p_i f_i, or an `ExpectedLoss` or `MAMLLoss` on such, with any number of inner steps
        and a query family.

    Returns
    -------
    ClosedForm

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For a family without a formula or of too large d, and for more inner steps than can be written out.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Sinusoid([0.5], [1.0], [2.0])
    >>> mo.closed_form(tasks).gradient
    Matrix([[1.0*w - 2*cos(2*w)]])
    >>> F = mo.closed_form(mo.MAMLLoss(tasks, alpha=0.5))
    >>> round(F.value.subs("w", 0), 6)
    -0.409297
    """
    if isinstance(tasks_or_objective, TaskFamily):
        objective: Objective = ExpectedLoss(tasks_or_objective)
    elif isinstance(tasks_or_objective, Objective):
        objective = tasks_or_objective
    else:
        raise TypeError(
            "tasks_or_objective must be a task family, an ExpectedLoss or a MAMLLoss, not "
            f"{shown(tasks_or_objective)}."
        )
    import sympy

    inner = objective._inner
    tasks, judge = inner.tasks, inner.query
    symbols = _symbols(tasks)
    steps = np.broadcast_to(inner.alpha, (inner.count, tasks.n_tasks, tasks.dim))
    name = "F" if inner.count else "f"
    f, g = (None if one.dim > LARGEST_DIM else one.quadratic for one in (tasks, judge))
    if f is not None and g is not None:
        G, c, e = _quadratics_after_steps(f, g, steps)
        values = [_polynomial(*terms, symbols) for terms in zip(G, c, e, strict=True)]
        p = tasks.weights
        total = _polynomial(np.einsum("m,mjk->jk", p, G), p @ c, float(p @ e), symbols)
    else:
        support = _losses(tasks, symbols)
        query = support if judge is tasks else _losses(judge, symbols)
        values = [
            _after_steps(support[i], query[i], symbols, steps[:, i]) for i in range(tasks.n_tasks)
        ]
        # All at once: one by one takes a time that grows like M^2.
        weighted = zip(tasks.weights, values, strict=True)
        total = sympy.Add(*(_number(share) * value for share, value in weighted if share))
    parts = [ClosedForm(symbols, v, (), f"{name}_{{{i + 1}}}") for i, v in enumerate(values)]
    return ClosedForm(symbols, total, tuple(parts), name)


def _quadratics_after_steps(
    f: QuadraticTerms, g: QuadraticTerms, steps: Array
) -> tuple[Array, Array, Array]:
    """Return the matrices, vectors and constants of g_i(u_i), u_i = A_i w + m_i being affine."""
    A = np.broadcast_to(np.eye(f.b.shape[1]), f.H.shape)
    m = np.zeros_like(f.b)
    for alpha in steps:
        A = A - alpha[:, :, None] * (f.H @ A)
        m = m - alpha * (np.einsum("mjk,mk->mj", f.H, m) - f.b)
    pulled = np.einsum("mjk,mk->mj", g.H, m)
    G = A.transpose(0, 2, 1) @ g.H @ A
    c = np.einsum("mjk,mj->mk", A, g.b - pulled)
    return G, c, np.einsum("mj,mj->m", m, 0.5 * pulled - g.b) + g.c


def _polynomial(G: Array, c: Array, e: float, symbols: Sequence[Any]) -> Any:
    """Return w'Gw/2 - c'w + e."""
    import sympy

    terms = [_number(e)]
    for j, w in enumerate(symbols):
        terms += [_number(0.5 * G[j, j]) * w**2, _number(-c[j]) * w]
        terms += [_number(0.5 * (G[j, k] + G[k, j])) * w * symbols[k] for k in range(j)]
    return sympy.Add(*terms)


def _upper(d: int, order: int) -> list[tuple[int, ...]]:
    """Return the places of a gradient's entries, or of a Hessian's on and above its diagonal."""
    return list(combinations_with_replacement(range(d), order))


def _rows(left: str, expression: Any, width: int) -> list[str]:
    """Return an equation, its sum in as many rows as it needs."""
    import sympy

    if _shown(expression) <= width:
        return [f"{left} &= {sympy.latex(expression)}"]
    rows, room = [f"{left} &="], width
    for term in expression.as_ordered_terms():
        text = sympy.latex(term)
        sign, rest = ("-", text[1:].lstrip()) if text.startswith("-") else ("+", text)
        if len(rows) == 1 and room == width:
            rows[-1] += f" {text}"
        elif _shown(term) > room:
            rows.append(rf"&\quad {{}} {sign} {rest}")
            room = width
        else:
            rows[-1] += f" {sign} {rest}"
        room -= _shown(term)
    return rows


def _shown(expression: Any) -> int:
    """Return about how many characters of a formula are seen."""
    return len(str(expression).replace("*", "").replace(" ", ""))


def _after_steps(support: Any, query: Any, symbols: Sequence[Any], steps: Array) -> Any:
    """Return g(u), u after gradient steps on f from w."""
    if not len(steps):
        return query
    gradient = [support.diff(w) for w in symbols]
    u = list(symbols)
    for alpha in steps:
        at_u = dict(zip(symbols, u, strict=True))
        u = [x - _number(a) * g.xreplace(at_u) for x, a, g in zip(u, alpha, gradient, strict=True)]
        if _length(u) > MOST_OPERATIONS:
            raise ValueError(
                f"after {len(steps)} inner steps the formula has more than {MOST_OPERATIONS} operations; "
                "take fewer inner steps, or a family with a shorter formula."
            )
    return query.xreplace(dict(zip(symbols, u, strict=True)))


def _length(expressions: Sequence[Any]) -> int:
    return sum(int(expression.count_ops()) for expression in expressions)


def _symbols(tasks: TaskFamily) -> tuple[Any, ...]:
    import sympy

    if isinstance(tasks, Symbolic):
        return tuple(sympy.Symbol(name) for name in tasks.variables)
    if tasks.dim == 1:
        return (sympy.Symbol("w"),)
    return tuple(sympy.Symbol(f"w{k + 1}") for k in range(tasks.dim))


def _losses(tasks: TaskFamily, symbols: Sequence[Any]) -> list[Any]:
    """Return f_i in the given symbols, one a task."""
    import sympy

    if isinstance(tasks, Sinusoid):
        (w,) = symbols
        rows = zip(tasks.a, tasks.b, tasks.omega, strict=True)
        return [_number(a) * w**2 - _number(b) * sympy.sin(_number(o) * w) for a, b, o in rows]
    if isinstance(tasks, Symbolic):
        named = [sympy.Symbol(name) for name in tasks.variables]
        expression = tasks.expression
        return [
            expression.xreplace(
                dict(zip(named, symbols, strict=True))
                | {sympy.Symbol(name): _number(v[i]) for name, v in tasks.parameters.items()}
            )
            for i in range(tasks.n_tasks)
        ]
    if tasks.dim > LARGEST_DIM:
        raise ValueError(
            f"closed_form writes out quadratics of d <= {LARGEST_DIM}, but this family has d = {tasks.dim}; "
            "mo.MAMLLoss(tasks, alpha).quadratic_form holds its matrix G."
        )
    terms = tasks.quadratic
    if terms is None:
        raise ValueError(
            f"closed_form knows the formulas of Sinusoid, Symbolic and quadratic families, not that of "
            f"{tasks!r}; write its loss as mo.tasks.Symbolic(formula, variables, parameters)."
        )
    return [
        _polynomial(H, b, c, symbols) for H, b, c in zip(terms.H, terms.b, terms.c, strict=True)
    ]


def _number(x: float) -> Any:
    """Return a double as SymPy holds it, to the last bit; whole numbers as such."""
    import sympy

    value = float(x)
    return (
        sympy.Integer(int(value))
        if value.is_integer() and abs(value) < 2**53
        else sympy.Float(value)
    )
