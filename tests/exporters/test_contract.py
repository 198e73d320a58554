"""Every exporter keeps the contract; a stranger's exporter can inherit it the same way."""

import pytest

from glotmix.exporters import all_exporters
from tests.contracts.exporter import ExporterContract


class TestEveryExporter(ExporterContract):
    @pytest.fixture(params=sorted(all_exporters()))
    def exporter(self, request):
        return all_exporters()[request.param]


def test_there_are_at_least_twelve_trainers():
    assert len(all_exporters()) >= 12
