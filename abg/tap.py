"""``twist abg --config FILE``: options and service for Twisted's own runner."""

# twisted.application has no types of its own.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.python import usage

from abg.config import Loaded, load
from abg.errors import AbgError
from abg.places import Places
from abg.service import Server, raise_open_files, steady
from abg.wholefile import read_whole

__all__ = ["Options", "makeService"]


class Options(usage.Options):
    """The flags of ``twist abg``; the same as those of ``abg proxy``."""

    synopsis = "[options]"
    optParameters = [
        ["config", "c", None, "The configuration file (agentbillguard.yaml)."],
        ["port", "p", None, "The port to listen on."],
        ["host", None, None, "The address to listen on."],
    ]

    def postOptions(self) -> None:
        flags = {k: self[k] for k in ("config", "port", "host") if self[k] is not None}
        places = Places.of(os.environ, sys.platform)
        try:
            self.loaded = load(flags, os.environ, Path.cwd(), places, read_whole)
        except AbgError as error:
            raise usage.UsageError(f"[abg] {error}") from None


class TwistService(Service):
    """A server that Twisted starts and stops.

    A start that fails ends ``twist`` with the message, instead of a traceback and a program that
    runs on without a listener.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def startService(self) -> None:
        try:
            self._server.start()
        except AbgError as error:
            print(f"[abg] {error}", file=sys.stderr)
            raise SystemExit(2) from None
        super().startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self._server.stop()


def makeService(options: Any) -> IService:
    """The service ``twist`` runs."""
    from twisted.internet import reactor

    loaded: Loaded = options.loaded
    steady(reactor)
    raise_open_files()
    return TwistService(Server(loaded))
