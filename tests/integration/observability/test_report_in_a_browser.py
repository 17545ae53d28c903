"""The page about a lake in a real browser, without a network."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import lakekit as lk
from tests.contract.helpers import frame

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def shown(html: str, folder: Path, *, probe: str) -> Any:
    """What a script finds in the page, run at its end."""
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert browser, "needs Chromium: make servers installs it on Debian"
    page = folder / "report.html"
    asked = f"<script>document.title=btoa(JSON.stringify((()=>{{{probe}}})()))</script></body>"
    page.write_text(html.replace("</body>", asked), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}", "--dump-dom"]
    done = subprocess.run([browser, *options, page.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    return json.loads(base64.b64decode(done.stdout.partition("<title>")[2].partition("</title>")[0]))


def test_the_filter_shows_only_what_it_names(lake: Any, tmp_path: Path) -> None:
    for name in ("users", "orders"):
        lk.append(frame(lake, "a", {"id": 1}), into=f"bronze.{name}")
    probe = """const f=document.getElementById('filter');f.value='USER'.toLowerCase();f.dispatchEvent(new Event('input'));
    return {rows:[...document.querySelectorAll('#tables tbody tr')].filter(x=>!x.hidden).length,
    parts:[...document.querySelectorAll('details')].filter(x=>!x.hidden).map(x=>x.id),said:document.getElementById('shown').textContent}"""
    found = shown(lk.report(lake), tmp_path, probe=probe)
    assert found == {"rows": 1, "parts": ["t-bronze.users"], "said": "1 tables shown"}


def test_every_part_opens_by_keyboard_and_has_a_name(lake: Any, tmp_path: Path) -> None:
    lk.append(frame(lake, "a", {"id": 1}), into="bronze.users")
    probe = """const s=document.querySelector('summary');s.focus();s.click();const d=document.querySelector('details');
    return {focused:document.activeElement===s,open:d.open,captions:[...document.querySelectorAll('table')].every(t=>t.caption.textContent),
    titles:[...document.querySelectorAll('svg')].every(x=>x.querySelector('title').textContent),language:document.documentElement.lang}"""
    assert shown(lk.report(lake), tmp_path, probe=probe) == {
        "focused": True,
        "open": True,
        "captions": True,
        "titles": True,
        "language": "en",
    }
