"""What the documentation says runs: each page's code, in order, in a folder of its own; and every public name is in the reference."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import lakekit as lk
from tests import pages
from tests.pages import PAGES, ROOT, Block, blocks, run

NEEDS = {"airflow", "java", "kafka", "mongo", "postgres", "replica set", "rest", "s3", "spark"}
"""Each has a test that runs its blocks."""


def runs_here(block: Block) -> bool:
    return block.needs is None and block.source is None


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(runs_here, blocks(page)))], ids=pages.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run([block.code for block in blocks(page) if runs_here(block)], page)


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_only_what_needs_a_server_is_not_run_here_and_what_is_shown_of_a_file_stands_there(page: Path) -> None:
    for block in blocks(page):
        assert block.needs is None or block.needs in NEEDS
        assert block.source is None or block.code in (ROOT / block.source).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_fence_is_one_that_the_site_knows(page: Path) -> None:
    fences = re.findall(r"^ *```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert all(re.fullmatch(r"\w+", words) for words in fences[::2]), (
        "the renderer takes a fence with more words for text, and the next one for its end"
    )
    assert not any(fences[1::2])
    assert fences[::2].count("python") == len(blocks(page))


def test_every_public_function_has_an_example_that_runs() -> None:
    functions = [name for name in lk.__all__ if inspect.isfunction(getattr(lk, name))]
    assert [name for name in functions if ">>>" not in (getattr(lk, name).__doc__ or "")] == []


def test_every_public_name_stands_in_the_reference() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    named = set(re.findall(r"[\w.]+", text))
    words = {word.rpartition(".")[2] for word in named} | named
    modules = {"checks", "errors", "evolution", "identity", "rules", "sources", "__version__"}
    assert [name for name in lk.__all__ if name not in words and name not in modules] == []
