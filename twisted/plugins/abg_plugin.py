"""``twist abg``: the plugin that Twisted finds; the service itself is in ``abg.tap``."""

from twisted.application.service import ServiceMaker

abg = ServiceMaker(
    "agent-bill-guard",
    "abg.tap",
    "Hard budget limits for AI coding agents (a local reverse proxy)",
    "abg",
)
