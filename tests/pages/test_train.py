"""The Train page in every state of a run, driven without a browser."""

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import page_helpers
import pytest
from page_helpers import (
    assert_calm,
    make_damaged,
    make_failed,
    make_interrupted,
    make_queued,
    unescaped,
    words,
)
from streamlit.testing.v1 import AppTest

from rambo import config as configs
from rambo.events import Noticed
from rambo.figures.charts import CHARTS
from rambo.runs import jobs, line, paths
from rambo.runs.record import StoredEvent
from rambo.runs.results import Ranking, Result, Summary
from rambo.runs.workspace import Run
from rambo.ui import takeaway, terms
from rambo.ui.train import live, outcome, stepper
from rambo.ui.train.feed import feed
from rambo.ui.train.stages import StageCell

PAGE = "pages/train.py"


def open_page(script: str, run: str | None = None, **params: str) -> AppTest:
    """Return the page with all its charts."""
    return page_helpers.open_page(script, run, **{"research": "true"} | params)


def html_of(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def page_text(app: AppTest) -> str:
    """All text of the page, progress bars and boxes included."""
    bars = [bar.proto.text for bar in app.get("progress")]
    return unescaped("\n".join([words(app), html_of(app), *bars]))


def charts(app: AppTest) -> list[str]:
    """The names of the charts that are drawn."""
    components = app.get("bidi_component")
    return [
        part.proto.id.split("chart-")[1].split("-")[0]
        for part in components
        if "chart-" in part.proto.id
    ]


def tell_again(run: Run, entry: StoredEvent, **changes: Any) -> None:
    """Append an event that another run has in its record."""
    event = dataclasses.replace(entry.event, **changes)
    run.append(event, trial=entry.trial, strategy=entry.strategy)


def replayed(root: Path, done: Run, count: int, **changes: Any) -> Run:
    """Return a run of the same settings that has told the first `count` events of `done`."""
    run = make_queued(root, trials=2, **changes)
    run.begin_attempt()
    run.set_status("running")
    for record in done.events()[:count]:
        tell_again(run, record)
    run.flush()
    return run


def test_at_first_there_is_one_chart_and_the_chosen_images(done: Run) -> None:
    app = page_helpers.open_page(PAGE, done.id)
    assert_calm(app)
    assert charts(app) == [CHARTS[0].name]
    assert "12 of 12 images" in page_text(app)
    app.toggle(key="research").set_value(True).run()
    assert sorted(charts(app)) == sorted(chart.name for chart in CHARTS)


def test_a_finished_run_says_what_was_chosen_and_draws_every_chart(done: Run) -> None:
    app = open_page(PAGE, done.id)
    assert_calm(app)
    text = page_text(app)
    assert "RAMBO chose 12 of 76 images in 3 steps, in each of 2 trials." in text
    assert "2 trials cannot tell such differences from chance" in text
    assert "RAMBO minus Filter only" in text
    assert sorted(charts(app)) == sorted(chart.name for chart in CHARTS)
    links = {link.proto.label: link.proto.query_string for link in app.main.get("page_link")}
    assert f"run={done.id}" in links["See the chosen images"]
    assert f"run={done.id}" in links["Compare the strategies"]
    assert len(app.metric) == 4
    assert all("%" in metric.value for metric in app.metric)
    assert "Stop" not in [button.label for button in app.button]
    for chart in CHARTS:
        assert chart.title in text
        assert terms.marked(chart.caption) in text


def test_each_trial_can_be_looked_at(done: Run) -> None:
    app = open_page(PAGE, done.id)
    picker = app.main.selectbox[0]
    assert picker.options == ["newest (2)", "1", "2"]
    figures = [feed(done).figure(CHARTS[0], trial, CHARTS[0].draw) for trial in (0, 1)]
    assert figures[0] != figures[1]
    picker.select(0).run()
    assert_calm(app)
    payload = "".join(str(part.proto) for part in app.get("bidi_component"))
    assert figures[0] is not None
    assert figures[0].digest in payload


def test_a_queued_run_that_nobody_took_can_be_started(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_queued(home)
    started: list[Run] = []
    monkeypatch.setattr(jobs, "resume", started.append)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "Nobody works on this run yet" in page_text(app)
    assert charts(app) == []
    for chart in CHARTS:
        assert chart.waits in page_text(app)
    app.button(key="start-new").click().run()
    assert [other.id for other in started] == [run.id]


def test_a_run_in_line_says_who_is_ahead(home: Path) -> None:
    first, second = make_queued(home), make_queued(home, seed=1)
    second.set_launched()
    second.set_waiting("waits for the device: 1 ahead")
    with (
        second.lock(),
        line.wait_in_line(home, "cpu", first.id, lambda ahead: None),
        pytest.raises(LookupError),
        line.wait_in_line(home, "cpu", second.id, lambda ahead: _look(second, first)),
    ):
        pass


def _look(second: Run, first: Run) -> None:
    app = open_page(PAGE, second.id)
    assert_calm(app)
    assert "In line for the CPU: 1 run ahead." in page_text(app)
    assert f"{first.id} is being worked on" in page_text(app)
    assert "Stop" in [button.label for button in app.button]
    raise LookupError("seen enough")


def test_a_launched_run_says_that_it_starts(home: Path) -> None:
    run = make_queued(home)
    run.set_launched()
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "Starting:" in page_text(app)


def test_a_launched_run_that_is_not_in_the_line_yet_says_who_works(home: Path) -> None:
    busy, run = make_queued(home), make_queued(home, seed=1)
    run.set_launched()
    with line.wait_in_line(home, "cpu", busy.id, lambda ahead: None):
        app = open_page(PAGE, run.id)
        assert_calm(app)
        assert f"In line:** {busy.id} is being worked on" in page_text(app).replace("\\", "")
        assert "Starting:" not in page_text(app)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.45, 0.5, 0.7, 0.97])
