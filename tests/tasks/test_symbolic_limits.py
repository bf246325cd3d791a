"""What is refused, and that the way out which a refusal names is one."""

import base64
import importlib.util
import math
import pickle
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import sympy

import maml_ode as mo
from maml_ode.tasks.symbolic import source
from maml_ode.tasks.symbolic.tree import REFUSED

_spec = importlib.util.spec_from_file_location(
    "interpreted", Path(__file__).parent / "interpreted.py"
)
interpreted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(interpreted)

# name: (what is refused, what it should be near to, at points)
REMEDIES = {
    "abs": abs,
    "fabs": abs,
    "sign": np.sign,
    "heaviside": lambda x: float(x > 0),
    "relu": lambda x: max(x, 0.0),
    "max": max,
    "min": min,
}


@pytest.mark.parametrize("name", REMEDIES)
def test_smooth_replacements_hold(name):
    two = name in ("max", "min")
    with pytest.raises(ValueError, match="not smooth") as caught:
        mo.tasks.Symbolic(f"{name}(x)", "x")
    advice = str(caught.value).split("; write ")[1].split(" with a small s")[0]
    family = mo.tasks.Symbolic(advice, "x y" if two else "x", {"s": [1e-3]})
    points = [(1.0, -2.0), (-3.0, 0.5), (1e4, 9e3), (-1e4, -2e4)]
    for point in points:
        w = point if two else point[:1]
        loss, *derivatives = interpreted.derivatives(family, w)
        assert loss == pytest.approx(REMEDIES[name](*w), rel=1e-6, abs=1e-5)
        assert all(np.isfinite(tensor).all() for tensor in derivatives)


@pytest.mark.parametrize(
    ("refused", "written", "at_two"),
    [
        ("ln(x)", "log(x)", math.log(2)),
        ("pow(x, 3)", "x**3", 8.0),
        ("sigmoid(x)", "logistic(x)", 1 / (1 + math.exp(-2))),
        ("expit(x)", "logistic(x)", 1 / (1 + math.exp(-2))),
        ("logaddexp(x, 0)", "logsumexp(x, 0)", math.log(math.exp(2) + 1)),
        ("log1p(x)", "log(1 + x)", math.log(3)),
        ("expm1(x)", "exp(x) - 1", math.exp(2) - 1),
        ("sech(x)", "1/cosh(x)", 1 / math.cosh(2)),
        ("Piecewise(x)", "x", 2.0),
    ],
)
def test_other_spellings(refused, written, at_two):
    name = refused.split("(")[0]
    with pytest.raises(ValueError, match=rf"^expression: {name} "):
        mo.tasks.Symbolic(refused, "x")
    reason = REFUSED[name.lower()]
    assert reason.startswith(("is called", "is written", "is not smooth"))
    assert interpreted.derivatives(mo.tasks.Symbolic(written, "x"), [2.0])[0] == pytest.approx(
        at_two
    )


def test_unevaluated_derivatives_of_sympy():
    x = sympy.Symbol("x")
    for given in (sympy.Derivative(x**3, x), sympy.Integral(3 * x**2, x).diff(x, evaluate=False)):
        with pytest.raises(ValueError, match=r"call \.doit\(\) first"):
            mo.tasks.Symbolic(given, x)
        assert mo.tasks.Symbolic(given.doit(), x).dim == 1


def test_functions_that_stand_for_formulas():
    x = sympy.Symbol("x")
    for name, text in (
        ("softplus", "log(1 + exp(x))"),
        ("logistic", "1/(1 + exp(-x))"),
        ("logsumexp", "x"),
    ):
        for given in (f"{name}(x)", sympy.Function(name)(x)):
            assert mo.tasks.Symbolic(given, "x").expression == sympy.sympify(text)
    family = mo.tasks.Symbolic("logsumexp(x, y, 0)", "x y")
    assert interpreted.derivatives(family, [1e4, -1e4])[0] == 1e4
    for wrong, hint in (("softplus(x, x)", "one argument"), ("logistic()", "unexpected")):
        with pytest.raises(ValueError, match=hint):
            mo.tasks.Symbolic(wrong, "x")


@pytest.mark.parametrize(
    "text",
    [
        "(-2)**w",
        "(-e)**w",
        "(2 - 4)**sin(w)",
        "(-1 - w**2)**w",
        "(-1 - w**2)**0.5",
        "sqrt(-exp(w))",
        "sqrt(-1 - w**2)",
        "w + log(-cosh(w))",
        "log(-1 - sqrt(w))",
        "acos(2 + w**2)",
        "asin(-1.5 - exp(w))",
        "atanh(-2 - w**4)",
        "acosh(-w**2)",
    ],
)
def test_formulas_that_are_real_nowhere_are_refused(text):
    with pytest.raises(ValueError, match=r"not a real number|look for a wrong sign"):
        mo.tasks.Symbolic(text, "w")


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("log(w)", 2.0, -1.0),
        ("log(1 + w)", 2.0, -2.0),
        ("sqrt(w)", 2.0, -1.0),
        ("w**0.3", 2.0, -1.0),
        ("w**w", 2.0, -1.5),
        ("asin(w) + acos(w)**2", 0.5, 2.0),
        ("atanh(w)", 0.5, 2.0),
        ("acosh(w)", 2.0, 0.5),
        ("sqrt(-w**2 + 4)", 1.0, 3.0),
        ("log(w*exp(w))", 1.0, -3.0),
        ("log(2 - exp(w))", -1.0, 3.0),
        ("sqrt(w)**2", 1.0, -1.0),
        ("1/(w + exp(w)*sqrt(w))", 1.0, -1.0),
    ],
)
def test_a_domain_is_kept_and_everything_is_nan_outside(text, inside, outside):
    family = mo.tasks.Symbolic(text, "w")
    assert all(np.isfinite(result).all() for result in interpreted.derivatives(family, [inside]))
    assert all(np.isnan(result).all() for result in interpreted.derivatives(family, [outside]))


