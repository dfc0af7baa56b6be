"""Which clock is believed, and what a receiver says of the time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock.clock_trust import ClockTrust, KnownTime, Reading
from edge.clock.gps_time import AGREEING_FIXES, GpsTime
from edge.clock.kernel_clock import KernelClock, keeps_time
from edge.clock.plausible_time import ROLLOVER_MS, SOFTWARE_DATE, is_plausible, unroll

S_NS = 1_000_000_000
HOUR_NS = 3600 * S_NS


def ms(year: int, month: int = 1, day: int = 1, *clock: int) -> int:
    return round(datetime(year, month, day, *clock, tzinfo=UTC).timestamp() * 1000)


NOW_MS = ms(2027, 5, 6, 7, 8, 9)


def reading(offset_ms: int, boot_s: float = 100, *, synchronised: bool | None = False) -> Reading:
    boot_ns = round(boot_s * S_NS)
    return Reading(boot_ns, boot_ns + offset_ms * 1_000_000, synchronised)


def trust(kind="auto", *, keeps_time: bool = False, known: KnownTime | None = None) -> ClockTrust:
    return ClockTrust(kind, keeps_time=keeps_time, known=known)


# The date


@pytest.mark.parametrize("year", [1970, 1980, 1999, 2024, 2100, 2106])
def test_year_that_cannot_be(year: int) -> None:
    assert not is_plausible(ms(year))


def test_time_beyond_32_bits_can_be() -> None:
    end_ms = 2**31 * 1000
    assert ms(2038, 1, 19, 3, 14, 8) == end_ms
    assert is_plausible(end_ms)
    assert unroll(end_ms) == end_ms


@given(st.integers(0, ROLLOVER_MS // 2 - 1))
def test_rollover_is_undone_in_the_ten_years_after_the_software(ahead_ms: int) -> None:
    truth_ms = int(SOFTWARE_DATE.timestamp() * 1000) + ahead_ms
    assert unroll(truth_ms) == truth_ms
    assert unroll(truth_ms - ROLLOVER_MS) == truth_ms


@pytest.mark.parametrize(
    "said_ms",
    [
        ms(1970),
        ms(1980, 1, 6),  # the beginning of GPS time: a receiver that knows nothing
        ms(1999, 8, 22),  # the first rollover
        ms(2019, 4, 7),  # the second
        ms(2021, 7, 26),  # a recording that is played
        ms(2024, 12, 31),
        ms(2100),
    ],
)
def test_date_that_a_receiver_makes_up_is_no_date(said_ms: int) -> None:
    assert unroll(said_ms) is None


# The receiver


def hear(gps: GpsTime, times: list[tuple[int, float]]) -> list[int | None]:
    """Times that it tells in ms, and boot times in s."""
    return [gps.hear(utc_ms, round(boot_s * S_NS)) for utc_ms, boot_s in times]


def test_fixes_that_agree_tell_the_time_with_the_least_delay() -> None:
    delays = [0.4, 0.2, 0.1, 0.45, 0.3]
    *first, last = hear(GpsTime(), [(NOW_MS + n * 1000, 50 + n + delay) for n, delay in enumerate(delays)])
    assert first == [None] * (AGREEING_FIXES - 1)
    assert last == NOW_MS * 1_000_000 - round(50.1 * S_NS)


@pytest.mark.parametrize(
    "times",
    [
        pytest.param([(NOW_MS, 50 + n) for n in range(60)], id="stands still"),
        pytest.param([(NOW_MS + n * 20_000, 50 + n) for n in range(60)], id="is played twenty times as fast"),
        pytest.param([(NOW_MS + n * 500, 50 + n) for n in range(60)], id="is played at half the speed"),
        pytest.param([(NOW_MS + n * 1000 + n % 4 * 3_600_000, 50 + n) for n in range(60)], id="jumps"),
        pytest.param([(NOW_MS - n * 1000, 50 + n) for n in range(60)], id="goes back"),
        pytest.param([(ms(1999, 8, 22) + n * 1000, 50 + n) for n in range(60)], id="begins at a fixed date"),
        pytest.param([(ms(2021, 7, 26) + n * 1000, 50 + n) for n in range(60)], id="is a recording"),
        pytest.param([(NOW_MS + n * 100, 50 + n / 10) for n in range(20)], id="two seconds are too few"),
        pytest.param([(NOW_MS + n * 400_000, 50 + n * 400) for n in range(20)], id="a fix now and then"),
    ],
)
def test_receiver_that_is_not_believed(times: list[tuple[int, float]]) -> None:
    assert set(hear(GpsTime(), times)) == {None}


def test_receiver_that_comes_to_its_senses_is_believed() -> None:
    gps = GpsTime()
    lies = [(ms(1999, 8, 22) + n * 1000, 10 + n) for n in range(10)]
    truth = [(NOW_MS + n * 1000, 20 + n) for n in range(AGREEING_FIXES)]
    assert hear(gps, lies + truth)[-1] == NOW_MS * 1_000_000 - 20 * S_NS
    assert gps.refused == len(lies)
    assert gps.hear(None, 0) is None


def test_old_receiver_is_believed_across_the_rollover_of_its_week() -> None:
    times = [(NOW_MS - ROLLOVER_MS + n * 1000, 20 + n) for n in range(AGREEING_FIXES)]
    assert hear(GpsTime(), times)[-1] == NOW_MS * 1_000_000 - 20 * S_NS


@pytest.mark.parametrize(
    "moment",
    [datetime(2028, 2, 28, 23, 59, 57, tzinfo=UTC), datetime(2028, 12, 31, 23, 59, 57, tzinfo=UTC)],
    ids=["leap day", "end of a leap year"],
)
def test_time_passes_evenly_over_the_days_of_a_leap_year(moment: datetime) -> None:
    times = [(round((moment + timedelta(seconds=n)).timestamp() * 1000), 20 + n) for n in range(6)]
    assert hear(GpsTime(), times)[-1] == round(moment.timestamp()) * S_NS - 20 * S_NS


# The trust


def test_ntp_is_believed_at_once_and_holds_whatever_the_clock_does_then() -> None:
    subject = trust()
    subject.look(reading(ms(2025, 6)))
    assert subject.known is None
    subject.look(reading(NOW_MS, synchronised=True))
    assert subject.known == KnownTime(NOW_MS * 1_000_000, "ntp")
    for elsewhere in (ms(1970), ms(2038, 2), NOW_MS + 3_600_000, NOW_MS - 3_600_000):
        subject.look(reading(elsewhere))
        assert subject.known == KnownTime(NOW_MS * 1_000_000, "ntp")
    subject.look(reading(NOW_MS + 250, synchronised=True))
    assert subject.known == KnownTime((NOW_MS + 250) * 1_000_000, "ntp")


def test_leap_second_is_followed() -> None:
    subject = trust()
    subject.look(reading(NOW_MS, synchronised=True))
    subject.look(reading(NOW_MS - 1000, synchronised=True))
    assert subject.known == KnownTime((NOW_MS - 1000) * 1_000_000, "ntp")


def test_ntp_that_tells_what_cannot_be_is_not_believed() -> None:
    subject = trust("system", keeps_time=True)
    subject.look(reading(ms(1970), synchronised=True))
    assert subject.known is None


@pytest.mark.parametrize(
    ("kind", "keeps", "synchronised", "source"),
    [
        ("auto", False, False, None),
        ("auto", True, False, "battery"),
        ("auto", False, None, "system"),
        ("strict", True, False, None),
        ("strict", True, None, None),
        ("strict", True, True, "ntp"),
        ("system", False, False, "system"),
        ("system", False, True, "ntp"),
    ],
)
def test_who_is_believed(kind: str, keeps: bool, synchronised: bool | None, source: str | None) -> None:
    subject = trust(kind, keeps_time=keeps)
    subject.look(reading(NOW_MS, synchronised=synchronised))
    assert (subject.known and subject.known.source) == source


def test_clock_that_nothing_confirms_is_followed_but_not_to_where_it_cannot_be() -> None:
    subject = trust(keeps_time=True)
    for offset_ms, expected_ms in ((NOW_MS, NOW_MS), (ms(1970), NOW_MS), (NOW_MS + 60_000, NOW_MS + 60_000)):
        subject.look(reading(offset_ms))
        assert subject.known == KnownTime(expected_ms * 1_000_000, "battery")
    subject.look(reading(NOW_MS, synchronised=True))
    assert subject.known == KnownTime(NOW_MS * 1_000_000, "ntp")


def test_gps_tells_the_time_where_nobody_else_does() -> None:
    subject = trust("strict")
    system = reading(ms(2025, 6))
    subject.look(system)
    subject.hear_gps(NOW_MS * 1_000_000, system)
    assert subject.known == KnownTime(NOW_MS * 1_000_000, "gps")
    subject.hear_gps((NOW_MS + 300) * 1_000_000, system)
    assert subject.known == KnownTime(NOW_MS * 1_000_000, "gps"), "it does not follow the jitter"
    subject.hear_gps((NOW_MS + 3000) * 1_000_000, system)
    assert subject.known == KnownTime((NOW_MS + 3000) * 1_000_000, "gps"), "it learned of leap seconds"
    subject.look(reading(NOW_MS, synchronised=True))
    subject.hear_gps(ms(2030) * 1_000_000, system)
    assert subject.known == KnownTime(NOW_MS * 1_000_000, "ntp")


def test_gps_confirms_a_system_clock_that_is_right() -> None:
    subject = trust("strict")
    subject.hear_gps((NOW_MS - 400) * 1_000_000, reading(NOW_MS))
    assert subject.known == KnownTime(NOW_MS * 1_000_000, "gps")


# The computer


def test_this_computers_clocks_are_read() -> None:
    clock = KernelClock()
    first, second = clock.read(), clock.read()
    assert first.boot_ns < second.boot_ns
    assert abs(first.offset_ns - second.offset_ns) < S_NS
    assert KernelClock().boot_id == clock.boot_id


def test_computer_without_a_clock_of_its_own(tmp_path) -> None:
    assert keeps_time("x86_64", tmp_path, now_s=1.0)
    assert not keeps_time("aarch64", tmp_path, now_s=1.8e9)
    chip = tmp_path / "rtc0"
    chip.mkdir()
    assert not keeps_time("aarch64", tmp_path, now_s=1.8e9)
    (chip / "since_epoch").write_text("12\n")
    assert not keeps_time("aarch64", tmp_path, now_s=1.8e9)
    (chip / "since_epoch").write_text("1799999998\n")
    assert keeps_time("aarch64", tmp_path, now_s=1.8e9)
