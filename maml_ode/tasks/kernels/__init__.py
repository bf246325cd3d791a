"""The Numba kernels of the built-in families, one module per data layout."""
