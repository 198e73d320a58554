"""Which sequence is read next: by a schedule, by a method that adapts, or of clones of one text."""
