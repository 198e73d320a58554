"""Packages that a trainer imports for other data than text, for other machines, or for a newer Python."""

import re
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
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


class without_aliases:  # noqa: N801  used as a statement: without_aliases("marin.execution.artifact")
    """Imports modules whose only need of Python 3.12 is ``type Name = ...``: the name then stands for anything."""

    def __init__(self, *modules):
        self.modules = modules
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name not in self.modules:
            return None
        file = next(Path(folder) / f"{name.rpartition('.')[2]}.py" for folder in path)
        return spec_from_file_location(name, file, loader=WithoutAliases(name, str(file)))


class WithoutAliases(SourceFileLoader):
    """Reads ``type Name = ...`` as ``Name = object``."""

    def get_code(self, fullname):
        source = re.sub(r"(?m)^type (\w+) = .*$", r"\1 = object", Path(self.path).read_text())
        return compile(source, self.path, "exec", dont_inherit=True)
