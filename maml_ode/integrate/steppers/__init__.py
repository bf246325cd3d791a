"""Ways to advance a phase: SciPy's solvers and ours, Euler's steps, the closed form."""
