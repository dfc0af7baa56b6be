"""From the sampling that a file or a campaign asks for to the rules that the sampler goes by."""

from edge.sampler import SamplingPolicy, SamplingRule
from wire.campaign import Sampling
from wire.campaign import SamplingRule as RuleSettings

_KINDS = ("every", "off", "aggregate")


def sampling_rules(settings: Sampling) -> tuple[SamplingRule, ...]:
    """The rules in their order, with the default behind them."""
    default = settings.model_dump(exclude={"rule"})
    return (
        *(SamplingRule(rule.match, SamplingPolicy(**default | _said(rule))) for rule in settings.rule),
        SamplingRule("*", SamplingPolicy(**default)),
    )


def _said(rule: RuleSettings) -> dict[str, object]:
    """What the rule says. One that chooses a kind leaves nothing of the section's own."""
    said = rule.model_dump(exclude={"match"}, exclude_none=True)
    if any(said.get(kind) for kind in _KINDS):
        return {"every": False, "off": False, "aggregate": ()} | said
    return said
