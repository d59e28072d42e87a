"""What a client is started with, by what was measured on the real ones."""

from __future__ import annotations

import json
import sys

import pytest

from abg.home import claude, codex
from abg.home.plan import Target, agent_of, elsewhere, environment, past_proxies

TARGET = Target("http://127.0.0.1:8788", "my task", "/s/my%20task", "repo")
BASE = "http://127.0.0.1:8788/s/my%20task"


def nothing(path):
    return None


def settings(path="/home/u/.claude/settings.json", managed=False, **env):
    return claude.parse_settings(path, json.dumps({"env": env}), managed=managed)


def planned(*files, argv=("/bin/claude", "-p", "hi"), target=TARGET, read=nothing, **environ):
    return claude.plan(argv, target, environ, files, read)


@pytest.mark.parametrize(
    ("program", "agent"),
    [
        ("/usr/bin/claude", "claude"),
        ("codex", "codex"),
        ("C:/x/codex.cmd", "codex"),
        ("Claude.EXE", "claude"),
        ("/bin/claude-wrapper", ""),
        ("aider", ""),
    ],
)
def test_which_agent_it_is(program, agent):
    assert agent_of([program, "claude"]) == agent


def test_no_program_is_no_agent():
    assert agent_of([]) == ""


def test_every_program_gets_the_base_urls_in_the_form_it_expects():
    changes = environment(TARGET, {})
    assert changes["ANTHROPIC_BASE_URL"] == BASE
    assert changes["OPENAI_BASE_URL"] == changes["OPENAI_API_BASE"] == BASE + "/v1"
    assert changes["ABG_URL"] == "http://127.0.0.1:8788"
    assert changes["ABG_SESSION_ID"] == "my task"
    assert "ANTHROPIC_API_BASE" not in changes


def test_a_base_that_litellm_would_prefer_is_replaced_too():
    changes = environment(TARGET, {"ANTHROPIC_API_BASE": "http://elsewhere"})
    assert changes["ANTHROPIC_API_BASE"] == BASE


def test_the_project_goes_into_the_custom_headers_beside_the_users_own():
    own = {"ANTHROPIC_CUSTOM_HEADERS": "x-team: a\n\nX-Abg-Project: old"}
    changes = environment(TARGET, own)
    assert changes["ANTHROPIC_CUSTOM_HEADERS"] == "x-team: a\nx-abg-project: repo"
    without = environment(Target("http://h", "s", "/s/s"), own)
    assert "ANTHROPIC_CUSTOM_HEADERS" not in without


def test_a_project_outside_of_ascii_does_not_stop_the_client():
    changes = environment(Target("http://h", "s", "/s/s", "büro\n"), {})
    assert changes["ANTHROPIC_CUSTOM_HEADERS"] == "x-abg-project: b?ro?"


def test_with_a_token_no_real_key_reaches_the_program():
    real = {"ANTHROPIC_API_KEY": "sk-ant-1", "CLAUDE_CODE_OAUTH_TOKEN": "o"}
    changes = environment(Target("http://h", "s", "/s/s", token="abg_t"), real)
    assert changes["CLAUDE_CODE_OAUTH_TOKEN"] is None
    assert changes["ANTHROPIC_AUTH_TOKEN"] is None
    assert changes["ANTHROPIC_API_KEY"] == changes["OPENAI_API_KEY"] == "abg_t"


@pytest.mark.parametrize(
    ("environ", "value"),
    [
        ({}, None),
        ({"NO_PROXY": "x"}, None),
        ({"HTTP_PROXY": "http://p"}, "127.0.0.1,localhost,::1"),
        ({"https_proxy": "p", "no_proxy": "a, localhost"}, "a,localhost,127.0.0.1,::1"),
    ],
)
def test_no_corporate_proxy_is_asked_for_this_machine(environ, value):
    changes = past_proxies(environ)
    assert changes.get("NO_PROXY") == changes.get("no_proxy") == value


def pinned(made):
    """What claude is told by ``--settings`` to have in its environment."""
    return json.loads(made.argv[made.argv.index("--settings") + 1])["env"]


def test_claude_has_its_base_url_by_settings_too_whatever_files_there_are():
    made = planned()
    assert made.argv[:1] + made.argv[3:] == ("/bin/claude", "-p", "hi")
    assert pinned(made) == {"ANTHROPIC_BASE_URL": BASE}
    assert made.environ["ANTHROPIC_BASE_URL"] == BASE
    assert made.environ["CLAUDE_CODE_GATEWAY_HINT_HEADERS"] == "1"
    assert made.problems == made.notes == ()


