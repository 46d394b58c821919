"""The rehearsal: the same game inside the labeled part, with those labels hidden."""

from pathlib import Path

import numpy as np
import pytest
from tiny import partly, tiny_config

from rambo import checks
from rambo.datasets import catalog, prepared, rehearsal
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import DataError
from rambo.worker import trial


def counts(data: Prepared) -> list[int]:
    return [int((data.roles == role).sum()) for role in (POOL, VALIDATION, TEST)]


def test_what_is_labeled_becomes_the_pool_and_nothing_unknown_is_left(
    tiny: Prepared, tmp_path: Path
) -> None:
    pets = partly(tmp_path, tiny, labeled=range(40), validation=range(40, 60), test=range(160, 180))
    played = rehearsal.derive(pets, tmp_path, "collection:pets")
    assert played.name == "rehearsal of pets"
    assert counts(played) == [40, 20, 20]
    assert not played.partly_labeled
    labeled = np.flatnonzero(np.array(pets.labels) >= 0)
    assert (np.array(played.images) == np.array(pets.images)[labeled]).all()
    assert (np.array(played.labels) == np.array(pets.labels)[labeled]).all()
    again = rehearsal.derive(pets, tmp_path, "collection:pets")
    assert again.fingerprint == played.fingerprint


def test_without_a_test_set_a_third_of_the_labels_judges_class_by_class(
    tiny: Prepared, tmp_path: Path
) -> None:
    pets = partly(tmp_path, tiny, labeled=range(40), validation=range(40, 60))
    played = rehearsal.derive(pets, tmp_path, "pets")
    assert counts(played) == [26, 20, 14]
    assert sorted(np.bincount(played.labels[played.roles == TEST]).tolist()) == [3, 3, 4, 4]


def test_every_label_judges_once_in_three_trials_and_never_teaches_then(
    tiny: Prepared, tmp_path: Path
) -> None:
    pets = partly(tmp_path, tiny, labeled=range(40), validation=range(40, 60))
    played = rehearsal.derive(pets, tmp_path, "pets")
    assert played.folds is not None
    config = rehearsal.scaled(tiny_config(strategies=["margin"]), pets, played)
    names = []
    for number in range(4):
        one = trial.split(config, played, number, None)
        names.append(one.test.tolist())
        pool = set(one.problem.labeled.tolist()) | set(one.problem.unlabeled.tolist())
        assert not pool & set(names[-1])
        assert len(pool) + len(names[-1]) == 40
        assert one.problem.validation.tolist() == list(range(40, 60)), "S_val stays one set"
        assert (one.problem.labels[one.test] == -1).all()
    assert sorted(names[0] + names[1] + names[2]) == list(range(40))
    assert names[3] == names[0]
    assert [rehearsal.judges(played, trials) for trials in (1, 2, 5)] == [14, 27, 40]
    own = partly(tmp_path, tiny, labeled=range(40), validation=range(40, 60), test=range(160, 180))
    assert rehearsal.derive(own, tmp_path, "own").folds is None, "a person's own test set stays"


def test_without_validation_images_some_labels_are_set_aside(
    tiny: Prepared, tmp_path: Path
) -> None:
    pets = partly(tmp_path, tiny, labeled=range(40))
    played = rehearsal.derive(pets, tmp_path, "pets")
    assert counts(played)[1:] == [8, 11]
    assert sum(counts(played)) == 40


def test_near_duplicates_and_groups_stay_on_one_side(tiny: Prepared, tmp_path: Path) -> None:
    clusters = np.arange(100) // 2
    groups = np.where(np.arange(100) < 40, np.arange(100) // 4, -1)
    for columns in ({"clusters": clusters}, {"groups": groups}):
        arrays = {key: value.astype(np.int64) for key, value in columns.items()}
        pets = partly(tmp_path, tiny, labeled=range(40), **arrays)
        played = rehearsal.derive(pets, tmp_path, "pets")
        values = played.clusters if "clusters" in columns else played.groups
        assert values is not None
        for value in np.unique(np.asarray(values)):
            assert len(set(played.roles[values == value].tolist())) == 1


@pytest.mark.parametrize("labeled", [2, 5])
def test_too_few_labels_are_refused_with_a_number(
    tiny: Prepared, tmp_path: Path, labeled: int
) -> None:
    pets = partly(tmp_path, tiny, labeled=range(labeled))
    with pytest.raises(DataError, match=f"{labeled} labels to play with.*label at least 12"):
        rehearsal.derive(pets, tmp_path, "pets")


def test_twelve_labels_are_enough(tiny: Prepared, tmp_path: Path) -> None:
    pets = partly(tmp_path, tiny, labeled=range(12), validation=range(12, 20))
    played = rehearsal.derive(pets, tmp_path, "pets")
    config = rehearsal.scaled(tiny_config(strategies=["margin"]), pets, played)
    checks.check(config, played)
    assert trial.split(config, played, 0, None).oracle is not None


def test_a_fully_labeled_dataset_needs_no_rehearsal(tiny: Prepared, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every label of tiny is known"):
        rehearsal.derive(tiny, tmp_path, "tiny")


def test_sizes_shrink_in_proportion_and_leave_a_choice(tiny: Prepared, tmp_path: Path) -> None:
    pets = partly(tmp_path, tiny, labeled=range(40), validation=range(40, 60))
    played = rehearsal.derive(pets, tmp_path, "pets")  # 26 to play with
    real = tiny_config(
        dataset={"name": "collection:pets"}, budget=20, acquisition={"batch_size": 10}
    )
    config = rehearsal.scaled(real, pets, played)
    assert (config.k, config.budget) == (13, 6)  # 40 to 20, and 13 images for 6 labels
    assert config.acquisition.batch_size == 3
    assert config.rambo.initial_size is None
    assert config.dataset.name == "rehearsal:collection:pets"
    checks.check(config, played)
    for budget in (1, 5, 1000):
        config = rehearsal.scaled(real.model_copy(update={"budget": budget}), pets, played)
        checks.check(config, played)
        assert config.k + 2 * config.budget <= 26


def test_repeated_pictures_count_once(tiny: Prepared, tmp_path: Path) -> None:
    clusters = np.concatenate([np.arange(40) // 2, np.arange(40, 120)]).astype(np.int64)
    pets = partly(tmp_path, tiny, labeled=range(40), validation=range(40, 60), clusters=clusters)
    played = rehearsal.derive(pets, tmp_path, "pets")
    config = rehearsal.scaled(tiny_config(budget=20, acquisition={"batch_size": 10}), pets, played)
    for number in range(5):
        one = trial.split(config, played, number, None)  # never refused
        assert len(one.offer.unlabeled) >= config.budget


def test_the_catalog_knows_rehearsals_by_name(tiny: Prepared, tmp_path: Path) -> None:
    labels = np.array(tiny.labels)
    labels[60:] = -1
    path = tmp_path / "pets.npz"
    np.savez(path, images=np.array(tiny.images)[:, 0], labels=labels)
    home = tmp_path / "runs"
    name = f"rehearsal:{path}"
    assert catalog.origin_of(name, workspace=home) is None
    played = catalog.prepare(name, home)
    assert played.name == "rehearsal of pets"
    origin = catalog.origin_of(name, workspace=home)
    assert origin is not None
    folder = prepared.find(home, origin)
    assert folder is not None
    assert folder.name == played.fingerprint
