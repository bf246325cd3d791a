"""Forward sensitivities of a run: how its path and its end depend on alpha, on eps0, on w0 and on the weights."""
