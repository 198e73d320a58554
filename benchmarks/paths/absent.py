"""Packages that a trainer imports for other data than text, for other machines, or for a newer Python."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from unittest.mock import MagicMock


class absent:  # noqa: N801  used as a statement: absent("torchvision")
    """Lets imports of these packages succeed: what is asked of them is there to call, or (``classes``) to inherit."""

    def __init__(self, *packages, classes=False):
        self.packages, self.classes = packages, classes
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        there = any(name == one or name.startswith(f"{one}.") for one in self.packages)
        return ModuleSpec(name, self, is_package=True) if there else None

    def create_module(self, spec):
        module = ModuleType(spec.name) if self.classes else MagicMock(__version__="0")
        if self.classes:
            module.__getattr__ = empty_class
        return module

    def exec_module(self, module):
        pass


def empty_class(attribute):
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    return type(attribute, (), {})
