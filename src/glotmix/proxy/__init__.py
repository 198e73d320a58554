"""Small models that stand in for the target: K of one shape trained as one program."""
