"""``abg init``: only what was agreed to is changed, and ``--undo`` brings it all back."""

from __future__ import annotations

import io
import json
import stat
import sys
from decimal import Decimal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.cli import main
from abg.config import parse_config
from abg.home.edits import (
    EditError,
    claude_settings,
    codex_config,
    difference,
    own_config,
    revert_json,
    revert_toml,
)
from abg.test.standin import own_places

URL = "http://127.0.0.1:8788"
LINE = f'openai_base_url = "{URL}/v1"'


def test_claude_settings_are_made_where_there_are_none():
    text = claude_settings(None, URL, statusline="abg statusline")
    assert json.loads(text) == {
        "env": {"ANTHROPIC_BASE_URL": URL},
        "statusLine": {
            "type": "command",
            "command": "abg statusline",
            "padding": 0,
            "refreshInterval": 5,
        },
    }


def test_everything_else_in_claude_settings_stays_in_its_order():
    own = {"model": "opus", "env": {"A": "é"}, "hooks": {"Stop": [1]}, "zebra": None}
    found = json.loads(claude_settings(json.dumps(own), URL, hook="abg hook"))
    assert list(found) == ["model", "env", "hooks", "zebra"]
    assert found["env"] == {"A": "é", "ANTHROPIC_BASE_URL": URL}
    assert list(found["hooks"]) == ["Stop", "SessionStart", "UserPromptSubmit", "PostToolUse"]
    assert found["hooks"]["Stop"] == [1]


def test_a_second_time_changes_nothing():
    once = claude_settings('{"hooks": {"Stop": []}}', URL, statusline="s", hook="h")
    assert claude_settings(once, URL, statusline="s", hook="h") == once
    assert codex_config(codex_config("a = 1\n", URL), URL) == f'openai_base_url = "{URL}"\na = 1\n'


@pytest.mark.parametrize("text", ["[]", "{", "5", "[" * 100_000])
def test_claude_settings_that_are_no_object_are_left_alone(text):
    with pytest.raises(EditError, match="it is no"):
        claude_settings(text, URL)


@pytest.mark.parametrize("text", ["", " \n", '{"env": 5, "hooks": []}'])
def test_claude_settings_of_a_strange_shape_are_mended(text):
    assert json.loads(claude_settings(text, URL, hook="h"))["env"]["ANTHROPIC_BASE_URL"] == URL


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"{LINE}\n"),
        ('model = "gpt-6"\n', f'{LINE}\nmodel = "gpt-6"\n'),
        ('# mine\n"openai_base_url" = "x" # y\n[t]\n', f"# mine\n{LINE}\n[t]\n"),
        ('[t]\nopenai_base_url = "x"\n', f'{LINE}\n[t]\nopenai_base_url = "x"\n'),
    ],
)
def test_codex_gets_one_line_at_the_top_level(before, after):
    assert codex_config(before, URL + "/v1") == after


@pytest.mark.parametrize(
    "text", [None, "", 'a = 1\n[t]\nb = "x"\n', 'openai_base_url = "x"\n[t]\n']
)
def test_codex_is_as_before_after_undo(text):
    written = codex_config(text, URL)
    assert revert_toml(written, written, text) == (text or "")


def test_undo_leaves_what_others_wrote_into_the_file():
    before = '{"a": 1}'
    written = claude_settings(before, URL, statusline="s", hook="h")
    now = json.loads(written)
    now["b"] = 2
    now["statusLine"]["command"] = "mine"
    now["hooks"]["SessionStart"].append("theirs")
    assert json.loads(revert_json(json.dumps(now), written, before)) == {
        "a": 1,
        "b": 2,
        "statusLine": {"command": "mine"},
        "hooks": {"SessionStart": ["theirs"]},
    }


def test_undo_leaves_no_empty_shells_of_ours():
    written = claude_settings(None, URL, hook="h")
    now = json.loads(written)
    del now["hooks"]["SessionStart"]
    assert json.loads(revert_json(json.dumps(now), written, None)) == {}


def test_undo_brings_back_what_was_replaced():
    before = '{"env": {"ANTHROPIC_BASE_URL": "https://gw"}, "statusLine": {"command": "old"}}'
    written = claude_settings(before, URL, statusline="s")
    now = json.dumps(json.loads(written) | {"more": 1})
    assert json.loads(revert_json(now, written, before)) == json.loads(before) | {"more": 1}


