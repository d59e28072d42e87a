"""Windows: their names, and the exact instants at which calendar periods turn."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.windows import EARLIEST, LATEST, Calendar, Window, instant, parse_window

UTC = timezone.utc
SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


@pytest.mark.parametrize("text", ["lifetime", "day", "week", "month"])
def test_windows_by_name(text):
    window = parse_window(text)
    assert window == Window(text)
    assert str(window) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("6h", 21600), ("7d", 604800), ("366d", 31622400)],
)
def test_rolling_windows(text, seconds):
    window = parse_window(text)
    assert (window.kind, window.length) == ("rolling", timedelta(seconds=seconds))
    assert str(window) == text


@pytest.mark.parametrize("text", ["", "hour", "10", "m", "-5m", "1.5h", "10 m", "10M", "٣m"])
def test_what_is_no_window(text):
    with pytest.raises(ValueError, match="a window is lifetime, day"):
        parse_window(text)


@pytest.mark.parametrize("text", ["0s", "367d", "999999999d"])
def test_a_rolling_window_has_bounds(text):
    with pytest.raises(ValueError, match="between 1s and 366d"):
        parse_window(text)


@pytest.mark.parametrize(
    ("zone", "kind", "now", "start", "end"),
    [
        # Ordinary days, weeks from Monday, months.
        ("UTC", "day", "2026-11-25T12:00", "2026-11-25T00:00", "2026-11-26T00:00"),
        ("Europe/Berlin", "day", "2026-11-25T23:00", "2026-11-25T23:00", "2026-11-26T23:00"),
        ("UTC", "week", "2026-11-25T12:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("UTC", "week", "2026-11-23T00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("UTC", "month", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        # Leap day.
        ("UTC", "day", "2028-02-29T12:00", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("UTC", "month", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("UTC", "month", "2027-02-28T12:00", "2027-02-01T00:00", "2027-03-01T00:00"),
        # The clocks go forward: a day of 23 hours; back: one of 25.
        ("Europe/Berlin", "day", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "day", "2026-10-25T00:30", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("Europe/Berlin", "week", "2026-10-25T12:00", "2026-10-18T22:00", "2026-10-25T23:00"),
        # No midnight on that night: the day begins at one o'clock.
        ("Asia/Beirut", "day", "2026-03-29T12:00", "2026-03-28T22:00", "2026-03-29T21:00"),
        # Midnight twice: the first one begins the day.
        ("America/Havana", "day", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00"),
        # At 00:01 back to 23:01: the minute after midnight and the hour after it are one day.
        ("America/St_Johns", "day", "2008-11-02T02:30:30", "2008-11-02T02:30", "2008-11-03T03:30"),
        ("America/St_Johns", "day", "2008-11-02T03:00", "2008-11-02T02:30", "2008-11-03T03:30"),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "day", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00"),
        ("Pacific/Apia", "day", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    ],
)
def test_periods(zone, kind, now, start, end):
    period = Calendar(ZoneInfo(zone)).period(kind, at(now))
    assert (period.start, period.end) == (at(start), at(end))


def test_an_edge_belongs_to_the_new_period():
    calendar = Calendar(ZoneInfo("Europe/Berlin"))
    edge = at("2026-11-24T23:00")
    assert calendar.period("day", edge - timedelta(microseconds=1)).end == edge
    assert calendar.period("day", edge).start == edge


@given(
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut", "America/St_Johns"]
        + ["Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"]
    ),
    kind=st.sampled_from(["day", "week", "month"]),
    moments=st.lists(
        st.integers(0, 50 * 365 * 86400).map(lambda s: at("1985-01-01T00:00") + s * SECOND),
        min_size=1,
        max_size=5,
    ),
)
def test_periods_follow_one_another_without_gap_or_overlap(zone, kind, moments):
    calendar = Calendar(ZoneInfo(zone))
    for moment in moments:
        period = calendar.period(kind, moment)
        assert period.start <= moment < period.end
        assert calendar.period(kind, period.start) == period
        assert calendar.period(kind, period.end).start == period.end
        before = calendar.period(kind, period.start - timedelta(microseconds=1))
        assert before.end == period.start


class HalfPastEleven(tzinfo):
    """A zone whose clocks go from 23:30 to 00:30, as none does any more."""

    leaps = datetime(2026, 3, 1, 23, 30)  # noqa: DTZ001

    def utcoffset(self, moment):
        after = moment.replace(tzinfo=None) >= self.leaps + timedelta(hours=1)
        return timedelta(hours=1 if after else 0)

    def dst(self, moment):
        return timedelta(0)

    def tzname(self, moment):
        return "odd"

    def fromutc(self, moment):
        late = moment.replace(tzinfo=None) >= self.leaps
        return moment + timedelta(hours=1 if late else 0)


def test_a_gap_that_begins_before_midnight_leaves_no_hole():
    calendar = Calendar(HalfPastEleven())
    before, after = at("2026-03-01T23:45"), at("2026-03-02T00:00")
    assert calendar.period("day", before).end == after
    assert calendar.period("day", after).start == after


@pytest.mark.parametrize("kind", ["day", "week", "month"])
@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/Havana"])
def test_instants_at_the_end_of_time_have_a_period(kind, zone):
    calendar = Calendar(ZoneInfo(zone))
    assert calendar.period(kind, datetime.min.replace(tzinfo=UTC)).start <= EARLIEST
    assert calendar.period(kind, datetime.max.replace(tzinfo=UTC)).end > LATEST


def test_an_instant_is_utc_and_whole_milliseconds():
    moment = datetime(2026, 11, 25, 12, 0, 0, 123_999, tzinfo=ZoneInfo("Europe/Berlin"))
    assert instant(moment) == datetime(2026, 11, 25, 11, 0, 0, 123_000, tzinfo=UTC)
    whole = datetime(2026, 11, 25, 11, 0, 0, 5000, tzinfo=UTC)
    assert instant(whole) is whole


@pytest.mark.parametrize(
    ("text", "counts_as"),
    [
        ("0001-01-01T00:00:00+09:00", EARLIEST),
        ("1970-12-31T23:59:59+00:00", EARLIEST),
        ("9000-01-01T00:00:00+00:00", LATEST),
        ("9999-12-31T23:59:59-09:00", LATEST),
    ],
)
def test_instants_that_no_window_can_hold_count_as_the_nearest(
    text: str, counts_as: datetime
) -> None:
    assert instant(datetime.fromisoformat(text)) == counts_as
