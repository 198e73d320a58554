"""Which share of each language, in which order: mixtures, schedules, designs, the sampler. NumPy only."""
