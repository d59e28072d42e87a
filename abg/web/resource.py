"""The reverse-proxy resource: all of abg, for anybody's ``Site``.

In an existing Twisted service::

    from abg.config import Config
    from abg.web.resource import GuardResource

    site.resource.putChild(b"llm", GuardResource(Config(session_budget_usd=Decimal(5))))

and agents are pointed at ``http://…/llm`` (Claude Code) or ``http://…/llm/v1`` (Codex).
"""

# twisted.web has no types of its own.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource

from abg.config import Config
from abg.engine import Engine
from abg.stdout import tell
from abg.web.admin import Admin
from abg.wire.site import ExchangeResource, below_mount

__all__ = ["GuardResource"]


class GuardResource(Resource):
    """Model calls go through the guard, ``/abg/…`` is its own face.

    Args:
        config: what to guard by; ``port`` and ``host`` are the mounting site's affair.
        engine: parts that exist already (abg's own service); else they are made here, and
            stopped when the reactor stops.
        allowed_hosts: names that a ``Host`` header may have; None leaves that to the site.
        reactor, say: as for ``Engine``.

    Raises:
        ConfigError, LedgerLocked, LedgerUnavailable: see ``Engine``.
    """

    isLeaf = True

    def __init__(
        self,
        config: Config | None = None,
        *,
        engine: Engine | None = None,
        allowed_hosts: tuple[str, ...] | None = None,
        reactor: Any = None,
        say: Callable[[str], None] = tell,
    ) -> None:
        super().__init__()
        if engine is None:
            if reactor is None:
                from twisted.internet import reactor
            engine = Engine(
                config or Config(), reactor, say=say, allowed_hosts=allowed_hosts, mounted=True
            )
            engine.start()
            reactor.addSystemEventTrigger("before", "shutdown", engine.stop)
        self.engine = engine
        self._proxy = ExchangeResource(engine.corridor, engine.reactor)
        self._admin = Admin(engine)

    def exchanges(self, request: Any) -> ExchangeResource | None:
        """A request for a vendor may begin with its head, where the ``Site`` is abg's own."""
        return None if self._own_path(below_mount(request)) else self._proxy

    def render(self, request: Any) -> Any:
        target = below_mount(request)
        own = self._own_path(target)
        if own:
            return self._admin.render_path(request, own)
        return self._proxy.render_target(request, target)

    def _own_path(self, target: bytes) -> bytes:
        """The path under ``/abg``, if the target is one; also in absolute form."""
        if target[:1] != b"/":
            target = self.engine.corridor.router.own_path(target) or b""
        return target.partition(b"?")[0] if _own(target) else b""


def _own(target: bytes) -> bool:
    path = target.partition(b"?")[0]
    return path == b"/abg" or path.startswith(b"/abg/")
