"""glotmix: choose the language mixture of a multilingual language model from evidence.

The menu, by stage; each name is a function or a type that says in its docstring what it takes, returns and raises::

    import glotmix as gm

    runs = gm.read_runs("runs.csv")
    fitted = gm.fit(runs)
    optimum = gm.optimize(fitted, floors={"swh_Latn": 0.05})
    gm.export(optimum, to="megatron_lm", out="blend", tokens=20e9)

A name is imported when it is first used: importing this module imports neither torch nor polars nor numpy.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from glotmix.version import __version__

if TYPE_CHECKING:  # what type checkers and editors see; a test holds it to the table below
    from glotmix.errors import BadInput, GlotmixError, Infeasible
    from glotmix.fit.choice import Fitted
    from glotmix.fit.fit import Fit
    from glotmix.live.callback import MixtureCallback as MixtureCallback
    from glotmix.live.huggingface import in_training_order as in_training_order
    from glotmix.live.loss import LossWeighting as LossWeighting
    from glotmix.live.sampler import GlotmixSampler as GlotmixSampler
    from glotmix.live.stream import GlotmixIterableDataset as GlotmixIterableDataset
    from glotmix.measurements import Measurements
    from glotmix.menu.corpus import documents
    from glotmix.menu.fitting import cross_validate, fit, laws, predict, read_runs
    from glotmix.menu.games import shapley
    from glotmix.menu.handover import export, exporters, report
    from glotmix.menu.optimum import optimize, scale
    from glotmix.menu.studies import begin_study, design, load_study, price_study, recipes, run_study
    from glotmix.mixture.mixture import Mixture
    from glotmix.mixture.samplers.scheduled import Sampler
    from glotmix.mixture.schedule import Schedule, Stage

__all__ = [
    "BadInput",
    "Fit",
    "Fitted",
    "GlotmixError",
    "Infeasible",
    "Measurements",
    "Mixture",
    "Sampler",
    "Schedule",
    "Stage",
    "__version__",
    "begin_study",
    "cross_validate",
    "design",
    "documents",
    "export",
    "exporters",
    "fit",
    "laws",
    "load_study",
    "optimize",
    "predict",
    "price_study",
    "read_runs",
    "recipes",
    "report",
    "run_study",
    "scale",
    "shapley",
]

_MENU = {
    "BadInput": "glotmix.errors",
    "GlotmixError": "glotmix.errors",
    "Infeasible": "glotmix.errors",
    "Mixture": "glotmix.mixture.mixture",
    "Schedule": "glotmix.mixture.schedule",
    "Stage": "glotmix.mixture.schedule",
    "Sampler": "glotmix.mixture.samplers.scheduled",
    "Measurements": "glotmix.measurements",
    "Fitted": "glotmix.fit.choice",
    "Fit": "glotmix.fit.fit",
    "documents": "glotmix.menu.corpus",
    "read_runs": "glotmix.menu.fitting",
    "laws": "glotmix.menu.fitting",
    "fit": "glotmix.menu.fitting",
    "cross_validate": "glotmix.menu.fitting",
    "predict": "glotmix.menu.fitting",
    "shapley": "glotmix.menu.games",
    "optimize": "glotmix.menu.optimum",
    "scale": "glotmix.menu.optimum",
    "exporters": "glotmix.menu.handover",
    "export": "glotmix.menu.handover",
    "report": "glotmix.menu.handover",
    "begin_study": "glotmix.menu.studies",
    "recipes": "glotmix.menu.studies",
    "design": "glotmix.menu.studies",
    "price_study": "glotmix.menu.studies",
    "run_study": "glotmix.menu.studies",
    "load_study": "glotmix.menu.studies",
}
"""Name on the menu to the module that has it under the same name."""
_WITH_TORCH = {
    "in_training_order": "glotmix.live.huggingface",
    "GlotmixIterableDataset": "glotmix.live.stream",
    "GlotmixSampler": "glotmix.live.sampler",
    "LossWeighting": "glotmix.live.loss",
    "MixtureCallback": "glotmix.live.callback",
}
"""What needs torch (the last one transformers too): there by name, and left out of ``__all__``."""


def __getattr__(name: str) -> Any:
    place = _MENU.get(name) or _WITH_TORCH.get(name)
    if place is None:
        raise AttributeError(f"module 'glotmix' has no attribute {name!r}")
    try:
        found = getattr(import_module(place), name)
    except ModuleNotFoundError as error:
        if name in _WITH_TORCH and error.name in ("torch", "transformers"):
            from glotmix.errors import MissingExtra

            raise MissingExtra(error.name, "train" if error.name == "torch" else "posttrain") from None
        raise
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


class _Menu(ModuleType):
    """Keeps names for the menu that are those of rooms too: ``fit``, ``optimize``, ``report``, ``laws``, ``exporters``.

    Where anybody imports ``glotmix.fit.fit``, Python binds the room to the name ``fit`` here. The name stays the
    menu's, whatever was imported before; ``from glotmix.fit.fit import Fit`` finds rooms without it.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _MENU and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Menu