def test_a_settings_file_that_names_another_url_is_overruled():
    made = planned(settings(ANTHROPIC_BASE_URL="https://gateway.example"))
    assert made.argv[:2] == ("/bin/claude", "--settings")
    assert json.loads(made.argv[2]) == {"env": {"ANTHROPIC_BASE_URL": BASE}}
    assert made.argv[3:] == ("-p", "hi")
    assert "/home/u/.claude/settings.json names https://gateway.example" in made.notes[0]


def test_a_settings_file_that_names_abg_without_the_session_is_overruled_quietly():
    made = planned(settings(ANTHROPIC_BASE_URL="http://127.0.0.1:8788"))
    assert json.loads(made.argv[2])["env"] == {"ANTHROPIC_BASE_URL": BASE}
    assert made.notes == ()


@pytest.mark.parametrize("words", [["--settings", "JSON"], ["--settings=JSON"]])
def test_the_users_own_settings_argument_is_kept_and_merged(words):
    own = json.dumps({"model": "opus", "env": {"A": "1", "ANTHROPIC_BASE_URL": "http://x"}})
    words = [w.replace("JSON", own) for w in words]
    made = planned(argv=("/bin/claude", *words, "-p", "hi"))
    assert json.loads(made.argv[2]) == {
        "model": "opus",
        "env": {"A": "1", "ANTHROPIC_BASE_URL": BASE},
    }
    assert made.argv[3:] == ("-p", "hi")


def test_a_settings_file_given_as_argument_is_read_and_merged():
    files = {"mine.json": '{"model": "opus", "env": 5}'}
    made = planned(
        settings(ANTHROPIC_BASE_URL="http://x"),
        argv=("/bin/claude", "--settings", "mine.json"),
        read=files.get,
    )
    assert json.loads(made.argv[2])["model"] == "opus"
    assert made.argv[3:] == ()


def test_words_behind_two_dashes_are_no_settings():
    made = planned(argv=("/bin/claude", "--settings", '{"env": {"A": 1}}', "--", "--settings", "x"))
    assert pinned(made) == {"A": 1, "ANTHROPIC_BASE_URL": BASE}
    assert made.argv[3:] == ("--", "--settings", "x")


@pytest.mark.parametrize("given", ["gone.json", "{broken", "{}x"])
def test_settings_that_cannot_be_read_stop_the_run(given):
    made = planned(argv=("/bin/claude", "--settings", given))
    assert "--settings" in made.problems[0].what


def test_settings_of_a_strange_shape_are_replaced():
    made = planned(
        settings(ANTHROPIC_BASE_URL="http://x"),
        argv=("/bin/claude", "--settings", "list.json"),
        read={"list.json": "[1]"}.get,
    )
    assert json.loads(made.argv[2]) == {"env": {"ANTHROPIC_BASE_URL": BASE}}
    broken = planned(
        settings(ANTHROPIC_BASE_URL="http://x"),
        argv=("/bin/claude", "--settings", "{broken"),
    )
    assert broken.problems


@pytest.mark.parametrize("name", claude.ELSEWHERE)
@pytest.mark.parametrize(("value", "stops"), [("1", True), ("true", True), ("0", False)])
def test_switches_that_lead_elsewhere_stop_the_run(name, value, stops):
    assert bool(planned(**{name: value}).problems) is stops
    made = planned(settings(**{name: value}))
    assert bool(made.problems) is stops
    if stops:
        assert name in made.problems[0].what and name in made.problems[0].remedy


def test_managed_settings_cannot_be_overruled():
    managed = settings("/etc/managed.json", managed=True, ANTHROPIC_BASE_URL="https://corp")
    made = planned(managed)
    assert "managed by an administrator" in str(made.problems[0])
    assert "upstream_anthropic: https://corp" in made.problems[0].remedy


def test_managed_settings_that_name_abg_are_fine():
    assert not planned(settings("/m", managed=True, ANTHROPIC_BASE_URL=BASE)).problems


