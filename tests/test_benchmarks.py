"""The benchmarks' own machinery, without a clock: rendering, merging, comparing; and that both sides do one work."""

import ast
import dataclasses
import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny import tiny_config

from benchmarks import __main__ as command
from benchmarks import acquisition, bilevel, child, compare, report, results, set_model
from benchmarks.measure import Goal, Measure
from benchmarks.results import Entry, ResultError, Results
from benchmarks.timing import CPU, WALL, elsewhere, figure, interleaved, scaled
from rambo.config import UtilityModelConfig
from rambo.method.pools import Problem
from rambo.method.utility_model import create_utility_model
from rambo.method.utility_samples import UtilitySamples, draw_pairs
from rambo.seeding import Streams

MACHINE = {"cpu": "Toy CPU", "cores": 2, "gpu": None, "platform": "Toy-1.0"}
GPU = MACHINE | {"gpu": "Toy GPU 80GB"}
BENCHMARKS = [*command.NAMES, *command.ASKED]


def toy(plain: list[float], ours: list[float], *goals: Goal, name: str = "Toy") -> Measure:
    """Return a measure of 100 images that need 6 GFLOP."""
    seconds, flops = {"plain": plain, "ours": ours}, {"plain": 6e9, "ours": 6e9}
    return Measure(name, "Toys are made.", CPU, seconds, goals, 100, "images", flops, "A note.")


def toys(*measures: Measure, name: str = "toys", machine: dict[str, object] = MACHINE) -> Results:
    """Return the results of one benchmark on a machine whose matrix product does 10 GFLOP a CPU second."""
    entry = Entry("2026-01-02T03:04:05Z", (0.5, 1.5), {"torch": "9.9"}, {CPU: 1e10}, measures)
    return Results(machine, {name: entry})


FIXED = toys(
    toy(
        [2.0, 2.2, 1.8],
        [1.0, 1.1, 0.9],
        Goal("ours / plain", 2.0, 1.5, 3),
        Goal("error", 0.2, 0.1, at_most=True),
    )
)


def test_a_report_has_goals_first_and_then_a_section_a_measure() -> None:
    text = report.render([FIXED])
    lines = text.splitlines()
    assert "| Toy: ours / plain | at least 1.5 | 3 | 2 | yes |" in lines
    assert "| Toy: error | at most 0.1 |  | 0.2 | no |" in lines
    assert "1 of 2 goals are met." in text
    assert "| plain | 50 (45.5 to 55.6) | 1 | 30 % |" in lines  # 6 GFLOP / (2 s x 10 GFLOP/s)
    assert "| ours | 100 (90.9 to 111) | 2 (2 to 2) | 60 % |" in lines
    assert "A note." in lines
    machine = "2026-01-02; torch 9.9; load 0.5 before and 1.5 after; matrix product 10 GFLOP a CPU second."
    assert lines[lines.index("### `python -m benchmarks toys`") + 2] == machine
    assert text.startswith("# Speed, measured\n\nWritten by `python -m benchmarks`")
    assert text.index("| Toy: error") < text.index("#### Toy")


def test_goals_for_a_gpu_wait_until_a_machine_with_one_has_them() -> None:
    first, *others = report.GPU_GOALS
    reached = dataclasses.replace(first, value=12.0)
    elsewhere = toys(toy([2.0], [1.0], reached))
    for results_ in ([], [FIXED], [elsewhere]):
        text = report.render(results_)
        assert text.count("not yet measured") == len(report.GPU_GOALS)
        assert f"| {first.name} | at least 10 | 25 | not yet measured |  |" in text.splitlines()
    text = report.render([FIXED, toys(toy([2.0], [1.0], reached), machine=GPU)])
    assert text.count("not yet measured") == len(others)
    assert f"| Toy: {first.name} | at least 10 | 25 | 12 | yes |" in text.splitlines()
    assert "## Toy GPU 80GB, 2 CPU cores" in text


