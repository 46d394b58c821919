"""A forecast crosses from the process that works it out to the page as JSON, and is the same there."""

import json

import pytest

from rambo.estimate import forecast
from rambo.estimate.costs import Rate
from rambo.estimate.forecast import Forecast

OURS = Forecast(
    initial_labels=24,
    labels_bought=12,
    validation=40,
    unlabeled=None,
    trials=2,
    trainings=30,
    per_trial={"offline": 13, "evaluation": 2},
    lookups=26,
    cached=7,
    seconds=42.5,
    stages={"offline": 40.0, "acquisition": 2.5},
    rate=Rate(0.01, "calibrated", 1e-4, 2e-4),
    device="cpu",
    jobs=2,
    sentence="You hold 24 labels.",
)


def test_a_forecast_is_itself_again_after_json() -> None:
    assert forecast.restore(json.loads(json.dumps(OURS.public()))) == OURS


@pytest.mark.parametrize(
    "fields",
    [3, None, [], "forecast", {}, OURS.public() | {"rate": 3}, OURS.public() | {"price": 1}],
)
def test_what_is_no_forecast_is_refused(fields: object) -> None:
    with pytest.raises(ValueError, match="no forecast"):
        forecast.restore(fields)
