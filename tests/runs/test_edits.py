"""A person's own batch: on disk at once, beside the strategy's choice, which never changes."""

import pytest
from store_helpers import CONFIG, refusal

from rambo.errors import StoreError
from rambo.runs import edits
from rambo.runs.edits import EditedBatch
from rambo.runs.environment import Environment
from rambo.runs.workspace import Workspace

CHOSEN, STEPS = [10, 11, 12, 20, 21, 22], [0, 0, 0, 1, 1, 1]


@pytest.fixture
def run(tmp_path):
    return Workspace(tmp_path / "runs").create(CONFIG, Environment(classes=("a", "b")))


def test_steps_that_nobody_changed_stay_as_chosen():
    edit = EditedBatch().with_step(1, [22, 99])
    assert edit.batch(CHOSEN, STEPS) == [(10, 0), (11, 0), (12, 0), (22, 1), (99, 1)]
    assert edit.removed(CHOSEN, STEPS) == [20, 21]
    assert edit.added(CHOSEN, STEPS) == [99]
    assert edit.without_step(1).batch(CHOSEN, STEPS) == list(zip(CHOSEN, STEPS, strict=True))


def test_an_image_is_in_a_batch_once():
    edit = EditedBatch().with_step(1, [12, 20])
    assert edit.batch(CHOSEN, STEPS) == [(10, 0), (11, 0), (12, 0), (20, 1)]


def test_a_part_of_the_batch_becomes_the_batch_and_new_images_join_its_last_step():
    edit = EditedBatch().limited([11, 22, 77], CHOSEN, STEPS)
    assert edit.batch(CHOSEN, STEPS) == [(11, 0), (22, 1), (77, 1)]
    again = edit.limited([22, 77], CHOSEN, STEPS)
    assert again.batch(CHOSEN, STEPS) == [(22, 1), (77, 1)]


def test_an_edit_is_read_back_and_taken_back(run):
    assert edits.load(run, 0, "rambo") is None
    edit = EditedBatch().with_step(0, [10])
    edits.save(run, 0, "rambo", edit)
    assert edits.load(run, 0, "rambo") == edit
    assert edits.load(run, 1, "rambo") is None
    assert edits.load(run, 0, "margin") is None
    edits.save(run, 0, "rambo", EditedBatch())
    assert edits.load(run, 0, "rambo") is None


def test_a_damaged_edit_is_an_error_in_words(run):
    edits.save(run, 0, "rambo", EditedBatch().with_step(0, [10]))
    (path,) = (run.folder / "edits").iterdir()
    path.write_text('{"steps": {"0": ["x"]}}')
    words = refusal(lambda: edits.load(run, 0, "rambo"))
    assert "the edited batch" in words


def test_no_flipped_bit_of_an_edit_goes_unseen(run):
    edit = EditedBatch().with_step(0, [10]).with_step(1, [22, 99])
    edits.save(run, 0, "rambo", edit)
    (path,) = (run.folder / "edits").iterdir()
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert edits.load(run, 0, "rambo") == edit, bit
        except StoreError as error:
            assert "the edited batch" in str(error)


def test_an_edit_of_an_older_version_opens(run):
    edits.save(run, 0, "rambo", EditedBatch().with_step(0, [10]))
    (path,) = (run.folder / "edits").iterdir()
    path.write_text('{"steps": {"0": [11, 12]}}')
    assert edits.load(run, 0, "rambo") == EditedBatch().with_step(0, [11, 12])


def test_a_strategy_from_outside_names_no_path(run):
    edits.save(run, 0, "../../evil name", EditedBatch().with_step(0, [1]))
    assert [path.name for path in (run.folder / "edits").iterdir()] == ["0-______evil_name.json"]
