"""Sums over every kind of window: exact, and the same in whatever order things come."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg import rolling
from abg.accounts import Accounts
from abg.rolling import SLACK, Timeline
from abg.sums import Calendrical, Lifetime, SessionLifetime
from abg.windows import Calendar, parse_window

UTC = timezone.utc
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TEN = 10 * MINUTE
D = Decimal


def timeline(*lengths: timedelta):
    line = Timeline()
    return line, *(line.window(length) for length in lengths)


def calendrical(kind="day", zone="UTC"):
    return Calendrical(Calendar(ZoneInfo(zone)), kind)


class TestLifetime:
    def test_everything_counts_for_ever(self):
        sums = Lifetime()
        sums.add("a", NOON, D("0.1"))
        sums.add("a", NOON + 9000 * timedelta(days=1), D("0.2"))
        assert sums.spent("a", NOON) == D("0.3")
        assert sums.spent("b", NOON) == 0
        assert sums.changes_at("a", NOON) is None
        assert sums.resets_at("a", NOON) is None
        assert sums.frees_at("a", NOON, lambda left: True) is None

    def test_sums_are_exact_far_beyond_a_float(self):
        sums = Lifetime()
        sums.add("a", NOON, D("1000000000000"))
        sums.add("a", NOON, D("1e-30"))
        assert str(sums.spent("a", NOON)) == "1000000000000." + "0" * 29 + "1"

    def test_the_last_used_come_first(self):
        sums = Lifetime()
        for key in "abca":
            sums.add(key, NOON, D(1))
        assert list(sums.keys(NOON)) == ["a", "c", "b"]

    def test_cleared_means_nothing_spent(self):
        sums = Lifetime()
        sums.add("a", NOON, D(1))
        sums.clear("a")
        sums.clear("unknown")
        assert list(sums.keys(NOON)) == ["a"]
        assert sums.spent("a", NOON) == 0


class TestCalendrical:
    def test_a_period_begins_at_nothing_exactly_at_its_edge(self):
        sums = calendrical()
        sums.add("a", NOON, D(2))
        midnight = NOON + timedelta(hours=12)
        assert sums.spent("a", midnight - timedelta(milliseconds=1)) == 2
        assert sums.spent("a", midnight) == 0
        assert sums.changes_at("a", NOON) == sums.resets_at("a", NOON) == midnight

    def test_when_the_clock_steps_back_the_old_period_is_there_again(self):
        sums = calendrical()
        tomorrow = NOON + timedelta(days=1)
        sums.add("a", NOON, D(2))
        sums.add("a", tomorrow, D(3))
        assert sums.spent("a", NOON) == 2
        assert sums.spent("a", tomorrow) == 3

    def test_what_ends_late_counts_where_it_was_admitted(self):
        sums = calendrical()
        tomorrow = NOON + timedelta(days=1)
        sums.add("a", tomorrow, D(3))
        sums.add("a", NOON, D(2))
        assert (sums.spent("a", NOON), sums.spent("a", tomorrow)) == (2, 3)

    def test_only_the_last_periods_are_kept(self):
        sums = calendrical()
        for day in range(5):
            sums.add("a", NOON + timedelta(days=day), D(1))
        assert [sums.spent("a", NOON + timedelta(days=d)) for d in range(5)] == [0, 0, 1, 1, 1]
        sums.add("a", NOON, D(1))
        assert sums.spent("a", NOON) == 0, "older than all that are kept"

    def test_when_it_frees_up(self):
        sums = calendrical()
        sums.add("a", NOON, D(2))
        midnight = NOON + timedelta(hours=12)
        assert sums.frees_at("a", NOON, lambda left: left < 2) == midnight
        assert sums.frees_at("a", NOON, lambda left: left < 0) is None

    def test_clearing_and_keys(self):
        sums = calendrical()
        sums.add("a", NOON - timedelta(days=1), D(1))
        sums.add("b", NOON, D(1))
        sums.add("a", NOON, D(1))
        assert list(sums.keys(NOON)) == ["a", "b"]
        sums.clear("a")
        assert sums.spent("a", NOON) == sums.spent("a", NOON - timedelta(days=1)) == 0

    def test_a_day_of_25_hours(self):
        sums = calendrical(zone="Europe/Berlin")
        night = datetime(2026, 10, 24, 22, tzinfo=UTC)
        sums.add("a", night, D(1))
        assert sums.spent("a", night + timedelta(hours=25) - timedelta(milliseconds=1)) == 1
        assert sums.spent("a", night + timedelta(hours=25)) == 0


class TestSessions:
    def make(self):
        return SessionLifetime(Calendar(UTC))

    def test_named_sessions_are_for_life_and_the_default_one_for_a_day(self):
        sums = self.make()
        tomorrow = NOON + timedelta(days=1)
        for name in ("default", "x"):
            sums.add(name, NOON, D(1))
        assert [sums.spent(name, NOON) for name in ("default", "x")] == [1, 1]
        assert [sums.spent(name, tomorrow) for name in ("default", "x")] == [0, 1]
        assert list(sums.keys(NOON)) == ["default", "x"]
        assert list(sums.keys(tomorrow)) == ["x"]

    def test_only_the_default_one_frees_up(self):
        sums = self.make()
        midnight = NOON + timedelta(hours=12)
        for look in (
            sums.changes_at,
            sums.resets_at,
            lambda key, now: sums.frees_at(key, now, lambda left: left < 1),
        ):
            assert look("default", NOON) == midnight
            assert look("x", NOON) is None

    def test_clearing(self):
        sums = self.make()
        for name in ("default", "x"):
            sums.add(name, NOON, D(1))
            sums.clear(name)
            assert sums.spent(name, NOON) == 0


class TestRolling:
    def test_an_amount_counts_exactly_as_long_as_the_window(self):
        line, ten = timeline(TEN)
        line.add("a", NOON, D(1))
        assert ten.spent("a", NOON) == 1
        assert ten.spent("a", NOON + TEN - timedelta(milliseconds=1)) == 1
        assert ten.spent("a", NOON + TEN) == 0
        assert ten.spent("b", NOON) == 0

    def test_windows_of_one_timeline_do_not_disturb_each_other(self):
        line, one, ten = timeline(MINUTE, TEN)
        for minute in range(5):
            line.add("a", NOON + minute * MINUTE, D(1))
        now = NOON + 4 * MINUTE
        assert (one.spent("a", now), ten.spent("a", now)) == (1, 5)
        line.add("a", NOON, D(10))
        assert (one.spent("a", now), ten.spent("a", now)) == (1, 15)

    def test_the_clock_may_step_back(self):
        line, ten = timeline(TEN)
        line.add("a", NOON, D(1))
        line.add("a", NOON + 8 * MINUTE, D(2))
        assert ten.spent("a", NOON + 15 * MINUTE) == 2
        assert ten.spent("a", NOON + 5 * MINUTE) == 3, "what came later counts as well"

    def test_when_it_changes_and_frees_up(self):
        line, ten = timeline(TEN)
        for minute, amount in ((0, 1), (1, 2), (2, 4)):
            line.add("a", NOON + minute * MINUTE, D(amount))
        now = NOON + 5 * MINUTE
        assert ten.changes_at("a", now) == NOON + TEN
        assert ten.frees_at("a", now, lambda left: left <= 4) == NOON + 11 * MINUTE
        assert ten.frees_at("a", now, lambda left: left < 0) is None
        assert ten.resets_at("a", now) is None
        late = NOON + timedelta(hours=1)
        assert ten.changes_at("a", late) is None
        assert ten.changes_at("b", late) is None
        assert ten.frees_at("b", late, lambda left: True) is None

    def test_old_amounts_are_forgotten_and_sums_stay(self):
        line, one, ten = timeline(MINUTE, TEN)
        for second in range(3600 * 3):
            at = NOON + timedelta(seconds=second)
            line.add("a", at, D(1))
            if second % 600 == 0:
                assert ten.spent("a", at) == min(600, second + 1)
                assert one.spent("a", at) == min(60, second + 1)
        track = line.track("a")
        reach = (TEN + SLACK).total_seconds()
        assert len(track.times) <= 2 * reach + rolling.FEW
        assert len(track.times) == len(track.amounts)

    def test_clearing(self):
        line, ten = timeline(TEN)
        line.add("a", NOON, D(1))
        line.clear("a")
        line.clear("b")
        assert ten.spent("a", NOON) == 0


class TestManyKeys:
    @pytest.fixture
    def few(self, monkeypatch):
        monkeypatch.setattr(rolling, "UNPACKED", 4)
        monkeypatch.setattr(rolling, "SWEEP", 8)

    def test_quiet_keys_are_packed_and_come_back_whole(self, few):
        line, ten = timeline(TEN)
        for number in range(50):
            line.add(f"k{number}", NOON + number * MINUTE / 10, D(number))
            line.add("busy", NOON + number * MINUTE / 10, D(1))
        now = NOON + 5 * MINUTE
        assert [ten.spent(f"k{n}", now) for n in range(50)] == list(range(50))
        assert ten.spent("busy", now) == 50
        assert set(ten.keys(now)) == {"busy", *(f"k{n}" for n in range(50))}
        line.clear("k3")
        line.clear("busy")
        assert ten.spent("k3", now) == ten.spent("busy", now) == 0

    def test_keys_whose_time_is_over_are_gone(self, few):
        line, ten = timeline(TEN)
        for number in range(100):
            line.add(f"k{number}", NOON, D(1))
        late = NOON + timedelta(days=1)
        assert list(ten.keys(late)) == []
        assert ten.spent("k1", late) == 0
        for number in range(120):
            line.add(f"later {number % 6}", late + number * MINUTE, D(1))
        assert len(line.dump()) < 20

    def test_a_key_of_which_all_is_forgotten_is_not_packed(self, few, monkeypatch):
        monkeypatch.setattr(rolling, "FEW", 2)
        line, ten = timeline(MINUTE)
        line.add("a", NOON, D(1))
        line.track("a").forget(NOON)
        for number in range(8):
            line.add(f"k{number}", NOON, D(1))
        assert "a" not in line.dump()
        assert list(ten.keys(NOON)).count("a") == 0


@given(
    amounts=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 4000), st.integers(-5, 9)), max_size=30
    ),
    asked=st.lists(st.integers(0, 4500), min_size=1, max_size=8),
    data=st.data(),
)
def test_every_window_is_a_pure_function_of_what_was_added(amounts, asked, data):
    """In any order, asked at any time in between, whole or dumped and loaded: the same sums."""
    length = timedelta(seconds=600)

    def run(order, looks):
        line, ten, hour = timeline(length, timedelta(hours=1))
        day = calendrical("day")
        for key, second, amount in order:
            for sums in (line, day):
                sums.add(key, NOON + timedelta(seconds=second), D(amount))
            for look in looks:
                ten.spent(key, NOON + timedelta(seconds=look))
                hour.spent(key, NOON + timedelta(seconds=look))
        return line, ten, hour, day

    shuffled = data.draw(st.permutations(amounts))
    _, ten, hour, day = run(amounts, asked)
    line, ten2, hour2, day2 = run(shuffled, [])
    dumped = json.loads(json.dumps([line.dump(), day2.dump()]))
    line3, ten3, hour3 = timeline(length, timedelta(hours=1))
    line3.load(dumped[0])
    day3 = calendrical("day")
    day3.load(dumped[1])
    for look in asked:
        now = NOON + timedelta(seconds=look)
        for key in "ab":
            mine = [(s, a) for k, s, a in amounts if k == key]
            for length_s, windows in ((600, (ten, ten2, ten3)), (3600, (hour, hour2, hour3))):
                expected = sum(a for s, a in mine if s > look - length_s)
                assert [w.spent(key, now) for w in windows] == [expected] * 3
            expected = sum(a for _, a in mine)
            assert [w.spent(key, now) for w in (day, day2, day3)] == [expected] * 3


class TestAccounts:
    def make(self):
        return Accounts(Calendar(UTC))

    def test_holds_end_at_exactly_nothing(self):
        accounts = self.make()
        accounts.hold("a", D("0.1"))
        accounts.hold("a", D("0.2"))
        accounts.hold("b", D(0))
        assert accounts.held == {"a": D("0.3")}
        accounts.release("a", D("0.1"))
        accounts.release("b", D(0))
        assert accounts.held == {"a": D("0.2")}
        accounts.release("a", D("0.2"))
        assert accounts.held == {}

    def test_all_windows_count_the_same_amounts(self):
        accounts = self.make()
        names = ["lifetime", "10m", "1h", "day", "month", "10m"]
        windows = [accounts.window(parse_window(name)) for name in names]
        assert accounts.windows == ("lifetime", "10m", "1h", "day", "month")
        assert len(accounts) == 5
        assert windows[1] is windows[5]
        accounts.add("a", NOON, D(1))
        assert [w.spent("a", NOON) for w in windows] == [1] * 6
        assert [w.spent("a", NOON + timedelta(hours=1)) for w in windows] == [1, 0, 0, 1, 1, 0]
        accounts.clear("a")
        assert [w.spent("a", NOON) for w in windows] == [0] * 6

    def test_clearing_many_keys_also_those_whose_window_has_passed(self):
        accounts = Accounts(Calendar(UTC), by_session=True)
        windows = [accounts.window(parse_window(n)) for n in ("lifetime", "10m", "day")]
        for key in ("a/x", "a/y", "b/x", "default"):
            accounts.add(key, NOON, D(1))
        accounts.clear_all("a/")
        accounts.clear_all("def")
        assert [w.spent("a/x", NOON) for w in windows] == [0, 0, 0]
        assert [w.spent("a/y", NOON) for w in windows] == [0, 0, 0]
        assert [w.spent("default", NOON) for w in windows] == [0, 0, 0]
        assert [w.spent("b/x", NOON) for w in windows] == [1, 1, 1]

    def test_a_dump_is_json_and_comes_back(self):
        def make():
            accounts = Accounts(Calendar(UTC), by_session=True)
            return accounts, [accounts.window(parse_window(n)) for n in ("lifetime", "6h", "week")]

        accounts, windows = make()
        for number, key in enumerate(["default", "x", "default", "y"]):
            accounts.add(key, NOON + number * MINUTE, D(number) / 7)
        again, others = make()
        again.load(json.loads(json.dumps(accounts.dump())))
        for key in ("default", "x", "y", "z"):
            now = NOON + TEN
            assert [w.spent(key, now) for w in windows] == [w.spent(key, now) for w in others]
        with pytest.raises(ValueError):
            self.make().load(accounts.dump())

    def test_the_adder_of_a_single_window_goes_straight_there(self):
        accounts = self.make()
        day = accounts.window(parse_window("day"))
        assert accounts.adder == day.add
        accounts.window(parse_window("week"))
        assert accounts.adder == accounts.add
