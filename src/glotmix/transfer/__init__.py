"""Who helps whom: cooperative games over languages, Shapley values, transfer matrices. NumPy only."""
