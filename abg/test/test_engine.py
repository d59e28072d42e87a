"""What the engine makes of a configuration, before any socket is there."""

from __future__ import annotations

import os
import stat
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from abg.book import Ask, Book, Verdict
from abg.budget import parse_budget
from abg.call import Call, Scope, Session
from abg.config import Config
from abg.dialects import DIALECTS
from abg.engine import Engine, Ids, admin_token, counting_budgets, price_table
from abg.errors import ConfigError, LedgerLocked
from abg.places import Places
from abg.test.playbook import START


class Reactor(Clock):
    """A clock that also stands for the threads' way back."""

    running = False

    def callFromThread(self, function, *arguments):
        self.callLater(0, function, *arguments)

    def listenTCP(self, *arguments, **options):
        raise AssertionError("no socket is opened here")


def places(folder: Path) -> Places:
    return Places.of({"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}, "linux")


def test_ignored_subscriptions_are_not_judged_but_their_own_rules_are():
    own = parse_budget({"name": "plan", "match": {"auth": "subscription"}, "limit_usd": "1"}, "x")
    config = Config(session_budget_usd=Decimal(0), subscription_budgets="ignore", budgets=(own,))
    rows = counting_budgets(config)
    assert [row.name for row in rows] == ["session", "daily", "plan"]
    assert rows[2] is own
    book = Book(rows[:2], config.zone)
    ask = Ask("1", Scope("s", auth="subscription"), Decimal(1), Decimal(1))
    assert book.admit(ask, START).verdict is Verdict.ALLOW
    ask = Ask("2", Scope("s", auth="api_key"), Decimal(1), Decimal(1))
    assert book.admit(ask, START).verdict is Verdict.BLOCK
    assert counting_budgets(Config()) == Config().budgets


def test_the_admin_token_is_made_once_and_is_the_users_alone(tmp_path):
    path = tmp_path / "state" / "admin-token"
    token = admin_token(path)
    assert len(token) >= 32
    assert admin_token(path) == token
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    path.write_text("short")
    assert len(admin_token(path)) >= 32
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="admin token"):
        admin_token(tmp_path / "file" / "admin-token")


@pytest.mark.skipif(os.name != "posix", reason="needs file modes and links")
def test_an_admin_token_that_lies_open_is_closed(tmp_path):
    path = tmp_path / "admin-token"
    for text in ("short", "x" * 40):
        path.write_text(text)
        path.chmod(0o666)
        token = admin_token(path)
        assert (token == text) == (len(text) >= 32)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    path.unlink()
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    path.symlink_to(theirs)
    assert len(admin_token(path)) >= 32
    assert theirs.read_text() == "precious"


def test_ids_never_repeat():
    first, second = Ids(), Ids()
    ids = {first() for _ in range(100)} | {second() for _ in range(100)}
    assert len(ids) == 200


def test_updated_prices_lie_over_the_built_in_ones(tmp_path):
    where = places(tmp_path)
    assert price_table(Config(), where).resolve("openai", "gpt-4.1").price == "table"
    where.price_file.parent.mkdir(parents=True, exist_ok=True)
    where.price_file.write_text("{")
    with pytest.raises(ConfigError, match=where.price_file.name):
        price_table(Config(), where)


class EngineTests(SynchronousTestCase):
    """Engines in a folder of their own, with a clock instead of a reactor."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.lines: list[str] = []

    def engine(self, **settings):
        reactor = Reactor()
        engine = Engine(
            Config(**settings), reactor, say=self.lines.append, places=places(self.folder)
        )
        engine.start()
        self.addCleanup(engine.stop)
        return engine, reactor

    def test_one_engine_a_ledger(self):
        self.engine()
        with self.assertRaises(LedgerLocked):
            Engine(Config(), Reactor(), say=self.lines.append, places=places(self.folder))

    def test_an_ephemeral_proxy_ends_with_its_last_lease(self):
        engine, reactor = self.engine()
        stopped: list[int] = []
        engine.on_stop = lambda: stopped.append(1)
        engine.lease("a", 30)
        engine.lease("b", 30)
        reactor.advance(20)
        engine.lease("a", 30)
        reactor.advance(15)
        self.assertEqual(engine.leases, 1)
        engine.lease("a", 0)
        reactor.advance(1)
        self.assertEqual(stopped, [], "a lasting proxy does not end")
        engine.ephemeral = True
        engine.lease("c", 10)
        reactor.advance(11)
        reactor.advance(1)
        self.assertEqual(stopped, [1])

    def test_what_runs_is_noted_every_few_seconds(self):
        engine, reactor = self.engine()
        call = Call("anthropic", "messages", "claude-opus-4-8", max_output_tokens=100_000)
        flight = engine.guard.ask(DIALECTS["anthropic"], call, Session("s"))
        engine.guard.depart(flight)
        flight.sent_at -= 300
        for _ in range(5):
            reactor.advance(1)
        side = engine.ledger_path.with_name(engine.ledger_path.name + ".inflight")
        self.assertIn('"progress"', side.read_text())

    def test_draining_with_nothing_under_way_is_done_at_once(self):
        engine, _ = self.engine()
        self.successResultOf(engine.drain())
