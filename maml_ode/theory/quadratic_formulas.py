"""The MAML loss of quadratic tasks, derived with SymPy's matrix expressions step by step.

What ``maml_ode.objectives.quadratic_form`` computes with numbers is found here from f_i and the rule of the inner
step alone, and in the tests the one is held against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maml_ode._validation import Array, check_count

__all__ = ["QuadraticDerivation", "derive"]


@dataclass(frozen=True, eq=False)
class QuadraticDerivation:
    """F_i(w) = w'Gw/2 - c'w + k of one task as matrix expressions.

    Attributes
    ----------
    G, c, k : sympy.MatrixExpr of shape (d, d), (d, 1) and (1, 1)
        In H, b of the support loss, Q, s, e of the query loss w'Qw/2 - s'w + e, and alpha.
    P, r : sympy.MatrixExpr
        The inner steps map w to P w + r.
    symbols : dict of str to SymPy symbol
        H, b, Q, s, e, alpha and w by name.
    steps : tuple of str
        The derivation, line by line.
    """

    G: Any
    c: Any
    k: Any
    P: Any
    r: Any
    symbols: dict[str, Any]
    steps: tuple[str, ...]

    def numbers(
        self, H: Array, b: Array, Q: Array, s: Array, e: float, alpha: float
    ) -> tuple[Array, Array, float]:
        """Return G (d, d), c (d,) and k for the numbers of one task."""
        import numpy as np
        import sympy

        d = len(b)
        names = ("H", "b", "Q", "s", "e", "alpha")
        size = self.symbols["H"].shape[0]
        here = [self.symbols[name].subs(size, d) for name in names]
        found = []
        for expression in (self.G, self.c, self.k):
            function = sympy.lambdify(here, expression.subs(size, d), "numpy")
            columns = np.reshape(b, (d, 1)), np.reshape(s, (d, 1)), np.array([[e]])
            found.append(function(H, columns[0], Q, columns[1], columns[2], alpha))
        return found[0], found[1].ravel(), float(found[2].item())


def derive(inner_steps: int = 1, show: Callable[[str], Any] | None = print) -> QuadraticDerivation:
    """Derive G, c and k of a task's MAML loss, and print how.

    Parameters
    ----------
    inner_steps : int
        k, at least 0.
    show : callable, optional
        Receives every line of the derivation; None for silence.

    Examples
    --------
    >>> from maml_ode.theory.quadratic_formulas import derive
    >>> found = derive(inner_steps=1)  # doctest: +ELLIPSIS
    f(w) = const - b.T*w + (1/2)*w.T*H*w
    grad f(w) = H*w - b, since H.T = H
    ...
    >>> found.P
    (-alpha)*H + I
    """
    import sympy

    count = check_count("inner_steps", inner_steps, minimum=0)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if show is not None:
            show(line)

    d = sympy.Symbol("d", integer=True)
    H, Q = sympy.MatrixSymbol("H", d, d), sympy.MatrixSymbol("Q", d, d)
    b, s, w = (sympy.MatrixSymbol(name, d, 1) for name in "bsw")
    e, constant = sympy.MatrixSymbol("e", 1, 1), sympy.MatrixSymbol("const", 1, 1)
    alpha = sympy.Symbol("alpha")
    symmetric = {H.T: H, Q.T: Q}

    loss = w.T * H * w / 2 - b.T * w + constant
    say(f"f(w) = {loss}")
    gradient = loss.diff(w).xreplace(symmetric).doit()
    say(f"grad f(w) = {gradient}, since H.T = H")
    say(f"u_0 = P_0*w + r_0 with P_0 = {sympy.Identity(d)}, r_0 = 0")
    P, r = sympy.Identity(d), sympy.ZeroMatrix(d, 1)
    for j in range(count):
        u = P * w + r
        step = _expanded(u - alpha * gradient.xreplace({w: u}))
        P, r = _by_degree(step, w)
        say(f"u_{j + 1} = u_{j} - alpha*grad f(u_{j}) = P_{j + 1}*w + r_{j + 1} with")
        say(f"    P_{j + 1} = {P}")
        say(f"    r_{j + 1} = {r}")
    named_P, named_r = sympy.MatrixSymbol("P", d, d), sympy.MatrixSymbol("r", d, 1)
    u = named_P * w + named_r
    judged = _expanded(u.T * Q * u / 2 - s.T * u + e)
    say(f"F(w) = u.T*Q*u/2 - s.T*u + e = {judged}, where P = P_{count}, r = r_{count}")
    twice = judged.diff(w).xreplace(symmetric).doit()
    slope, offset = _by_degree(_expanded(twice), w)
    say(f"grad F(w) = G*w - c with G = {slope}")
    say(f"    c = {_expanded(-offset)}")
    rest = sympy.MatAdd(*(term for term in judged.args if not term.has(w))).doit()
    say(f"F(0) = k = {rest}")
    inserted = {named_P: P, named_r: r}

    def insert(expression: Any) -> Any:
        return expression.xreplace(inserted).doit().xreplace(symmetric).doit()

    G, c, k = insert(slope), insert(_expanded(-offset)), insert(rest)
    symbols = {"H": H, "b": b, "Q": Q, "s": s, "e": e, "alpha": alpha, "w": w}
    return QuadraticDerivation(G, c, k, P, r, symbols, tuple(lines))


def _expanded(expression: Any) -> Any:
    return expression.doit().expand().doit()


def _by_degree(expression: Any, w: Any) -> tuple[Any, Any]:
    """Return M and v of M*w + v."""
    import sympy

    terms = sympy.MatAdd.make_args(expression)
    linear, rest, identity = [], [], sympy.Identity(w.shape[0])
    for term in terms:
        if not term.has(w):
            rest.append(term)
        elif term == w:
            linear.append(identity)
        else:
            *factors, last = term.args
            if last != w or any(factor.has(w) for factor in factors):
                raise ValueError(f"{term} is not linear in {w}.")
            linear.append(sympy.MatMul(*factors, identity).doit())
    zero = sympy.ZeroMatrix(*w.shape)
    square = sympy.ZeroMatrix(w.shape[0], w.shape[0])
    return sympy.MatAdd(square, *linear).doit(), sympy.MatAdd(zero, *rest).doit()
