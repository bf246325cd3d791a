"""What a refusal advises is done literally, and then it works; no advice stands outside the table."""

import ast
import re
import struct
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import maml_ode as mo
from maml_ode._validation import as_rng
from maml_ode.experiments.idx import read_idx
from maml_ode.fields import CallableField, ModifiedField

ROOT = Path(mo.__file__).parent
# Rooms whose sentences have tests of their own.
ELSEWHERE = re.compile(
    r"^(integrate|theory|errata|compiled|cli|reproduce|runs|trajectory|plotting/style|tasks/symbolic"
    r"|tasks/tables|tasks/adapters|experiments/(own|defaults)|tasks/(compile_symbolic|expression_\w+|generated_kernels|read_sympy|symbolic\w*))\b"
)
VERBS = (
    "pass|use|write|convert|recode|wrap|give|leave|remove|replace|build|divide|put|fetch|name|run"
)
ADVICE = re.compile(rf"(?:^|[;:,] )(?:or |and |so )?(?:{VERBS}) \S|\bneeds \w+=")

H, B, W = np.array([[[2.0, 0.5], [0.5, 1.0]]]), np.array([[1.0, 0.0]]), [0.3, -0.2]
X = np.array([[1.0, 0.5], [0.0, 1.0], [0.5, -1.0]])
Y = np.array([1.0, -1.0, 1.0])
TASKS = mo.tasks.Quadratic(H, B)
LOGISTIC = mo.tasks.LogisticRegression([X], [Y])
MAML = mo.MAMLLoss(TASKS, 0.1)
NONE = np.ma.array([0.3, -999.0, 0.7], mask=[False, True, False])
JUMPY = CallableField(lambda w: -w, 2)


def callables(**given):
    functions = {"losses": lambda i, w: float(w @ w), "gradients": lambda i, w: 2.0 * w, **given}
    return mo.tasks.from_callables(**functions, n_tasks=1, dim=2)


def quadratic(weights):
    return mo.tasks.Quadratic([[[1.0]], [[2.0]]], [[1.0], [0.0]], weights=weights)


def regression(X, y):
    return mo.tasks.LinearRegression(X, y)


def labels(y):
    return mo.tasks.LogisticRegression([X], [y])


def run(**options):
    return mo.solve(mo.maml_flow(TASKS, 0.1), W, t_max=1.0, **options)


def doubled(z):
    return 2.0 * z


def observed(dim=2, **maps):
    return mo.Phase(CallableField(lambda z: -z, dim), **maps)


def followed(phase):
    return mo.solve(mo.Flow([phase], MAML), W, t_max=0.1, tol=0)


def heavy_ball_after(objective):
    """A flow whose second phase has a larger state."""
    rule = mo.flows.GradientNormBelow(objective, 0.1)
    return mo.Flow([mo.Phase(objective, until=rule), mo.Phase(mo.fields.MomentumField(MAML, 1.0))])


def slide(**options):
    phases = [mo.Phase(MAML, until=lambda t, w: w[0] - 0.4), mo.Phase(MAML)]
    return mo.solve(mo.Flow(phases, rule="retest"), [0.5, 0.0], t_max=0.1, **options)


def draw(*arguments, **options):
    try:
        return mo.plotting.plot_trajectories(*arguments, **options)
    finally:
        plt.close("all")


def compare(flow=None, w0=W, **options):
    chosen = {"methods": ["RK45"], "rtols": [1e-3], "step_sizes": [], "t_max": 1.0, **options}
    return mo.compare(mo.maml_flow(TASKS, 0.1) if flow is None else flow, w0, **chosen)


def over(function):
    """One point of a sweep, as it comes out or is refused."""
    found = mo.sweep(function, {"a": [1.0]}, progress=False)
    for row in found.failed:
        raise ValueError(row["exception"])
    return found


def landscape(objective, **options):
    try:
        return mo.plotting.plot_landscape(objective, n_points=5, **options)
    finally:
        plt.close("all")


def bifurcation(table):
    try:
        return mo.plotting.plot_bifurcation(table)
    finally:
        plt.close("all")


def idx(folder, n_bytes):
    file = folder / "labels"
    file.write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 4)[:n_bytes] + bytes(max(0, n_bytes - 8)))
    return read_idx(file, 1)


