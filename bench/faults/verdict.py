"""What a round is judged by: what the spools called stored, against a count of every row in the database."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.faults.vehicles import StagedVehicle
from cloud.database import Pool
from wire.ranges import RangeSet

_SAMPLES: Final = """
SELECT s.name, extract(epoch FROM r.ts) * 1000 AS t_ms, r.value
FROM samples r JOIN signals s ON s.id = r.signal_id JOIN vehicles v ON v.id = r.vehicle_id WHERE v.ident = $1
"""
_OTHERS: Final = """
SELECT (SELECT count(*) FROM fixes WHERE vehicle_id = v.id)
     + (SELECT count(*) FROM device_events WHERE vehicle_id = v.id AND kind = 'fault_bench')
FROM vehicles v WHERE v.ident = $1
"""
_LEDGER: Final = """
SELECT l.received::text, l.dead::text, l.lost::text, l.next
FROM ledger l JOIN vehicles v ON v.id = l.vehicle_id WHERE v.ident = $1
"""


@dataclass(frozen=True)
class Result:
    """A round of `trials` faults of one kind. `acknowledged` are batches, `gap` sequence numbers, the others rows."""

    trials: int
    acknowledged: int
    stored: int
    undisturbed: int
    lost: int
    duplicated: int
    wrong: int
    gap: int
    recovery_s: list[float]
    peak_rss: dict[str, int]

    @property
    def is_good(self) -> bool:
        """Nothing lost, doubled, invented or missing, and exactly the rows of a run that nobody disturbs."""
        return self.stored == self.undisturbed and not (self.lost or self.duplicated or self.wrong or self.gap)


async def judge(
    pool: Pool, vehicles: Sequence[StagedVehicle], recovery_s: list[float], peak_rss: dict[str, int]
) -> Result:
    """Everything is settled; read every row of these vehicles."""
    stored = undisturbed = lost = duplicated = wrong = gap = 0
    for vehicle in vehicles:
        recorded = vehicle.recorded
        rows = await pool.fetch(_SAMPLES, vehicle.ident)
        found = Counter((row["name"], int(row["t_ms"]), row["value"]) for row in rows)
        wanted = Counter(recorded.samples)
        others = await pool.fetchval(_OTHERS, vehicle.ident)
        stored += found.total() + others
        undisturbed += wanted.total() + recorded.fixes + recorded.events
        lost += (wanted - found).total()
        duplicated += found.total() - len(found)
        wrong += len(found.keys() - wanted.keys())
        for row in await pool.fetch(_LEDGER, vehicle.ident):
            received, dead, lost_there = (RangeSet.from_pg(row[column]) for column in ("received", "dead", "lost"))
            gap += len((received | dead | lost_there).gaps(row["next"])) + len(dead) + len(lost_there)
    return Result(
        trials=len(recovery_s),
        acknowledged=sum(vehicle.outbox.counts.settled for vehicle in vehicles),
        stored=stored,
        undisturbed=undisturbed,
        lost=lost,
        duplicated=duplicated,
        wrong=wrong,
        gap=gap,
        recovery_s=recovery_s,
        peak_rss=dict(peak_rss),
    )


def table(rows: Sequence[tuple[str, Sequence[Result]]]) -> str:
    """As docs/reliability.md has it."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for fault, results in rows:
        times = sorted(time for result in results for time in result.recovery_s)
        names = ("trials", "acknowledged", "stored", "undisturbed", "lost", "duplicated", "gap")
        counts = " | ".join(f"{sum(getattr(result, name) for result in results):,}" for name in names)
        recovery = f"{_quantile(times, 0.5):.1f} s, {_quantile(times, 0.99):.1f} s"
        memory = ", ".join(f"{max(result.peak_rss.get(name, 0) for result in results) / 1e6:.0f}" for name in _OURS)
        lines.append(f"| {fault} | {counts} | {recovery} | {memory} MB |")
    return "\n".join(lines)


_OURS: Final = ("ingest", "writer", "web")
_COLUMNS: Final = (
    "fault",
    "trials",
    "batches acknowledged",
    "rows stored",
    "rows undisturbed",
    "lost",
    "duplicated",
    "gap",
    "recovery: median, p99",
    f"peak RSS: {', '.join(_OURS)}",
)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
