"""What hypothesis draws in more than one test."""

from hypothesis import strategies as st

from wire.model import Column

numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(float),
    st.decimals(-1000, 1000, places=3, allow_nan=False).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def columns(draw: st.DrawFn, *, earliest_ms: int = 0, latest_ms: int = 5000) -> Column:
    """Up to six samples at rising times, which may be equal."""
    dt = sorted(draw(st.lists(st.integers(earliest_ms, latest_ms), max_size=6)))
    return Column(dt=dt, v=draw(st.lists(numbers, min_size=len(dt), max_size=len(dt))))
