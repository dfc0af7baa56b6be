"""How much of what was sent is in the database: the ledger counts it in the transaction that stores it."""

import asyncio
from typing import Final

from cloud.database import Pool

POLL_S: Final = 0.02


async def stored_samples(pool: Pool) -> int:
    """Of all vehicles."""
    stored: int = await pool.fetchval("SELECT coalesce(sum(samples), 0)::bigint FROM ledger")
    return stored


async def until_stored(pool: Pool, samples: int) -> None:
    """Returns when as many are there."""
    while True:
        if await stored_samples(pool) >= samples:
            return
        await asyncio.sleep(POLL_S)
