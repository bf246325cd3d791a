"""What a run's sentences advise is done literally, and then it works; no advice is left out."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate

import maml_ode as mo
from maml_ode.fields import CallableField
from maml_ode.integrate import NonSmoothWarning, StepSizeWarning

from ..test_remedies import sentences

QUADRATIC = mo.tasks.Quadratic([np.diag([1.0, 0.1]), np.diag([0.5, 0.2])], [[1.0, 0.0], [0.0, 1.0]])
MAML, W0 = mo.maml_flow(QUADRATIC, 0.3), np.array([3.0, -2.0])
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 12, 2)), np.sign(RNG.normal(size=(2, 12)))
LOGISTIC = mo.maml_flow(mo.tasks.LogisticRegression(X, Y, l2=0.1), 0.3)
HINGE = mo.maml_flow(mo.tasks.SVM(X, Y, loss="squared_hinge"), 0.3)
COMPANION = mo.maml_flow(mo.tasks.SVM(X, Y, loss="smooth_squared_hinge", l2=0.1), 0.3)
TUG = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
LINE = mo.ExpectedLoss(mo.tasks.Quadratic([[[1.0]]], [[0.0]]))


def solve(flow=MAML, w0=W0, **options):
    return mo.solve(flow, w0, **options)


def phases(*pairs, then=None):
    made = [mo.Phase(CallableField(f, 1), until=until) for f, until in pairs[:-1]]
    last, until = pairs[-1]
    made.append(mo.Phase(CallableField(last, 1), until=until, then=then))
    return mo.Flow(made, LINE)


def flat(c=0.0):
    return mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([np.diag([1.0, 0.0])], [[1.0, c]])))


def ill_scaled():
    X = np.array([[1, 1.2e5], [1, 0.7e5], [1, 0.4e5], [1, 1.1e5], [1, 0.9e5]])
    tasks = mo.tasks.LinearRegression([X], [X @ [3.0, 0.7]])
    return mo.maml_flow(tasks, 1e-12)


def part(**options):
    return solve(t_max=0.5, **options)


HOVERING = {"method": "RK45", "rtol": 1e-4, "atol": 1e-6, "tol": 1e-9}
STUCK = {"method": "RK45", "atol": 1e-3, "tol": 1e-8}
BACK_AND_FORTH = [
    (lambda w: -1 + 0 * w, lambda t, w: w[0]),
    (lambda w: 1 + 0 * w, lambda t, w: 1e-12 - w[0]),
]
APART = [BACK_AND_FORTH[0], (BACK_AND_FORTH[1][0], lambda t, w: 0.5 - w[0])]

# The words, what leads to them, and what they advise.
REFUSED = [
    (r"sort it with np\.unique", lambda: solve(t_eval=[1.0, 0.0], t_max=1.0),
     [lambda: solve(t_eval=np.unique([1.0, 0.0]), t_max=1.0)]),
    ("raise t_max or leave times out", lambda: solve(t_eval=[0.0, 2.0], t_max=1.0),
     [lambda: solve(t_eval=[0.0, 2.0], t_max=2.0), lambda: solve(t_eval=[0.0], t_max=1.0)]),
    ("needs w0, or resume=", lambda: mo.solve(MAML), [solve, lambda: mo.solve(MAML, resume=part())]),
    ("leave w0 out", lambda: solve(resume=part()), [lambda: mo.solve(MAML, resume=part())]),
    ("pass the same flow", lambda: mo.solve(flat(), resume=part()),
     [lambda: mo.solve(MAML, resume=part()), lambda: mo.solve(flat(), part().w, t_max=1.0)]),
    ("pass a finite t_max, or a tol above 0", lambda: solve(tol=0),
     [lambda: solve(tol=0, t_max=1.0), lambda: solve(tol=1e-3)]),
    ("pass a switch_tol above 0, or a finite t_max", lambda: solve(mo.bimaml_flow(QUADRATIC, 0.3, 0.0)),
     [lambda: solve(mo.bimaml_flow(QUADRATIC, 0.3, 0.1)),
      lambda: solve(mo.bimaml_flow(QUADRATIC, 0.3, 0.0), t_max=1.0)]),
    ("no use for rtol; leave it out, or name a stepping method", lambda: solve(method="exact", rtol=1e-6),
     [lambda: solve(method="exact"), lambda: solve(method="DOP853", rtol=1e-6)]),
    ('use "auto" or DOP853', lambda: solve(LOGISTIC, method="exact"),
     [lambda: solve(LOGISTIC, method="auto"), lambda: solve(LOGISTIC, method="DOP853")]),
    ("leave atol out, lower it below (?P<bound>.*), or use Radau, BDF or exact",
     lambda: solve(**STUCK),
     [lambda: solve(**{**STUCK, "atol": None}), lambda: solve(**{**STUCK, "atol": 1e-11}),
      lambda: solve(**{**STUCK, "method": "exact", "atol": None})]),
    ("pass t_max", lambda: solve(flat(1.0)), [lambda: solve(flat(1.0), t_max=3.0)]),
    ("or a finite t_max", lambda: solve(HINGE), [lambda: solve(COMPANION)]),
    ("use sliding='stop'",
     lambda: mo.solve(mo.Flow([mo.Phase(LINE, until=lambda t, w: w[0]), mo.Phase(LINE)], rule="retest"),
                      [1.0], sliding="follow", t_max=1.0),
     [lambda: mo.solve(mo.Flow([mo.Phase(LINE, until=lambda t, w: w[0]), mo.Phase(LINE)], rule="retest"),
                       [1.0], sliding="stop", t_max=1.0)]),
]  # fmt: skip

# The words of a message, the run that ends with them, and runs that do what they advise and succeed.
ENDED = [
    ("lower rtol and atol, or raise it", lambda: solve(LOGISTIC, **HOVERING, max_steps=5000),
     [lambda: solve(LOGISTIC, **{**HOVERING, "rtol": 1e-10, "atol": 1e-12}),
      lambda: solve(LOGISTIC, **{**HOVERING, "tol": 1e-4})]),
    ("pass a t_max below that",
     lambda: mo.solve(mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[-1.0]]], [[1.0]]))),
                      [1.0], tol=0, t_max=1e3),
     [lambda: mo.solve(mo.gradient_flow(mo.ExpectedLoss(mo.tasks.Quadratic([[[-1.0]]], [[1.0]]))),
                       [1.0], tol=0, t_max=300.0)]),
    ("raise tol", lambda: mo.solve(ill_scaled(), [0.0, 0.0]),
     [lambda: mo.solve(ill_scaled(), [0.0, 0.0], tol=1e-4)]),
    ("lower step_size", lambda: mo.euler(LOGISTIC, 1e154 * W0, 1e200, max_iter=50),
     [lambda: mo.euler(LOGISTIC, W0, 0.1, max_iter=50)]),
    ("give a finite one",
     lambda: mo.solve(phases((lambda w: 1e-3 + 0 * w, None)), [0.0], method="Tsit5", diagnostics=False),
     [lambda: mo.solve(phases((lambda w: 1e-3 + 0 * w, None)), [0.0], method="Tsit5", t_max=9.0)]),
    ("Raise max_steps to go on", lambda: solve(LOGISTIC, method="RK45", max_steps=3),
     [lambda: solve(LOGISTIC, method="RK45", max_steps=3000),
      lambda: mo.solve(LOGISTIC, resume=solve(LOGISTIC, method="RK45", max_steps=3))]),
    ("sliding='follow' follows the path along it, and rule='one_way' does not test again",
     lambda: mo.solve(mo.bimaml_flow(TUG, 0.1, 0.5, rule="retest"), [10.0]),
     [lambda: mo.solve(mo.bimaml_flow(TUG, 0.1, 0.5, rule="retest"), [10.0], sliding="follow"),
      lambda: mo.solve(mo.bimaml_flow(TUG, 0.1, 0.5, rule="one_way"), [10.0])]),
    ("move their ending rules apart",
     lambda: mo.solve(phases(*BACK_AND_FORTH, then=0), [1.0], tol=0, t_max=9.0, diagnostics=False),
     [lambda: mo.solve(phases(*APART, then=0), [1.0], tol=0, t_max=9.0)]),
    ("lower rtol and atol, or take another method",
     lambda: mo.solve(mo.gradient_flow(LINE), [1.0], method=LongSteps, energy="enforce", t_max=5.0),
     [lambda: mo.solve(mo.gradient_flow(LINE), [1.0], method="RK45", energy="enforce", t_max=5.0)]),
]  # fmt: skip


def line(**options):
    return mo.ensemble(mo.maml_flow(QUADRATIC, 0.3), [W0, -W0], **options)


REFUSED += [
    ("takes no inner steps; leave it out",
     lambda: mo.ensemble(mo.gradient_flow(mo.ExpectedLoss(QUADRATIC)), [W0], alpha=[0.1]),
     [lambda: mo.ensemble(mo.gradient_flow(mo.ExpectedLoss(QUADRATIC)), [W0])]),
    ("at which each member switches, but in the flow .* leave it out",
     lambda: line(switch_tol=[0.1, 0.2]), [line]),
    ("pass tasks_per_step= too, or no rng", lambda: mo.euler(MAML, W0, 0.1, max_iter=3, rng=0),
     [lambda: mo.euler(MAML, W0, 0.1, max_iter=3, rng=0, tasks_per_step=1),
      lambda: mo.euler(MAML, W0, 0.1, max_iter=3)]),
    ("leave tasks_per_step out",
     lambda: mo.euler(phases((lambda w: -w, None)), [1.0], 0.1, max_iter=3, rng=0, tasks_per_step=1),
     [lambda: mo.euler(phases((lambda w: -w, None)), [1.0], 0.1, max_iter=3)]),
]  # fmt: skip

ENSEMBLE_OF_ARRAYS = mo.maml_flow(QUADRATIC, np.full(QUADRATIC.dim, 0.3))
BIPHASIC = mo.bimaml_flow(QUADRATIC, 0.3, 0.1)
BY_W0 = {"sensitivities": ("w0",)}
OWN_FIELD = mo.Flow([mo.Phase(CallableField(lambda w: -w, 1, lambda w: -np.eye(1)))], LINE)

REFUSED += [
    ("the closed form has no sensitivities here; leave method= out or pass",
     lambda: solve(method="exact", **BY_W0), [lambda: solve(**BY_W0), lambda: solve(method="DOP853", **BY_W0)]),
    ("steps are not undone for the energy; leave energy= out",
     lambda: solve(LOGISTIC, energy="enforce", **BY_W0), [lambda: solve(LOGISTIC, **BY_W0)]),
    ("a sliding motion has no sensitivities here; leave sliding= out",
     lambda: solve(sliding="follow", **BY_W0), [lambda: solve(**BY_W0)]),
    ("pass w0 and the whole horizon instead of resume=",
     lambda: mo.solve(MAML, resume=part(), **BY_W0), [lambda: solve(t_max=1.0, **BY_W0)]),
    ("leave alpha= out, or build the flow with a number",
     lambda: mo.ensemble(ENSEMBLE_OF_ARRAYS, [W0], alpha=[0.1]),
     [lambda: mo.ensemble(ENSEMBLE_OF_ARRAYS, [W0]), lambda: mo.ensemble(MAML, [W0], alpha=[0.1])]),
    ("is the gradient norm at which a phase ends, but in the flow .* leave it out",
     lambda: solve(sensitivities=("alpha", "switch_tol")), [lambda: solve(sensitivities=("alpha",))]),
    ("is made of no task family, so it has no weights; leave them out",
     lambda: mo.solve(OWN_FIELD, [1.0], t_max=1.0, sensitivities=("w0", "weights")),
     [lambda: mo.solve(OWN_FIELD, [1.0], t_max=1.0, **BY_W0)]),
    ("the field jumps at the kinks of the losses; use a smooth family",
     lambda: solve(HINGE, t_max=1.0, **BY_W0), [lambda: solve(COMPANION, t_max=1.0, **BY_W0)]),
    ("or use rule='one_way'",
     lambda: mo.solve(mo.bimaml_flow(TUG, 0.1, 0.5, rule="retest"), [10.0], t_max=1.0, **BY_W0),
     [lambda: mo.solve(mo.bimaml_flow(TUG, 0.1, 0.5, rule="one_way"), [10.0], t_max=1.0, **BY_W0)]),
]  # fmt: skip

# Warnings, and advice that another test follows.
ELSEWHERE = [
    "use a smaller step_size",  # below
    "avoids it",  # below
    "the default rtol = ",  # what the smooth companion avoids
    "has no use for ; leave it out, or name",  # above, with a name in the gap
    "Stiffness shows; take a stiff method",  # never seen: a watch without a stiff method is not set up
    "the losses are computed with eps = : raise it, or compute in double",  # adapters/test_single_precision
    "needs pandas; install it with pip",  # test_remedies of frames, where pandas is missing
    "takes no inner steps|at which each member switches|which  is not: from some",  # above, as for "has no use"
    "here it is called",  # test_promises
    "touches the surface where .* move the tolerance",  # test_sensitivities
    "give it hessians= or hvps=, and thirds= for F",  # adapters, whose families lack them
    "rtol is below .* it is raised to that",  # test_solvers_control
]


class LongSteps(scipy.integrate.OdeSolver):
    """Euler's steps of length 2.5, which on w' = -w double |w|."""

    def __init__(self, fun, t0, y0, t_bound, vectorized):
        super().__init__(fun, t0, y0, t_bound, vectorized)

    def _step_impl(self):
        h = min(2.5, self.t_bound - self.t)
        self.t, self.y = self.t + h, self.y + h * self.fun(self.t, self.y)
        return True, None


@pytest.mark.parametrize(("words", "run", "advised"), REFUSED, ids=[words for words, *_ in REFUSED])
def test_what_a_refusal_advises_works(words, run, advised):
    with pytest.raises((TypeError, ValueError), match=words):
        run()
    for obey in advised:
        obey()


@pytest.mark.parametrize(("words", "run", "advised"), ENDED, ids=[words for words, *_ in ENDED])
def test_what_the_end_of_a_run_advises_works(words, run, advised):
    ended = run()
    assert re.search(words, ended.message), ended.message
    assert not ended.success
    for obey in advised:
        assert obey().success


def test_what_warnings_advise_works():
    with pytest.warns(
        StepSizeWarning, match=r"limit 2/lambda_max = (.*) of phase .* use a smaller"
    ) as seen:
        mo.euler(MAML, W0, 5.0, max_iter=3)
    limit = float(re.search(r"lambda_max = (\S+)", str(seen[0].message))[1])
    assert mo.euler(MAML, W0, 0.99 * limit, max_iter=3).success
    with pytest.warns(NonSmoothWarning, match="avoids it"):
        solve(HINGE, t_max=1.0, max_steps=2000)
    assert solve(COMPANION, t_max=1.0).success


ADVICE = re.compile(
    r"(?:^|[;:,] )(?:or |and |so )?(?:pass|use|lower|raise|leave|take|give|move|sort|start|name) \S",
    re.I,
)


def test_every_advice_of_the_integrators_is_followed_here():
    known = [re.compile(words) for words in (*(row[0] for row in REFUSED + ENDED), *ELSEWHERE)]
    known.append(re.compile("^.{0,60}$"))  # pieces of sentences that are whole elsewhere
    found, unknown = 0, []
    root = Path(mo.__file__).parent / "integrate"
    for path in sorted(root.rglob("*.py")):
        for sentence in sentences(path):
            if ADVICE.search(sentence):
                found += 1
                if not any(words.search(sentence) for words in known):
                    unknown.append(f"{path.name}: {sentence}")
    assert found > 15
    assert not unknown, "\n".join(unknown)
