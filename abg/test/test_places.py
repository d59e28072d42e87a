"""Where a user's files lie, by platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from abg.errors import ConfigError
from abg.places import Places


@pytest.mark.parametrize(
    "platform, environ, state, config",
    [
        ("linux", {"HOME": "/h"}, "/h/.local/state/abg", "/h/.config/abg"),
        ("freebsd14", {"HOME": "/h"}, "/h/.local/state/abg", "/h/.config/abg"),
        (
            "linux",
            {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"},
            "/s/abg",
            "/c/abg",
        ),
        # Empty and relative ones are ignored, as the XDG specification says.
        (
            "linux",
            {"HOME": "/h", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": "c"},
            "/h/.local/state/abg",
            "/h/.config/abg",
        ),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/abg", "/h/.config/abg"),
        ("darwin", {"HOME": "/h", "XDG_STATE_HOME": "/s"}, "/s/abg", "/h/.config/abg"),
        (
            "win32",
            {"USERPROFILE": "/u", "LOCALAPPDATA": "/u/Local", "APPDATA": "/u/Roaming"},
            "/u/Local/abg",
            "/u/Roaming/abg",
        ),
        ("win32", {"USERPROFILE": "/u"}, "/u/AppData/Local/abg", "/u/AppData/Roaming/abg"),
    ],
)
def test_folders(platform: str, environ: dict[str, str], state: str, config: str) -> None:
    places = Places.of(environ, platform)
    assert (places.state, places.config) == (Path(state), Path(config))


def test_files() -> None:
    places = Places(Path("/s"), Path("/c"))
    assert places.ledger == Path("/s/ledger.jsonl")
    assert places.admin_token == Path("/s/admin-token")
    assert places.tokens == Path("/s/tokens.json")
    assert places.run_log == Path("/s/abg-run-proxy.log")
    assert places.price_file == Path("/c/prices.json")
    assert places.config_file == Path("/c/agentbillguard.yaml")


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/somewhere"))
    assert Places.of({}, "linux").config == Path("/somewhere/.config/abg")

    def nowhere() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(ConfigError, match="set HOME"):
        Places.of({}, "linux")