def test_undo_leaves_a_base_that_was_changed_since():
    written = claude_settings(None, URL)
    now = written.replace(URL, "http://else")
    assert json.loads(revert_json(now, written, None)) == {
        "env": {"ANTHROPIC_BASE_URL": "http://else"}
    }
    toml = codex_config(None, URL)
    assert revert_toml(toml.replace(URL, "x"), toml, None) == toml.replace(URL, "x")
    assert revert_toml("a = 1\n", toml, None) == "a = 1\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3, unique_by=repr)
        | st.dictionaries(st.text(min_size=1, max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["env", "hooks", "statusLine", "x"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, VALUES), st.booleans())
def test_undo_is_the_reverse_for_any_settings(own, with_hook):
    before = json.dumps(own)
    written = claude_settings(before, URL, statusline="s", hook="h" if with_hook else None)
    found = json.loads(revert_json(written, written, before))
    assert {k: v for k, v in found.items() if k == "x"} == {k: own[k] for k in own if k == "x"}
    if all(isinstance(own.get(k, {}), dict) for k in ("env", "hooks")):
        assert found == own


def test_our_own_configuration_is_valid_and_says_what_it_does():
    text = own_config(Decimal("2.50"), Decimal(20), {"upstream_anthropic": "https://gw/base"})
    assert yaml.safe_load(text) == {
        "session_budget_usd": 2.5,
        "daily_budget_usd": 20,
        "warn_at": 0.8,
        "block_on_limit": True,
        "upstream_anthropic": "https://gw/base",
    }
    assert parse_config(text, "it").session_budget_usd == Decimal("2.50")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('"ANTHROPIC_API_KEY": "sk-ant-x",', '"ANTHROPIC_API_KEY": "…",'),
        ('{"env":{"A_TOKEN":"a\\"b","B":"1"}}', '{"env":{"A_TOKEN":"…","B":"1"}}'),
        ("experimental_bearer_token = 'x'", 'experimental_bearer_token = "…"'),
        ('"run": "echo sk-ant-other"', '"run": "echo …"'),
        ('"HTTPS_PROXY": "http://me:hush@proxy:3128"', '"HTTPS_PROXY": "http://…@proxy:3128"'),
        ('"ANTHROPIC_BASE_URL": "https://gw"', '"ANTHROPIC_BASE_URL": "https://gw"'),
        ('"command": "/opt/sk/abg statusline"', '"command": "/opt/sk/abg statusline"'),
    ],
)
def test_a_difference_shows_no_secret(line, shown):
    text = difference("f", f"a\n{line}\n", f"b\n{line}\n")
    assert text.splitlines()[-1] == f" {shown}"


def test_a_difference_reads_like_a_patch():
    text = difference("/f", None, "a\n")
    assert text.splitlines() == ["--- /dev/null", "+++ /f", "@@ -0,0 +1 @@", "+a"]
    assert difference("/f", "a\n", None).splitlines()[1] == "+++ /dev/null"


@pytest.fixture
def home(tmp_path, monkeypatch):
    own_places(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".codex").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


def files(home):
    found = {}
    for path in sorted(home.rglob("*")):
        if path.is_file() and "state" not in path.parts:
            found[str(path.relative_to(home))] = path.read_text()
    return found


def test_unattended_with_all_that_is_offered(home, capsys):
    assert main(["init", "--yes", "--session-budget", "3"]) == 0
    written = files(home)
    assert set(written) == {
        ".claude/settings.json",
        ".codex/config.toml",
        "config/abg/agentbillguard.yaml",
    }
    claude = json.loads(written[".claude/settings.json"])
    assert claude["env"]["ANTHROPIC_BASE_URL"] == URL
    assert claude["statusLine"]["command"].endswith("statusline")
    assert "hooks" not in claude
    assert written[".codex/config.toml"] == LINE + "\n"
    assert "session_budget_usd: 3" in written["config/abg/agentbillguard.yaml"]
    out = capsys.readouterr().out
    assert f'+    "ANTHROPIC_BASE_URL": "{URL}"' in out
    assert "abg proxy" in out and "abg init --undo" in out


def test_a_second_time_there_is_nothing_to_do(home, capsys):
    main(["init", "--yes"])
    assert main(["init", "--yes"]) == 0
    assert "everything is set up already" in capsys.readouterr().out


def test_undo_brings_everything_back(home, capsys):
    (home / ".claude/settings.json").write_text('{"model": "opus"}')
    before = files(home)
    main(["init", "--yes"])
    main(["init", "--yes", "--hook", "--url", "http://127.0.0.1:9"])
    assert files(home) != before
    assert main(["init", "--undo", "--yes"]) == 0
    assert files(home) == before
    assert main(["init", "--undo"]) == 0
    assert "nothing to undo" in capsys.readouterr().out


