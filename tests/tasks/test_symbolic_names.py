"""Names of variables and parameters: symbols may be called anything, and no two names are confused."""

import unicodedata

import numpy as np
import pytest
import sympy

import maml_ode as mo

STRANGE = [
    "lambda",
    "x_{1}",
    r"\theta",
    "x'",
    "w 1",
    "class",
    "2w",
    "x.y",
    "π²",
    "def",
    "w0",
    "p0",
    "t0",
    "\n",
]


def pair_of_names(rng):
    alphabet = [*r"abλ_{}\'^ 1²é.", "lambda", "if", "p0", "w0", "f", "math", "out"]
    while True:
        one, other = ("".join(rng.choice(alphabet, size=rng.integers(1, 4))) for _ in range(2))
        if unicodedata.normalize("NFKC", one) != unicodedata.normalize("NFKC", other):
            return one, other


def test_symbols_with_any_names():
    rng = np.random.default_rng(8)
    pairs = [(name, "b") for name in STRANGE] + [pair_of_names(rng) for _ in range(30)]
    sources = set()
    for one, other in pairs:
        x, a = sympy.Symbol(one), sympy.Symbol(other)
        family = mo.tasks.Symbolic(a * x**2 + x, x, {a: [3.0, 0.5]})
        sources.add(family.source)
        normal = unicodedata.normalize("NFKC", one)
        assert family.variables == (normal,)
        assert family.expression.diff(sympy.Symbol(normal), 2).free_symbols == {
            sympy.Symbol(unicodedata.normalize("NFKC", other))
        }
    assert len(sources) == 1  # names do not reach the generated code
    np.testing.assert_array_equal(family.gradients([2.0]).ravel(), [13.0, 3.0])


@pytest.mark.parametrize("word", ["lambda", "class", "None", "softplus"])
def test_words_of_python_are_names_in_texts_too(word):
    family = mo.tasks.Symbolic(f"{word}**2 + 1", word)
    assert family.variables == (word,)


def test_names_that_look_alike_are_one_name():
    micro, mu = "\u00b5", "\u03bc"
    family = mo.tasks.Symbolic(f"({micro} - 1)**2*{mu}", micro)
    assert family.variables == (mu,)
    assert mo.tasks.Symbolic(f"{micro}*w", "w", {mu: [2.0]}).parameters.keys() == {mu}
    with pytest.raises(ValueError, match="given twice"):
        mo.tasks.Symbolic(f"{micro} + {mu}", [micro, mu])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sympy.Symbol("\u00b5"), sympy.Symbol("\u03bc")),
        (sympy.Symbol("x2"), sympy.Symbol("x²")),
        (sympy.Dummy("x"), sympy.Dummy("x")),
        (sympy.Dummy("x"), sympy.Symbol("x")),
    ],
)
def test_symbols_that_cannot_be_told_apart_are_refused_until_renamed(one, other):
    with pytest.raises(ValueError, match=r"cannot be told apart; rename"):
        mo.tasks.Symbolic(one + 2 * other, [one])
    renamed = (one + 2 * other).subs(other, sympy.Symbol("y"))
    assert mo.tasks.Symbolic(renamed, [one, "y"]).dim == 2


@pytest.mark.parametrize(("text", "hint"), [("x²", r"write \*\*"), ("x₁ + 1", "plain letters")])
def test_raised_and_lowered_digits_in_texts(text, hint):
    with pytest.raises(ValueError, match=hint):
        mo.tasks.Symbolic(text, "x2")
    assert mo.tasks.Symbolic("x2**2", "x2").dim == 1


def test_an_empty_name_is_none():
    with pytest.raises(ValueError, match="is no name"):
        mo.tasks.Symbolic(sympy.Symbol("x"), [sympy.Symbol(""), "x"])