def test_a_running_run_at_any_moment(share: float, done_run: Run, home: Path) -> None:
    total = len(done_run.events())
    run = replayed(home, done_run, int(share * total))
    shutil.copytree(done_run.folder.parent / "datasets", home / "datasets", dirs_exist_ok=True)
    with run.lock():
        app = open_page(PAGE, run.id)
        assert_calm(app)
        text = page_text(app)
        assert "last event" in text if share else "nothing heard yet" in text
        assert "left" in text or "longer" in text
        assert "No progress" not in text
        assert "Stop" in [button.label for button in app.button]
        assert "Resume" not in [button.label for button in app.button]


def test_silence_is_told(done_run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = replayed(home, done_run, 20)
    with run.lock():
        app = open_page(PAGE, run.id)
        assert not app.info
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 130)
        app.run()
        assert_calm(app)
        assert "No progress for 1" in app.info[0].value
        assert "stop" not in app.info[0].value, "a healthy run is never told to stop"
        assert "last event 2 minutes ago" in page_text(app)
        monkeypatch.setattr(time, "time", lambda: now - 86_400)
        app.run()
        assert_calm(app)
        assert not app.warning
        assert "last event 0 s ago" in page_text(app)


def test_a_stop_that_was_asked_for_is_told(done_run: Run, home: Path) -> None:
    run = replayed(home, done_run, 20)
    with run.lock():
        run.request_stop()
        assert "Stopping:" in page_text(open_page(PAGE, run.id))


def test_a_stop_is_told_while_the_worker_still_starts(home: Path) -> None:
    run = make_queued(home)
    with run.lock():
        assert "Starting:" in page_text(open_page(PAGE, run.id))
        run.request_stop()
        assert "Stopping:" in page_text(open_page(PAGE, run.id))


def test_new_events_appear_at_the_next_look(done_run: Run, home: Path) -> None:
    records = done_run.events()
    run = replayed(home, done_run, 3)
    with run.lock():
        app = open_page(PAGE, run.id)
        before = charts(app)
        for record in records[3:60]:
            tell_again(run, record)
        run.flush()
        app.run()
        assert set(charts(app)) > set(before)


