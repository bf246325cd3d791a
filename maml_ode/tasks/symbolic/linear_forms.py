"""Trees as sums of monomials with exact coefficients, so that exponents are compared and subtracted exactly.

``(x - y)/s`` and ``x/s - y/s`` are one linear form, {x/s: 1, y/s: -1}. A monomial is a product of powers of
atoms, an atom is any tree that is neither a sum nor a product, and decimals count as the doubles that they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from maml_ode.tasks.symbolic.tree import Node, Number, Power, Product, Sum

__all__ = [
    "ONE",
    "Form",
    "Key",
    "add",
    "flat_factors",
    "linear_form",
    "number",
    "product",
    "scale",
    "sum_of",
    "to_tree",
]

Monomial = frozenset[tuple[Node, Fraction]]
Form = Mapping[Monomial, Fraction]
Key = frozenset[tuple[Monomial, Fraction]]

_MOST_TERMS = 64  # of a product that is multiplied out
_MOST_BITS = 256  # of a coefficient that is kept as a fraction
_LARGEST_POWER = 8  # of a number that is computed
ONE: Monomial = frozenset()


def number(value: Fraction | int | float) -> Number:
    """Return a literal: a double where the fraction is one in long form."""
    exact = Fraction(value)
    short = exact.denominator & (exact.denominator - 1) and exact.denominator < 2**40
    if exact.denominator == 1 and exact.numerator.bit_length() <= _MOST_BITS:
        return Number(exact.numerator)
    long = max(exact.numerator.bit_length(), exact.denominator.bit_length()) > _MOST_BITS
    return (
        Number(exact) if (short or exact.denominator <= 4096) and not long else Number(float(exact))
    )


def flat_factors(node: Node) -> Iterator[Node]:
    """Yield the factors of a product of products."""
    if isinstance(node, Product):
        for factor in node.factors:
            yield from flat_factors(factor)
    else:
        yield node


def product(factors: Iterable[Node]) -> Node:
    """Return the product, with its numbers collected in front."""
    coefficient = Fraction(1)
    others: list[Node] = []
    for factor in factors:
        for part in flat_factors(factor):
            match part:
                case Number(value):
                    coefficient *= Fraction(value)
                case Power(Number(value), Number(power)) if value and abs(power) == 1:
                    coefficient *= Fraction(value) ** int(power)
                case _:
                    others.append(part)
    if not others or coefficient == 0:
        return number(coefficient)
    if coefficient != 1:
        others.insert(0, number(coefficient))
    return others[0] if len(others) == 1 else Product(tuple(others))


def sum_of(terms: Iterable[Node]) -> Node:
    """Return the sum, with its numbers collected in front."""
    constant = Fraction(0)
    others: list[Node] = []
    for term in terms:
        for whole in term.terms if isinstance(term, Sum) else (term,):
            part = product([whole])
            if isinstance(part, Number):
                constant += Fraction(part.value)
            else:
                others.append(part)
    if constant or not others:
        others.insert(0, number(constant))
    return others[0] if len(others) == 1 else Sum(tuple(others))


def add(first: Form, second: Form, factor: Fraction | int = 1) -> Form:
    """Return first + factor * second."""
    total = dict(first)
    for monomial, coefficient in second.items():
        total[monomial] = total.get(monomial, Fraction(0)) + factor * coefficient
        if total[monomial] == 0:
            del total[monomial]
    return total


def scale(form: Form, factor: Fraction | int) -> Form:
    """Return factor * form."""
    return add({}, form, factor)


def linear_form(node: Node) -> Form:
    """Return ``node`` as a sum of monomials; what would become too long stays one atom."""
    match node:
        case Number(value):
            return {ONE: Fraction(value)} if value else {}
        case Sum(terms):
            total: Form = {}
            for term in terms:
                total = add(total, linear_form(term))
            return total
        case Product(factors):
            whole: Form = {ONE: Fraction(1)}
            for factor in factors:
                form = linear_form(factor)
                if len(whole) * len(form) > _MOST_TERMS:
                    return _atom(node)
                whole = _times(whole, form)
            return whole
        case Power(base, Number(exponent)):
            return _power(node, linear_form(base), base, Fraction(exponent))
        case _:
            return _atom(node)


def _atom(node: Node) -> Form:
    return {frozenset({(node, Fraction(1))}): Fraction(1)}


def _times(first: Form, second: Form) -> Form:
    total: dict[Monomial, Fraction] = {}
    for one, a in first.items():
        for other, b in second.items():
            powers = dict(one)
            for atom, power in other:
                powers[atom] = powers.get(atom, Fraction(0)) + power
            key = frozenset((atom, power) for atom, power in powers.items() if power)
            total[key] = total.get(key, Fraction(0)) + a * b
    return {key: coefficient for key, coefficient in total.items() if coefficient}


def _power(node: Node, form: Form, base: Node, exponent: Fraction) -> Form:
    if len(form) == 1 and exponent.denominator == 1:
        [(monomial, coefficient)] = form.items()
        small = (
            abs(exponent) <= _LARGEST_POWER
            and max(coefficient.numerator.bit_length(), coefficient.denominator.bit_length())
            * abs(exponent)
            <= 4 * _MOST_BITS
        )
        if coefficient in (1, -1) or small:
            raised = frozenset((atom, power * exponent) for atom, power in monomial)
            return {raised: coefficient ** int(exponent)}
    if form and not (len(form) == 1 and ONE in form):
        return {frozenset({(base, exponent)}): Fraction(1)}
    return _atom(node)


def to_tree(form: Form) -> Node:
    """Return the tree of a form, with what all its monomials share taken out: (x - y)/s."""
    if not form:
        return Number(0)
    powers = [dict(monomial) for monomial in form]
    shared = {
        atom: power
        for atom, power in powers[0].items()
        if all(other.get(atom) == power for other in powers[1:])
    }
    size = next(iter({abs(coefficient) for coefficient in form.values()}), Fraction(1))
    if len({abs(coefficient) for coefficient in form.values()}) > 1 or len(form) == 1:
        size = Fraction(1)
    terms = []
    for monomial, coefficient in form.items():
        rest = {atom: power for atom, power in monomial if atom not in shared}
        terms.append(product([number(coefficient / size), *_powers(rest)]))
    return product([number(size), sum_of(_sorted(terms)), *_powers(shared)])


def _powers(powers: Mapping[Node, Fraction]) -> list[Node]:
    return _sorted(
        atom if power == 1 else Power(atom, number(power)) for atom, power in powers.items()
    )


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    # Sets have no order of their own, and the generated code must not depend on hashes.
    return sorted(nodes, key=repr)
