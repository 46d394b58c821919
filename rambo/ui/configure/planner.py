"""The plan of a draft, asked of another process: `python -m rambo plan` looks up what is kept and measures the rate.

One process a tab; a newer question ends an older one. Nothing here waits.
"""

import dataclasses
import hashlib
import json
import math
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rambo.config import Config, describe
from rambo.errors import RamboError, shorten
from rambo.estimate import costs, forecast
from rambo.estimate.costs import Costs
from rambo.estimate.forecast import Forecast
from rambo.runs import jobs
from rambo.storage import files

PATIENCE = 0.6  # seconds without a change before a process is worth starting
LIMIT = 120.0  # seconds a plan may take
FRESH = 300.0  # seconds an answer counts: runs go on training meanwhile
_MOST_RATES = 100  # rates in a file
_MOST_ANSWERS = 200  # answers that tabs share
MOST = 20_000  # trainings to look up; beyond, arithmetic has to do


@dataclass(frozen=True)
class PlanAnswer:
    """What the process said: the plan, or a complaint."""

    plan: Forecast | None
    complaint: str = ""
    at: float = 0.0


@dataclass(frozen=True)
class PlanQuestion:
    """Settings as JSON, their digest, and what their rate depends on."""

    text: str
    digest: str
    pace: str

    @classmethod
    def about(cls, config: Config) -> "PlanQuestion":
        """Return the question about a config."""
        text = json.dumps(describe(config), sort_keys=True)
        return cls(text, hashlib.sha256(text.encode()).hexdigest(), _pace(config))


class PlanRequest:
    """One process at work on a question."""

    def __init__(self, question: PlanQuestion, now: float) -> None:
        """Start it."""
        self.question, self._since = question, now
        self._answer: PlanAnswer | None = None
        self._process = jobs.spawn(["plan", "--json"], question.text)
        threading.Thread(target=self._wait, daemon=True).start()

    def answer(self, now: float) -> PlanAnswer | None:
        """Return the answer, or None while there is none."""
        if self._answer is None and now - self._since > LIMIT:
            self.end()
            return PlanAnswer(None, f"no answer within {LIMIT:.0f} seconds", now)
        return self._answer

    def end(self) -> None:
        """Kill the process."""
        with suppress(OSError):
            self._process.kill()

    def _wait(self) -> None:
        """Wait for the end of the process, so that it leaves nothing behind."""
        out, _ = self._process.communicate()
        try:
            self._answer = PlanAnswer(_read(self._process, out), "", time.monotonic())
        except ValueError:
            self._answer = PlanAnswer(None, jobs.worded(jobs.failure(out), 300), time.monotonic())


def _read(process: subprocess.Popen[str], out: str) -> Forecast:
    """Return what a process printed.

    Raises:
        ValueError: it failed, or this is no plan.
    """
    if process.returncode != 0:
        raise ValueError("it failed")
    return forecast.restore(json.loads(out))


@dataclass
class Planner:
    """The questions of one tab.

    `rates` keeps the newest rate by dataset, classifier and device, so that most changes of a form are timed at once.
    Tabs may share it and the answers: two that ask the same are told the same, and one process is enough.
    """

    answers: dict[str, PlanAnswer] = field(default_factory=dict)
    rates: "Rates" = field(default_factory=lambda: Rates())
    _question: PlanQuestion | None = None
    _since: float = 0.0
    _request: PlanRequest | None = None

    def want(self, config: Config, now: float) -> PlanAnswer | None:
        """Ask about a config and return the answer if it is there."""
        question = PlanQuestion.about(config)
        if question != self._question:
            self._question, self._since = question, now
        answer = self.answers.get(question.digest)
        if answer is not None and now - answer.at > FRESH:
            self.answers.pop(question.digest, None)
            return None
        return answer

    def tick(self, now: float) -> bool:
        """Move on; return whether the answer to what is wanted is there."""
        if self._request is not None and (answer := self._request.answer(now)) is not None:
            self._keep(self._request.question, answer)
            self._request = None
        if self._question is None or self._question.digest in self.answers:
            return self._question is not None
        if self._request is not None and self._request.question != self._question:
            self.forget()
        if self._request is None and now - self._since >= PATIENCE:
            try:
                self._request = PlanRequest(self._question, now)
            except OSError as error:
                self._keep(self._question, PlanAnswer(None, shorten(error, 200), now))
        return self._question.digest in self.answers

    def forget(self) -> None:
        """End what is at work: its question is not asked any more."""
        if self._request is not None:
            self._request.end()
            self._request = None

    def rate(self, config: Config) -> tuple[costs.Rate, int] | None:
        """Return the newest rate for such a config and how many trainings went on at once, where one is known."""
        return self.rates.get(_pace(config))

    def _keep(self, question: PlanQuestion, answer: PlanAnswer) -> None:
        """Keep an answer, and its rate for all configs that go as fast."""
        self.answers[question.digest] = answer
        for oldest in list(self.answers)[:-_MOST_ANSWERS]:
            self.answers.pop(oldest, None)
        if answer.plan is not None:
            self.rates.keep(question.pace, answer.plan.rate, answer.plan.jobs)


class Rates:
    """The newest rate of each dataset, classifier and device, with how many trainings went on at once.

    With a file they outlast the server; one that cannot be read or written is as good as none.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Read the file."""
        self._file = file
        self._rates: dict[str, tuple[costs.Rate, int]] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            for pace, (rate, at_once) in json.loads(file.read_text() if file else "{}").items():
                measured = costs.Rate(**rate)
                numbers = measured.seconds_per_image, measured.seconds_per_pass, int(at_once)
                if all(0 < number < math.inf for number in numbers):
                    self._rates[pace] = measured, numbers[2]

    def get(self, pace: str) -> tuple[costs.Rate, int] | None:
        """Return the newest rate, where there is one."""
        return self._rates.get(pace)

    def keep(self, pace: str, rate: costs.Rate, at_once: int) -> None:
        """Keep a rate, the newest last."""
        self._rates.pop(pace, None)
        self._rates[pace] = rate, at_once
        newest = list(self._rates.items())[-_MOST_RATES:]
        if self._file is not None:
            content = {pace: [dataclasses.asdict(rate), n] for pace, (rate, n) in newest}
            with suppress(OSError, RamboError):
                files.write_bytes(self._file, json.dumps(content).encode())


def too_many(counted: Costs) -> bool:
    """Return whether looking up the trainings would take too long."""
    return counted.total > MOST


def _pace(config: Config) -> str:
    """Return what a rate depends on."""
    parts = describe(config)
    return json.dumps([parts["dataset"]["name"], parts["classifier"], parts["compute"]])