class Remedy:
    """The words of an advice, what is refused with it, and what the advice makes of that."""

    def __init__(self, words, *pairs):
        self.words, self.pairs = words, pairs


bad_indices = scipy.sparse.csr_array(X)
bad_indices.indices = bad_indices.indices + 7
lopsided = [[[2.0, 1.0], [0.0, 1.0]]]
A = np.asarray(lopsided[0])
singles = np.array([1e308, 1e308])
rows = [1.0, 2.0, 3.0]
INFINITE = np.where(X > 0, np.inf, X)
COMPLEX = np.array([0.3 + 0j, -0.2])
TEXTS = ["0.3", "-0.2"]

# w' = w^3 leaves every bound at t = 1/(2 w0^2).
ESCAPE = mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Symbolic("-w**4/4", "w")))
DOUBLE_WELL = mo.tasks.Symbolic("w**4/4 - a*w**2", "w", {"a": [1.0, 0.5]})
ON_A_LINE = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.5]]))
IN_SPACE = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, 2.0, 3.0])], [[1.0, 0.0, 0.0]]))

ONE_PHASE = mo.maml_flow(TASKS, 0.1)
ORIGIN = np.ones(TASKS.dim)


def at_rest_before(**how):
    """A run that is at rest before t = 90."""
    return mo.solve(mo.maml_flow(TASKS, 0.1), [1.0, 2.0], tol=1e-3, t_max=100.0, **how)


class Drifting(mo.fields.MomentumField):
    """A user's field on a larger state, which does not say what else may drive it."""

    driven_by = mo.fields.LiftedField.driven_by


def drifting(alpha):
    F = mo.MAMLLoss(TASKS, alpha)
    return mo.Flow([mo.Phase(Drifting(F, 0.5))], objective=F)


def again(rule):
    return mo.bimaml_flow(TASKS, 0.1, 0.5, rule=rule)


