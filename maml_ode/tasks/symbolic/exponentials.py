"""Rewrite a tree so that its code does not overflow where the function does not.

``log(1 + exp(w))`` overflows at w = 800 although its value is 800, and its derivative exp(w)/(1 + exp(w)) is then
inf/inf. Before anything is derived, sums S = c1 exp(u1) + ... + cn exp(un) with positive c are therefore
recognised in logarithms, in denominators and in roots. With L = log S, kept as nested ``LogAdd``,

    log(S) = L,    exp(a)/S^p = exp(a - p L),    (b1 exp(a1) + b2 exp(a2) + ...)/S^p = sum_j b_j exp(a_j - p L),

and where a = r1 u1 + ... + rn un with r >= 0 and sum r = p, exp(a - p L) is the product of powers of the shares
exp(uk - L), which are products of logistic functions. The derivatives of these are products of the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from maml_ode.tasks.symbolic.cancellation import join
from maml_ode.tasks.symbolic.linear_forms import (
    ONE,
    Form,
    Key,
    add,
    linear_form,
    number,
    product,
    scale,
    sum_of,
    to_tree,
)
from maml_ode.tasks.symbolic.shares import Exponential, LogSum, over
from maml_ode.tasks.symbolic.signs import sign
from maml_ode.tasks.symbolic.tree import (
    CONSTANTS,
    Call,
    Constant,
    LogAdd,
    Name,
    Node,
    Number,
    Power,
    Product,
    Sum,
    children,
)

__all__ = ["stable"]

_MOST_TERMS = 256  # of a product of sums that is multiplied out
_MOST_SHORT = 16  # terms of a product in a logarithm that is multiplied out
_MOST_POWER = 4  # of a sum that is multiplied out
_MOST_NODES = 20_000
_HALF = Fraction(1, 2)


def stable(node: Node, signs: Mapping[str, int]) -> Node:
    """Return a tree of the same function whose evaluation overflows only where its value does.

    Parameters
    ----------
    node : Node
    signs : mapping of str to int
        Of the variables and parameters: 1 or -1 where all values are positive or negative, else 0.
        Names that are missing are the constants pi, e and E.

    Raises
    ------
    ValueError
        If the tree becomes too large.
    """
    constants = [name for name in CONSTANTS if name not in signs]
    return _Rewriter({**signs, **dict.fromkeys(constants, 1)}, constants).tree(node)


class _Rewriter:
    def __init__(self, signs: Mapping[str, int], constants: Iterable[str]) -> None:
        self.signs = signs
        self.sizes: dict[int, tuple[Node, int]] = {}
        self.written: dict[int, tuple[Node, Node]] = {}  # a node is kept with its id
        self.euler: list[Node] = [Constant("e"), Constant("E")]
        self.euler += [Name(name) for name in constants if name in ("e", "E")]

    def tree(self, node: Node) -> Node:
        """Return the rewritten tree of a part, which is written once."""
        if id(node) not in self.written:
            new = self._write(node)
            if self._size(new) > _MOST_NODES:
                raise ValueError("expression: it is too large to be rewritten.")
            self.written[id(node)] = node, new
        return self.written[id(node)][1]

    def _size(self, node: Node) -> int:
        """Return how many nodes are met where every path is followed, as hashes do."""
        if id(node) not in self.sizes:
            parts = children(node)[:2] if isinstance(node, LogAdd) else children(node)
            self.sizes[id(node)] = node, 1 + sum(map(self._size, parts))
        return self.sizes[id(node)][1]

    def _write(self, node: Node) -> Node:
        match node:
            case Sum(terms):
                return join([self.tree(term) for term in terms])
            case Product(factors):
                return self._product(node) or Product(tuple(map(self.tree, factors)))
            case Power(base, exponent):
                return self._product(node) or Power(self.tree(base), self.tree(exponent))
            case Call("sqrt", argument):
                return self._product(node) or Call("sqrt", self.tree(argument))
            case Call("log", argument):
                inner = self.tree(argument)
                return self._logarithm(inner) or _plain_logarithm(inner)
            case Call(function, argument):
                return Call(function, self.tree(argument))
            case _:
                return node

    def _is_positive(self, node: Node) -> bool:
        return sign(node, self.signs) > 0

    # -- sums of exponentials

    def _expand(self, node: Node) -> list[Exponential]:
        """Return ``node`` as a sum of exponentials; what is none is one term with exponent 0."""
        match node:
            case Sum(terms):
                return _collect([part for term in terms for part in self._expand(term)])
            case Product(factors):
                parts = [self._expand(factor) for factor in factors]
                if any(map(_has_exponentials, parts)):
                    expanded = _multiply_out(parts)
                    if expanded is not None:
                        return expanded
            case Power(base, exponent):
                expanded = self._expand_power(base, exponent)
                if expanded is not None:
                    return expanded
            case Call("exp", argument):
                return [Exponential(Number(1), linear_form(argument))]
            case Call("cosh" | "sinh" as function, argument):
                form = linear_form(argument)
                other = number(_HALF if function == "cosh" else -_HALF)
                return [Exponential(number(_HALF), form), Exponential(other, scale(form, -1))]
            case Call("logistic", argument):
                opposite = to_tree(scale(linear_form(argument), -1))
                softplus = LogAdd(opposite, Number(0), opposite)
                return [Exponential(Number(1), scale(linear_form(softplus), -1))]
            case _:
                pass
        return [Exponential(node, {})]

    def _expand_power(self, base: Node, exponent: Node) -> list[Exponential] | None:
        if base in self.euler:
            return [Exponential(Number(1), linear_form(exponent))]
        if isinstance(base, Number) and base.value > 0 and not isinstance(exponent, Number):
            logarithm = product([exponent, Call("log", base)])
            return [Exponential(Number(1), linear_form(logarithm))]
        parts = self._expand(base)
        if not _has_exponentials(parts):
            return None
        whole = isinstance(exponent, Number) and Fraction(exponent.value).denominator == 1
        if len(parts) == 1:
            [part] = parts
            if not whole and not self._is_positive(part.coefficient):
                return None
            form = linear_form(product([exponent, to_tree(part.exponent)]))
            one = part.coefficient == Number(1)
            return [Exponential(Number(1) if one else Power(part.coefficient, exponent), form)]
        if isinstance(exponent, Number) and whole and 1 <= exponent.value <= _MOST_POWER:
            return _multiply_out([parts] * int(exponent.value))
        return None

    # -- logarithms

    def _logarithm(self, node: Node) -> Node | None:
        """Return log(node), or None if that is best computed as it stands."""
        parts = self._expand(node)
        if not _has_exponentials(parts):
            return None
        positive = all(self._is_positive(part.coefficient) for part in parts)
        if 1 < len(parts) <= _MOST_SHORT and positive:
            return LogSum(parts).value
        if isinstance(node, Product) and self._is_product_of_sums(node.factors):
            logarithms = [self._logarithm(f) or Call("log", f) for f in node.factors]
            return sum_of(logarithms)
        if isinstance(node, Power) and self._is_positive(node.base):
            inner = self._logarithm(node.base)
            return None if inner is None else product([node.exponent, inner])
        if len(parts) == 1:
            return to_tree(parts[0].logarithm)
        return LogSum(parts).value if positive else None

    def _is_product_of_sums(self, factors: Sequence[Node]) -> bool:
        n_sums = sum(len(self._expand(factor)) > 1 for factor in factors)
        return n_sums > 1 and all(map(self._is_positive, factors))

    # -- products

    def _factors(self, node: Node) -> Iterator[Node]:
        """Yield the factors of a product of products and whole powers, each rewritten inside."""
        match node:
            case Product(factors):
                for factor in factors:
                    yield from self._factors(factor)
            case Power(Product() | Power() | Call("sqrt", _) as base, Number(power)) if (
                Fraction(power).denominator == 1
            ):
                for factor in self._factors(base):
                    yield self._to_the(factor, Fraction(power))
            case Power(base, exponent):
                yield Power(self.tree(base), self.tree(exponent))
            case Call("sqrt", argument):
                yield Power(self.tree(argument), number(_HALF))
            case _:
                yield self.tree(node)

    def _to_the(self, factor: Node, power: Fraction) -> Node:
        if not isinstance(factor, Power):
            return Power(factor, number(power))
        match factor.exponent:
            case Number(inner) if Fraction(inner).denominator > 1:
                multiply = self._is_positive(factor.base)  # sqrt(x)**2 is not x where x < 0
            case Number():
                multiply = True
            case _:
                multiply = self._is_positive(factor.base)
        if multiply:
            return Power(factor.base, product([factor.exponent, number(power)]))
        return Power(factor, number(power))

    def _product(self, node: Node) -> Node | None:
        """Return the rewritten product, or None if no rule applies."""
        fraction = _Fraction()
        for factor in self._factors(node):
            self._sort(factor, fraction)
        if not fraction.divisors:
            if fraction.n_exponentials < 2:
                return None
            return product([*fraction.others, *fraction.sums, over(fraction.exponent, [])])
        numerator = _multiply_out([self._expand(node) for node in fraction.sums])
        if numerator is None:
            fraction.others += fraction.sums
            numerator = [Exponential(Number(1), {})]
        divisors = fraction.pairs()
        terms = [
            product([term.coefficient, over(add(fraction.exponent, term.exponent), divisors)])
            for term in numerator
        ]
        return product([*fraction.others, join(terms)])

    def _sort(self, factor: Node, fraction: _Fraction) -> None:
        """Put a factor where it belongs in a fraction."""
        base, exponent = (
            (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, Number(1))
        )
        if isinstance(factor, Product):
            for part in factor.factors:
                self._sort(part, fraction)
            return
        if isinstance(factor, Call) and factor.function == "logistic":
            opposite = scale(linear_form(factor.argument), -1)
            fraction.divide([Exponential(Number(1), {}), Exponential(Number(1), opposite)], 1)
            return
        parts = self._expand(factor)
        if len(parts) == 1 and _has_exponentials(parts):
            fraction.n_exponentials += 1
            fraction.exponent = add(fraction.exponent, parts[0].exponent)
            fraction.others.append(parts[0].coefficient)
            return
        parts = self._expand(base)
        if len(parts) == 1 or not _has_exponentials(parts):
            fraction.others.append(factor)
            return
        signs = {sign(part.coefficient, self.signs) for part in parts}
        power = Fraction(exponent.value) if isinstance(exponent, Number) else None
        if power is not None and power > 0 and power.denominator == 1:
            if power <= _MOST_POWER:
                fraction.sums += [base] * int(power)
            else:
                fraction.others.append(factor)
        elif signs == {1}:
            if power is None:
                form = linear_form(product([exponent, LogSum(parts).value]))
                fraction.n_exponentials += 2
                fraction.exponent = add(fraction.exponent, form)
            else:
                fraction.divide(parts, -power)
        elif signs == {-1} and power is not None and power.denominator == 1:
            negated = [
                Exponential(product([Number(-1), part.coefficient]), part.exponent)
                for part in parts
            ]
            fraction.others.append(number(Fraction(-1) ** int(power)))
            fraction.divide(negated, -power)
        else:
            fraction.others.append(factor)


class _Fraction:
    """The factors of a product: others * sums * exp(exponent) / prod S^p."""

    def __init__(self) -> None:
        self.others: list[Node] = []
        self.sums: list[Node] = []
        self.exponent: Form = {}
        self.n_exponentials = 0
        self.divisors: dict[object, tuple[list[Exponential], Fraction]] = {}

    def divide(self, parts: list[Exponential], power: Fraction | int) -> None:
        key = frozenset((part.coefficient, _key(part.exponent)) for part in parts)
        before = self.divisors.get(key, (parts, Fraction(0)))[1]
        self.divisors[key] = parts, before + power

    def pairs(self) -> list[tuple[LogSum, Fraction]]:
        return [(LogSum(parts), power) for parts, power in self.divisors.values() if power]


def _plain_logarithm(node: Node) -> Node:
    if isinstance(node, Sum) and Number(1) in node.terms:
        rest = list(node.terms)
        rest.remove(Number(1))
        return Call("log1p", rest[0] if len(rest) == 1 else Sum(tuple(rest)))
    return Call("log", node)


def _key(form: Form) -> Key:
    return frozenset(form.items())


def _has_exponentials(parts: Sequence[Exponential]) -> bool:
    return any(set(part.exponent) - {ONE} for part in parts)


def _collect(parts: Sequence[Exponential]) -> list[Exponential]:
    """Return the terms with equal exponents added up."""
    found: dict[Key, list[Exponential]] = {}
    for part in parts:
        found.setdefault(_key(part.exponent), []).append(part)
    collected = [
        Exponential(sum_of(part.coefficient for part in same), same[0].exponent)
        for same in found.values()
    ]
    return [part for part in collected if part.coefficient != Number(0)]


def _multiply_out(sums: Sequence[Sequence[Exponential]]) -> list[Exponential] | None:
    total = [Exponential(Number(1), {})]
    for parts in sums:
        if len(total) * len(parts) > _MOST_TERMS:
            return None
        total = [
            Exponential(
                product([one.coefficient, other.coefficient]), add(one.exponent, other.exponent)
            )
            for one in total
            for other in parts
        ]
    return _collect(total)
