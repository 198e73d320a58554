"""What `import glotmix as gm` offers: a function per stage, thin over the rooms, taking what a notebook has at hand."""
