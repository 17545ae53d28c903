"""The public names are a promise: one that comes or goes shows up in a diff of ``tests/public_api.txt``."""

from pathlib import Path

import lakekit

PUBLIC_API = Path(__file__).parents[1] / "public_api.txt"
UPDATE = "When that is meant, write it into tests/public_api.txt, one name a line in sorted order, and say so in CHANGELOG.md."


def test_the_public_names_are_those_promised() -> None:
    promised = PUBLIC_API.read_text(encoding="utf-8").split()
    added, gone = sorted(set(lakekit.__all__) - set(promised)), sorted(set(promised) - set(lakekit.__all__))
    assert (added, gone) == ([], []), f"lakekit.__all__ gained {added} and lost {gone}. {UPDATE}"


def test_the_promised_names_are_sorted_and_unique() -> None:
    promised = PUBLIC_API.read_text(encoding="utf-8").splitlines()
    assert promised == sorted(set(promised))


def test_every_public_name_exists_and_is_listed_by_dir() -> None:
    assert [name for name in lakekit.__all__ if not hasattr(lakekit, name)] == []
    assert set(lakekit.__all__) <= set(dir(lakekit))


def test_every_public_function_and_class_has_a_docstring() -> None:
    assert [name for name in lakekit.__all__ if callable(getattr(lakekit, name)) and not getattr(lakekit, name).__doc__] == []
