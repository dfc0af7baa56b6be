"""The document that both ends check."""

import pytest

from edge.campaigns.sampling_rules import sampling_rules
from edge.sampler import SamplingPolicy, policy_for
from wire.campaign import CampaignError, campaign_body, campaign_etag, read_campaign, read_campaign_toml

WHOLE = """
id = "harsh-braking"
version = 3
note = "Ask Ann"

[sampling]
min_interval_ms = 1000
deadband_percent = 1.5

[[sampling.rule]]
match = "EEC1.*"
aggregate = ["count", "mean", "last"]
window_ms = 60000

[[sampling.rule]]
match = "Noise.*"
off = true

[[capture]]
name = "brake"
when = "speed > 80 and BrakePedal == 1"
before_s = 5
after_s = 10
"""


def test_file_says_the_same_as_the_json_that_is_sent() -> None:
    campaign = read_campaign_toml(WHOLE)
    body = campaign_body(campaign)
    assert read_campaign(body) == campaign
    assert campaign_body(read_campaign(body)) == body
    assert len(campaign_etag(body)) == 32


def test_rule_takes_the_rest_from_the_section_but_not_its_kind() -> None:
    rules = sampling_rules(read_campaign_toml(WHOLE.replace("deadband_percent = 1.5", "every = true")).sampling)
    assert policy_for("Other.S", rules) == SamplingPolicy(1000, every=True)
    assert policy_for("EEC1.S", rules) == SamplingPolicy(1000, aggregate=("count", "mean", "last"), window_ms=60_000)
    assert policy_for("Noise.S", rules) == SamplingPolicy(1000, off=True)


@pytest.mark.parametrize(
    ("there", "instead", "problem"),
    [
        ('id = "harsh-braking"', 'id = "Harsh Braking"', "id: "),
        ("version = 3", "version = 0", "version: "),
        ("version = 3", 'version = "3"', "version: "),
        ("version = 3\n", "", "version: is missing"),
        ("off = true", "of = true", "sampling.rule.1.of: unknown key; did you mean 'off'?"),
        ("before_s", "befor_s", "capture.0.befor_s: unknown key; did you mean 'before_s'?"),
        ("off = true", "off = true\nevery = true", "every and off exclude each other"),
        ("BrakePedal == 1", "BrakePedal = 1", "capture.0.when: at character 27: '=' is not known here; '==' compares"),
        ("after_s = 10", "after_s = 1e9", "capture.0.after_s: "),
        ("window_ms = 60000", "window_ms = 0", "sampling.rule.0.window_ms: "),
        ("[sampling]", "[sampling", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(there: str, instead: str, problem: str) -> None:
    with pytest.raises(CampaignError) as caught:
        read_campaign_toml(WHOLE.replace(there, instead))
    assert problem in str(caught.value)


def test_two_captures_of_one_name_are_refused() -> None:
    with pytest.raises(CampaignError, match="two captures are called 'brake'"):
        read_campaign_toml(WHOLE + '[[capture]]\nname = "brake"\nwhen = "a > 1"\n')


def test_what_is_too_large_to_be_sent_is_refused_where_it_is_written() -> None:
    rules = [{"match": f"{number:0500}", "off": True} for number in range(400)]
    with pytest.raises(CampaignError, match="200,000 are the most"):
        read_campaign({"id": "c", "version": 1, "sampling": {"rule": rules}})
