"""What the README shows is so: its commands, its configuration, its five lines of code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from abg.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {
    name: (ROOT / name).read_text("utf-8")
    for name in ("README.md", "docs/agents.md", "CHANGELOG.md")
}


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)[1]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_named_exists(page):
    named = set(re.findall(r"\babg ([a-z]+)\b", PAGES[page]))
    # Words of a sentence that follow the name.
    prose = {"stands", "stops", "goes", "does", "and", "for", "is", "or", "even", "tells", "there"}
    prose |= {"itself", "already", "that", "runs", "starts", "alone"}
    assert named - prose <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_is_linked_exists(page):
    for link in re.findall(r"\]\((?!http)([^)#]+)", PAGES[page]):
        assert (ROOT / page).parent.joinpath(link).exists(), link


def test_the_configuration_is_accepted():
    from abg.config import parse_config

    shown = block("yaml")
    assert parse_config(shown, "README.md").session_budget_usd == 5
    assert yaml.safe_load(shown)["block_on_limit"] is True


def test_the_five_lines_mount_a_guard(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    site = Site(Resource(), reactor=Clock())
    exec(compile(code, "README.md", "exec"), {"site": site})
    guard = site.resource.children[b"llm"]
    try:
        assert guard.engine.config.session_budget_usd == 5
        assert (tmp_path / "state").exists()
    finally:
        guard.engine.stop()
