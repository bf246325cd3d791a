"""Long computations in pieces: run side by side, kept as they come, written as tables.

Nothing here knows what is computed.
"""
