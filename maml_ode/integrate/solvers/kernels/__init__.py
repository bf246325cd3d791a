"""Compiled stages of our solvers; importing a module here imports Numba."""
