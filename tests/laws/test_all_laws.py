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

ORDERED = ("null", "own_ratio_floored", "shapley_law_joint", "shapley_law_repeated", "mixing")
"""Laws that are also tested with their shares weighted by phase: what that adds is one code for all."""

for _name, _law in (all_laws() | {f"{one}+order": find_law(f"{one}+order") for one in ORDERED}).items():
    _title = "Test" + "".join(part.capitalize() for part in _name.replace("+", "_").split("_"))
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


def test_order_comes_before_a_black_box_and_once() -> None:
    assert find_law("shapley_law+order").name == "shapley_law+order"
    assert find_law("shapley_law+order+gaussian_process").name == "shapley_law+order+gaussian_process"
    for name in ("order", "shapley_law+gaussian_process+order", "shapley_law+order+order", "gaussian_process+order"):
        with pytest.raises(BadInput, match=r"LAW\+order"):
            find_law(name)
