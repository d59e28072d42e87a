"""Every setting is documented, and what is generated is current."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml
from attrs import evolve, fields

from abg.config import Config, doc, load, parse_config
from abg.config.keys import ENVIRONMENT, KEYS
from abg.places import Places

ROOT = Path(__file__).parents[2]
DERIVED = {"source"}


def test_every_field_of_the_configuration_is_a_key_and_every_key_a_field() -> None:
    names = [field.name for field in fields(Config) if field.name not in DERIVED]
    assert sorted(names) == sorted(KEYS)
    assert all(name == key.name for name, key in KEYS.items())


@pytest.mark.parametrize("name", [doc.EXAMPLE, doc.REFERENCE])
def test_what_is_generated_is_current(name: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    doc.main(tmp_path)
    current = (ROOT / name).read_text("utf-8")
    assert current == (tmp_path / name).read_text("utf-8"), "run python -m abg.config.doc"


def test_the_command_writes_into_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(Path, "write_text", lambda path, *_: written.append(path))
    monkeypatch.delitem(sys.modules, "abg.config.doc")
    runpy.run_module("abg.config.doc", run_name="__main__")
    assert written == [ROOT / doc.EXAMPLE, ROOT / doc.REFERENCE]


@pytest.mark.parametrize("key", KEYS.values(), ids=lambda key: key.name)
def test_every_key_is_explained(key: object) -> None:
    key_ = KEYS[key.name]  # type: ignore[attr-defined]
    assert key_.doc.endswith((".", "]."))
    assert f"### `{key_.name}`" in doc.reference()
    assert re.search(rf"^(# )?{key_.name}:", doc.example(), re.MULTILINE)


def test_every_variable_is_explained() -> None:
    for variable in ENVIRONMENT:
        assert f"`{variable}`" in doc.reference()


def test_the_example_is_the_defaults() -> None:
    config = parse_config(doc.example(), "/x/agentbillguard.yaml")
    assert config == evolve(Config(), source=Path("/x/agentbillguard.yaml"))


def test_a_copy_of_the_example_in_the_working_folder_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "agentbillguard.yaml").write_text(doc.example(), "utf-8")
    places = Places(tmp_path / "state", tmp_path / "config")
    loaded = load({}, {}, tmp_path, places)
    assert evolve(loaded.config, source=None) == Config()


def test_what_the_example_comments_out_is_right_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "x")
    lines = []
    for line in doc.example().splitlines():
        bare = line.removeprefix("# ")
        known = bare.partition(":")[0] in KEYS and not bare.startswith(" ")
        row = bare.startswith("  ") and lines and line.startswith("#")
        if known or row or not line.startswith("#"):
            lines.append(bare)
    text = "\n".join(lines)
    assert set(yaml.safe_load(text)) == set(KEYS)
    config = parse_config(text, "/x/agentbillguard.yaml", environ={"GATEWAY_KEY": "x"})
    assert [row.name for row in config.budgets][2:] == ["runaway", "opus", "bugfixes", "codex"]
    assert config.ledger_file == Path("/x/ledger.jsonl")
    assert "my-model" in config.prices


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "null"),
        (True, "true"),
        ((), "[]"),
        (("a", "b"), "[a, b]"),
        ({}, "{}"),
        (Path("x"), "x"),
    ],
)
def test_defaults_as_yaml(value: object, text: str) -> None:
    assert doc.yaml_of(value) == text
