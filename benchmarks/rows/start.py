"""Whole processes: what a user waits for before anything is computed."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.race import Timing

__all__ = ["first_logistic", "listing", "six_lines"]

SIX_LINES = """
import maml_ode as mo
problem = mo.experiments.load("diabetes")
flow = mo.solve(problem.maml_flow(), problem.w0, t_max=5.0)
steps = mo.euler(problem.maml_flow(), problem.w0, problem.beta, max_iter=50)
axes = mo.plotting.plot_trajectories([flow, steps])
axes[0].figure.savefig({target!r})
"""
LOGISTIC = """
import numpy as np, maml_ode as mo
rng = np.random.default_rng(0)
X, y = rng.standard_normal((10, 100, 20)), np.where(rng.random((10, 100)) < 0.5, -1.0, 1.0)
tasks = mo.tasks.LogisticRegression(X, y, l2=0.1)
assert mo.solve(mo.maml_flow(tasks, 0.3), np.ones(20)).success
"""
DIFFRAX = """
import numpy as np, jax, jax.numpy as jnp, diffrax
rng = np.random.default_rng(0)
X, y = rng.standard_normal((10, 100, 20)), np.where(rng.random((10, 100)) < 0.5, -1.0, 1.0)
loss = lambda w, X, y: jnp.mean(jnp.logaddexp(0.0, -y * (X @ w))) + 0.05 * w @ w
adapted = lambda w, X, y: loss(w - 0.3 * jax.grad(loss)(w, X, y), X, y)
F = lambda w: jnp.mean(jax.vmap(adapted, (None, 0, 0))(w, X, y))
g = jax.grad(F)
event = diffrax.Event(lambda t, w, args, **kw: jnp.linalg.norm(g(w)) <= 1e-8)
run = jax.jit(lambda w: diffrax.diffeqsolve(diffrax.ODETerm(lambda t, w, a: -g(w)), diffrax.Dopri8(), 0.0, 1e6,
    None, w, stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-9), event=event, max_steps=100000))
run(jnp.ones(20)).ys.block_until_ready()
"""


def process(command: list[str], times: int, **environment: str) -> Timing:
    """Run a command several times; return CPU and wall seconds of the whole process."""
    cpu, wall = [], []
    failure = ""
    for _ in range(times):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        wall.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode:
            failure = (done.stderr.splitlines() or ["failed"])[-1][:200]
    timing = Timing("", "", True, unit="process", failure=failure, rounds=times)
    timing.cpu, timing.wall, timing.samples = statistics.median(cpu), statistics.median(wall), cpu
    timing.cpu_spread = (min(cpu), max(cpu))
    return timing


def _named(timing: Timing, name: str, ours: bool = True) -> Timing:
    timing.name, timing.ours = name, ours
    return timing


def listing(rounds: int) -> list[Timing]:
    """``maml-ode list``."""
    command = [sys.executable, "-c", "from maml_ode.cli import main; main()", "list"]
    return [_named(process(command, max(3, rounds // 2)), "maml-ode list")]


def six_lines(rounds: int) -> list[Timing]:
    """The README's first example, kernels cached."""
    with tempfile.TemporaryDirectory() as folder:
        source = SIX_LINES.format(target=os.path.join(folder, "picture.png"))
        command = [sys.executable, "-c", source]
        process(command, 1, MPLBACKEND="Agg")
        return [
            _named(
                process(command, max(3, rounds // 2), MPLBACKEND="Agg"), "six lines, code cached"
            )
        ]


def first_logistic(rounds: int) -> list[Timing]:
    """A logistic solve in a new process, with and without machine code on disk; diffrax compiles every time."""
    command = [sys.executable, "-c", LOGISTIC]
    with tempfile.TemporaryDirectory() as folder:
        cold = _named(process(command, 1, NUMBA_CACHE_DIR=folder), "maml_ode, nothing compiled yet")
        warm = _named(
            process(command, max(3, rounds // 3), NUMBA_CACHE_DIR=folder), "maml_ode, code cached"
        )
    peer = process([sys.executable, "-c", DIFFRAX], max(2, rounds // 5))
    return [warm, cold, _named(peer, "diffrax, autodiff", ours=False)]
