"""Up to which sizes matrices are formed: one table for the whole package.

d is the dimension of w and M the number of tasks. Below these sizes a dense d x d matrix is cheaper, or more
certain, than products with vectors; above them only products are used, or a question is left open.
"""

__all__ = [
    "MATRIX_IN_A_DESCENT",
    "MATRIX_OF_THE_DATA",
    "MATRIX_ONCE",
    "MATRIX_ON_A_PATH",
    "MATRIX_PER_TASK",
]

MATRIX_PER_TASK = 60
"""M eigenvalue problems at each of many sample points: about 1 ms each at this size."""

MATRIX_ON_A_PATH = 200
"""A Hessian or Jacobian at many points of a path, or in every step of a stiff solver: about 10 ms each."""

MATRIX_IN_A_DESCENT = 300
"""A Hessian of F and its eigenvectors in each of some ten Newton steps: about 50 ms each."""

MATRIX_ONCE = 500
"""One Hessian and its eigenvalues: about 0.1 s and 2 MB."""

MATRIX_OF_THE_DATA = 2048
"""H_i = X_i'X_i of every task, formed once and used in every step: M times 32 MB."""
