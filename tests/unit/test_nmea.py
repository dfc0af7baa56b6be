"""NMEA sentences to fixes."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.nmea import NmeaParser


def sentence(body: str) -> bytes:
    checksum = 0
    for byte in body.encode():
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode()


RMC = sentence("GPRMC,101530.00,A,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,A")
GGA = sentence("GPGGA,101530.00,4807.0380,N,01131.0000,E,1,08,0.9,545.4,M,46.9,M,,")
VTG = sentence("GPVTG,084.4,T,,M,10.0,N,18.52,K,A")
GSA = sentence("GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1")
NEXT = sentence("GPRMC,101531.00,V,,,,,,,230394,,,N")


def fixes_of(*sentences: bytes, day: date | None = None):
    parser = NmeaParser(day=day)
    return parser.feed(b"".join(sentences), 1_000) + parser.end()


def test_sentences_of_an_epoch_give_one_fix() -> None:
    (fix,) = fixes_of(RMC, VTG, GGA, GSA)
    assert (fix.lat, fix.lon) == pytest.approx((48.1173, 11.516667), abs=1e-6)
    assert (fix.alt, fix.course, fix.hdop, fix.sats) == (545.4, 84.4, 0.9, 8)
    assert fix.speed == pytest.approx(18.52)
    assert fix.t_ms == 1_000
    assert fix.utc_ms == int(datetime(1994, 3, 23, 10, 15, 30, tzinfo=UTC).timestamp() * 1000)


def test_fix_is_stamped_with_the_reception_of_its_first_sentence() -> None:
    parser = NmeaParser()
    assert parser.feed(RMC, 1_000) == []
    assert parser.feed(GGA, 1_080) == []
    (fix,) = parser.feed(NEXT, 2_000)
    assert fix.t_ms == 1_000


def test_pause_of_the_receiver_gives_the_fix_at_once_and_only_once() -> None:
    parser = NmeaParser()
    parser.feed(RMC + GGA, 1_000)
    assert len(parser.flush()) == 1
    assert parser.flush() == []
    assert parser.feed(sentence("GPGNS,101530.00,4807.0380,N,01131.0000,E,AN,08,0.9,545.4,46.9,,"), 1_200) == []
    assert parser.feed(NEXT, 2_000) == []
    assert parser.counts.fixes == 1


def test_speed_sentence_ahead_of_its_epoch_belongs_to_it() -> None:
    parser = NmeaParser(day=date(2024, 1, 1))
    parser.feed(VTG + GGA)
    parser.flush()
    parser.feed(sentence("GPVTG,090.0,T,,M,20.0,N,37.04,K,A"))
    parser.feed(sentence("GPGGA,101531.00,4807.0380,N,01131.0000,E,1,08,0.9,545.4,M,46.9,M,,"))
    (fix,) = parser.flush()
    assert fix.speed == 37.04


@pytest.mark.parametrize(
    "denial",
    [
        sentence("GPRMC,101530.00,V,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,A"),
        sentence("GPRMC,101530.00,A,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,N"),
        sentence("GPGGA,101530.00,4807.0380,N,01131.0000,E,0,00,99.9,,M,,M,,"),
        sentence("GNGNS,101530.00,4807.0380,N,01131.0000,E,NN,00,99.9,,,,"),
        sentence("GPGSA,A,1,,,,,,,,,,,,,,,"),
    ],
)
def test_epoch_that_denies_a_fix_gives_none(denial: bytes) -> None:
    assert fixes_of(RMC, denial) == []
    assert fixes_of(denial, GGA) == []


def test_one_constellation_without_satellites_does_not_deny_the_fix() -> None:
    assert len(fixes_of(RMC, GSA, sentence("GLGSA,A,1,,,,,,,,,,,,,,,"))) == 1


def test_gns_gives_a_fix_of_any_talker() -> None:
    (fix,) = fixes_of(sentence("GNGNS,014035.00,4332.69262,S,17235.48549,W,RR,13,0.9,25.63,11.24,,"))
    assert (fix.lat, fix.lon) == pytest.approx((-43.544877, -172.591425), abs=1e-6)
    assert (fix.sats, fix.hdop, fix.alt) == (13, 0.9, 25.63)


def test_date_comes_from_zda_or_the_caller_and_rolls_over_midnight() -> None:
    def gga(time: str) -> bytes:
        return sentence(f"GPGGA,{time},4807.0380,N,01131.0000,E,1,08,0.9,545.4,M,46.9,M,,")

    (with_zda,) = fixes_of(gga("101530.00"), sentence("GPZDA,101530.00,05,06,2024,00,00"))
    assert with_zda.utc_ms == int(datetime(2024, 6, 5, 10, 15, 30, tzinfo=UTC).timestamp() * 1000)
    before, after = fixes_of(gga("235959.50"), gga("000000.50"), day=date(2024, 2, 28))
    assert before.utc_ms is not None
    assert after.utc_ms == before.utc_ms + 1_000
    (undated,) = fixes_of(gga("101530.00"))
    assert undated.utc_ms is None


def test_date_of_an_epoch_without_a_fix_holds_for_those_that_follow() -> None:
    zda = sentence("GPZDA,101529.50,23,03,1994,00,00")
    (dated,) = fixes_of(zda, GGA)
    assert dated.utc_ms == int(datetime(1994, 3, 23, 10, 15, 30, tzinfo=UTC).timestamp() * 1000)


def test_impossible_date_costs_only_the_time() -> None:
    (fix,) = fixes_of(sentence("GPRMC,101530.00,A,4807.0380,N,01131.0000,E,,,000000,,,A"))
    assert (fix.utc_ms, fix.speed, fix.course) == (None, None, None)


@pytest.mark.parametrize(
    "body",
    [
        "GPRMC,101530.00,A,4860.0380,N,01131.0000,E,10.0,084.4,230394,,,A",
        "GPRMC,101530.00,A,9107.0380,N,01131.0000,E,10.0,084.4,230394,,,A",
        "GPRMC,101530.00,A,4807.0380,X,01131.0000,E,10.0,084.4,230394,,,A",
        "GPRMC,101530.00,A,4807.0380,N,01131.0000,,10.0,084.4,230394,,,A",
        "GPRMC,101530.00,A,4807.0380,N,,,10.0,084.4,230394,,,A",
        "GPRMC,251530.00,A,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,A",
        "GPRMC,101530.00,A,4807.0380,N,01131.0000,E,-10.0,084.4,230394,,,A",
        "GPRMC,101530.00,A,4807.0380,N,01131.0000,E,nan,084.4,230394,,,A",
        "GPRMC,101530.00,A,4807.0380,N,01131.0000,E,1_0,084.4,230394,,,A",
        "GPRMC,101530.00,A,48",
        "GPGGA,101530.00,4807.0380,N,01131.0000,E,x,08,0.9,545.4,M,46.9,M,,",
        "GPGGA,101530.00,4807.0380,N,01131.0000,E,1,300,0.9,545.4,M,46.9,M,,",
    ],
)
def test_malformed_field_gives_no_position(body: str) -> None:
    parser = NmeaParser()
    assert parser.feed(sentence(body)) + parser.end() == []
    assert parser.counts.malformed == 1


def test_wrong_or_missing_checksum_gives_no_position() -> None:
    parser = NmeaParser()
    wrong = RMC.replace(b"4807", b"4817")
    assert parser.feed(wrong + RMC.split(b"*")[0] + b"\r\n" + RMC[:-3] + b"\r\n") + parser.end() == []
    assert (parser.counts.bad_checksum, parser.counts.broken, parser.counts.sentences) == (1, 2, 0)


def test_two_sentences_in_a_line_nul_bytes_and_rubbish_are_told_apart() -> None:
    parser = NmeaParser()
    rubbish = bytes(range(128, 256)) + b"\x00\x00"
    data = rubbish + b"$GPRMC,101530.00,A,4807\x00\x00\x00   \r\n" + b"$GPGSV,1,1" + RMC.strip() + GGA + b"\x00\x00"
    (fix,) = parser.feed(data) + parser.end()
    assert fix.sats == 8
    assert parser.counts.broken == 2


def test_endless_line_is_bounded() -> None:
    parser = NmeaParser()
    for _ in range(100):
        parser.feed(b"$" + b"A" * 99)
        parser.feed(b"B" * 300)
    assert len(parser.feed(b"\r\n" + RMC + NEXT)) == 1


def test_foreign_sentences_are_counted_apart() -> None:
    parser = NmeaParser()
    parser.feed(sentence("PLCS,REV,PLN012054S07") + sentence("GPGSV,1,1,00,,,,,,,,,,,,,,,,") + sentence("GPTXT,hello"))
    assert (parser.counts.other, parser.counts.used) == (3, 0)


@given(st.lists(st.integers(1, 40), min_size=1))
def test_portions_of_input_do_not_matter(sizes: list[int]) -> None:
    data = RMC + VTG + GGA + GSA + NEXT + b"$GPBAD*00\r\n" + RMC.replace(b"\r\n", b"") + GGA
    whole = NmeaParser()
    expected = whole.feed(data) + whole.end()
    parser, got, at, turn = NmeaParser(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        got += parser.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert got + parser.end() == expected
    assert parser.counts == whole.counts


@given(st.binary())
def test_any_bytes_are_counted_and_never_raise(data: bytes) -> None:
    parser = NmeaParser()
    parser.feed(data)
    parser.end()
    counts = parser.counts
    assert counts.sentences == counts.used + counts.other + counts.malformed
    assert counts.epochs == counts.fixes + counts.no_fix
