"""Every law keeps the contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from glotmix.errors import BadInput
from glotmix.laws import all_laws, find_law

_spec = importlib.util.spec_from_file_location("law_contract", Path(__file__).parents[1] / "contracts" / "law.py")
_contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_contract)

for _name, _law in all_laws().items():
    _title = "Test" + "".join(part.capitalize() for part in _name.split("_"))
    globals()[_title] = type(_title, (_contract.LawContract,), {"law": _law})


def test_every_law_says_where_it_comes_from() -> None:
    for name, law in all_laws().items():
        assert law.name == name
        assert law.source
        assert law.formula
        assert type(law).__doc__


def test_an_unknown_law_is_refused_with_the_names() -> None:
    with pytest.raises(BadInput, match="shapley_law"):
        find_law("chapley")


def test_a_black_box_can_stand_on_any_law() -> None:
    assert find_law("shapley_law+gaussian_process").name == "shapley_law+gaussian_process"
    assert find_law("gaussian_process").name == "gaussian_process"