def test_a_lone_contender_has_seconds_and_no_ratio() -> None:
    whole = Measure("Whole", "All of it.", WALL, {"rambo": [1234.5]}, [])
    text = report.section(whole, {CPU: 1e10})
    assert "| contender | seconds |" in text
    assert "| rambo | 1,234 (1,234 to 1,234) |" in text
    assert "One round." in text


def test_what_happened_at_different_rates_is_not_compared() -> None:
    apart = Measure("a", "b.", "seconds", {"a live part": [1.0, 2.0, 3.0], "a page": [4.0]}, [])
    text = report.section(apart, {})
    assert "times as fast" not in text
    assert "| a live part | 2 (1 to 3) |" in text
    assert "Medians (ranges)." in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(61234.5, "61,234"), (100, "100"), (99.94, "99.9"), (0.01234, "0.0123"), (3.6e-6, "3.6e-06")],
)
def test_figures_can_be_read(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cpu.json"
    results.write(path, FIXED)
    assert report.render([results.read(path)]) == report.render([FIXED])
    assert [path.name for path in path.parent.iterdir()] == ["cpu.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": 99}', r"^bad.json: of schema 99, not 1; measure again$"),
        ("[1]", r"^bad.json: no result file \(TypeError\)$"),
        ("{", r"^bad.json: no result file \(JSONDecodeError\)$"),
        ("{}", r"^bad.json: no result file \(KeyError\)$"),
        ('{"schema": 1, "benchmarks": {}}', r"^bad.json: no result file \(KeyError\)$"),
    ],
)
def test_what_is_no_result_file_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=message):
        results.read(path)
    assert command.main(["compare", str(path), str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_partial_run_leaves_the_rest_as_it_was() -> None:
    old = Results(MACHINE, toys(name="a").entries | toys(name="b").entries)
    entry = dataclasses.replace(FIXED.entries["toys"], date="2027-01-01T00:00:00Z", load=(9.0, 9.0))
    both = old.merged(Results(MACHINE, {"b": entry}))
    assert both.entries == {"a": old.entries["a"], "b": entry}
    with pytest.raises(ResultError, match="results of another machine"):
        old.merged(toys(machine=GPU))


def test_a_file_is_named_after_its_device() -> None:
    assert results.default_path(MACHINE) == results.FOLDER / "cpu-toy-cpu.json"
    assert results.default_path(GPU).name == "toy-gpu-80gb.json"


def test_one_that_fails_or_cannot_run_loses_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = results.machine_facts()
    answers = {
        "bilevel": "FAILED with exit status 1",
        "members": "skipped: it cannot",
        "set_model": toys(toy([2.0], [1.0]), name="set_model", machine=machine),
    }
    monkeypatch.setattr(command, "_in_a_child", answers.__getitem__)
    monkeypatch.setattr(report, "render_folder", lambda: pytest.fail("not in the folder"))
    out = tmp_path / "out.json"
    assert command.main([*answers, "--out", str(out)]) == 1
    assert list(results.read(out).entries) == ["set_model"]
    printed = capsys.readouterr().out
    assert "1/3 bilevel ... FAILED with exit status 1" in printed
    assert "2/3 members ... skipped: it cannot" in printed
    assert command.main(["members", "--out", str(out)]) == 0
    assert list(results.read(out).entries) == ["set_model"]


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nonsense"])
    assert "no benchmark nonsense; there are classifier_training" in capsys.readouterr().err


def test_a_child_says_in_a_line_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAMBO_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["child", "protocol", "unused.json"])
    assert child.main() == child.CANNOT
    printed = capsys.readouterr().out
    assert printed.startswith("RAMBO_DATA does not name the folder")
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [(child.CANNOT, "skipped: the reason"), (1, "FAILED with exit status 1")],
)
def test_how_a_child_ended_is_told(
    monkeypatch: pytest.MonkeyPatch, status: int, expected: str
) -> None:
    done = subprocess.CompletedProcess([], status, "the reason\n")
    monkeypatch.setattr(command.subprocess, "run", lambda *_, **__: done)
    assert command._in_a_child("toys") == expected


