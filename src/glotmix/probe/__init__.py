"""What a model has learnt, read off its states and gradients: alignment, token equivalents, gradient variance."""
