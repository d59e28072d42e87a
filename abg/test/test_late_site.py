"""The Site behind the fast lane is made once, and only when a connection needs it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from abg.wire.late_site import LateSite


class Site:
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def doStart(self) -> None:
        self.told.append("start")

    def doStop(self) -> None:
        self.told.append("stop")

    def drain(self) -> None:
        self.told.append("drain")

    def buildProtocol(self, address: Any) -> str:
        return f"channel for {address}"


class LateSiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[str] = []

    def make(self) -> Site:
        self.told.append("made")
        return Site(self.told)

    def test_without_a_connection_there_is_none(self) -> None:
        site = LateSite(self.make)
        site.doStart()
        site.drain()
        site.doStop()
        self.assertEqual(self.told, [])

    def test_the_first_connection_makes_and_starts_it(self) -> None:
        site = LateSite(self.make)
        site.doStart()
        self.assertEqual(site.buildProtocol("a"), "channel for a")
        self.assertEqual(site.buildProtocol("b"), "channel for b")
        self.assertEqual(self.told, ["made", "start"])
        site.drain()
        site.doStop()
        self.assertEqual(self.told, ["made", "start", "drain", "stop"])

    def test_one_that_is_there_is_started_with_the_lane(self) -> None:
        site = LateSite(self.make)
        site.buildProtocol("a")
        site.doStart()
        self.assertEqual(self.told, ["made", "start"])
