"""Words on a page: numbers in the form people read. `literal` is tested with the frame, which shows it."""

import pytest

from rambo import text


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("Budgte", "perhaps budget is meant; "),
        ("B", "perhaps the budget is meant; "),
        ("b", "perhaps the batch is meant; "),
        ("BATCH_SIZE", "perhaps batch_size is meant; "),
        ("nothing", ""),
        (3, ""),
    ],
)
def test_a_name_that_is_nearly_right_is_told(word: object, words: str) -> None:
    names = {"budget": 500, "batch_size": 50, "B": 1, "b": 2}
    assert text.perhaps(word, names, {"B": "the budget", "b": "the batch"}) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (0, "under a second"),
        (42.4, "42 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5400, "1 h 30 min"),
        (36_000, "10 h"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert text.duration(seconds) == words


def test_counts_and_shares() -> None:
    assert text.count(1, "image") == "1 image"
    assert text.count(1200, "image") == "1,200 images"
    assert text.count(2, "batch", "batches") == "2 batches"
    assert text.percent(0.8042) == "80.4\u00a0%"
    assert text.percent(0.5, 0) == "50\u00a0%"
    assert text.percent(None) == "-"


def test_moments_are_in_this_machines_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert text.moment("2026-11-22T13:05:00.000000Z") == "22 Nov 2026, 18:35"
        assert text.moment("2026-11-22T13:05:00.000000Z", year=False) == "22 Nov 18:35"
        assert text.moment("yesterday") == "-"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_plot_text_is_no_html() -> None:
    assert text.for_plot("<a href='javascript:1'>x</a> & y") == (
        "&lt;a href='javascript:1'&gt;x&lt;/a&gt; &amp; y"
    )
    assert len(text.for_plot("y" * 500)) == 60


def test_a_figure_and_its_error_stay_on_one_line() -> None:
    fixed = "80.4\u00a0±\u00a00.3\u00a0%"
    assert text.unbroken("80.4 +- 0.3 % of 9 images") == f"{fixed} of 9 images"
    assert (
        text.unbroken("+0.2 ± 0.3 points, 5 trials") == "+0.2\u00a0±\u00a00.3\u00a0points, 5 trials"
    )
    assert text.unbroken("a - b: 5 +- x") == "a - b: 5 +- x"
    assert "3\u00a0\\%" in text.literal(fixed)