def test_a_run_that_ends_while_it_is_watched_turns_to_its_result(done_run: Run, home: Path) -> None:
    run = replayed(home, done_run, 50)
    with run.lock():
        app = open_page(PAGE, run.id)
        assert "running" in page_text(app)
    run.set_status("stopped", "stopped on request; resume it to go on")
    app.run()
    assert_calm(app)
    assert "Stopped on request" in page_text(app)
    assert "Resume" in [button.label for button in app.button]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (make_failed, "the loss is not finite; lower the learning rate"),
        (make_interrupted, "the worker process is gone"),
    ],
)
def test_a_run_that_did_not_end_well_says_so_and_offers_resume(
    make: Any, expected: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(home)
    paths.log(run.folder).write_text("12:00:00 offline: 50 steps\n**not bold** <b>x</b>\n")
    resumed: list[Run] = []
    monkeypatch.setattr(jobs, "resume", resumed.append)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert expected in unescaped(app.error[0].value)
    assert "**not bold** <b>x</b>" in app.code[0].value
    app.button(key="controls-resume").click().run()
    assert [other.id for other in resumed] == [run.id]


def test_a_damaged_run_says_why_and_can_be_deleted(home: Path) -> None:
    run = make_damaged(home)
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert app.error
    assert "Delete" in [button.label for button in app.button]


def test_without_a_run_the_page_says_what_to_do(home: Path) -> None:
    app = open_page(PAGE)
    assert_calm(app)
    assert "There is no run to watch yet" in page_text(app)


def test_strategies_that_learn_nothing_have_no_curves(home: Path) -> None:
    run = make_queued(home, strategies=["margin", "random"])
    app = open_page(PAGE, run.id)
    assert_calm(app)
    assert "learn nothing" in page_text(app)
    assert charts(app) == []
    assert not app.get("download_button")


def test_charts_of_what_is_switched_off_say_so(done_run: Run, home: Path) -> None:
    off = {"transport": False, "bilevel": {"enabled": False}}
    run = replayed(home, done_run, len(done_run.events()), rambo={"utility_model": off})
    run.set_status("stopped")
    app = open_page(PAGE, run.id)
    assert_calm(app)
    text = page_text(app)
    assert "Optimal transport is switched off in this run" in text
    assert "Bilevel training is switched off in this run" in text
    assert set(charts(app)) == {c.name for c in CHARTS} - {"transport", "penalties"}


def test_notices_with_hostile_text_are_shown_as_they_are(done_run: Run, home: Path) -> None:
    run = replayed(home, done_run, 2)
    hostile = "![x](http://evil.example/p.png) <script>alert(1)</script>"
    run.append(Noticed(hostile), trial=None, strategy=None)
    run.flush()
    with run.lock():
        app = open_page(PAGE, run.id)
        assert_calm(app)
        text = "\n".join(caption.value for caption in app.caption)
        assert hostile in unescaped(text)
        assert "![x]" not in text
        assert "<script>" not in html_of(app)


def test_nothing_is_made_twice(done: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    state_of_feed = feed(done)
    first = [state_of_feed.figure(chart, 0, chart.draw) for chart in CHARTS]

    def never(kinds: Any) -> None:
        raise AssertionError("drawn again without news")

    assert all(state_of_feed.figure(c, 0, never) is f for c, f in zip(CHARTS, first, strict=True))
    assert feed(done) is state_of_feed


def test_all_viewers_share_one_feed_and_may_come_at_once(done_run: Run, home: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    run = replayed(home, done_run, 10)
    records = done_run.events()

    def look(_: int) -> int:
        state_of_feed = feed(run)
        for chart in CHARTS:
            state_of_feed.figure(chart, 0, chart.draw)
        return state_of_feed.look("running", time.time()).progress >= 0

    with run.lock(), ThreadPoolExecutor(8) as pool:
        looks = pool.map(look, range(60))
        for record in records[10:]:
            tell_again(run, record)
        assert all(looks)
    run.flush()
    whole = feed(run)
    assert whole.look("done", time.time()).progress == pytest.approx(1)


def test_a_tick_reads_what_is_new_and_nothing_else(
    done_run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live page costs the new events, however many there were before."""
    run = make_queued(home)
    run.begin_attempt()
    run.set_status("running")
    mine = [record for record in done_run.events() if record.trial == 0]
    spans: list[tuple[int, int]] = []
    whole = Run.events

    def noted(self: Run, since: int = 0) -> list[StoredEvent]:
        rows_read = whole(self, since)
        spans.append((since, len(rows_read)))
        return rows_read

    with run.lock():
        for record in mine[:-3]:
            tell_again(run, record)
        run.flush()
        app = open_page(PAGE, run.id)
        assert_calm(app)
        monkeypatch.setattr(Run, "events", noted)
        app.run()
        assert {count for _, count in spans} <= {0}
        for record in mine[-3:]:
            tell_again(run, record)
        run.flush()
        spans.clear()
        app.run()
        assert_calm(app)
        assert max(count for _, count in spans) == 3
        assert min(since for since, _ in spans) >= len(mine) - 3


def test_the_download_is_one_page_with_every_chart_of_every_trial(done: Run) -> None:
    page = live.figures_page(feed(done), configs.restore(done.config), done.id).decode()
    assert page.count("Plotly.newPlot(") >= 2 * len(CHARTS)
    assert page.count("</script>") == 1 + 2 * len(CHARTS)
    assert "Trial 2. Does u_hat rank sets correctly?" in page
    assert "cdn.plot.ly" not in page.split("<body>")[1]


def test_nothing_in_a_figure_can_end_the_script_of_the_download() -> None:
    from rambo.ui.components.plot import prepare_figure

    figure = prepare_figure({"data": [{"name": "</script><img src=x onerror=alert(1)>"}]})
    body = takeaway.page("<b>t</b>", [("<i>", "&", figure)]).decode().split("<body>")[1]
    assert "<img" not in body
    assert "<b>" not in body
    assert "<i>" not in body


CONFIG = {
    "strategies": ["rambo", "filter-only", "margin", "random"],
    "budget": 200,
    "trials": 1,
    "acquisition": {"batch_size": 20},
}
SUMMARY = Summary("run-1", "tiny", CONFIG, "done", [], Ranking())


def results(**accuracies: list[float]) -> Summary:
    rows = [
        Result(trial=seed, strategy=name.replace("_", "-"), seed=seed, test_accuracy=value)
        for name, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return dataclasses.replace(SUMMARY, results=rows)


def test_the_verdict_says_when_rambo_lost() -> None:
    summary = results(rambo=[0.75], filter_only=[0.76], margin=[0.75], random=[0.70])
    first, second, third = outcome.verdict(summary)
    assert first == (
        "In test accuracy RAMBO is behind Filter only by 1.0 points, ahead of Random by 5.0 points, "
        "level with Margin."
    )
    assert second == "1 trial cannot tell such differences from chance; run five or more to know."
    assert "-1.0\u00a0points" in third
    assert "too few to say" in third


def test_the_verdict_of_many_trials_is_that_of_the_report() -> None:
    summary = results(rambo=[0.8, 0.81, 0.82, 0.8, 0.81], filter_only=[0.8, 0.82, 0.81, 0.8, 0.81])
    lines = outcome.verdict(summary)
    assert len(lines) == 2
    assert "no evidence that u_hat helps here" in lines[1]


def test_without_a_rival_there_is_no_verdict() -> None:
    assert outcome.verdict(results(rambo=[0.8])) == []
    assert outcome.verdict(results(margin=[0.8], random=[0.7])) == []
    assert (
        outcome.chosen(configs.build(CONFIG), 7800)
        == "RAMBO chose 200 of 7,800 images in 10 steps."
    )
    both = configs.build(CONFIG | {"strategies": ["margin", "random"]})
    assert outcome.chosen(both, 76) == "Each strategy chose 200 of 76 images."
    assert outcome.chosen(configs.build(CONFIG), None) == "RAMBO chose 200 images in 10 steps."


def test_the_stepper_tells_states_by_sign_and_word_and_escapes() -> None:
    row = {
        "offline": StageCell("done", "<b>3 s</b>"),
        "pretraining": StageCell("now", "1 of 7"),
        "acquisition": StageCell("waiting", "waiting"),
        "evaluation": StageCell("none", "not needed"),
    }
    table = stepper.table({"rambo": row}, live=True)
    assert "&lt;b&gt;3 s" in table
    for part in ("✓", "▶", "○", "going on: ", "done: ", "waiting: "):
        assert part in table
    ended = stepper.table({"rambo": row}, live=False)
    assert "ended at 1 of 7" in ended
    assert "▶" not in ended


def test_a_long_classifier_says_how_far_it_is_inside(home: Path) -> None:
    run = make_queued(home)
    assert live.inside_words(run) == ""
    (run.folder / "worker.pulse").write_text("[12, 100]")
    assert live.inside_words(run) == " · the classifier at work: epoch 12 of at most 100"
    (run.folder / "worker.pulse").write_text('[12, 100, "epoch", 8]')
    assert live.inside_words(run).endswith(
        "the furthest of 8 classifiers at work: epoch 12 of at most 100"
    )
    (run.folder / "worker.pulse").write_text('[12, 300, "iteration", 40]')
    assert live.inside_words(run).endswith("40 classifiers at work: iteration 12 of 300")
    os.utime(run.folder / "worker.pulse", (0, 0))  # of a worker long gone
    assert live.inside_words(run) == ""
