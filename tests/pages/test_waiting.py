"""Pages on a run whose batch waits for labels, and on a rehearsal: every page opens and says so."""

from pathlib import Path

import numpy as np
import page_helpers
import pytest
from page_helpers import assert_calm, open_page, unescaped, words
from tiny import partly, write_tiny

from rambo import export
from rambo.datasets import rehearsal
from rambo.errors import ConfigError
from rambo.runs.workspace import Run, Workspace, create_run
from rambo.worker import run_worker


@pytest.fixture(scope="session")
def waiting_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 20 labels, 12 to check with and 60 unknown ones, of which 15 show something new."""
    root = tmp_path_factory.mktemp("waiting") / "runs"
    clusters = np.repeat(np.arange(23), 4).astype(np.int64)
    tiny = write_tiny(root)
    data = partly(root, tiny, labeled=range(20), validation=range(20, 32), clusters=clusters)
    config = page_helpers.page_config(strategies=["rambo", "margin"], budget=6)
    run = create_run(config, data, Workspace(root), "cpu")
    assert run_worker.work(run) == "done"
    return run


@pytest.fixture
def waiting(waiting_run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RAMBO_HOME", str(waiting_run.folder.parent))
    return waiting_run


def test_train_says_that_the_batch_waits(waiting: Run) -> None:
    app = open_page("pages/train.py", waiting.id)
    assert_calm(app)
    text = unescaped(words(app))
    assert "Batch chosen, waiting for labels" in text
    assert "RAMBO chose 6 of 60 images" in text


@pytest.mark.parametrize("view", ["Images", "Steps", "What if", "Balance", "Export"])
def test_batch_shows_every_tab_without_an_oracle(waiting: Run, view: str) -> None:
    app = open_page("pages/batch.py", waiting.id, view=view)
    assert_calm(app)
    text = unescaped(words(app))
    assert "Waiting for labels: nobody knows them yet." in text
    assert "45 of 60 unlabeled images are left out" in text
    assert not [toggle for toggle in app.toggle if toggle.key == "oracle"]
    assert "oracle says" not in text


def test_the_what_if_offers_only_what_could_be_chosen(waiting: Run) -> None:
    from rambo.ui.batch import batch_data

    batch = batch_data.load(waiting, 0, "rambo")
    assert batch is not None
    assert batch.atlas is not None
    offered = batch_data.offered(batch, batch.atlas)
    assert len(offered) == 15
    hat = batch_data.u_hat(batch)
    assert hat is not None
    assert np.isin(offered, hat.indices).all()


def test_compare_says_what_it_waits_for(waiting: Run) -> None:
    app = open_page("pages/compare.py", waiting.id)
    assert_calm(app)
    assert "Waiting for labels" in words(app)


def test_home_lists_it_without_a_number(waiting: Run) -> None:
    app = open_page("app.py")
    assert_calm(app)
    text = words(app)
    assert "waiting for labels" in text
    assert "test accuracy of" not in text


@pytest.mark.parametrize("page", ["pages/data.py", "pages/configure.py", "pages/studies.py"])
def test_the_other_pages_open(waiting: Run, page: str) -> None:
    assert_calm(open_page(page, waiting.id))


def test_data_counts_what_is_known_and_offers_no_errors_of_an_oracle(waiting: Run) -> None:
    app = open_page("pages/data.py", waiting.id)
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Labeled S_0"] == "20"
    assert metrics["Unlabeled U_0"] == "60"
    assert "Labels the oracle gets wrong" not in [slider.label for slider in app.slider]


@pytest.mark.parametrize("format", export.FORMATS)
def test_every_export_works_and_none_has_a_true_label(
    waiting: Run, tmp_path: Path, format: str
) -> None:
    assert export.build(waiting, format, "margin").write(tmp_path / "out").count == 6
    rows = export.rows(waiting, "margin")
    assert rows[0].true_label is None
    assert [row.repeats for row in rows] == [3] * 6
    with pytest.raises(ConfigError, match="nobody knows the labels"):
        export.build(waiting, format, "margin", truth=True)


def test_the_archive_says_what_was_left_out(waiting: Run) -> None:
    import io
    import zipfile

    packed = zipfile.ZipFile(io.BytesIO(export.build(waiting, "zip", "margin").data))
    assert "45 of 60 unlabeled images are left out" in packed.read("README.txt").decode()
    assert "45 repeat another one" in packed.read("run.json").decode()


def test_a_rehearsal_ends_with_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "runs"
    monkeypatch.setenv("RAMBO_HOME", str(root))
    pets = partly(root, write_tiny(root), labeled=range(40), validation=range(40, 60))
    played = rehearsal.derive(pets, root, "tiny")
    real = page_helpers.page_config(strategies=["margin", "random"], budget=10)
    config = rehearsal.scaled(real, pets, played)
    run = create_run(config, played, Workspace(root), "cpu")
    assert run_worker.work(run) == "done"
    assert played.name == "rehearsal of pets"
    for page in ("pages/train.py", "pages/compare.py"):
        app = open_page(page, run.id)
        assert_calm(app)
        text = unescaped(words(app))
        assert "On your own images" in text
        assert "too few trials to say" in text