TABLE = [
    Remedy(
        r"pass np\.asarray\(\.\.\., dtype=float\) if the numbers 0 and 1 are meant",
        (
            lambda: TASKS.losses([True, False]),
            lambda: TASKS.losses(np.asarray([True, False], dtype=float)),
        ),
        (
            lambda: mo.MAMLLoss(TASKS, True),
            lambda: mo.MAMLLoss(TASKS, np.asarray(True, dtype=float)),
        ),
    ),
    Remedy(
        r"convert numbers written as text with np\.asarray\(\.\.\., dtype=float\)",
        (lambda: MAML.value(TEXTS), lambda: MAML.value(np.asarray(TEXTS, dtype=float))),
        (
            lambda: MAML.value(np.array(TEXTS)),
            lambda: MAML.value(np.asarray(np.array(TEXTS), dtype=float)),
        ),
        (
            lambda: mo.MAMLLoss(TASKS, b"0.1"),
            lambda: mo.MAMLLoss(TASKS, np.asarray(b"0.1", dtype=float)),
        ),
    ),
    Remedy(
        r"pass np\.real\(\.\.\.\) if the imaginary part is nothing but rounding",
        (lambda: MAML.value(COMPLEX), lambda: MAML.value(np.real(COMPLEX))),
        (lambda: MAML.value(list(COMPLEX)), lambda: MAML.value(np.real(list(COMPLEX)))),
        (lambda: mo.MAMLLoss(TASKS, 0.1 + 0j), lambda: mo.MAMLLoss(TASKS, np.real(0.1 + 0j))),
        (
            lambda: mo.MAMLLoss(TASKS, np.complex64(0.1)),
            lambda: mo.MAMLLoss(TASKS, np.real(np.complex64(0.1))),
        ),
    ),
    Remedy(
        r"pass numbers, for instance \(t - t\[0\]\) / np\.timedelta64\(1, 's'\)",
        *(
            (lambda t=t: MAML.value(t), lambda t=t: MAML.value((t - t[0]) / np.timedelta64(1, "s")))
            for t in (
                np.array(["2021-03-01", "2021-03-02"], dtype="M8[D]"),
                np.array([1, 2], dtype="m8[s]"),
            )
        ),
    ),
    Remedy(
        r"leave masked entries out \(np\.ma\.getmaskarray says which they are\)",
        (
            lambda: regression([X], np.ma.array([NONE])),
            lambda: regression(
                [X[~np.ma.getmaskarray(NONE)]], [np.asarray(NONE[~np.ma.getmaskarray(NONE)])]
            ),
        ),
    ),
    Remedy(
        r"or put numbers in their place with np\.ma\.filled\(\.\.\., value\)",
        (lambda: regression([X], [NONE]), lambda: regression([X], [np.ma.filled(NONE, 0.0)])),
        (lambda: MAML.value(NONE[:2]), lambda: MAML.value(np.ma.filled(NONE[:2], 0.0))),
    ),
    Remedy(
        r"pass (y\[0\]|\w*)\.toarray\(\), or np\.ravel of it where one row is meant",
        *(
            (lambda b=b: mo.tasks.Quadratic(H, b), lambda b=b: mo.tasks.Quadratic(H, b.toarray()))
            for b in [scipy.sparse.csr_array(B)]
        ),
        *(
            (lambda w=w: MAML.value(w), lambda w=w: MAML.value(np.ravel(w.toarray())))
            for w in [scipy.sparse.csr_matrix([W])]
        ),
        *(
            (lambda y=y: regression([X], [y]), lambda y=y: regression([X], [np.ravel(y.toarray())]))
            for y in [scipy.sparse.csr_array([Y])]
        ),
    ),
    Remedy(
        r"pass (\w+\[\d+\])?\.toarray\(\) in its place",
        (
            lambda: mo.tasks.Quadratic([scipy.sparse.csr_array(H[0])], B),
            lambda: mo.tasks.Quadratic([scipy.sparse.csr_array(H[0]).toarray()], B),
        ),
    ),
    Remedy(
        r"remove or replace the non-finite entries",
        (
            lambda: regression([X], [[1.0, np.nan, 2.0]]),
            lambda: regression([X[[0, 2]]], [[1.0, 2.0]]),
        ),
        (
            lambda: regression([scipy.sparse.csr_array(INFINITE)], [Y]),
            lambda: regression([scipy.sparse.csr_array(np.nan_to_num(INFINITE, posinf=1.0))], [Y]),
        ),
    ),
    Remedy(
        r"pass weights=None for uniform ones",
        (lambda: quadratic([0.0, 0.0]), lambda: quadratic(None)),
    ),
    Remedy(
        r"divide them by np\.max\(weights\), and then by their sum",
        (
            lambda: quadratic(singles),
            lambda: quadratic(singles / np.max(singles) / np.sum(singles / np.max(singles))),
        ),
    ),
    Remedy(
        r"pass weights / np\.sum\(weights\) if proportions are meant",
        *(
            (lambda p=p: quadratic(p), lambda p=p: quadratic(p / np.sum(p)))
            for p in ([1, 2], np.array([3.0, 4.0], np.float32), np.array([3.0, 4.0], np.float16))
        ),
    ),
    Remedy(
        r"for labels 0/1 use np\.where\(np\.asarray\((y\[0\])?\) == 1, 1, -1\)",
        *(
            (lambda y=y: labels(y), lambda y=y: labels(np.where(np.asarray(y) == 1, 1, -1)))
            for y in ([0, 1, 1], np.array([0, 1, 0], np.uint8), Y > 0, [0, 0, 0])
        ),
    ),
    Remedy(
        r"for one class against the rest use np\.where\(np\.asarray\(y\[0\]\) == the_class, 1, -1\)",
        *(
            (lambda y=y: labels(y), lambda y=y: labels(np.where(np.asarray(y) == 2, 1, -1)))
            for y in ([1, 2, 3], pd.Series([1, 2, 3]), [-1, 0, 2])
        ),
    ),
    Remedy(
        r"pass np\.random\.default_rng\(seed\)",
        (lambda: as_rng("rng", [1, 2]), lambda: as_rng("rng", np.random.default_rng(1))),
        (
            lambda: mo.check_derivatives(TASKS, rng=np.eye(1).view(np.matrix)),
            lambda: mo.check_derivatives(TASKS, rng=np.random.default_rng(1)),
        ),
    ),
    Remedy(
        r"give the family hvps= or hessians=, or use fomaml_flow",
        (
            lambda: mo.MAMLLoss(callables(), 0.1),
            lambda: (
                mo.MAMLLoss(callables(hvps=lambda i, w, v: 2.0 * v), 0.1).gradient(W),
                mo.MAMLLoss(callables(hessians=lambda i, w: 2.0 * np.eye(2)), 0.1).gradient(W),
                mo.fomaml_flow(callables(), 0.1).phases[0].field(np.array(W)),
            ),
        ),
    ),
    Remedy(
        r"pass the same weights= to both families",
        (
            lambda: mo.MAMLLoss(quadratic([0.5, 0.5]), 0.1, query=quadratic([0.25, 0.75])),
            lambda: mo.MAMLLoss(quadratic([0.25, 0.75]), 0.1, query=quadratic([0.25, 0.75])),
        ),
    ),
    Remedy(
        r"pass objective=, the function that loss and grad_norm of the trajectory shall mean",
        (lambda: mo.Flow([mo.Phase(JUMPY)]), lambda: mo.Flow([mo.Phase(JUMPY)], objective=MAML)),
    ),
    Remedy(
        r"wrap a function with maml_ode\.fields\.CallableField\(function, dim\)",
        (lambda: mo.Phase(np.negative), lambda: mo.Phase(CallableField(np.negative, 2))),
    ),
    Remedy(
        r"pass \[phase\] for a single one",
        (lambda: mo.Flow(mo.Phase(MAML)), lambda: mo.Flow([mo.Phase(MAML)])),
    ),
    Remedy(
        r"leave then= out",
        (
            lambda: mo.Flow(
                [mo.Phase(MAML, lambda t, w: 1.0, then=0), mo.Phase(MAML)], rule="retest"
            ),
            lambda: mo.Flow([mo.Phase(MAML, lambda t, w: 1.0), mo.Phase(MAML)], rule="retest"),
        ),
    ),
    Remedy(
        r"is not the last one, so it needs until=",
        (
            lambda: mo.Flow([mo.Phase(MAML), mo.Phase(MAML)]),
            lambda: mo.Flow([mo.Phase(MAML, until=lambda t, w: 1.0 - t), mo.Phase(MAML)]),
        ),
    ),
    Remedy(
        r"then= names what follows the phase's end, so it needs until=",
        (
            lambda: mo.Phase(MAML, then=0),
            lambda: mo.Phase(MAML, until=lambda t, w: 1.0 - t, then=0),
        ),
    ),
    Remedy(
        r"bimaml_flow needs switch_tol, or switch='auto'",
        (
            lambda: mo.bimaml_flow(TASKS, 0.1),
            lambda: (
                mo.bimaml_flow(TASKS, 0.1, switch_tol=0.5),
                mo.bimaml_flow(TASKS, 0.1, switch="auto"),
            ),
        ),
    ),
    Remedy(
        r"svm_mnist needs path=.*svm_digits needs neither",
        (
            lambda: mo.experiments.load("svm_mnist"),
            lambda: mo.experiments.load("svm_digits"),
        ),
    ),
    Remedy(
        r"x=\"iteration\" needs step_size= when no trajectory is discrete",
        (
            lambda: draw([run()], x="iteration"),
            lambda: draw([run()], x="iteration", step_size=0.1),
        ),
    ),
    Remedy(
        r"sliding='follow' needs a first phase that ends at a gradient norm.*use sliding='stop'",
        (lambda: slide(sliding="follow"), lambda: slide(sliding="stop")),
    ),
    Remedy(
        r"leave switch_tol out",
        (
            lambda: mo.bimaml_flow(TASKS, 0.1, 0.5, switch="auto"),
            lambda: mo.bimaml_flow(TASKS, 0.1, switch="auto"),
        ),
    ),
    Remedy(
        r"use an explicit method",
        (
            lambda: ModifiedField(mo.MAMLLoss(LOGISTIC, 0.1), 0.1).jacobian(np.array(W)),
            lambda: mo.solve(
                mo.modified_flow(mo.MAMLLoss(LOGISTIC, 0.1), 0.1), W, t_max=1.0, method="DOP853"
            ),
        ),
    ),
    Remedy(
        r"pass jacobian= to CallableField",
        (
            lambda: JUMPY.jacobian(np.array(W)),
            lambda: CallableField(np.negative, 2, jacobian=lambda w: -np.eye(2)).jacobian(
                np.array(W)
            ),
        ),
    ),
    Remedy(
        r"wrap your own functions with mo\.tasks\.from_callables",
        (
            lambda: mo.ExpectedLoss(lambda w: w @ w),
            lambda: mo.ExpectedLoss(callables()).gradient(W),
        ),
    ),
    Remedy(
        r"pass hessians= to from_callables",
        (
            lambda: callables().hessians(W),
            lambda: callables(hessians=lambda i, w: np.eye(2)).hessians(W),
        ),
    ),
    Remedy(
        r"pass hvps= \(or hessians=\) to from_callables",
        (
            lambda: callables().hvps(W, W),
            lambda: (
                callables(hvps=lambda i, w, v: v).hvps(W, W),
                callables(hessians=lambda i, w: np.eye(2)).hvps(W, W),
            ),
        ),
    ),
    Remedy(
        r"pass thirds= to from_callables",
        (
            lambda: callables().third(W, W),
            lambda: callables(thirds=lambda i, w, v: np.eye(2)).third(W, W),
        ),
    ),
    Remedy(
        r"pass third_vectors= \(or thirds=\) to from_callables",
        (
            lambda: callables().third_vectors(W, W, W),
            lambda: (
                callables(third_vectors=lambda i, w, v, q: v).third_vectors(W, W, W),
                callables(thirds=lambda i, w, v: np.eye(2)).third_vectors(W, W, W),
            ),
        ),
    ),
    Remedy(
        r"write \[\w*\] for a single task",
        *(
            (lambda X_=X_: regression(X_, [Y]), lambda X_=X_: regression([X_], [Y]))
            for X_ in (X, pd.DataFrame(X), scipy.sparse.csr_array(X), np.ma.array(X))
        ),
        *(
            (lambda y=y: regression([X], y), lambda y=y: regression([X], [y]))
            for y in (Y, pd.Series(Y))
        ),
    ),
    Remedy(
        r"use scipy\.sparse\.csr_array\(\.\.\.\) on the one or \.toarray\(\) on the other",
        (
            lambda: regression([X, scipy.sparse.csr_array(X)], [Y, Y]),
            lambda: (
                regression([scipy.sparse.csr_array(X), scipy.sparse.csr_array(X)], [Y, Y]),
                regression([X, scipy.sparse.csr_array(X).toarray()], [Y, Y]),
            ),
        ),
    ),
    Remedy(
        r"use np\.reshape\((X\[0\]|X\[\])?, \(-1, 1\)\) for samples of a single feature",
        *(
            (
                lambda x=x: regression([x], [Y]),
                lambda x=x: regression([np.reshape(x, (-1, 1))], [Y]),
            )
            for x in (rows, np.array(rows), pd.Series(rows))
        ),
    ),
    Remedy(
        r"leave empty tasks out",
        (lambda: regression([np.empty((0, 2)), X], [[], Y]), lambda: regression([X], [Y])),
    ),
    Remedy(
        r"use np\.ravel\((y\[0\]|y\[\])?\)",
        *(
            (lambda y=y: regression([X], [y]), lambda y=y: regression([X], [np.ravel(y)]))
            for y in (Y[:, None], Y[:, None].tolist(), pd.DataFrame(Y))
        ),
    ),
    Remedy(
        r"pass \(A \+ A\.T\)/2 for A = np\.asarray\((H\[0\]|H\[\])?\)",
        (lambda: mo.tasks.Quadratic(lopsided, B), lambda: mo.tasks.Quadratic([(A + A.T) / 2], B)),
    ),
    Remedy(
        r"pass (X\[0\])?\.real if the imaginary part is nothing but rounding",
        *(
            (lambda X_=X_: regression([X_], [Y]), lambda X_=X_: regression([X_.real], [Y]))
            for X_ in [scipy.sparse.csr_array(X.astype(complex))]
        ),
    ),
    Remedy(
        r"build it anew with scipy\.sparse\.coo_array",
        (
            lambda: regression([bad_indices], [Y]),
            lambda: regression([scipy.sparse.coo_array((X[X != 0], np.nonzero(X)))], [Y]),
        ),
    ),
    Remedy(
        r"pass switch_tol= together with reduction=",
        *(
            (
                lambda name=name, other=other: mo.experiments.load(name, reduction=other),
                lambda name=name, other=other: mo.experiments.load(
                    name, reduction=other, switch_tol=1.0
                ),
            )
            for name, other in (("diabetes", "mean"), ("svm_digits", "sum"))
        ),
    ),
    Remedy(
        r"pass hessian=, their cost in gradients",
        (
            lambda: mo.Counts(hessians=1).gradient_equivalents(),
            lambda: mo.Counts(hessians=1).gradient_equivalents(hessian=2.0),
        ),
    ),
    Remedy(
        r"run it again with diagnostics=True",
        (lambda: draw([run(diagnostics=False)]), lambda: draw([run(diagnostics=True)])),
    ),
    Remedy(
        r"use plot_trajectory for one Trajectory",
        (
            lambda: draw(run()),
            lambda: (mo.plotting.plot_trajectory(run()), plt.close("all")),
        ),
    ),
    Remedy(r"pass at least one Trajectory", (lambda: draw([]), lambda: draw([run()]))),
    Remedy(
        r"name at least one of ",
        (lambda: draw([run()], show=[]), lambda: draw([run()], show=["task_loss"])),
    ),
    Remedy(
        r"has a use only with x=\"iteration\"; leave it out",
        (lambda: draw([run()], step_size=0.1), lambda: draw([run()])),
    ),
    Remedy(
        r"pass a mapping of labels to methods",
        (
            lambda: compare(methods=["RK45", "RK45"]),
            lambda: compare(methods={"one": "RK45", "two": "RK45"}, rtols=[1e-2]),
        ),
    ),
    Remedy(
        r"makes round\(t_max/h\) = 0 steps .* use a smaller one",
        (lambda: compare(step_sizes=[2.5]), lambda: compare(step_sizes=[0.25])),
    ),
    Remedy(
        r"lower t_max, or pass the states that you know as reference=",
        (
            lambda: compare(ESCAPE, [3.0], t_max=2.0),
            lambda: (
                compare(ESCAPE, [3.0], t_max=0.01),
                compare(ESCAPE, [3.0], t_max=0.01, reference=[(1 / 9 - 0.02) ** -0.5]),
            ),
        ),
    ),
    Remedy(
        r"pass what bifurcation_table returned",
        (
            lambda: bifurcation([]),
            lambda: bifurcation(mo.theory.bifurcation_table(DOUBLE_WELL, [0.1], (-3, 3))),
        ),
    ),
    Remedy(
        r"bounds is needed .* pass \(low, high\)",
        (lambda: landscape(ON_A_LINE), lambda: landscape(ON_A_LINE, bounds=(-1, 1))),
    ),
    Remedy(
        r"bounds is needed .* pass \(\(low, high\), \(low, high\)\)",
        (lambda: landscape(MAML), lambda: landscape(MAML, bounds=((-1, 1), (-2, 2)))),
    ),
    Remedy(
        r"pass plane=, three points of shape \(\d*,\), or trajectories=",
        (
            lambda: landscape(IN_SPACE, bounds=((-1, 1), (-1, 1))),
            lambda: (
                landscape(IN_SPACE, bounds=((-1, 1), (-1, 1)), plane=np.eye(3)),
                landscape(
                    IN_SPACE, trajectories=[mo.solve(mo.gradient_flow(IN_SPACE), np.ones(3))]
                ),
            ),
        ),
    ),
    Remedy(
        r"is neither an option of the plot nor a property .* leave it out",
        (lambda: draw([run()], styles=[{"colour": "red"}]), lambda: draw([run()])),
    ),
    Remedy(
        r"name the lines with labels=",
        (
            lambda: draw([run()], styles=[{"label": "one"}]),
            lambda: draw([run()], labels=["one"]),
        ),
    ),
    Remedy(
        r"must return a Trajectory or a mapping of names to numbers",
        (
            lambda: over(lambda a: a),
            lambda: (over(lambda a: {"b": a}), over(lambda a: run())),
        ),
    ),
    Remedy(
        r"a result cannot be called .* give it another name",
        (lambda: over(lambda a: {1: a}), lambda: over(lambda a: {"one": a})),
    ),
    Remedy(
        r"has the name of one of the point's own values.* give it another name",
        (lambda: over(lambda a: {"a": a + 1}), lambda: over(lambda a: {"b": a + 1})),
    ),
    Remedy(
        r"write its loss as mo\.tasks\.Symbolic\(formula, variables, parameters\)",
        (
            lambda: mo.closed_form(LOGISTIC),
            lambda: mo.closed_form(mo.tasks.Symbolic("softplus(a*x)", "x", {"a": [1.0, -1.0]})),
        ),
    ),
    Remedy(
        r"pass mo\.theory\.decompose\(F, run\.y\)",
        (
            lambda: mo.plotting.plot_split(mo.theory.decompose(MAML, W)),
            lambda: (
                mo.plotting.plot_split(mo.theory.decompose(MAML, run().y)),
                plt.close("all"),
            ),
        ),
    ),
    Remedy(
        r"tests again and again on which side .* use rule='one_way'",
        (
            lambda: heavy_ball_after(mo.ExpectedLoss(TASKS)).with_rule("retest"),
            lambda: heavy_ball_after(mo.ExpectedLoss(TASKS)).with_rule("one_way"),
        ),
    ),
    Remedy(
        r"lift= makes a state of w, so it needs observe=",
        (lambda: observed(lift=doubled), lambda: observed(observe=np.copy, lift=np.copy)),
    ),
    Remedy(
        r"carries its own observe and lift; leave observe= and lift= out",
        (
            lambda: mo.Phase(mo.fields.MomentumField(MAML, 1.0), observe=np.copy),
            lambda: mo.Phase(mo.fields.MomentumField(MAML, 1.0)),
        ),
    ),
    Remedy(
        r"observe\(lift\(w\)\) must be w, .*; pass lift= that observe undoes",
        (
            lambda: followed(observed(observe=doubled)),
            lambda: followed(observed(observe=doubled, lift=lambda w: w / 2)),
        ),
    ),
    Remedy(
        r"so that w padded with zeros is no z; pass lift=",
        (
            lambda: followed(observed(1, observe=lambda z: np.append(z, 0.0))),
            lambda: followed(
                observed(1, observe=lambda z: np.append(z, W[1]), lift=lambda w: w[:1])
            ),
        ),
    ),
    Remedy(
        r"pass bimaml_flow\(tasks, alpha, switch_tol\) instead",
        (
            lambda: mo.flows.OnlineSwitch(TASKS, -0.1, 1.0),
            lambda: mo.bimaml_flow(TASKS, -0.1, 0.5),
        ),
        (
            lambda: mo.flows.OnlineSwitch(TASKS, np.array([0.1, 0.2]), 1.0),
            lambda: mo.bimaml_flow(TASKS, np.array([0.1, 0.2]), 0.5),
        ),
    ),
    Remedy(
        r"is an option of the flow; leave step_size out",
        (
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0], step_size=0.1, method="RK45"),
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0], method="RK45"),
        ),
    ),
    Remedy(
        r"is the algorithm's; pass step_size= too",
        (
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0], rng=0, tasks_per_step=1),
            lambda: mo.learning_curve(
                ONE_PHASE, ORIGIN, [1.0], rng=0, tasks_per_step=1, step_size=0.1
            ),
        ),
    ),
    Remedy(
        r'use rule="one_way", or mo\.euler with record_every=',
        (
            lambda: mo.learning_curve(again("retest"), ORIGIN, [1.0], step_size=0.1),
            lambda: (
                mo.learning_curve(again("one_way"), ORIGIN, [1.0], step_size=0.1),
                mo.euler(again("retest"), ORIGIN, 0.1, max_iter=10, record_every=5),
            ),
        ),
    ),
    Remedy(
        r"follows from the times at which the run is looked at; leave it out",
        (
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0], t_eval=[0.5]),
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [0.5, 1.0]),
        ),
    ),
    Remedy(
        r"iterations of .*, more than can be counted; use a larger step_size",
        (
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0], step_size=1e-20),
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0], step_size=0.1),
        ),
    ),
    Remedy(
        r"steps to t_max = .*, more than can be counted; use a larger one",
        (
            lambda: mo.compare(ONE_PHASE, ORIGIN, t_max=1.0, methods=["RK45"], step_sizes=[1e-20]),
            lambda: mo.compare(ONE_PHASE, ORIGIN, t_max=1.0, methods=["RK45"], step_sizes=[0.1]),
        ),
    ),
    Remedy(
        r"before the first time of its t_eval; leave t_eval out, or begin it with 0",
        (
            lambda: mo.plotting.plot_states(at_rest_before(t_eval=[90.0])),
            lambda: mo.plotting.plot_states(at_rest_before(t_eval=[0.0, 90.0])),
        ),
        (
            lambda: mo.theory.monitor(at_rest_before(t_eval=[90.0]), TASKS, 0.1),
            lambda: mo.theory.monitor(at_rest_before(), TASKS, 0.1),
        ),
    ),
    Remedy(
        r"with another inner step size is not known here; build its flow anew for each of them",
        (
            lambda: mo.ensemble(drifting(0.1), [ORIGIN] * 2, alpha=[0.1, 0.2], t_max=1.0),
            lambda: [mo.solve(drifting(a), ORIGIN, t_max=1.0, tol=0.0) for a in (0.1, 0.2)],
        ),
    ),
    Remedy(
        r"leave threads out for functions of Python, JAX or torch and for an array alpha",
        (
            lambda: mo.MAMLLoss(LOGISTIC, np.array([0.1, 0.2]), threads=2),
            lambda: mo.MAMLLoss(LOGISTIC, np.array([0.1, 0.2])).value(W),
        ),
    ),
    Remedy(
        r"nothing was tested; pass test=, a function of w, to learning_curve",
        (
            lambda: mo.learning_curve(ONE_PHASE, ORIGIN, [1.0]).adapted,
            lambda: (
                mo.learning_curve(
                    ONE_PHASE, ORIGIN, [1.0], test=lambda w: mo.meta_test(w, TASKS, 0.1, steps=2)
                ).adapted
            ),
        ),
    ),
]
WORDS = [remedy.words for remedy in TABLE]
PAIRS = [(remedy.words, *pair) for remedy in TABLE for pair in remedy.pairs]


