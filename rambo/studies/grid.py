"""The studies: which experiments each table and figure of the paper needs. Imports no torch.

A study is a grid of cells, a cell the settings of one run. Cells share seeds, so their trials are paired, and the
memory of trained classifiers, so nothing they have in common is trained twice.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rambo import config as configs
from rambo import lineup
from rambo.config import Config, PlusConfig, Settings, presets
from rambo.errors import ConfigError
from rambo.estimate.work import NONE, ROLES, DataSizes, Trainings, trial_units
from rambo.studies import paper
from rambo.studies.paper import Reported

Place = Mapping[str, float | int | str]  # column -> value: where a cell stands in the grid


@dataclasses.dataclass(frozen=True)
class Cell:
    """One experiment of a study.

    Attributes:
        label: what to call it, unique in its study.
        place: its coordinates in the table.
        changes: nested settings laid over the study's own.
    """

    label: str
    place: Place
    changes: Settings


@dataclasses.dataclass(frozen=True)
class Study:
    """One question, the paper's table or figure that asks it, and its grid.

    Attributes:
        name: on the command line.
        title: a few words.
        source: where the paper has it.
        question: a sentence.
        axis: the column along which a figure is drawn; none for a table of rows.
        cells: returns the grid around a checked config.
        reported: returns the paper's figure for dataset, cell and strategy, where it prints one.
        metric: what the paper's figures are: `validation_accuracy` or `test_accuracy`.
    """

    name: str
    title: str
    source: str
    question: str
    axis: str
    cells: Callable[[Config], list[Cell]]
    reported: Callable[[str, Config, str], Reported | None] = lambda dataset, config, strategy: None
    metric: str = "validation_accuracy"


def lay(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """Return nested settings with `changes` laid over them."""
    result = dict(settings)
    for name, value in changes.items():
        below = result.get(name, {})
        result[name] = lay(below, value) if isinstance(value, Mapping) else value
    return result


def plan_cells(
    name: str, settings: Settings, make: Callable[[Settings], Config] = configs.build
) -> list[tuple[Cell, Config]]:
    """Return every cell of a study with its whole, checked config.

    Args:
        name: of the study.
        settings: nested, as of a run; the study changes what it varies.
        make: of settings a config; `config.restore` for a study that is there already.

    Raises:
        ConfigError: an unknown study, or settings that contradict each other in a cell, which is named.
    """
    if name not in STUDIES:
        raise ConfigError(
            "unknown", field="study", value=name, hint=f"choose one of: {', '.join(STUDIES)}"
        )
    base = make(settings)
    pairs = []
    for cell in STUDIES[name].cells(base):
        try:
            pairs.append((cell, make(lay(configs.describe(base), cell.changes))))
        except ConfigError as error:
            raise error.within(f"study {name}, {cell.label}") from None
    return pairs


def count(planned: Sequence[tuple[Cell, Config]], sizes: DataSizes) -> dict[str, Trainings]:
    """Return what a whole study trains, by role; what its cells have in common counts once.

    Choice: an upper bound, as equal choices of two cells are evaluated once.
    """
    total = dict.fromkeys((*ROLES, "transport"), NONE)
    trained: set[tuple[int, str]] = set()
    for _, config in planned:
        seeds = range(config.seed, config.seed + config.trials)
        for units in trial_units(config, sizes):
            fresh = [seed for seed in seeds if (seed, units.content) not in trained]
            trained |= {(seed, units.content) for seed in fresh}
            total[units.role] += units.trainings.times(len(fresh))
    return {role: total[role] for role in ROLES}


# The grids.


def _budgets(config: Config) -> list[Cell]:
    """Return four budgets in the paper's proportions (5.1)."""
    sizes = [round(config.budget * factor) for factor in (1, 1.4, 1.8, 2)]
    return [Cell(f"B = {size:,}", {"B": size}, {"budget": size}) for size in dict.fromkeys(sizes)]


