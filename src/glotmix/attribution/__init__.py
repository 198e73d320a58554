"""Which training samples, and which languages, a model relies on: influence from exact gradient products."""