def test_a_proxy_in_the_settings_gets_its_exceptions_there():
    made = planned(settings(HTTPS_PROXY="http://p", NO_PROXY="corp"))
    assert pinned(made)["NO_PROXY"] == "corp,127.0.0.1,localhost,::1"
    assert made.environ["no_proxy"] == "corp,127.0.0.1,localhost,::1"


def test_who_turned_the_hints_off_keeps_them_off():
    made = planned(settings(CLAUDE_CODE_GATEWAY_HINT_HEADERS="0"))
    assert pinned(made) == {"ANTHROPIC_BASE_URL": BASE}


def test_a_token_goes_to_claude_as_bearer():
    target = Target("http://h", "s", "/s/s", token="abg_t")
    made = planned(settings(ANTHROPIC_API_KEY="sk-ant-real"), target=target)
    assert made.environ["ANTHROPIC_AUTH_TOKEN"] == "abg_t"
    assert made.environ["ANTHROPIC_API_KEY"] is None
    assert pinned(made)["ANTHROPIC_API_KEY"] == ""


@pytest.mark.parametrize("text", ["", "nonsense", "[" * 100_000, "[]", '{"env": 1}'])
def test_settings_files_of_any_content_are_read(text):
    assert claude.parse_settings("/x", text).env == {}


def test_values_in_settings_are_texts():
    assert settings(A=1, B=True, C="x").env == {"A": "1", "B": "true", "C": "x"}


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_where_claude_keeps_its_settings(platform):
    paths = claude.setting_paths("/home/u", "/w", {}, platform)
    assert [managed for _, managed in paths] == [False] * 5 + [True]
    assert [path for path, _ in paths[:3]] == [
        "/home/u/.claude.json",
        "/home/u/.claude/.config.json",
        "/home/u/.claude/settings.json",
    ]
    moved = claude.setting_paths("/home/u", "/w", {"CLAUDE_CONFIG_DIR": "/c"}, platform)
    assert [path for path, _ in moved[:3]] == [
        "/c/.claude.json",
        "/c/.config.json",
        "/c/settings.json",
    ]


@pytest.mark.parametrize("root", ["/w", "/w/a"])
def test_local_settings_lie_at_the_root_of_the_repository_too(root):
    paths = [path for path, _ in claude.setting_paths("/home/u", "/w/a", {}, "linux", root)]
    assert paths.count("/w/a/.claude/settings.local.json") == 1
    assert ("/w/.claude/settings.local.json" in paths) is (root == "/w")
    assert "/w/.claude/settings.json" not in paths


def test_codex_is_pointed_by_its_own_configuration_before_the_subcommand():
    made = codex.plan(("/bin/codex", "exec", "hi"), TARGET, {}, ())
    ours = ("-c", f"openai_base_url={BASE}/v1", "-c", "model_provider=openai")
    assert made.argv == ("/bin/codex", *ours, "exec", "hi")
    assert made.problems == made.notes == ()


@pytest.mark.parametrize(("words", "notes"), [(("exec", "hi"), 0), ((), 1)])
def test_codex_takes_a_token_from_the_environment_in_exec_only(words, notes):
    target = Target("http://h", "s", "/s/s", token="abg_t")
    made = codex.plan(("codex", *words), target, {}, ())
    assert made.environ["CODEX_API_KEY"] == "abg_t"
    assert len(made.notes) == notes


def toml(text):
    return codex.parse_config("/home/u/.codex/config.toml", text)


def test_another_base_in_codex_own_file_is_overruled_with_a_note():
    made = codex.plan(("codex",), TARGET, {}, (toml('openai_base_url = "https://gw/v1"'),))
    assert made.problems == ()
    assert "names https://gw/v1" in made.notes[0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('chatgpt_base_url = "http://127.0.0.1:8788"', "chatgpt_base_url"),
        ("model_provider = 'mine' # x", "'mine'"),
        ('"model\\u005fprovider" = "mine"', "'mine'"),
        ('a = """\n[x]\n"""\nmodel_provider = """mine"""', "'mine'"),
        ('a = [\n[1],\n]\nmodel_provider = "mine"', "'mine'"),
        # No TOML: what can be read of it counts.
        ('model_provider = """mine"""\nno toml', "'mine'"),
        ("model_provider = mine\n", "'mine'"),
    ],
)
def test_what_leads_codex_past_abg_stops_the_run(text, word):
    made = codex.plan(("codex",), TARGET, {}, (toml(text),))
    assert word in made.problems[0].what
    assert "/home/u/.codex/config.toml" in made.problems[0].what