def _pretraining_sizes(config: Config) -> list[Cell]:
    """Return four sizes of S_0 in the paper's proportions (Fig. 7)."""
    factors = (0.6, 1, 1.4, 2.2) if config.k >= 1000 else (0.5, 1, 1.5, 2)
    sizes = [max(4, round(config.k * factor)) for factor in factors]
    return [
        Cell(
            f"k = {size:,}",
            {"k": size},
            {"k": size, "rambo": {"initial_size": min(config.initial_size, size // 2)}},
        )
        for size in dict.fromkeys(sizes)
    ]


_FOREIGN = (0.0, 0.2, 0.4, 0.6)
_COPIES = 0.4
ONCE = "one label a picture"
PARTS = ("bilevel", "OT", "RankNet")
FULL = " + ".join(PARTS)
FROZEN = "lambda frozen"


def _ablation(config: Config) -> list[Cell]:
    """Return the eight combinations of switches (Tables 1, 3-5), a fair control of bilevel training, and the rivals."""
    cells = []
    for switches in itertools.product((1, 0), repeat=3):
        bilevel, transport, rank = map(bool, switches)
        named = [name for name, on in zip(PARTS, switches, strict=True) if on]
        model = {
            "bilevel": {"enabled": bilevel, "learn_lambda": True},
            "transport": transport,
            "loss": "rank" if rank else "regression",
        }
        label = " + ".join(named) or "none of them"
        place = dict(zip(PARTS, ("on" if on else "off" for on in switches), strict=True))
        changes = {"strategies": ["rambo"], "rambo": {"utility_model": model}}
        cells.append(Cell(label, place, changes))
    # "off" above is the paper's row: an ordinary fit with another optimizer, minibatches of all pairs and a fixed
    # weight decay. This row changes nothing but that lambda stays where it starts.
    frozen = {
        "strategies": ["rambo"],
        "rambo": {
            "utility_model": {
                "bilevel": {"enabled": True, "learn_lambda": False},
                "transport": True,
                "loss": "rank",
            }
        },
    }
    place = {"bilevel": FROZEN, "OT": "on", "RankNet": "on"}
    return [*cells, Cell(FROZEN, place, frozen), _controls(dict.fromkeys(PARTS, "-"))]


PAPER_ROUNDS = "as in the paper"


def round_changes(
    *, keep_true: bool = False, undo_worse: bool = False, stop: bool = False, residual: bool = False
) -> Settings:
    """Return the settings of RAMBO's rounds with some changes to the paper's, all others as in the paper.

    Bilevel training and OT are on whatever the settings say: without them a change would have no effect.
    """
    model = {
        "bilevel": {"enabled": True, "stop_at_lowest": stop},
        "transport": True,
        "ground_cost": {"residual": residual},
    }
    rounds = {"keep_true": keep_true, "undo_worse": undo_worse}
    return {"rambo": {"rounds": rounds, "utility_model": model}}


ROUNDS: Mapping[str, Settings] = {
    PAPER_ROUNDS: round_changes(),
    "true pairs stay in D": round_changes(keep_true=True),
    "worse rounds undone": round_changes(undo_worse=True),
    "lowest outer loss": round_changes(stop=True),
    "OT beyond size": round_changes(residual=True),
    "all four": round_changes(keep_true=True, undo_worse=True, stop=True, residual=True),
}


def _rounds(config: Config) -> list[Cell]:
    """Return the paper's rounds, each change that keeps them from unlearning, all together, and the rivals."""
    cells = [
        Cell(label, {"rounds": label}, {"strategies": ["rambo"]} | changes)
        for label, changes in ROUNDS.items()
    ]
    return [*cells, _controls({"rounds": "-"})]


PLUS = "as it is"
PLUS_CELLS: Mapping[str, Settings] = {
    PLUS: {},
    "certainty alone": {"weigh": False},
    "close pairs twice": {"repeats": 2},
    "random candidates": {"candidates": "random"},
    "a filter of 4 M": {"filter_factor": 4},
    "candidates of the pool": {"candidates": "pool"},
    "any of the pool": {"candidates": "pool", "pick": "random"},
    "batches of rivals": {"candidates": "rivals"},
    "an ensemble's lower bound": {"caution": 1},
    "half of S_val chooses": {"validation": "half"},
    "halves of S_val crossed": {"validation": "crossed"},
    "any batch": {"pick": "random"},
    "lowest batch": {"pick": "lowest"},
}


def _plus(config: Config) -> list[Cell]:
    """Return RAMBO+, each of its parts left out, its two controls, and everybody it should beat."""
    # The defaults by name, since a form or a command may have others.
    whole = PlusConfig().model_dump()
    cells = [
        Cell(label, {"RAMBO+": label}, {"strategies": ["rambo-plus"], "plus": whole | changes})
        for label, changes in PLUS_CELLS.items()
    ]
    rivals = ("rambo", "lowest", *lineup.CONTROLS, "badge")
    return [*cells, _controls({"RAMBO+": "-"}, rivals)]


def _ot_weights(config: Config) -> list[Cell]:
    """Return six weights of the OT loss (Table 6), and the controls."""
    cells = [
        Cell(
            f"lambda_OT = {weight:g}",
            {"lambda_OT": weight},
            {
                "strategies": ["rambo"],
                "rambo": {"utility_model": {"transport": True, "ot_weight": weight}},
            },
        )
        for weight in (0, 0.01, 0.1, 1, 10, 100)
    ]
    return [*cells, _controls({"lambda_OT": "-"})]


def _noise(config: Config) -> list[Cell]:
    """Return a clean oracle, and one that errs in 20 % (Fig. 3b, 5)."""
    return [
        Cell(label, {"noise": share}, {"dataset": {"corruption": {"label_noise": share}}})
        for label, share in (("clean", 0.0), ("20 % of the labels wrong", 0.2))
    ]


def _imbalance(config: Config) -> list[Cell]:
    """Return the balanced pool and both readings of imbalance (Fig. 3c, 6)."""
    words = {"none": "balanced", "paper": "3 of 10 classes at 80 %", "glister": "at 10 %"}
    return [
        Cell(word, {"imbalance": preset}, {"dataset": {"corruption": {"imbalance": preset}}})
        for preset, word in words.items()
    ]


def _dirty_pools(config: Config) -> list[Cell]:
    """Return pools with foreign images, with near copies and with rare classes, without the gate and with it.

    Choice: four shares of foreign images, or the one that the settings ask for. Rare classes try the gate: a pool
    whose classes are not S_val's looks unlike it, and every image still belongs. So do near copies, which belong too;
    what finds those is the rule of one label a picture, in cells of its own.
    """
    dirt, gate = config.dataset.corruption, config.acquisition.gate.by
    looks = {"no gate": "off", "gate": "classifier" if gate == "off" else gate}
    shares = (dirt.foreign,) if dirt.foreign else () if dirt.copies else _FOREIGN
    pools: dict[str, Settings] = {f"{100 * s:g} % foreign": {"foreign": s} for s in shares}
    if not dirt.foreign and not dirt.copies:
        pools["rare classes"] = {"imbalance": "glister"}
    cells = [
        _dirty_pool(pool, word, corrupted, {"gate": {"by": by}})
        for pool, corrupted in pools.items()
        for word, by in looks.items()
    ]
    if dirt.foreign:
        return cells
    share = dirt.copies or _COPIES
    rules: dict[str, Settings] = {
        word: {"gate": {"by": by}, "per_cluster": None} for word, by in looks.items()
    }
    rules[ONCE] = {"gate": {"by": "off"}, "per_cluster": 1}
    copied = f"{100 * share:g} % near copies"
    return cells + [
        _dirty_pool(copied, word, {"copies": share}, rule) for word, rule in rules.items()
    ]


def _dirty_pool(pool: str, rule: str, corrupted: Settings, acquisition: Settings) -> Cell:
    """Return one pool under one rule for what may be chosen of it."""
    gate = {"no gate": "off", "gate": "on"}.get(rule, rule)
    changes: Settings = {"dataset": {"corruption": corrupted}, "acquisition": acquisition}
    return Cell(f"{pool}, {rule}", {"pool": pool, "gate": gate}, changes)


def _validation_sizes(config: Config) -> list[Cell]:
    """Return the sizes of S_val of Table 2 that there are images for, and all of S_val.

    Choice: nested parts of one S_val, so the same trainings are judged by ever more images: S_0, U_0 and every utility
    sample stay as they are, and a training serves all cells.
    """
    whole = config.dataset.validation_size
    sizes = [size for size in paper.VALIDATION_SIZES if size < whole]
    return [
        Cell(f"|S_val| = {size:,}", {"S_val": size}, {"dataset": {"validation_part": size}})
        for size in (*sizes, whole)
    ]


def _filter_sizes(config: Config) -> list[Cell]:
    """Return M from margin sampling (M = b) to pure u_hat (the whole pool)."""
    size = config.acquisition.batch_size
    values: dict[str, int] = {f"M = {m} b": m * size for m in (1, 2, 5, 10, 20, 50)}
    values["M = the pool"] = 1_000_000
    learned = {"strategies": ["rambo", "filter-only"]}
    cells = [
        Cell(
            label, {"M": label.removeprefix("M = ")}, learned | {"acquisition": {"filter_size": m}}
        )
        for label, m in values.items()
    ]
    return [*cells, _controls({"M": "-"}, ("margin", "random"))]


def _controls(place: Place, names: Sequence[str] = lineup.CONTROLS) -> Cell:
    """Return the cell of those that the study's factor does not touch."""
    return Cell("controls", place, {"strategies": list(names)})


def _one(config: Config) -> list[Cell]:
    """Return a single cell."""
    return [Cell("all", {}, {})]


def _value(config: Config) -> list[Cell]:
    """Return the cell that answers whether u_hat helps: by its highest batches, any, and its lowest."""
    draws = config.oracle_draws or 10
    changes = {"strategies": ["rambo", *lineup.CONTROLS, "lowest"], "oracle_draws": draws}
    return [Cell(f"best of {draws}", {"draws": draws}, changes)]


# What the paper prints beside them.


def _paper_ablation(dataset: str, config: Config, strategy: str) -> Reported | None:
    """Return a row of Tables 1, 3, 4 or 5, where all but the switches of that table is the paper's."""
    if paper.sizes(dataset) != (config.k, config.budget):
        return None
    if not _as_in_the_paper(dataset, config, "paper-ablation"):
        return None
    if strategy == "random":
        return paper.ablation(dataset, None)
    model = config.rambo.utility_model
    switches = (int(model.bilevel.enabled), int(model.transport), int(model.loss == "rank"))
    return paper.ablation(dataset, switches) if strategy == "rambo" else None


def _paper_weight(dataset: str, config: Config, strategy: str) -> Reported | None:
    """Return an entry of Table 6, where all but B and lambda_OT is the paper's."""
    if strategy != "rambo" or not _as_in_the_paper(dataset, config, "paper"):
        return None
    return paper.ot_weight(dataset, config.budget, config.rambo.utility_model.ot_weight)


def paper_utility(dataset: str, config: Config, size: int) -> Reported | None:
    """Return an entry of Table 2 for an S_val of `size`, where images, f, k and k_1 are the paper's."""
    constants = _constants(dataset, "paper")
    if constants is None:
        return None
    whole = config.dataset.model_copy(update={"validation_part": None})
    own = configs.describe(config.model_copy(update={"dataset": whole}))
    same = all(own[name] == constants[name] for name in ("dataset", "classifier", "k"))
    if not same or own["rambo"]["initial_size"] != constants["rambo"]["initial_size"]:
        return None
    return paper.mean_utility(dataset, size)


# What may differ from the paper's constants beside its figures: who chooses, the machine, how often a thing is done
# (trials, trainings, offline pairs, which all figures say), and what its tables vary.
_FREE: Settings = {
    "strategies": None,
    "seed": None,
    "trials": None,
    "budget": None,
    "compute": None,
    "evaluation": None,
    "plus": None,
    "rivals": None,
    "oracle_draws": None,
    "acquisition": {"per_cluster": None, "per_group": None},
    "rambo": {
        "offline": {"pairs": None, "held_out": None, "repeated_pairs": None},
        "utility_model": {
            "transport": None,
            "loss": None,
            "ot_weight": None,
            "bilevel": {"enabled": None},
        },
    },
}


def _as_in_the_paper(dataset: str, config: Config, preset: str) -> bool:
    """Return whether images, f, S_0, S_val and u_hat are the paper's, whole and clean, apart from what is free.

    Args:
        dataset: the config's.
        config: of a cell.
        preset: whose constants the paper's figures were measured with.
    """
    constants = _constants(dataset, preset)
    return constants is not None and constants == _without(configs.describe(config), _FREE)


@functools.lru_cache(maxsize=16)
def _constants(dataset: str, preset: str) -> Settings | None:
    """Return the paper's constants for a dataset, or None where it has none."""
    if paper.sizes(dataset) is None:
        return None
    whole = configs.build(presets.PRESETS[preset](dataset))
    return _without(configs.describe(whole), _FREE)


def _without(settings: Mapping[str, Any], fields: Mapping[str, Any]) -> Settings:
    """Return nested settings less the fields that are named."""
    return {
        name: _without(value, fields[name]) if fields.get(name) else value
        for name, value in settings.items()
        if name not in fields or fields[name]
    }


STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        Study(
            "utility-value",
            "Does u_hat help?",
            "not in the paper",
            "Does RAMBO beat its own margin filter with random batches, and how far is the best of "
            "some random choices, which only an oracle could name?",
            "",
            _value,
            _paper_ablation,
        ),
        Study(
            "budgets",
            "Accuracy against budget",
            "Fig. 2a-d, 4",
            "Who makes the most of B labels?",
            "B",
            _budgets,
            _paper_ablation,
        ),
        Study(
            "pretraining-size",
            "Accuracy against labels held",
            "Fig. 2e, 7",
            "How many labels does the utility model need to learn from?",
            "k",
            _pretraining_sizes,
            _paper_ablation,
        ),
        Study(
            "ablation",
            "What each part adds",
            "Tables 1, 3-5",
            "What do bilevel training, optimal transport and the ranking loss add?",
            "",
            _ablation,
            _paper_ablation,
        ),
        Study(
            "rounds",
            "What the rounds unlearn",
            "not in the paper",
            "Do true pairs in D, rounds that can be undone, an early stop or OT beyond size make u_hat rank better?",
            "",
            _rounds,
            _paper_ablation,
        ),
        Study(
            "plus",
            "What RAMBO+ adds",
            "not in the paper",
            "Do learned weights, candidates that differ and the ranking help, and does RAMBO+ beat its rivals?",
            "",
            _plus,
        ),
        Study(
            "ot-weight",
            "Weight of optimal transport",
            "Table 6, Fig. 2f, 8",
            "Does a second task help, and how much of it?",
            "lambda_OT",
            _ot_weights,
            _paper_weight,
        ),
        Study(
            "noisy-oracle",
            "An oracle that errs",
            "Fig. 3b, 5",
            "Who suffers most where one label in five is wrong?",
            "noise",
            _noise,
            _paper_ablation,
        ),
        Study(
            "imbalance",
            "Rare classes",
            "Fig. 3c, 6",
            "Who finds the rare classes?",
            "imbalance",
            _imbalance,
            _paper_ablation,
        ),
        Study(
            "dirty-pool",
            "Pools with images that do not belong",
            "not in the paper",
            "How many labels are wasted on foreign images and near copies, and what keeps those out?",
            "",
            _dirty_pools,
        ),
        Study(
            "validation-size",
            "Size of the validation set",
            "Table 2, Fig. 3a",
            "How many checking images does a utility need?",
            "S_val",
            _validation_sizes,
        ),
        Study(
            "filter-size",
            "From margin sampling to pure u_hat",
            "not in the paper",
            "How much should u_hat decide, and how much the margins?",
            "M",
            _filter_sizes,
        ),
        Study(
            "runtime",
            "Where the time goes",
            "B.7",
            "How long does each strategy take, stage by stage?",
            "",
            _one,
        ),
    )
}


def strategies(names: Sequence[str]) -> list[str]:
    """Return strategy names with `all` for every one."""
    return list(lineup.names()) if list(names) == ["all"] else list(names)
