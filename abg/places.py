"""Where this user's state and configuration lie, by platform, and what the files are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from abg.errors import ConfigError

__all__ = ["CONFIG_NAME", "LEDGER_NAME", "Places"]

CONFIG_NAME = "agentbillguard.yaml"
LEDGER_NAME = "ledger.jsonl"


@frozen
class Places:
    """Two folders; neither need exist yet."""

    state: Path
    """What abg writes: ledger, checkpoint, tokens."""
    config: Path
    """What the user writes: ``agentbillguard.yaml``."""

    @classmethod
    def of(cls, environ: Mapping[str, str], platform: str) -> Places:
        """The folders of the user whose environment this is.

        Args:
            platform: as ``sys.platform`` has it.

        Raises:
            ConfigError: it has no home.
        """
        home = _home(environ)
        state, config = home / ".local" / "state", home / ".config"
        if platform == "darwin":
            state = home / "Library" / "Application Support"
        elif platform == "win32":
            state = _folder(environ, "LOCALAPPDATA") or home / "AppData" / "Local"
            config = _folder(environ, "APPDATA") or home / "AppData" / "Roaming"
        # Who sets these means them, on every platform.
        state = _folder(environ, "XDG_STATE_HOME") or state
        config = _folder(environ, "XDG_CONFIG_HOME") or config
        return cls(state / "abg", config / "abg")

    @property
    def config_file(self) -> Path:
        """The user's own configuration, trusted whole."""
        return self.config / CONFIG_NAME

    @property
    def price_file(self) -> Path:
        """Prices that ``abg prices update`` took over."""
        return self.config / "prices.json"

    @property
    def ledger(self) -> Path:
        """The ledger, where no configuration names one."""
        return self.state / LEDGER_NAME

    @property
    def admin_token(self) -> Path:
        """The secret that lets the user's own programs change budgets; mode 0600."""
        return self.state / "admin-token"

    @property
    def tokens(self) -> Path:
        """Hashes of the tokens that stand for the vendors' keys; mode 0600."""
        return self.state / "tokens.json"

    @property
    def run_log(self) -> Path:
        """What a proxy says that ``abg run`` has started."""
        return self.state / "abg-run-proxy.log"


def _home(environ: Mapping[str, str]) -> Path:
    named = environ.get("HOME") or environ.get("USERPROFILE")
    if named:
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError("this user has no home folder: set HOME, or XDG_STATE_HOME") from None


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    """A folder from the environment; a relative one is ignored (XDG Base Directory 0.8)."""
    path = Path(environ.get(name, ""))
    return path if path.is_absolute() else None
