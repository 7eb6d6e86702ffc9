"""Comparisons that do not ship with the package: the literal baseline, and ours beside it in one run."""
