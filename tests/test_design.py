"""docs/design.md lists the contract as it is."""

import dataclasses
import re
from pathlib import Path

import pytest

from featlearn.models import base

DESIGN = (Path(__file__).parents[1] / "docs" / "design.md").read_text("utf-8")
LISTS = re.findall(
    r"^```\n(.*?)^```$", DESIGN.partition("## The contract of a model")[2], re.DOTALL | re.MULTILINE
)


def names(block):
    """What stands before the first gap of each line: "encode(X), decode(H)   codes ..." -> encode, decode"""
    heads = [re.split(r"\s{2,}", line)[0] for line in block.splitlines()]
    return [name for head in heads for name in re.findall(r"(\w+)(?:\([^)]*\))?(?:, |$)", head)]


def test_the_methods_of_a_model():
    public = {name for name in {**vars(base.Model), **base.Model.__annotations__} if not name.startswith("_")}
    assert sorted(names(LISTS[0])) == sorted(public)


def test_the_fields_of_a_phase():
    assert names(LISTS[1]) == [field.name for field in dataclasses.fields(base.Phase)]


def test_the_docstring_of_the_contract_knows_every_method():
    """That of models/base/, which newcomers read beside it."""
    for name in set(names(LISTS[0])) - {"id", "Config", "small", "descends"}:
        assert re.search(rf"\b{name}\b", base.__doc__), name


@pytest.mark.parametrize("name", ["HasChain", "IsBoltzmann", "Layer"])
def test_capabilities_are_named(name):
    assert f"`{name}`" in DESIGN
    assert hasattr(base, name)
