"""How alike values of one kind are: what people write differently is still alike, and no text is too odd to be compared."""

from __future__ import annotations

import hashlib
import importlib.resources

import pytest

from lakekit import identity
from lakekit.errors import ConfigError
from lakekit.identity import likeness
from lakekit.identity.similarity import similarities, similarity
from tests.oracles import scorers


@pytest.mark.parametrize(
    ("scorer", "left", "right", "least", "most"),
    [
        ("name", "bob", "robert", 0.93, 0.93),
        ("name", "bob smith", "robert smith", 0.92, 0.99),
        ("name", "smith, bob", "robert smith", 0.92, 0.99),
        ("name", "ada king lovelace", "ada lovelace", 0.92, 0.97),
        ("name", "j", "john", 0.75, 0.8),
        ("name", "j smith", "john smith", 0.85, 0.95),
        ("name", "anna", "robert", 0.0, 0.6),
        ("name", "smith", "bob smith", 0.0, 0.9),
        ("email", "ada@old.example", "ada@new.example", 0.95, 0.95),
        ("email", "ada.lovelace@x.example", "ada.lovelase@x.example", 0.85, 0.94),
        ("email", "ada@x.example", "bob@x.example", 0.0, 0.3),
        ("phone", "+491711234567", "0171 123 45 67", 0.98, 0.98),
        ("phone", "+491711234567", "+491711234568", 0.8, 0.95),
        ("phone", "112", "4911112", 0.0, 0.6),
        ("phone", "unknown", "112", 0.0, 0.0),
        ("date", "1990-03-12", "1990-12-03", 0.95, 0.95),
        ("date", "19900312", "1990-03-12", 1.0, 1.0),
        ("date", "1990-03-12", "1990-03-21", 0.9, 0.9),
        ("date", "1990-12-31", "1991-01-01", 0.85, 0.85),
        ("date", "1990-03-12", "1975-03-12", 0.8, 0.8),
        ("date", "1990-03-12", "1990-09-25", 0.5, 0.5),
        ("date", "1990-03-12", "1975-09-25", 0.0, 0.0),
        ("address", "12 Main Street, Apartment 4", "main st 12 apt 4", 1.0, 1.0),
        ("address", "12 Main Street", "14 Main Street", 0.0, 0.7),
        ("address", "12 Main Street", "Main Street", 0.6, 0.9),
        ("numeric", "1000", "990", 0.99, 0.99),
        ("numeric", "0", "0.0", 1.0, 1.0),
        ("numeric", "-5", "5", 0.0, 0.0),
        ("overlap", "a | b", '["b", "c"]', 0.33, 0.34),
    ],
)
def test_what_people_write_differently(scorer: str, left: str, right: str, least: float, most: float) -> None:
    assert least <= similarity(left, right, scorer) <= most


def test_the_nicknames_are_part_of_the_format() -> None:
    text = importlib.resources.files("lakekit.identity").joinpath("nicknames.csv").read_bytes()
    assert hashlib.sha256(text).hexdigest()[:16] == "b0ec6adc5c62b775"
    assert likeness.nicknames()["bob"] & likeness.nicknames()["robert"]


def test_a_function_of_ones_own_is_named_by_where_it_is() -> None:
    scorer = f"{scorers.__name__}:same_length"
    assert similarities(["a", "bc"], ["b", "d"], scorer).tolist() == [1.0, 0.0]
    assert identity.compare("name", scorer=scorer).scorer == scorer


@pytest.mark.parametrize("name", ["nowhere", "raises", "too_much"])
def test_a_function_of_ones_own_that_does_not_work_is_named_without_the_values(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        similarities(["s3cret"], ["b"], f"{scorers.__name__}:{name}")
    assert name in error.value.place
    assert "s3cret" not in str(error.value)
