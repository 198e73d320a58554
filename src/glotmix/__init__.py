"""glotmix: choose the language mixture of a multilingual language model from evidence.

The menu, by stage. Importing this module imports no torch.
"""

__version__ = "0.1.0"
