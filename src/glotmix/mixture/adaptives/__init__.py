"""Adaptive baselines: mixtures or loss weights that follow what training observes. Update rules only, NumPy only."""
