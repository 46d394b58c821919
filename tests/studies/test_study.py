"""A study told from fabricated results: its table, its differences by hand, its files."""

import csv
import io
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, merged, write_tiny

from benchmarks import clean_pool
from rambo import checks
from rambo import config as configs
from rambo.datasets.prepared import Prepared
from rambo.errors import BudgetError, ConfigError, RunNotFoundError
from rambo.events import UtilitySamplesAdded
from rambo.runs.results import RARE_LABELS, Ranking, Summary, restore
from rambo.runs.workspace import Run, Workspace, environment
from rambo.studies import grid, paper, study
from rambo.studies.paper import Reported
from rambo.studies.table import StudyTable, to_csv, to_markdown

FIVE = (0.01, -0.02, 0.03, 0.0, -0.01)  # what each of five trials adds to all
HOSTILE = "=1+1|<script>\n# *x* ![p](//host/p.png)"


@pytest.fixture
def data(tmp_path: Path) -> Prepared:
    return write_tiny(tmp_path)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def make(name: str, data: Prepared, workspace: Workspace, **changes: Any) -> Run:
    settings = merged(merged(TINY, {"strategies": ["rambo", "filter-only", "random"]}), changes)
    return study.create(name, settings, data, workspace, "cpu")


Accuracies = dict[str, list[float | None]]


def fill(study_run: Run, label: str, accuracies: Accuracies, data: Prepared, **more: Any) -> Run:
    """Make the run of a cell, with these test accuracies by strategy, and seeds from 5."""
    workspace = Workspace(study_run.folder.parent.parent)
    cells = study.planned(study_run)
    place = [cell.label for cell, _ in cells].index(label)
    run = workspace.create(configs.describe(cells[place][1]), environment(data, "cpu"))
    for strategy, values in accuracies.items():
        for trial, test in enumerate(values):
            record = {
                "strategy": strategy,
                "seed": 5 + trial,
                "validation_accuracy": None if test is None else test + 0.1,
                "test_accuracy": test,
                "seconds": {"acquisition": 1.0 + trial, "evaluation": 2.0},
                "trainings": 3,
                "cached_trainings": 1,
            }
            run.save_result(restore(trial, strategy, record | more))
    run.set_status("done")
    study_run.save_cell(place, label, run.id)
    return run


def around(mean: float) -> list[float | None]:
    """Return five accuracies about a mean."""
    return [mean + extra for extra in FIVE]


def words(table: StudyTable) -> list[str]:
    return [verdict.words for verdict in table.verdicts]


# Made and found.


