"""What ``/abg/…`` tells and does, over a real journal and without sockets."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from abg.budget import parse_budget
from abg.call import Session
from abg.config import Config
from abg.custody import Grant
from abg.engine import Engine
from abg.errors import LedgerUnavailable
from abg.places import Places
from abg.test.playbook import CLAUDE, START, Client, Sent, Stage
from abg.test.test_engine import Reactor
from abg.web.admin import Admin, Refused

D = Decimal


class Vendors:
    """The way to the vendors: the last request, and a script for it."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def request(self, *what: Any) -> Sent:
        self.sent.append(Sent(*what))
        return self.sent[-1]

    def close(self) -> None: ...


class AdminTests(SynchronousTestCase):
    """One user's folder, and an engine that can be started again in it."""

    engine: Engine

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        state = {"HOME": folder.name, "XDG_STATE_HOME": str(Path(folder.name) / "state")}
        self.places = Places.of(state, "linux")
        self.lines: list[str] = []
        self.running = False
        self.addCleanup(self.stop)

    def start(self, **settings: Any) -> Admin:
        """Start, after a stop where it runs already."""
        self.stop()
        self.reactor, self.vendors = Reactor(), Vendors()
        config = Config(**{"timezone": "UTC", **settings})
        self.engine = Engine(
            config,
            self.reactor,
            say=self.lines.append,
            places=self.places,
            clock=lambda: START,
            upstreams=self.vendors,
        )
        self.engine.start()
        self.running = True
        self.admin = Admin(self.engine)
        return self.admin

    def stop(self) -> None:
        if self.running:
            self.engine.stop()
            self.running = False

    def call(self, session: str = "s", usd: str = "1", **headers: str) -> int:
        """A call that costs so much; its status."""
        fields = [
            *CLAUDE,
            *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()),
        ]
        target = f"/s/{session}/v1/messages".encode()
        client = Client(b"POST", target, fields, 2)
        client.handler = self.engine.corridor.begin(client)
        client.handler.body(b'{"model":"claude-opus-4-8","max_tokens":9}')
        client.handler.body_end()
        if not client.status:
            usage = {"input_tokens": int(D(usd) * 200_000), "output_tokens": 0}
            self.vendors.sent[-1].answer(
                200, {"type": "message", "model": "claude-opus-4-8", "usage": usage}
            )
        return client.status

    def refused(self, status: int, words: str, body: dict[str, Any]) -> None:
        with self.assertRaises(Refused) as caught:
            self.admin.raise_budget(body)
        self.assertEqual(caught.exception.status, status)
        self.assertIn(words, str(caught.exception))

    # -- status --------------------------------------------------------------------------------

    def test_the_status_says_what_programs_ask_it_for(self) -> None:
        status = self.start(hook_tells_model=True, subscription_budgets="ignore").status()
        self.assertEqual(
            {k: status[k] for k in ("custody", "ephemeral", "locked", "hook_tells_model")},
            {"custody": False, "ephemeral": False, "locked": False, "hook_tells_model": True},
        )
        self.assertEqual(status["subscription_budgets"], "ignore")

    def test_the_status_names_what_cannot_be_priced_or_metered(self) -> None:
        admin = self.start()
        self.engine.guard.tally.note_model("gpt-9")
        self.engine.guard.tally.note_unmetered("realtime")
        status = admin.status()
        self.assertEqual((status["unknown_models"], status["unmetered"]), (["gpt-9"], ["realtime"]))

    def test_what_is_said_of_a_session(self) -> None:
        admin = self.start()
        self.call("a", usd="2")
        info = admin.status()["session_info"]["a"]
        self.assertEqual(
            {k: info[k] for k in ("requests", "cost_usd", "budget_usd", "auth", "agent", "model")},
            {
                "requests": 1,
                "cost_usd": 2,
                "budget_usd": 5,
                "auth": "api_key",
                "agent": "unknown",
                "model": "claude-opus-4-8",
            },
        )

    def test_one_session_is_asked_about(self) -> None:
        admin = self.start()
        self.call("a", usd="2")
        self.call("b", usd="1")
        status = admin.status("a")
        self.assertEqual(status["sessions"], {"a": 2})
        self.assertEqual(list(status["session_info"]), ["a"])
        self.assertEqual(status["today_total_usd"], 3)
        rows = [(row["name"], row["key"], row["spent_usd"]) for row in status["budgets"]]
        self.assertEqual(rows, [("session", "a", 2), ("daily", "", 3)])

    def test_a_session_without_calls_has_its_budget_too(self) -> None:
        admin = self.start()
        admin.raise_budget({"session": "new", "to_usd": "2.50"})
        status = admin.status("new")
        self.assertEqual(status["sessions"], {"new": 0})
        info = status["session_info"]["new"]
        self.assertEqual((info["budget_usd"], info["requests"]), (D("2.50"), 0))
        row = status["budgets"][0]
        self.assertEqual((row["key"], row["limit_usd"], row["spent_usd"]), ("new", D("2.50"), 0))

    def test_the_sessions_used_last_are_asked_about(self) -> None:
        admin = self.start()
        for name in ("a", "b", "c", "a"):
            self.call(name)
        self.assertEqual(admin.status(recent=2)["sessions"], {"a": 2, "c": 1})
        self.assertEqual(set(admin.status(recent=2)["session_info"]), {"a", "c"})
        self.assertEqual(len(admin.status()["sessions"]), 3)

    def test_no_session_is_asked_about(self) -> None:
        admin = self.start()
        self.call("a")
        status = admin.status("")
        self.assertEqual((status["sessions"], status["session_info"]), ({}, {}))
        self.assertEqual([row["name"] for row in status["budgets"]], ["daily"])

    def test_the_page_loads_nothing_from_elsewhere(self) -> None:
        page = resources.files("abg").joinpath("page/index.html").read_text("utf-8")
        self.assertNotIn("//", page.replace("// ", ""))
        self.assertIn("prefers-color-scheme: dark", page)

    # -- raising -------------------------------------------------------------------------------

    def test_a_raise_tells_the_limit_in_force(self) -> None:
        admin = self.start()
        self.assertEqual(admin.raise_budget({"session": "s", "by_usd": 2.5})["limit_usd"], D("7.5"))
        self.assertEqual(admin.raise_budget({"budget": "daily", "by_usd": 1})["limit_usd"], 21)

    def test_a_budget_given_anew_replaces_the_one_before(self) -> None:
        admin = self.start()
        for to in (9, 7, 8):
            admin.raise_budget({"session": "s", "to_usd": to})
        self.assertEqual(admin.status("s")["session_info"]["s"]["budget_usd"], 8)
        self.assertEqual(len(self.engine.book.dump()["overrides"]["raises"]), 1)

    def test_raises_that_mean_nothing_are_refused(self) -> None:
        self.start(session_budget_usd=None)
        self.refused(400, "by_usd is more than 0", {"budget": "daily", "by_usd": 0})
        self.refused(400, "may not be negative", {"budget": "daily", "by_usd": -1})
        self.refused(400, "may not be negative", {"session": "s", "to_usd": "-1"})
        self.refused(400, "no limit", {"session": "s", "by_usd": 1})
        for amount in ("1e-30", 1e-30, "1e13"):
            self.refused(400, "could be meant", {"session": "s", "to_usd": amount})
        for amount in ("1_000", "\u0665", " 5"):
            self.refused(400, "not a decimal", {"session": "s", "to_usd": amount})
        self.refused(400, "either", {"session": "s"})
        self.refused(400, "either", {"session": "s", "by_usd": 1, "to_usd": 1})
        self.refused(400, "name a session", {"by_usd": 1})
        self.refused(404, "no budget named", {"budget": "dialy", "by_usd": 1})
        self.refused(400, "for_seconds", {"budget": "daily", "by_usd": 1, "for_seconds": 0})

    def test_only_budgets_of_sessions_have_a_part_for_each(self) -> None:
        rows = (
            parse_budget({"name": "all", "limit_usd": 9}, "test"),
            parse_budget({"name": "each", "per": "session", "limit_usd": 9}, "test"),
        )
        admin = self.start(budgets=rows)
        self.refused(400, "no part", {"budget": "all", "session": "s", "by_usd": 1})
        raised = admin.raise_budget({"budget": "each", "session": "s", "by_usd": 1})
        self.assertEqual(raised["limit_usd"], 10)

    def test_a_session_gets_a_budget_where_sessions_have_none(self) -> None:
        admin = self.start(session_budget_usd=None)
        admin.raise_budget({"session": "s", "to_usd": 2})
        asked = [self.call("s"), self.call("s"), self.call("s")]
        self.assertEqual(asked, [200, 200, 402])
        self.assertEqual([self.call("t") for _ in range(3)], [200] * 3)

    def test_limits_are_the_same_after_a_restart(self) -> None:
        admin = self.start()
        self.call("s")
        for body in (
            {"session": "s", "to_usd": "9"},
            {"session": "s", "by_usd": "0.25"},
            {"session": "t", "to_usd": "1"},
            {"session": "t", "to_usd": "3"},
            {"budget": "session", "by_usd": "0.5"},
            {"budget": "daily", "to_usd": "30", "for_seconds": 3600},
            {"budget": "daily", "session": "s", "by_usd": "1"},
        ):
            admin.raise_budget(body)
        said = [admin.status(name)["budgets"] for name in ("s", "t", "u")]
        self.assertEqual([rows[0]["limit_usd"] for rows in said], [D("9.75"), D("3.5"), D("5.5")])
        self.assertEqual(said[0][1]["limit_usd"], 31)
        for _ in range(2):
            # The first start folds the lines, or the checkpoint that the stop has left.
            again = self.start()
            self.assertEqual([again.status(n)["budgets"] for n in ("s", "t", "u")], said)
            for kept in self.places.ledger.parent.glob("*checkpoint*"):
                kept.unlink()

    # -- locked --------------------------------------------------------------------------------

    def test_locked_budgets_can_be_lowered_and_not_raised(self) -> None:
        admin = self.start(lock_budgets=True)
        self.refused(403, "lock", {"session": "s", "by_usd": 1})
        self.refused(403, "lock", {"session": "s", "to_usd": "5.01"})
        self.assertEqual(admin.raise_budget({"session": "s", "to_usd": 2})["limit_usd"], 2)
        self.assertEqual(admin.raise_budget({"session": "s", "to_usd": 2})["limit_usd"], 2)
        self.refused(403, "lock", {"session": "s", "to_usd": 3})
        self.assertEqual([self.call("s") for _ in range(3)], [200, 200, 402])

    def test_a_lowering_of_all_raises_nobody_who_is_lower_already(self) -> None:
        admin = self.start(lock_budgets=True)
        admin.raise_budget({"session": "s", "to_usd": 2})
        admin.raise_budget({"budget": "session", "to_usd": 4})
        for _ in range(2):
            limits = [admin.status(n)["session_info"][n]["budget_usd"] for n in ("s", "t")]
            self.assertEqual(limits, [2, 4])
            admin = self.start(lock_budgets=True)

    def test_a_lowering_for_a_time_frees_nothing_later(self) -> None:
        admin = self.start(lock_budgets=True)
        admin.raise_budget({"session": "s", "to_usd": 2})
        admin.raise_budget({"session": "s", "to_usd": 1, "for_seconds": 60})
        limit = self.engine.book.limit
        self.assertEqual(limit(START, session="s"), 1)
        self.assertEqual(limit(START.replace(hour=13), session="s"), 2)

    def test_a_locked_session_without_a_limit_may_get_one(self) -> None:
        admin = self.start(lock_budgets=True, session_budget_usd=None)
        self.assertEqual(admin.raise_budget({"session": "s", "to_usd": 2})["limit_usd"], 2)

    def test_a_token_raises_nothing_where_budgets_are_locked(self) -> None:
        for locked, limits in ((False, [9, 2]), (True, [5, 2])):
            stage = Stage(lock_budgets=locked)
            for name, budget in (("a", 9), ("b", 2)):
                grant = Grant(name, "0" * 64, name, D(budget), START)
                stage.guard.granted(Session("default"), grant)
            found = [stage.book.limit(START, session=name) for name in ("a", "b")]
            self.assertEqual(found, limits)

    def test_what_the_ledger_cannot_take_now_counts_already(self) -> None:
        stage = Stage()
        stage.ledger.broken = "the disk is full"
        with self.assertRaises(LedgerUnavailable):
            stage.guard.event("block", session_id="s")
        self.assertEqual(stage.book.status(START).blocked, ["s"])
        grant = Grant("a", "0" * 64, "a", D(2), START)
        self.assertEqual(stage.guard.granted(Session("default"), grant).id, "a")
        self.assertEqual(stage.book.limit(START, session="a"), 2)

    # -- leases --------------------------------------------------------------------------------

    def lease(self, seconds: float, **about: str) -> None:
        self.admin.lease({"id": "run-1", "ttl_seconds": seconds, **about})

    def test_a_new_lease_cancels_the_end(self) -> None:
        self.start()
        stopped: list[int] = []
        self.engine.on_stop = lambda: stopped.append(1)
        self.engine.live_on_leases()
        self.assertEqual(self.engine.leases, 0)
        self.lease(30)
        self.assertEqual(self.engine.leases, 1)
        self.lease(0)
        self.lease(30)
        self.reactor.advance(1)
        self.assertEqual(stopped, [])
        self.lease(0)
        self.lease(0)
        self.reactor.advance(1)
        self.assertEqual(stopped, [1])

    def test_nobody_took_a_lease(self) -> None:
        self.start()
        stopped: list[int] = []
        self.engine.on_stop = lambda: stopped.append(1)
        self.engine.live_on_leases()
        self.lease(0)
        self.reactor.advance(59)
        self.assertEqual(stopped, [], "giving back what was never taken ends nothing early")
        self.reactor.advance(1)
        self.reactor.advance(1)
        self.assertEqual(stopped, [1])
        self.assertTrue(self.admin.status()["ephemeral"])

    def test_who_unblocks_one_session_learns_who_is_blocked_still(self) -> None:
        admin = self.start()
        admin.block({"all": True})
        admin.block({"session": "s"})
        self.assertEqual(admin.unblock({"session": "s"}), {"unblocked": "s", "blocked": ["*"]})
        self.assertEqual(admin.unblock({"all": True}), {"unblocked": "*", "blocked": []})

    def test_what_a_reset_session_had_spent_is_of_its_day(self) -> None:
        admin = self.start()
        self.call("default", usd="2")
        self.assertEqual(admin.reset({"session": "default"})["was_usd"], 2)
        self.call("default", usd="2")
        self.engine.clock = lambda: START + timedelta(days=1)
        self.assertEqual(admin.reset({"session": "default"})["was_usd"], 0)

    def test_a_lease_says_which_project_a_session_works_on(self) -> None:
        self.start()
        self.lease(30, session="s", project="shop")
        self.lease(30, session="t", project="")
        self.call("s")
        self.call("s", x_abg_project="other")
        self.call("t")
        text = self.places.ledger.read_text("utf-8").splitlines()
        self.assertEqual(['"project":"shop"' in line for line in text], [True, False, False])
        self.assertIn('"project":"other"', text[1])
