"""Statements applied to a problem (certify) and to a run (monitor)."""