def test_undo_keeps_a_configuration_that_was_edited(home):
    main(["init", "--yes"])
    path = home / "config" / "abg" / "agentbillguard.yaml"
    path.write_text("session_budget_usd: 1\n")
    assert main(["init", "--undo", "--yes"]) == 0
    assert path.read_text() == "session_budget_usd: 1\n"


def test_only_what_is_named(home):
    assert main(["init", "--no-claude", "--codex"]) == 0
    assert set(files(home)) == {".codex/config.toml", "config/abg/agentbillguard.yaml"}


def test_without_anybody_to_ask_nothing_is_done(home, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["init"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert files(home) == {}


def test_a_dry_run_shows_and_writes_nothing(home, capsys):
    assert main(["init", "--dry-run", "--claude"]) == 1
    assert "+++ " in capsys.readouterr().out
    assert files(home) == {}


class Terminal:
    """A user who answers."""

    def __init__(self, answers):
        self.answers = list(answers)

    def isatty(self):
        return True

    def readline(self):
        return self.answers.pop(0) + "\n" if self.answers else ""


@pytest.mark.parametrize(
    ("answers", "written"),
    [
        (["", "", "", "", ""], {".claude/settings.json", ".codex/config.toml"}),
        (["n", "y", "y"], {".codex/config.toml"}),
        (["n", "y", "n"], None),
        (["n", "y"], None),
        (["n", "n", "y"], set()),
    ],
)
def test_a_user_is_asked_part_by_part(home, monkeypatch, answers, written):
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    code = main(["init"])
    if written is None:
        assert (code, files(home)) == (1, {})
    else:
        assert code == 0
        assert set(files(home)) == written | {"config/abg/agentbillguard.yaml"}


def test_settings_that_cannot_be_read_are_left_alone_and_said(home, capsys):
    (home / ".claude/settings.json").write_text("{broken")
    assert main(["init", "--yes"]) == 1
    assert "left alone" in capsys.readouterr().err
    assert (home / ".claude/settings.json").read_text() == "{broken"
    assert (home / ".codex/config.toml").exists()


def test_a_codex_that_goes_elsewhere_is_left_alone_and_said(home, capsys):
    (home / ".codex/config.toml").write_text('model_provider = "mine"\n')
    assert main(["init", "--yes"]) == 1
    assert "model_provider" in capsys.readouterr().err


def test_a_status_line_of_ones_own_is_kept_unless_asked(home, capsys):
    own = {"statusLine": {"type": "command", "command": "mine"}}
    (home / ".claude/settings.json").write_text(json.dumps(own))
    main(["init", "--yes"])
    assert json.loads(files(home)[".claude/settings.json"])["statusLine"]["command"] == "mine"
    assert "--statusline replaces it" in capsys.readouterr().out
    main(["init", "--yes", "--statusline"])
    assert "statusline" in json.loads(files(home)[".claude/settings.json"])["statusLine"]["command"]


def test_a_gateway_that_was_named_before_becomes_the_upstream(home):
    (home / ".claude/settings.json").write_text('{"env": {"ANTHROPIC_BASE_URL": "https://gw"}}')
    main(["init", "--yes"])
    config = yaml.safe_load(files(home)["config/abg/agentbillguard.yaml"])
    assert config["upstream_anthropic"] == "https://gw"


def test_a_gateway_is_said_where_it_cannot_be_written(home, capsys):
    (home / ".codex/config.toml").write_text('openai_base_url = "https://gw/v1"\n')
    main(["init", "--yes", "--here"])
    assert "upstream_openai" not in files(home)["work/agentbillguard.yaml"]
    assert "upstream_openai: https://gw/v1" in capsys.readouterr().out
    main(["init", "--undo", "--yes"])
    (home / "config" / "abg").mkdir(parents=True, exist_ok=True)
    (home / "config" / "abg" / "agentbillguard.yaml").write_text("port: 8788\n")
    main(["init", "--yes"])
    assert "upstream_openai: https://gw/v1" in capsys.readouterr().out


def test_the_record_is_for_its_owner_only_and_files_keep_their_mode(home):
    path = home / ".claude/settings.json"
    path.write_text("{}")
    path.chmod(0o600)
    main(["init", "--yes"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    record = home / "state" / "abg" / "init" / "changes.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_a_linked_settings_file_stays_a_link(home):
    real = home / "dotfiles.json"
    real.write_text("{}")
    (home / ".claude/settings.json").symlink_to(real)
    main(["init", "--yes"])
    assert (home / ".claude/settings.json").is_symlink()
    assert URL in real.read_text()


def test_a_file_that_cannot_be_written_is_said(home, capsys):
    (home / "config").write_text("")
    assert main(["init", "--yes"]) == 1
    assert "agentbillguard.yaml" in capsys.readouterr().err