def test_a_new_study_is_queued_and_apart_from_the_runs(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("noisy-oracle", data, workspace)
    assert study_run.status == "queued"
    assert study_run.config["study"] == "noisy-oracle"
    assert study.is_study(study_run)
    assert workspace.runs() == []
    assert [run.id for run in study.workspace_of(workspace).runs()] == [study_run.id]
    assert study.find(study_run.id, workspace).folder == study_run.folder
    run = fill(study_run, "clean", {"random": [0.5]}, data)
    assert not study.is_study(run)
    assert study.find(run.id, workspace).folder == run.folder
    with pytest.raises(RunNotFoundError, match="no such run"):
        study.find("nothing", workspace)
    assert [cell.label for cell, _ in study.planned(study_run)] == [
        "clean",
        "20 % of the labels wrong",
    ]


def test_what_does_not_fit_is_refused_with_its_cell_before_anything_is_written(
    data: Prepared, workspace: Workspace
) -> None:
    with pytest.raises(BudgetError, match=r"budget 80 exceeds .* \(study budgets, B = 80\)$"):
        make("budgets", data, workspace, budget=40)
    with pytest.raises(ConfigError, match="study what: unknown"):
        make("what", data, workspace)
    with pytest.raises(ConfigError, match=r"^k 1 is too small; use at least 2$"):
        make("budgets", data, workspace, k=1)
    assert not study.workspace_of(workspace).root.exists()


# The table.


def test_a_study_without_results_is_all_waiting(data: Prepared, workspace: Workspace) -> None:
    whole_table = study.table(make("noisy-oracle", data, workspace, oracle_draws=2, trials=4))
    assert [cell.status for cell in whole_table.cells] == ["waiting"] * 2
    assert [(cell.done, cell.total) for cell in whole_table.cells] == [(0, 4 * 4)] * 2
    assert whole_table.cells[1].place == {"noise": 0.2}
    assert whole_table.rows == whole_table.verdicts == []
    assert (whole_table.name, whole_table.axis, whole_table.status) == (
        "noisy-oracle",
        "noise",
        "queued",
    )
    fields = whole_table.public()
    assert fields == json.loads(json.dumps(fields, allow_nan=False))


def test_a_row_is_the_mean_over_its_trials(data: Prepared, workspace: Workspace) -> None:
    study_run = make("noisy-oracle", data, workspace, trials=3)
    run = fill(study_run, "clean", {"rambo": [0.5, 0.6, None], "random": [0.4]}, data)
    summary_table = study.table(study_run)
    first, second = summary_table.rows
    assert (first.cell, first.place["noise"], first.strategy) == ("clean", 0.0, "rambo")
    assert (first.trials, first.trainings, first.cached_trainings) == (2, 9, 3)
    assert first.test.mean == pytest.approx(0.55)
    assert first.test.error == pytest.approx(math.sqrt(0.005 / 2))
    assert first.validation.mean == pytest.approx(0.65)
    assert first.seconds == {"acquisition": 2.0, "evaluation": 2.0}
    assert (second.trials, second.test.mean, second.test.error) == (1, 0.4, None)
    assert second.reported is None
    cell, waiting = summary_table.cells
    assert (cell.run, cell.status, cell.done, cell.total) == (run.id, "done", 3, 9)
    assert waiting.status == "waiting"
    study_run.set_status("done")  # by a version whose study had this cell alone
    assert [other.label for other in study.table(study_run).cells] == ["clean"]


@pytest.fixture
def tiny_sizes(monkeypatch: pytest.MonkeyPatch, data: Prepared) -> None:
    """Let the paper's constants be the tiny settings."""
    monkeypatch.setattr(paper, "sizes", lambda dataset: (24, 12))

    def constants(dataset: str, preset: str) -> configs.Settings:
        whole = configs.build(merged(TINY, {"dataset": {"name": dataset}}))
        described = configs.describe(checks.with_own_validation(whole, data))
        return grid._without(described, grid._FREE)

    monkeypatch.setattr(grid, "_constants", constants)


def test_a_dirty_pool_tells_what_is_wasted_and_what_the_gate_adds(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make(
        "dirty-pool", data, workspace, trials=5, dataset={"corruption": {"foreign": 0.4}}
    )
    open_, gated = "40 % foreign, no gate", "40 % foreign, gate"
    fill(study_run, open_, {"margin": around(0.7)}, data, figures={"labels wasted": 240})
    both = {"margin": around(0.8), "rambo-plus": around(0.81)}
    fill(study_run, gated, both, data, figures={"labels wasted": 2})
    summary_table = study.table(study_run)
    assert [row.wasted for row in summary_table.rows] == [240, 2, 2]
    assert any(
        text.startswith("margin with the gate minus without (40 % foreign): +10.0")
        and text.endswith("the gate is better here")
        for text in words(summary_table)
    )
    assert any(
        text.startswith("rambo-plus minus margin, both with the gate")
        for text in words(summary_table)
    )
    assert "| 240 |" in to_markdown(summary_table)
    assert to_csv(summary_table).splitlines()[0].split(",")[9] == "labels wasted"


def test_rambo_plus_is_held_against_its_own_parts_and_every_rival(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("plus", data, workspace, trials=5)
    fill(study_run, "as it is", {"rambo-plus": around(0.8)}, data)
    fill(study_run, "any batch", {"rambo-plus": around(0.7)}, data)
    fill(study_run, "controls", {"badge": around(0.9)}, data)
    texts = words(study.table(study_run))
    assert len(texts) == 2
    assert texts[0].startswith("RAMBO+ minus any batch: +10.0")
    assert texts[0].endswith("RAMBO+ is better here")
    assert texts[1].startswith("RAMBO+ minus badge: -10.0")
    assert texts[1].endswith("RAMBO+ is worse here")
    # The benchmark knows them again whatever machine they ran on, and no others.
    config = configs.build(merged(TINY, {"seed": 3, "compute": {"jobs": 7}}))
    results = clean_pool.results(workspace, data, config)
    assert {name: len(own) for name, own in results.items()} == {
        clean_pool.OURS: 5,
        "RAMBO+, any batch": 5,
        "badge": 5,
    }
    assert clean_pool.results(workspace, data, config.model_copy(update={"budget": 13})) == {}


@pytest.mark.usefixtures("tiny_sizes")
def test_the_papers_figure_stands_beside_ours(data: Prepared, workspace: Workspace) -> None:
    changes = {"dataset": {"name": "mnist"}, "k": 24, "budget": 12}
    study_run = make("ablation", data, workspace, **changes)
    fill(study_run, "bilevel + RankNet", {"rambo": [0.9, 0.8]}, data)
    fill(study_run, "controls", {"random": [0.7], "margin": [0.7]}, data)
    full, margin, random = study.table(study_run).rows
    assert full.reported == Reported(95.0, 0.1, "Table 4: k 200, B 500")
    assert random.reported is not None
    assert random.reported.mean == 93.4
    assert margin.reported is None


def test_a_cell_whose_run_was_deleted_waits_again(data: Prepared, workspace: Workspace) -> None:
    study_run = make("noisy-oracle", data, workspace)
    finished, missing = (
        fill(study_run, label, {"random": [0.5]}, data)
        for label in ("clean", "20 % of the labels wrong")
    )
    workspace.delete(missing)
    summary_table = study.table(study_run)
    assert [cell.run for cell in summary_table.cells] == [finished.id, None]
    assert summary_table.cells[1].status == "waiting"
    assert [row.cell for row in summary_table.rows] == ["clean"]
    assert list(study.runs(study_run)) == ["clean"]


def test_the_reader_of_summaries_can_be_another(data: Prepared, workspace: Workspace) -> None:
    study_run = make("noisy-oracle", data, workspace)
    fill(study_run, "clean", {"random": [0.5]}, data)
    summary_table = study.table(
        study_run, lambda run: Summary(run.id, "", {}, f"read {run.id[:4]}", [], Ranking())
    )
    assert [cell.status for cell in summary_table.cells] == ["read tiny", "waiting"]


def test_a_study_that_lost_its_worker_is_interrupted(data: Prepared, workspace: Workspace) -> None:
    study_run = make("noisy-oracle", data, workspace)
    study_run.set_status("running")
    assert study_run.status == study.table(study_run).status == "interrupted"
    with study_run.lock():
        assert Run(study_run.folder).status == "running"


# Verdicts.


def test_differences_are_paired_and_worded(data: Prepared, workspace: Workspace) -> None:
    study_run = make("noisy-oracle", data, workspace, trials=5)
    accuracies: Accuracies = {
        "rambo": around(0.80),
        "filter-only": around(0.78),
        "random": [0.9, 0.7, 0.9, 0.7, 0.8],
        "best-of-random": around(0.85),
    }
    fill(study_run, "clean", accuracies, data)
    fill(study_run, "20 % of the labels wrong", {"rambo": [0.5, 0.6], "random": [0.4, 0.3]}, data)
    table_now = study.table(study_run)
    *noise, first, second, third, fourth = table_now.verdicts
    assert len(noise) == 2
    assert first.pair == "RAMBO minus filter-only (clean)"
    assert (first.difference.mean, first.difference.trials, first.difference.finding) == (
        pytest.approx(2.0),
        5,
        "more",
    )
    assert first.difference.error == pytest.approx(0.0, abs=1e-9)
    assert words(table_now)[2].startswith(
        "RAMBO minus filter-only (clean): +2.0 +- 0.0 points of test accuracy over 5 paired trials "
        "(95 %: +2.0 to +2.0; p "
    )
    assert words(table_now)[2].endswith(" by Holm among 3 differences): u_hat helps here")
    gaps = [-9.0, 8.0, -7.0, 10.0, -1.0]
    error = statistics.stdev(gaps) / math.sqrt(5)
    assert (second.difference.mean, second.difference.error) == (
        pytest.approx(0.2),
        pytest.approx(error),
    )
    assert second.difference.high == pytest.approx(0.2 + 2.7764451 * error)
    assert words(table_now)[3].endswith("no evidence of a difference")
    assert third.pair == "RAMBO minus best-of-random (clean)"
    assert words(table_now)[4].endswith(": RAMBO is worse here")
    assert fourth.pair == "RAMBO minus random (20 % of the labels wrong)"
    assert words(table_now)[5].endswith("(95 %: -107.1 to +147.1): too few trials to say")


def test_a_difference_among_many_needs_more_evidence(data: Prepared, workspace: Workspace) -> None:
    """Alone its interval would lie above 0; six weights are asked about, so it may be chance."""
    study_run = make("ot-weight", data, workspace, trials=5)
    fill(study_run, "lambda_OT = 0", {"rambo": [0.70, 0.70, 0.70, 0.70, 0.70]}, data)
    for label in ("0.01", "0.1", "1", "10"):
        fill(study_run, f"lambda_OT = {label}", {"rambo": [0.69, 0.71, 0.70, 0.705, 0.695]}, data)
    fill(study_run, "lambda_OT = 100", {"rambo": [0.72, 0.705, 0.731, 0.703, 0.72]}, data)
    last = study.table(study_run).verdicts[-1].difference
    assert last.low is not None
    assert last.low > 0
    assert last.p < 0.05 < last.adjusted == pytest.approx(5 * last.p)
    assert last.finding == "nothing"


def test_a_single_cell_is_not_named_in_its_verdict(data: Prepared, workspace: Workspace) -> None:
    study_run = make("runtime", data, workspace)
    fill(study_run, "all", {"rambo": [0.8], "random": [0.7]}, data)
    assert words(study.table(study_run)) == [
        "RAMBO minus random: +10.0 points of test accuracy in one trial: too few trials to say"
    ]


def ablation(study_run: Run, data: Prepared, trials: int, skip: str = "") -> None:
    """Fill the ablation: bilevel adds 1 point, OT 2, RankNet takes half a point away."""
    for cell, _ in study.planned(study_run):
        if cell.label == "controls":
            fill(
                study_run,
                "controls",
                {"filter-only": [0.7] * trials, "random": [0.6] * trials},
                data,
            )
            continue
        gain = sum(
            points
            for part, points in zip(("bilevel", "OT", "RankNet"), (1, 2, -0.5), strict=True)
            if cell.place[part] == "on"
        )
        values = [0.7 + gain / 100 + extra for extra in FIVE[:trials]]
        fill(
            study_run,
            cell.label,
            {"rambo": [*values[:-1], None] if cell.label == skip else values},
            data,
        )


def test_main_effects_are_the_four_on_less_the_four_off(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("ablation", data, workspace, trials=5)
    ablation(study_run, data, 5)
    bilevel, transport, rank, *others = study.table(study_run).verdicts
    assert [v.difference.mean for v in (bilevel, transport, rank)] == pytest.approx(
        [1.0, 2.0, -0.5]
    )
    assert [v.difference.finding for v in (bilevel, transport, rank)] == ["more", "more", "less"]
    assert bilevel.pair == "bilevel on minus off, four cells each"
    assert bilevel.words.endswith(": bilevel is better here")
    assert rank.words.endswith(": RankNet is worse here")
    frozen, *others = others
    assert frozen.pair == "lambda learned minus lambda frozen, all else equal"
    assert frozen.difference.mean == pytest.approx(1.0)
    assert len(others) == 9 * 2  # each cell against both controls
    assert others[0].pair == "RAMBO minus filter-only (bilevel + OT + RankNet)"
    assert others[0].difference.mean == pytest.approx(2.5 + 100 * statistics.fmean(FIVE))


def test_a_trial_without_all_eight_cells_has_no_main_effect(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("ablation", data, workspace, trials=5)
    ablation(study_run, data, 5, skip="OT")
    effects = study.table(study_run).verdicts[:3]
    assert [v.difference.trials for v in effects] == [4] * 3
    assert [v.difference.mean for v in effects] == pytest.approx([1.0, 2.0, -0.5])
    assert {v.difference.finding for v in effects} == {"too few"}


def test_half_an_ablation_has_no_main_effects(data: Prepared, workspace: Workspace) -> None:
    study_run = make("ablation", data, workspace, trials=5)
    for label in ("OT + RankNet", "none of them"):
        fill(study_run, label, {"rambo": around(0.7)}, data)
    assert study.table(study_run).verdicts == []


def test_weights_are_compared_with_none(data: Prepared, workspace: Workspace) -> None:
    study_run = make("ot-weight", data, workspace, trials=5)
    for label, mean in (("lambda_OT = 0", 0.70), ("lambda_OT = 1", 0.73), ("lambda_OT = 100", 0.6)):
        fill(study_run, label, {"rambo": around(mean)}, data)
    verdicts = study.table(study_run).verdicts
    assert [v.pair for v in verdicts] == [
        "lambda_OT = 1 minus lambda_OT = 0",
        "lambda_OT = 100 minus lambda_OT = 0",
    ]
    assert [v.difference.mean for v in verdicts] == pytest.approx([3.0, -10.0])
    assert verdicts[0].words.endswith(": lambda_OT = 1 is better here")


# Utilities of random subsets.


@pytest.mark.usefixtures("tiny_sizes")
def test_mean_utilities_are_of_the_offline_samples_once(
    data: Prepared, workspace: Workspace
) -> None:
    """RAMBO and DULO tell of the same samples: counted twice, the error would look smaller than it is."""
    study_run = make(
        "validation-size", data, workspace, dataset={"name": "mnist"}, strategies=["rambo", "dulo"]
    )
    run = fill(study_run, "|S_val| = 50", {"rambo": [0.5]}, data)
    for strategy in ("rambo", "dulo"):
        for trial, utilities in enumerate(([0.2, 0.4, 0.6, 0.8], [0.3, 0.5, 0.7, 0.9])):
            run.append(
                UtilitySamplesAdded("offline", [10, 10, 12, 12], utilities),
                trial=trial,
                strategy=strategy,
            )
    run.append(UtilitySamplesAdded("pretraining-1", [9, 9], [0.0, 0.0]), trial=0, strategy="rambo")
    run.flush()
    by_size = study.mean_utilities(study_run)["|S_val| = 50"]
    assert (by_size.mean, by_size.sets, by_size.trials) == (pytest.approx(0.55), 8, 2)
    assert by_size.error == pytest.approx(0.05), "over the two trials, not over the eight sets"
    assert by_size.reported is not None
    assert (by_size.reported.mean, by_size.reported.source) == (75.8, "Table 2")


def test_utilities_of_another_k_stand_without_table_2(data: Prepared, workspace: Workspace) -> None:
    study_run = make(
        "validation-size", data, workspace, dataset={"name": "mnist"}, strategies=["rambo"]
    )
    run = fill(study_run, "|S_val| = 50", {"rambo": [0.5]}, data)
    event = UtilitySamplesAdded("offline", [10, 10], [0.2, 0.4])
    run.append(event, trial=0, strategy="rambo")
    run.flush()
    assert study.mean_utilities(study_run)["|S_val| = 50"].reported is None


def test_mean_utilities_of_dulo_alone(data: Prepared, workspace: Workspace) -> None:
    study_run = make("noisy-oracle", data, workspace, strategies=["dulo"])
    run = fill(study_run, "clean", {"dulo": [0.5]}, data)
    event = UtilitySamplesAdded("offline", [10, 10], [0.2, 0.4])
    run.append(event, trial=0, strategy="dulo")
    run.flush()
    (mean,) = study.mean_utilities(study_run).values()
    assert (mean.trials, mean.sets, mean.error, mean.reported) == (1, 2, None, None)


# Files.


@pytest.mark.usefixtures("tiny_sizes")
def test_the_csv_has_a_line_for_every_row(data: Prepared, workspace: Workspace) -> None:
    study_run = make("ablation", data, workspace, dataset={"name": "mnist"})
    fill(study_run, "OT", {"rambo": [0.5, 0.6]}, data)
    fill(study_run, "controls", {"random": [0.123456]}, data)
    rows = list(csv.DictReader(io.StringIO(to_csv(study.table(study_run)))))
    assert list(rows[0])[:5] == ["cell", "bilevel", "OT", "RankNet", "strategy"]
    assert list(rows[0])[5:] == [
        *("trials", "test", "test_error", "validation", "validation_error"),
        *("reported", "reported_error", "reported_source"),
        *(
            "balanced_test",
            "balanced_test_error",
            "balanced_validation",
            "balanced_validation_error",
        ),
    ]
    first, second = rows
    assert [first[name] for name in ("cell", "bilevel", "OT", "RankNet")] == [
        "OT",
        "off",
        "on",
        "off",
    ]
    assert (first["trials"], first["test"], first["test_error"]) == ("2", "55.0", "5.0")
    assert (first["validation"], first["reported"]) == ("65.0", "94.9")
    assert (second["test"], second["test_error"], second["OT"]) == ("12.35", "", "-")
    assert second["reported_source"] == "Table 4: k 200, B 500"
    empty = to_csv(study.table(make("noisy-oracle", data, workspace)))
    assert empty == (
        "cell,noise,strategy,trials,test,test_error,validation,validation_error,reported,reported_error,"
        "reported_source,balanced_test,balanced_test_error,balanced_validation,balanced_validation_error\n"
    )


def test_the_markdown_has_a_table_and_the_verdicts(data: Prepared, workspace: Workspace) -> None:
    study_run = make("runtime", data, workspace)
    fill(study_run, "all", {"rambo": [0.5, 0.6], "random": [None]}, data)
    assert to_markdown(study.table(study_run)).splitlines() == [
        "### Where the time goes (B.7) on tiny",
        "",
        "| cell | strategy | test % | balanced test % | validation % | trials | paper % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| all | rambo | 55.0 +- 5.0 | - | 65.0 +- 5.0 | 2 | - |",
        "| all | random | - | - | - | 0 | - |",
        "",
    ]


@pytest.mark.usefixtures("tiny_sizes")
def test_the_papers_figures_stand_in_the_markdown(data: Prepared, workspace: Workspace) -> None:
    study_run = make("ablation", data, workspace, dataset={"name": "mnist"})
    fill(study_run, "none of them", {"rambo": [0.5]}, data)
    text = to_markdown(study.table(study_run))
    assert "| none of them | rambo | 50.0 | - | 60.0 | 1 | 94.8 +- 0.2 |" in text


def test_a_hostile_name_stays_one_harmless_line(data: Prepared, workspace: Workspace) -> None:
    study_run = make("runtime", data, workspace, dataset={"name": HOSTILE})
    fill(study_run, "all", {"rambo": [0.5], "random": [0.4]}, data)
    summary_table = study.table(study_run)
    assert summary_table.dataset == HOSTILE
    text = to_markdown(summary_table)
    heading = text.splitlines()[0]
    assert len([line for line in text.splitlines() if line.startswith("#")]) == 1
    assert r"on =1+1\|\<script\>?# \*x\* \!\[p\](//host/p.png)" in heading
    assert HOSTILE.splitlines()[0] not in to_csv(summary_table)
    assert [r["strategy"] for r in csv.DictReader(io.StringIO(to_csv(summary_table)))] == [
        "rambo",
        "random",
    ]
    assert study_run.id.isascii()


# Questions that accuracy alone does not answer.


def test_rounds_are_held_against_the_papers_by_what_u_hat_ranks(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("rounds", data, workspace, trials=5)
    for label, share in ((grid.PAPER_ROUNDS, 0.5), ("true pairs stay in D", 0.6)):
        ranking = {"held_out": share, "held_out_pairs": 12}
        fill(study_run, label, {"rambo": around(0.8)}, data, ranking=ranking)
    texts = words(study.table(study_run))
    title = "true pairs stay in D minus as in the paper"
    assert texts[0].startswith(f"{title}: +10.0 +- 0.0 points of held-out pairs in true order")
    assert texts[1].startswith(f"{title}: +0.0 +- 0.0 points of test accuracy")


def test_an_oracle_that_errs_costs_every_strategy_something(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("noisy-oracle", data, workspace, trials=5)
    wrong = "20 % of the labels wrong"
    fill(study_run, "clean", {"rambo": around(0.8), "random": around(0.7)}, data)
    fill(study_run, wrong, {"rambo": around(0.6), "random": around(0.69)}, data)
    texts = words(study.table(study_run))
    assert texts[0].startswith(f"rambo, {wrong} minus clean: -20.0")
    assert "rambo is worse here" in texts[0]
    assert texts[1].startswith(f"random, {wrong} minus clean: -1.0")


def test_who_finds_rare_classes_is_told_by_the_labels_bought(
    data: Prepared, workspace: Workspace
) -> None:
    study_run = make("imbalance", data, workspace, trials=5)
    luck = {RARE_LABELS: 2}
    run = fill(study_run, "at 10 %", {"random": around(0.8)}, data, figures=luck)
    for trial, test in enumerate(around(0.8)):
        record = {"seed": 5 + trial, "test_accuracy": test, "figures": {RARE_LABELS: 5}}
        run.save_result(restore(trial, "rambo", record))
    texts = words(study.table(study_run))
    assert texts[0].startswith("rambo minus random (at 10 %): +3.0 +- 0.0 labels of rare classes")
    assert "rambo is better here" in texts[0]
