"""Problems that several test files share, and a time limit for every test."""

import faulthandler
import os
import signal
import sys

# Before NumPy: the tests' own processes fill the cores, and the threads of a BLAS spin while they wait for one.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

import maml_ode as mo  # noqa: E402

matplotlib.use("Agg")

# None takes more than some ten seconds, the first compilation of the kernels aside.
SECONDS_FOR_A_TEST = float(os.environ.get("MAML_ODE_TEST_SECONDS", "300"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Fail a test that hangs; end the whole run if it cannot even be made to fail."""

    def too_long(number, frame):
        pytest.fail(f"it took more than {SECONDS_FOR_A_TEST:g} seconds")

    faulthandler.dump_traceback_later(SECONDS_FOR_A_TEST + 60, exit=True)
    before = None
    if hasattr(signal, "setitimer"):
        before = signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_FOR_A_TEST)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        if before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _close_figures_of_pyplot():
    """Close what a test has left open, which pyplot would count against the tests after it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def quadratic_tasks(M=3, d=4, seed=0, condition=20.0):
    """Random quadratic tasks with eigenvalues in [1/condition, 1]."""
    rng = np.random.default_rng(seed)
    H = []
    for _ in range(M):
        Q, _ = np.linalg.qr(rng.normal(size=(d, d)))
        H.append(Q @ np.diag(np.geomspace(1 / condition, 1.0, d)) @ Q.T)
    H = np.array(H)
    return mo.tasks.Quadratic(0.5 * (H + H.transpose(0, 2, 1)), rng.normal(size=(M, d)))


def logistic_tasks(M=3, sizes=(7, 4, 9), d=3, seed=0, l2=0.1):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, d)) for n in sizes[:M]]
    y = [np.where(rng.random(n) < 0.5, -1.0, 1.0) for n in sizes[:M]]
    return mo.tasks.LogisticRegression(X, y, l2=l2)


@pytest.fixture
def quadratic():
    return quadratic_tasks()


@pytest.fixture
def logistic():
    return logistic_tasks()


@pytest.fixture
def make_quadratic():
    return quadratic_tasks


@pytest.fixture
def make_logistic():
    return logistic_tasks


@pytest.fixture
def tug_of_war():
    """Two 1-d quadratics: argmin f = 0, w_F = 0.42105, |f'(w_F)| = 0.842 at alpha = 0.1."""
    return mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
