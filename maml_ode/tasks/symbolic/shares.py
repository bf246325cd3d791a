"""The logarithm of a sum of exponentials, and the shares of its terms, as trees that do not overflow.

For S = c1 exp(u1) + ... + cn exp(un) the terms are halved again and again: L = log S = LogAdd(L_left, L_right).
The share of term k is the product over the halvings above it of logistic(L_own - L_other), and every
difference is formed exactly before it is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from maml_ode.tasks.symbolic.linear_forms import (
    ONE,
    Form,
    Key,
    add,
    linear_form,
    number,
    product,
    scale,
    to_tree,
)
from maml_ode.tasks.symbolic.tree import Call, LogAdd, Node, Number, Power

__all__ = ["Exponential", "LogSum", "over"]

_MOST_UNKNOWNS = 12  # of the equations for shares that are solved


@dataclass(frozen=True)
class Exponential:
    """coefficient * exp(exponent)."""

    coefficient: Node
    exponent: Form

    @property
    def logarithm(self) -> Form:
        """The logarithm, for a positive coefficient."""
        if self.coefficient == Number(1):
            return self.exponent
        return add(self.exponent, linear_form(Call("log", self.coefficient)))


class LogSum:
    """L of one sum.

    Attributes
    ----------
    terms : tuple of Exponential
    value : Node
        L.
    paths : list of list of Form
        For every term the differences L_own - L_other on the way to the whole sum.
    """

    def __init__(self, terms: Sequence[Exponential]) -> None:
        self.terms = tuple(terms)
        self.paths: list[list[Form]] = [[] for _ in terms]
        self.value, _ = self._halve(0, len(terms))
        if self._is_cosh():
            self.value = Call("log_cosh", to_tree(self.terms[0].exponent))

    def _halve(self, start: int, stop: int) -> tuple[Node, Form]:
        if stop - start == 1:
            form = self.terms[start].logarithm
            return to_tree(form), form
        middle = (start + stop) // 2
        left, left_form = self._halve(start, middle)
        right, right_form = self._halve(middle, stop)
        difference = add(left_form, right_form, -1)
        opposite = scale(difference, -1)
        for k in range(start, stop):
            self.paths[k].append(difference if k < middle else opposite)
        value = LogAdd(left, right, to_tree(difference))
        return value, linear_form(value)

    def _is_cosh(self) -> bool:
        # -u - log 2 + log(1 + exp(2 u)) cancels near u = 0, where log cosh u is u^2/2.
        return (
            len(self.terms) == 2
            and all(term.coefficient == number(Fraction(1, 2)) for term in self.terms)
            and not add(self.terms[0].exponent, self.terms[1].exponent)
        )


def over(exponent: Form, divisors: Sequence[tuple[LogSum, Fraction]]) -> Node:
    """Return exp(exponent)/prod S^p over the pairs (log S, p) of ``divisors``."""
    powers = _powers_of_shares(exponent, divisors)
    if powers is None:
        for logarithm, p in divisors:
            exponent = add(exponent, linear_form(logarithm.value), -p)
        return Call("exp", to_tree(exponent)) if exponent else Number(1)
    factors: list[Node] = []
    total: dict[Key, Fraction] = {}
    rest = exponent.get(ONE, Fraction(0))
    for (logarithm, _), row in zip(divisors, powers, strict=True):
        for term, path, r in zip(logarithm.terms, logarithm.paths, row, strict=True):
            if r == 0:
                continue
            rest -= r * term.exponent.get(ONE, Fraction(0))
            if term.coefficient != Number(1):
                factors.append(Power(term.coefficient, number(-r)))
            for difference in path:
                key = frozenset(difference.items())
                total[key] = total.get(key, Fraction(0)) + r
    logarithms: Form = {ONE: rest} if rest else {}
    kept, pairs = _without_pairs(total)
    for key, r in pairs.items():
        # logistic(x) logistic(-x) is the slope of the logistic function, 1/(4 cosh(x/2)^2).
        if r.denominator == 1:
            slope = Call("logistic_slope", to_tree(dict(key)))
            factors.append(slope if r == 1 else Power(slope, number(r)))
        else:
            half = Call("log_cosh", to_tree(scale(dict(key), Fraction(1, 2))))
            factors.append(Power(Number(4), number(-r)))
            logarithms = add(logarithms, linear_form(half), -2 * r)
    for key, r in kept.items():
        if r.denominator == 1:
            share = Call("logistic", to_tree(dict(key)))
            factors.append(share if r == 1 else Power(share, number(r)))
        else:
            opposite = to_tree(scale(dict(key), -1))
            softplus = LogAdd(opposite, Number(0), opposite)
            logarithms = add(logarithms, linear_form(softplus), -r)
    if logarithms:
        factors.append(Call("exp", to_tree(logarithms)))
    return product(factors)


def _without_pairs(
    total: Mapping[Key, Fraction],
) -> tuple[dict[Key, Fraction], dict[Key, Fraction]]:
    """Part the powers r of logistic(x) that logistic(-x) has as well from the others."""
    kept: dict[Key, Fraction] = {}
    pairs: dict[Key, Fraction] = {}
    for key, r in total.items():
        opposite = frozenset(scale(dict(key), -1).items())
        if kept.get(opposite) == r:
            del kept[opposite]
            pairs[key] = r
        else:
            kept[key] = r
    return kept, pairs


def _powers_of_shares(
    exponent: Form, divisors: Sequence[tuple[LogSum, Fraction]]
) -> list[list[Fraction]] | None:
    """Return r >= 0 with sum_k r_k = p in every sum and sum r_k u_k = exponent up to a constant."""
    if not divisors or any(p < 0 for _, p in divisors):
        return None
    if len(divisors) == 1:
        [(logarithm, p)] = divisors
        wanted = _varying(scale(exponent, 1 / p))
        for k, term in enumerate(logarithm.terms):
            if _varying(term.exponent) == wanted:
                return [[p if j == k else Fraction(0) for j in range(len(logarithm.terms))]]
    sizes = [len(logarithm.terms) for logarithm, _ in divisors]
    if sum(sizes) > _MOST_UNKNOWNS:
        return None
    columns: list[dict[object, Fraction]] = [
        {**_varying(term.exponent), k: Fraction(1)}
        for k, (logarithm, _) in enumerate(divisors)
        for term in logarithm.terms
    ]
    target = _varying(exponent)
    target.update((k, p) for k, (_, p) in enumerate(divisors))
    solution = _solve(columns, target)
    if solution is None or min(solution) < 0:
        return None
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [solution[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _varying(form: Form) -> dict[object, Fraction]:
    return {monomial: coefficient for monomial, coefficient in form.items() if monomial != ONE}


def _solve(
    columns: Sequence[dict[object, Fraction]], target: dict[object, Fraction]
) -> list[Fraction] | None:
    """Return one solution of sum_k r_k columns[k] = target, or None if there is none."""
    n = len(columns)
    labels = {label: None for column in (*columns, target) for label in column}
    rows = [[column.get(label, Fraction(0)) for column in (*columns, target)] for label in labels]
    pivots: list[int] = []
    for k in range(n):
        top = len(pivots)
        j = next((j for j in range(top, len(rows)) if rows[j][k]), None)
        if j is None:
            continue
        rows[top], rows[j] = rows[j], rows[top]
        rows[top] = [x / rows[top][k] for x in rows[top]]
        for i, row in enumerate(rows):
            if i != top and row[k]:
                rows[i] = [x - row[k] * y for x, y in zip(row, rows[top], strict=True)]
        pivots.append(k)
    if any(row[n] for row in rows[len(pivots) :]):
        return None
    solution = [Fraction(0)] * n
    for row, k in zip(rows, pivots, strict=False):
        solution[k] = row[n]
    return solution
