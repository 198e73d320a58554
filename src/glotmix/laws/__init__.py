"""Scaling laws: what loss a mixture gives. One file per paper; NumPy only."""
