"""Follows what the cloud means: fetches a new campaign, has it checked, and has it applied without a restart."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import structlog

from edge.campaigns.campaign_keeper import CampaignKeeper, Decision, Standing
from edge.ways.transport import CampaignSource

TRIAL_S: Final = 60.0
"""An agent that ends sooner after it took a campaign, or began with one, ended early."""

log = structlog.get_logger(__name__)


class CampaignFollower:
    """`apply` is called with what holds, when that or what is said of it has changed.

    It returns how many drafts were finished before: what comes behind them is recorded under what holds now.
    """

    def __init__(self, keeper: CampaignKeeper, source: CampaignSource, apply: Callable[[Standing], int]) -> None:
        self._keeper = keeper
        self._source = source
        self._apply = apply
        self._at_work = asyncio.Lock()
        self._held_since_s = 0.0
        self._drafts_before = 0

    def start(self) -> None:
        """What holds from the last run, before anything is read. A vehicle that never had a campaign says nothing."""
        standing = self._keeper.start()
        if self._keeper.has_file:
            self._hold(standing)

    async def review(self, newest_settled: int, *, is_last: bool = False) -> None:
        """See how what is active does: good is what was held for `TRIAL_S`, and of which the cloud has something.

        `newest_settled` counts drafts as `apply` does. The last time, at an orderly stop, it need not be that long.
        """
        async with self._at_work:
            if is_last or _now_s() - self._held_since_s >= TRIAL_S:
                is_proven = newest_settled > self._drafts_before
                await asyncio.to_thread(self._keeper.confirm if is_proven else self._keeper.forgive)

    async def follow(self, etag: str) -> None:
        """What a reply says is meant. What cannot be fetched now is tried again at the next reply."""
        decision = self._keeper.decide(etag)
        if decision == "nothing":
            return
        body = b""
        if decision == "fetch":
            answer = await self._source.fetch_campaign()
            if answer.status != HTTPStatus.OK:
                log.warning("campaign_not_fetched", status=answer.status, problem=answer.problem)
                return
            body = answer.body
        async with self._at_work:
            self._hold(await asyncio.to_thread(self._decided, decision, body))

    def _decided(self, decision: Decision, body: bytes) -> Standing:
        if decision == "fetch":
            return self._keeper.take(body)
        return self._keeper.drop() if decision == "drop" else self._keeper.withdraw()

    def _hold(self, standing: Standing) -> None:
        say = log.error if standing.told["state"] == "refused" else log.info
        say("campaign", **standing.told)
        self._drafts_before = self._apply(standing)
        self._held_since_s = _now_s()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
