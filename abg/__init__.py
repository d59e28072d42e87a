"""agent-bill-guard: hard budget limits for AI coding agents.

A local reverse proxy in front of the Anthropic and OpenAI APIs that meters every answer,
prices it exactly, and stops the next request once a budget is spent.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
