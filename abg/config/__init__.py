"""The configuration: flags over environment over file over defaults, checked where it enters."""

from abg.config.values import Config, Loaded

__all__ = ["Config", "Loaded"]
