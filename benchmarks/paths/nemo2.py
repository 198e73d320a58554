"""NeMo 2's own data module and cosine from a checkout, without Lightning, Hydra and the rest of NeMo around them."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

from absent import absent

CHECKOUT = Path(sys.prefix) / "NeMo"


def of_file(name, path):
    """A module of the checkout, without those that stand above it."""
    spec = spec_from_file_location(name, CHECKOUT / path)
    sys.modules[name] = found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


absent("lightning", "hydra", "omegaconf", "nemo", classes=True)


def stand_in(name, **attributes):
    """A module of these attributes alone."""
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(attributes)


stand_in("nemo.utils.import_utils", safe_import=lambda name: (None, False))
stand_in("nemo.utils.msc_utils", is_multistorageclient_url=lambda path: False, import_multistorageclient=None)
stand_in("nemo.core.config", SchedulerParams=None, get_scheduler_config=None, register_scheduler_params=None)
stand_in("nemo.lightning.pytorch.plugins", MegatronDataSampler=SimpleNamespace)
stand_in("nemo.lightning.pytorch.optim", CosineAnnealingScheduler=dict)
data = of_file("nemo.collections.llm.gpt.data.pre_training", "nemo/collections/llm/gpt/data/pre_training.py")
sys.modules["nemo.collections.llm.gpt.data"] = data
schedules = of_file("nemo.core.optim.lr_scheduler", "nemo/core/optim/lr_scheduler.py")


def cosine(optimizer, settings):
    """The scheduler that CosineAnnealingScheduler makes of these settings."""
    return schedules.CosineAnnealing(optimizer, **settings)