def test_a_parameter_may_be_the_power_of_a_negative_number():
    family = mo.tasks.Symbolic("w**2*(-1)**k", "w", {"k": [2.0, 3.0]})
    assert [interpreted.derivatives(family, [3.0], i)[1][0] for i in range(2)] == [6.0, -6.0]


@pytest.mark.parametrize(
    "text",
    [
        "w**" * 14 + "2",
        "exp(" * 30 + "w" + ")" * 30,
        "softplus(-" * 19 + "w" + ")" * 19,
        "1/cosh(" * 19 + "w" + ")" * 19,
        "log(1+cosh(" * 19 + "w" + "))" * 19,
        "log(1+exp(" * 15 + "w" + "))" * 15,
        "1/(1+" * 30 + "w**2" + ")" * 30,
        "*".join(f"({k}+exp(-{k}*w))" for k in range(1, 40)),
        "/".join(["w"] + [f"({k}+exp(-{k}*w))" for k in range(1, 40)]),
        "+".join(f"exp({k}*w)/(1+exp({k}*w))" for k in range(60)),
    ],
    ids=lambda text: text[:20],
)
def test_short_and_long_formulas_are_derived_in_seconds(text):
    start = time.perf_counter()
    assert mo.tasks.Symbolic(text, "w").source
    assert time.perf_counter() - start < 60.0


def test_many_variables_and_parameters():
    d = 40
    text = " + ".join(f"(x{k} - c{k})**2*x{(k + 1) % d}" for k in range(d))
    variables = [f"x{k}" for k in range(d)]
    family = mo.tasks.Symbolic(text, variables, {f"c{k}": [k / d, 1.0] for k in range(d)})
    w, c = np.linspace(-1, 1, d), np.arange(d) / d
    loss, gradient, _, _ = interpreted.derivatives(family, w)
    following = np.roll(w, -1)
    assert loss == pytest.approx(((w - c) ** 2 * following).sum(), rel=1e-13)
    expected = 2 * (w - c) * following + np.roll((w - c) ** 2, 1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


def test_the_limits_of_a_derivation_can_be_raised(monkeypatch):
    def derive(k):
        return mo.tasks.Symbolic(f"sin(w)**cos(w)**{k}", "w").source

    for limit, value in (("MAX_SECONDS", 0.0), ("MAX_OPERATIONS", 10)):
        monkeypatch.setattr(source, limit, value)
        with pytest.raises(ValueError, match=rf"raise maml_ode\.tasks\.symbolic\.source\.{limit}"):
            derive(limit.count("S") + 2)
        monkeypatch.undo()
        assert derive(limit.count("S") + 2)


OLD = (
    "c-mc&&r8EF6vx+fb2@eqg?SV4G%r2+0|kZMEEI8PDajg5v1vw<I(HECu<794_WVEn4>W1FDJHZp?|olBudna5@fp=?<$"
    "^syL>9}01%~KH9q5UmGE0XDn}gMHfk$unf<4%JA}S>`V;aF5;}l^#9uY+ZGfc&~wN4;TXvRh{hOqyS&z?t$X`RY^ncxo"
    "!QB}A@-htMQl1VW%e?pDOf>*x76KbQ)8#!ib74GrwQXW_GMpOv;tA}+$8J#(8r{W%#=K9;N@<O9evTTh5U#B@Pq5NQV*"
    "*(yTpGa1?R=as2Mw1{OO2q<EWF{p_kqJU4R%|G9ZB*3?G|NncR-RNT3k+*h?0Xd7@fLfb=k^Tw2{aQk8M%I;et(Mdk4p"
    "E!yTB-l$`3AIVa*_&_cyCS)~?XHmLHe@8AA{JBo)rK#w>l{Mk7DwXRazgU)Quwf6e&1EE#Prq%=IYV?x;dH$O_W9a?+v"
    "n_@fhr<PaH;0IO=?Qs"
)


def test_a_pickle_from_before_the_tree_moved():
    family = pickle.loads(zlib.decompress(base64.b85decode(OLD)))
    assert isinstance(family, mo.tasks.Symbolic)
    assert interpreted.derivatives(family, [1.5])[0] == pytest.approx(4.5 - math.sin(1.5))


@pytest.mark.parametrize(
    "text", ["(-1 - w**2)**2", "(-1 - w**2)**-3", "log(1 - w**2)", "acosh(w**2)"]
)
def test_formulas_that_are_real_somewhere_are_accepted(text):
    assert mo.tasks.Symbolic(text, "w").dim == 1
