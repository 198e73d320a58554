"""The embedded corpus: scenes without words (``scenes.toml``) and how each language says them (``<language>.toml``)."""
