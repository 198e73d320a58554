"""Which share of each language, in which order: mixtures, schedules, designs of experiments, the sampler. NumPy only."""
