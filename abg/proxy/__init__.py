"""The corridor: one request from its head to its ledger entry, over any exchange."""

from abg.proxy.corridor import Corridor

__all__ = ["Corridor"]
