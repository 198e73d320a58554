"""Cloned languages: imbalance as the only difference between languages that are equal."""
