"""A busy vehicle's second, made of random walks: for figures that need many vehicles rather than real ones."""

from dataclasses import dataclass
from random import Random
from typing import Final

from edge.batcher import Draft, DraftColumn

START_MS: Final = 1_735_718_400_000  # 2025-01-01T08:00:00Z
STEP: Final = 0.125


@dataclass(frozen=True)
class Second:
    """How much is in a batch of 1 s."""

    signals: int = 20
    samples: int = 25

    @property
    def count(self) -> int:
        """Samples in all."""
        return self.signals * self.samples

    def draft(self, seed: int) -> Draft:
        """Equal seeds give equal batches."""
        random = Random(seed)
        columns = {f"Message{index // 5}.Signal{index:02}": self._column(random) for index in range(self.signals)}
        return Draft(columns=columns)

    def _column(self, random: Random) -> DraftColumn:
        level = random.randrange(8000)
        values = [STEP * (level + random.randrange(-8, 9)) for _ in range(self.samples)]
        return DraftColumn([START_MS + 1000 * place // self.samples for place in range(self.samples)], values)
