"""torchtitan packs a rank's whole batch: what is mixed must be documents, or a step is of one language."""

import importlib.util
import sys
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from glotmix.exporters.exporter import export
from glotmix.exporters.torchtitan import TorchTitan
from tests.contracts.exporter import THREE_STAGES, request_for


class Node:
    """A configuration of a data set: keeps what it is made from."""

    def __init__(self, **given):
        self.__dict__.update(given)


def test_documents_are_mixed_and_the_mixture_is_packed(tmp_path, monkeypatch):
    request = request_for(THREE_STAGES)
    export(TorchTitan(), request, tmp_path, warn=False)
    data = ModuleType("torchtitan.components.data")
    for name in ("ConcatThenSplitPackingConfig", "DatasetMixConfig", "WeightedDataset", "SingleDatasetConfig"):
        setattr(data, name, type(name, (Node,), {}))
    data.IndexedJsonlSource = MagicMock()
    names = ("torchtitan", "torchtitan.components", "torchtitan.hf_datasets", "torchtitan.hf_datasets.text_datasets")
    for name in names:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.setitem(sys.modules, data.__name__, data)
    spec = importlib.util.spec_from_file_location("mixture", tmp_path / "mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    packed = module.dataset(0)
    assert isinstance(packed, data.ConcatThenSplitPackingConfig)
    assert isinstance(packed.dataset, data.DatasetMixConfig)
    parts = packed.dataset.datasets
    assert all(isinstance(part.dataset, data.SingleDatasetConfig) for part in parts)
    share = request.phases[0].mixture
    tokens = [
        part.weight * request.tokens_per_document[name] for part, name in zip(parts, module.STAGES[0], strict=True)
    ]
    assert [one / sum(tokens) for one in tokens] == pytest.approx([share[name] for name in module.STAGES[0]])


def test_a_language_with_fewer_documents_than_ranks_may_be_is_named():
    few = dict.fromkeys(THREE_STAGES.languages, 3000.0) | {"no": 250.0}
    remarks = TorchTitan().simulate(request_for(THREE_STAGES, unique=few)).remarks
    assert [remark for remark in remarks if remark.startswith("no has about 12 documents: ")]
