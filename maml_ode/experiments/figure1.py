"""Figure 1: two one-dimensional losses whose MAML loss is not convex.

The paper's: f_1(w) = 0.505 w^2 - sin w, f_2(w) = 0.505 w^2 - 1e-4 sin(100 w) with equal weights,
alpha = 0.4; mu = 0.01, L = 2.01. The figure shows F' and F'' and no run.

Ours: everything about a run. w0 = -5; beta = 0.01, at which Euler is stable wherever F'' < 200
(|F''| stays below 61 on [-5, 1]); 2000 iterations, enough for ||grad F|| <= 1e-8 from w0; eps0 =
0.1, with which BI-MAML ends at the global minimiser of F, 0.34487, while MAML ends at the local one
at 0.28809. F has seven critical points at this alpha, so where BI-MAML ends depends on eps0: with
0.3 at 0.28809, with 0.03 at 0.40274. alpha = 0.4 lies above 1/(2L) = 0.2488 and thus outside the
paper's theorems.
"""

from __future__ import annotations

import numpy as np

from maml_ode.experiments.experiment import Experiment, Outline, RunConstants, make_experiment
from maml_ode.tasks.sinusoid import Sinusoid

__all__ = ["OUTLINE", "build"]

SWITCH_TOL = 0.1
RUN = RunConstants(alpha=0.4, beta=0.01, n_steps=2000)
OUTLINE = Outline(
    name="figure1",
    title="Two parabolas less a sine",
    n_tasks=2,
    dim=1,
    n_samples=(),
    switch_tol=f"{SWITCH_TOL:g}",
    reading="",
    run=RUN,
)


def build(
    seed: int,
    run: RunConstants = RUN,
) -> Experiment:
    """Return the experiment ``figure1``; see the module for what is the paper's.

    Parameters
    ----------
    seed : int
        Nothing here is random; accepted so that all experiments are loaded alike.
    run : RunConstants
        ``w0`` is -5 by default; a number will do.
    """
    return make_experiment(
        run,
        name=OUTLINE.name,
        title=OUTLINE.title,
        tasks=Sinusoid([0.505, 0.505], [1.0, 1e-4], [1.0, 100.0]),
        drawn=np.array([-5.0]),
        switch_tol=SWITCH_TOL,
        seed=seed,
        panels=("1a", "1b"),
        paper=(
            "f_1 = 0.505 w^2 - sin w and f_2 = 0.505 w^2 - 1e-4 sin 100 w with equal weights; "
            "alpha = 0.4.",
            "the figure shows F' and F'', not a run.",
        ),
        ours=(
            "w0 = -5, beta = 0.01 and 2000 iterations.",
            "eps0 = 0.1, with which BI-MAML ends at the global minimiser of F and MAML at "
            "another one.",
        ),
    )
