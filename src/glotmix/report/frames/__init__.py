"""What the page says, as numbers and sentences, without a pixel."""