@pytest.mark.parametrize(("words", "refused", "obeyed"), PAIRS, ids=[words for words, *_ in PAIRS])
def test_what_a_refusal_advises_works(words, refused, obeyed):
    with pytest.raises((TypeError, ValueError), match=words):
        refused()
    obeyed()


@pytest.mark.parametrize("name", ["half mean", "Mean", "summ", "halfmean"])
def test_the_name_that_a_refusal_suggests_is_known(name):
    with pytest.raises(ValueError, match="Did you mean") as refusal:
        mo.tasks.LinearRegression([X], [Y], reduction=name)
    (suggested,) = re.findall(r"Did you mean '(\w+)'", str(refusal.value))
    assert mo.tasks.LinearRegression([X], [Y], reduction=suggested).reduction == suggested


@pytest.mark.parametrize("n_bytes", [6, 10])
def test_a_damaged_idx_file_is_readable_once_it_has_been_fetched_again(tmp_path, n_bytes):
    with pytest.raises(ValueError, match="fetch it again"):
        idx(tmp_path, n_bytes)
    assert idx(tmp_path, 12).tolist() == [0] * 4


def sentences(path):
    """Yield the texts in a module that are no docstrings, f-strings with nothing in their gaps."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        if isinstance(node, ast.JoinedStr):
            pieces = [part for part in node.values if isinstance(part, ast.Constant)]
            skipped.update(pieces)
            yield "".join(piece.value for piece in pieces)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.value


def test_every_advice_is_in_the_table():
    elsewhere_in_this_file = (r"fetch it again", r"^ must hold the labels .* use np\.where")
    in_array_alpha = (r"for a switch that finds itself",)  # tests/objectives/test_array_alpha.py
    known = [re.compile(words) for words in (*WORDS, *elsewhere_in_this_file, *in_array_alpha)]
    unknown, found = [], 0
    for path in sorted(ROOT.rglob("*.py")):
        module = path.relative_to(ROOT).with_suffix("").as_posix()
        if ELSEWHERE.search(module):
            continue
        for sentence in sentences(path):
            if ADVICE.search(sentence):
                found += 1
                if not any(words.search(sentence) for words in known):
                    unknown.append(f"{module}: {sentence}")
    assert found > 40
    assert not unknown, "\n".join(unknown)