def test_what_a_child_writes_is_an_entry_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "found.json"
    monkeypatch.setattr("benchmarks.backends.measure", lambda: [STEADY])
    monkeypatch.setattr(child, "gemm_rate", lambda clock: 1e10)
    monkeypatch.setattr("sys.argv", ["child", "backends", str(path)])
    assert child.main() == 0
    toys = results.read(path)
    assert toys.machine == results.machine_facts()
    (entry,) = toys.entries.values()
    assert [m.as_json() for m in entry.measures] == [STEADY.as_json() | {"goals": []}]
    assert {"Python", "torch", "numpy"} <= set(entry.versions)


def rows(old: Results, new: Results) -> dict[str, str]:
    """Return the verdict of each measure."""
    return {change.measure: change.verdict for change in compare.changes(old, new)}


STEADY = toy([2.0, 2.2, 1.8], [1.0, 1.1, 0.9])  # 2 in every round
FASTER = toy([2.0, 2.2, 1.8], [0.5, 0.5, 0.5])  # 3.6 to 4.4
SLOWER = toy([2.0, 2.2, 1.8], [1.5, 1.6, 1.4])  # 1.29 to 1.38
NOISY = toy([2.0, 2.2, 1.8], [0.8, 0.5, 1.2])  # 1.5 to 4.4


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (STEADY, "within the spread"),
        (FASTER, "faster"),
        (SLOWER, "slower"),
        (NOISY, "within the spread"),
    ],
)
def test_only_ranges_apart_make_a_verdict(new: Measure, verdict: str) -> None:
    assert rows(toys(STEADY), toys(new)) == {"Toy": verdict}


def test_a_comparison_shows_ratio_change_and_limit() -> None:
    (change,) = compare.changes(toys(STEADY), toys(FASTER))
    assert (change.contender, change.old, change.new) == ("ours", 2.0, 4.0)
    assert change.faster == pytest.approx(1.0)
    assert change.shares == pytest.approx((0.6, 1.2))


def test_seconds_are_compared_on_one_machine_only(capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (Measure("Whole", "", WALL, {"rambo": [s]}, []) for s in (100.0, 80.0))
    assert rows(toys(old, STEADY), toys(new, STEADY)) == {
        "Whole": "faster",
        "Toy": "within the spread",
    }
    (change, _) = compare.changes(toys(old, STEADY), toys(new, STEADY))
    assert change.faster == pytest.approx(0.25)
    assert rows(toys(old, STEADY), toys(new, STEADY, machine=GPU)) == {"Toy": "within the spread"}
    compare.show(toys(old, STEADY), toys(new, STEADY, machine=GPU), None)
    printed = capsys.readouterr().out
    assert printed.startswith(
        "Two machines: Toy CPU, 2 CPU cores, and Toy GPU 80GB, 2 CPU cores.\n"
    )
    assert "Only ratios and percent of the limit can be compared" in printed


def test_exit_codes_of_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(tmp_path / name) for name in ("old.json", "new.json")]
    for path, measure in zip(paths, (STEADY, SLOWER), strict=True):
        results.write(Path(path), toys(measure))
    assert command.main(["compare", *paths]) == 0
    assert command.main(["compare", *paths, "--fail-below", "40"]) == 0
    assert "| Toy | ours | times as fast | 2 | 1.33 | -33.3 % | 60 % to 40 % | slower |" in (
        capsys.readouterr().out.splitlines()
    )
    assert command.main(["compare", *paths, "--fail-below", "30"]) == 1
    assert "FAILED: Toy, ours: -33.3 %" in capsys.readouterr().out
    assert command.main(["compare", *reversed(paths), "--fail-below", "0"]) == 0


