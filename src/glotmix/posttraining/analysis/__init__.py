"""What a grid of fine-tunings says: numbers in, answers with intervals out. No torch; published tables go in too."""
