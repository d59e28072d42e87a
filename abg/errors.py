"""The errors abg raises: each has a message for a person, and data for a program."""

from __future__ import annotations

__all__ = ["AbgError", "ConfigError", "LedgerLocked", "LedgerUnavailable", "UnreadableBody"]


class AbgError(Exception):
    """Base of all errors of abg; its text is meant for the user, and never holds a secret."""


class ConfigError(AbgError):
    """The configuration is wrong: the text says file, line, key, what is wrong, what to do."""


class LedgerLocked(AbgError):
    """Another process writes this ledger; the text says which."""


class LedgerUnavailable(AbgError):
    """The ledger cannot be written; no new call may pass while that lasts."""


class UnreadableBody(AbgError):
    """A body that no reader understands (not JSON, unknown compression, too deep)."""

    unpacked = 0
    """Bytes of a compressed one that could be read before."""
