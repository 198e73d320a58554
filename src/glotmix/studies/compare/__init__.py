"""Balancing methods and schedules, trained at equal tokens and laid side by side."""
