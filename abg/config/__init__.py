"""The configuration: flags over environment over file over defaults, checked where it enters."""

from abg.config.loading import load, parse_config
from abg.config.values import Config, Loaded

__all__ = ["Config", "Loaded", "load", "parse_config"]