@pytest.mark.parametrize(
    "text",
    [
        'model_provider = "openai"',
        '# chatgpt_base_url = "x"',
        '[profiles.x]\nchatgpt_base_url = "x"',
        "no toml at all",
    ],
)
def test_what_does_not_lead_past_abg_is_no_problem(text):
    assert codex.problems(("codex",), (toml(text),)) == ()


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "openai_base_url=http://x"],
        ["exec", "--config", 'openai_base_url="http://x"'],
        ["--config=openai_base_url=http://x"],
        ["-copenai_base_url=http://x"],
        ["-c=openai_base_url=http://x"],
    ],
)
def test_an_argument_that_names_another_base_stops_the_run(words):
    found = codex.problems(("codex", *words), ())
    assert "openai_base_url=http://x would send Codex past abg" in found[0].what


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--oss"], 1),
        (["-c", "model_provider=mine"], 1),
        (["-c", "chatgpt_base_url=x"], 1),
        (["-c", "model_provider=openai"], 0),
        (["--", "-c", "model_provider=mine"], 0),
        (["-c"], 0),
        (["--color", "never"], 0),
    ],
)
def test_codex_arguments(words, count):
    assert len(codex.problems(("codex", *words), ())) == count


def test_the_command_line_overrules_codex_files():
    file = toml('model_provider = "mine"')
    assert codex.problems(("codex", "-c", "model_provider=openai"), (file,)) == ()


def test_without_a_reader_of_toml_the_plain_lines_count(monkeypatch):
    monkeypatch.setitem(sys.modules, codex._READER, None)
    assert toml("model_provider = 'mine' # x\n[a]\nb = 'c'").keys == {"model_provider": "mine"}


def test_where_codex_keeps_its_configuration():
    assert codex.config_paths("/home/u", "/w", {}) == (
        ("/etc/codex/config.toml", False),
        ("/home/u/.codex/config.toml", False),
        ("/w/.codex/config.toml", False),
        ("/etc/codex/managed_config.toml", True),
    )
    moved = codex.config_paths("/home/u", "/w", {"CODEX_HOME": "/c"}, platform="win32")
    assert moved[1] == ("/c/config.toml", False)
    assert moved[-1] == ("/c/managed_config.toml", True)


@pytest.mark.parametrize(
    "words", [["-p", "w"], ["exec", "--profile", "w"], ["--profile=w"], ["-pw"], ["-p=w"]]
)
def test_a_profile_has_a_file_of_its_own(words):
    paths = codex.config_paths("/home/u", "/w", {}, ("codex", *words))
    assert paths[2] == ("/home/u/.codex/w.config.toml", False)


@pytest.mark.parametrize("words", [["--", "-p", "w"], ["-p", "../w"], ["-p"], ["exec"]])
def test_what_names_no_profile(words):
    assert len(codex.config_paths("/home/u", "/w", {}, ("codex", *words))) == 4


def managed_toml(text):
    return codex.parse_config("/etc/codex/managed_config.toml", text, managed=True)


def test_a_managed_file_beats_even_the_command_line():
    base = managed_toml('openai_base_url = "https://corp/v1"')
    said = codex.plan(("codex",), TARGET, {}, (base,)).problems
    assert "managed by an administrator" in said[0].what
    assert "https://corp/v1 then belongs into upstream_openai" in said[0].remedy
    provider = managed_toml('model_provider = "mine"')
    found = codex.problems(("codex", "-c", "model_provider=openai"), (provider,))
    assert "/etc/codex/managed_config.toml sets model_provider" in found[0].what
    assert "Nothing overrules" in found[0].remedy


@pytest.mark.parametrize("text", [f'openai_base_url = "{BASE}/v1"', 'model = "gpt-6"'])
def test_a_managed_file_that_leads_to_abg_or_nowhere_is_fine(text):
    assert codex.plan(("codex",), TARGET, {}, (managed_toml(text),)).problems == ()


@pytest.mark.parametrize(
    ("url", "said"),
    [(None, 0), ("", 0), ("http://127.0.0.1:1", 0), ("http://localhost", 0), ("https://gw", 1)],
)
def test_a_note_says_where_abg_goes_on_to(url, said):
    assert len(elsewhere(url, "it", "upstream_openai")) == said
