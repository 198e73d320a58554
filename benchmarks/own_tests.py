"""Importing this makes ``tests`` this repository's folder, whatever an installed package calls so (kronfluence's)."""

from __future__ import annotations

import sys
import types
from pathlib import Path

package = types.ModuleType("tests")
package.__path__ = [str(Path(__file__).parents[1] / "tests")]
sys.modules["tests"] = package
