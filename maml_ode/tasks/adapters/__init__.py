"""Families whose losses are the user's: Python functions, JAX and torch models."""
