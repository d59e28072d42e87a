"""Which agent asks, by what it calls itself. Pure."""

from __future__ import annotations

import re

__all__ = ["agent_of"]

_PRODUCT = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~@-]{1,64}")
_AGENTS = (
    # (how a user agent or originator begins, the agent's name); the first that fits counts.
    ("claude-cli", "claude-code"),
    ("claude-code", "claude-code"),
    ("codex", "codex"),
    ("aider", "aider"),
    ("litellm", "litellm"),
    ("opencode", "opencode"),
    ("cline", "cline"),
    ("roo-code", "roo-code"),
    ("roo code", "roo-code"),
    ("roocode", "roo-code"),
    ("geminicli", "gemini-cli"),
    ("gemini-cli", "gemini-cli"),
    ("python-requests", "python-requests"),
)
_SDKS = {
    # Official SDKs call themselves Vendor/Language, and the asynchronous ones AsyncVendor.
    "anthropic/python": "anthropic-python",
    "asyncanthropic/python": "anthropic-python",
    "anthropic/js": "anthropic-js",
    "openai/python": "openai-python",
    "asyncopenai/python": "openai-python",
    "openai/js": "openai-js",
}


def agent_of(user_agent: bytes, originator: bytes = b"", title: bytes = b"") -> str:
    """The agent's name by what it calls itself; ``unknown`` if it does not.

    An agent without a name here is called by its first product, in lower case.

    Args:
        title: ``X-Title``, by which agents on a general SDK say their name.
    """
    for said in (originator, user_agent, title):
        word = said[:128].decode("latin-1").lower()
        for start, name in _AGENTS:
            if word.startswith(start):
                return name
    word = user_agent[:128].decode("latin-1").lower().partition(" ")[0]
    if word in _SDKS:
        return _SDKS[word]
    product = _PRODUCT.match(user_agent)
    return product[0].decode("ascii").lower() if product else "unknown"