def test_what_only_one_file_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    other = dataclasses.replace(STEADY, name="Other")
    compare.show(toys(STEADY), toys(other), None)
    printed = capsys.readouterr().out
    assert "Only in the old file: Toy." in printed
    assert "Only in the new file: Other." in printed


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_measure(name: str) -> None:
    """Read, not imported: some need a browser or a GPU."""
    path = Path(report.__file__).with_name(f"{name}.py")
    functions = {
        node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert "measure" in functions


def test_interleaved_warms_up_and_takes_turns() -> None:
    order: list[str] = []
    seconds = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert "".join(order) == "ab" * 4
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert scaled({"a": [1.0, 2.0], "b": [3.0]}, {"a": 10}) == {"a": [10.0, 20.0], "b": [3.0]}


def test_elsewhere_works_in_a_process_of_its_own_that_is_prepared_first(tmp_path: Path) -> None:
    before = Path.cwd()
    with elsewhere(Path("done").touch, partial(os.chdir, tmp_path)) as ask:
        measures = interleaved({"touch": ask}, 2, timer=lambda ask, _: float(ask()))  # type: ignore[arg-type]
    assert (tmp_path / "done").exists()
    assert len(measures["touch"]) == 2
    assert Path.cwd() == before


def test_what_is_committed_is_what_the_files_say() -> None:
    """RESULTS.md is never edited by hand."""
    files = [results.read(path) for path in sorted(results.FOLDER.glob("*.json"))]
    assert report.TARGET.read_text() == report.render(files)
    for path in results.FOLDER.glob("*.json"):
        assert json.loads(path.read_text())["schema"] == results.SCHEMA


@pytest.fixture(scope="module")
def samples(problem: Problem) -> UtilitySamples:
    generator = torch.Generator().manual_seed(3)
    pairs = draw_pairs(problem.labeled, 6, 4, generator)
    utilities, distances = torch.rand(2, 6, 2, generator=generator, dtype=torch.float64)
    return UtilitySamples(pairs, utilities, 0.5 + distances)


def test_set_by_set_has_the_gradient_of_the_library(
    problem: Problem, samples: UtilitySamples
) -> None:
    assert set_model.disagreement(problem, samples) < 1e-4
    other = dataclasses.replace(samples, utilities=samples.utilities.flip(1))
    models = set_model.sides(problem, samples)
    apart = set_model.gradient(models["ours"], problem, samples) - set_model.gradient(
        models["set by set"], problem, other
    )
    assert float(apart.norm()) > 1e-3  # the check above would see a difference


def test_both_steps_move_the_weights(problem: Problem, samples: UtilitySamples) -> None:
    for model in set_model.sides(problem, samples).values():
        before = [weight.detach().clone() for weight in model.network.parameters()]
        set_model.step(model, problem, samples)()
        assert not all(map(torch.equal, before, model.network.parameters()))


def test_the_objectives_are_those_of_the_bilevel_fit(
    problem: Problem, samples: UtilitySamples
) -> None:
    config = tiny_config().rambo.utility_model
    functions = bilevel.objectives(problem, samples, config)
    unrolled = bilevel.hypergradient(functions, config.bilevel, "unroll")
    again = bilevel.hypergradient(functions, config.bilevel, "unroll")
    assert torch.equal(unrolled, again)  # the dropout mask is held still
    assert float(unrolled.norm()) > 0
    inner, _, weights, velocity, hyper = functions
    assert len(weights) == len(velocity) == len(hyper)
    penalty = inner(weights, hyper) - inner(weights, tuple(h - 50 for h in hyper))
    expected = sum(h.exp() * w.square().sum() for h, w in zip(hyper, weights, strict=True)) / 2
    torch.testing.assert_close(penalty, expected, rtol=1e-2, atol=1e-5)


def test_one_neumann_term_points_where_one_unrolled_step_points(
    problem: Problem, samples: UtilitySamples
) -> None:
    """One term is the unrolled step but for where its curvature is taken."""
    config = tiny_config().rambo.utility_model
    functions = bilevel.objectives(problem, samples, config)
    single = config.bilevel.model_copy(
        update={"inner_steps": 1, "terms": 1, "inner_learning_rate": 1e-4}
    )
    assert bilevel.cosine(functions, single) > 0.999


def test_re_embedding_predicts_what_the_library_predicts() -> None:
    problem = acquisition.problem(40)
    model = create_utility_model(problem, UtilityModelConfig(), Streams(0))
    assert acquisition.disagreement(model, problem, problem.unlabeled.view(4, 10)) < 1e-4
