"""Runs that somebody else's trainer trains: what is asked of it, and how its results come back."""
