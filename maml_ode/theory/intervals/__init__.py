"""Interval arithmetic: enclosures of expressions and of F', F'', and what they prove."""
