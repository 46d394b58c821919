"""The frozen config tree: each node checks itself, the root checks what spans nodes; afterwards it is trusted.

Defaults are the paper's where it states one (section in the comment); `Choice:` marks the rest. What depends on the
dataset (k and the budget against the pool) is checked by `rambo.checks.check`.
"""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from rambo import lineup
from rambo.errors import ConfigError, shorten

# A config as nested JSON types, whole or in part, before `build` checks it
# What a person typed, or a run stored, before it is a `Config`: anything may stand in it.
Settings = dict[str, Any]

_EXACT_LABELED = 5000  # labeled images whose OT is solved exactly unless asked otherwise

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_EARLIER = {"rambo.offline.ceiling_pairs": "rambo.offline.repeated_pairs"}
_STORED = {"stored": True}  # validation of what was checked before


def _check_strategy(name: str, info: pydantic.ValidationInfo) -> str:
    """Refuse a strategy that is not in the lineup; of a stored run, whose plugin may be gone, keep its name."""
    if name not in lineup.names() and info.context != _STORED:
        expected = ", ".join(lineup.names())
        raise PydanticCustomError(
            "literal_error", "choose one of: {expected}", {"expected": expected}
        )
    return name


StrategyName = Annotated[str, pydantic.AfterValidator(_check_strategy)]


class Node(pydantic.BaseModel):
    """A frozen part of the config that refuses unknown fields."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class LogisticConfig(Node):
    """Logistic heads on frozen features, in place of a network: the labelled proxy for machines without a GPU."""

    # Choice: beside the sum of the losses; features of an image have length 1
    l2: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 0.2
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 100  # Choice: full-batch steps


class ClassifierConfig(Node):
    """How the classifier f is trained (Section 5.1)."""

    # auto: mnistnet for 28 x 28 grey images, else resnet18
    name: Literal["auto", "mnistnet", "resnet18", "logistic"] = "auto"
    learning_rate: Rate = 1e-3  # Section 5.1
    # Choice: the DISTIL notebooks' usual value
    minibatch_size: Annotated[int, Field(ge=2, le=4096)] = 20
    train_accuracy: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.99  # Section 5.1
    max_epochs: Annotated[int, Field(ge=1, le=1000)] = 100  # Section 5.1
    # Choice: whole subset after each epoch, in eval mode
    accuracy_mode: Literal["eval", "train"] = "eval"
    logistic: LogisticConfig = LogisticConfig()


class TransportConfig(Node):
    """The OTDD ground cost between the labeled pool and the validation set."""

    feature_weight: Weight = 1.0  # Choice: OTDD's lambda_x
    label_weight: Weight = 1.0  # Choice: OTDD's lambda_y
    # Choice: PCA before the class Gaussians
    label_dimensions: Annotated[int, Field(ge=1, le=512)] = 50
    # Choice: exact up to 5,000 labeled images, above them all sets by one shared kernel
    solver: Literal["auto", "exact", "shared-kernel"] = "auto"
    # not the paper's: what is left of OT beyond its mean at a set's size, which it mostly follows
    residual: bool = False

    def exact_for(self, labeled: int) -> bool:
        """Return whether OT is solved exactly for a labeled pool of this size."""
        return self.solver == "exact" or (self.solver == "auto" and labeled <= _EXACT_LABELED)


class BilevelConfig(Node):
    """Bilevel training of u_hat (Section 4.2.1)."""

    enabled: bool = True
    hypergradient: Literal["neumann", "unroll", "conjugate-gradient"] = "neumann"
    inner_steps: Annotated[int, Field(ge=1, le=1000)] = 10  # Choice: T of the hypertorch example
    inner_learning_rate: Rate = 0.01  # Choice: 0.05 diverges on some pools
    momentum: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.9  # Choice
    terms: Annotated[int, Field(ge=1, le=1000)] = 10  # Choice: K, Neumann terms or CG iterations
    damping: Weight = 1e-3  # Choice: CG only
    outer_learning_rate: Rate = 0.05  # Choice: Adam on log L2
    initial_log_l2: Annotated[float, Field(ge=-30, le=5, allow_inf_nan=False)] = -6.0  # Choice
    # false keeps lambda where it starts: the same descent on D_tr, a control that isolates the outer problem
    learn_lambda: bool = True
    # not the paper's: the weights of the hyper-step with the lowest outer loss, which mostly rises afterwards
    stop_at_lowest: bool = False
    refit: bool = False  # Choice: w(lambda) comes from D_tr; true adds a refit on all of D


class UtilityModelConfig(Node):
    """The set network u_hat and its loss (Appendix A, Definitions 2-4)."""

    # auto: conv (A.1) for 28 x 28 grey images
    extractor: Literal["auto", "conv", "features"] = "auto"
    # A.3: average pooling; attention is the Set Transformer
    pooling: Literal["mean", "attention"] = "mean"
    loss: Literal["rank", "regression"] = "rank"
    transport: bool = True  # the OT head and its loss
    ot_weight: Weight = 1.0  # lambda_OT, B.5
    square_weight: Weight = 0.5  # lambda_1 = lambda_2, A.3
    positive_weight: Weight = 1.0  # lambda_3, A.3
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20  # B.7
    learning_rate: Rate = 1e-3  # Choice: pyDVL's default
    minibatch_pairs: Annotated[int, Field(ge=1, le=4096)] = 16  # Choice
    weight_decay: Weight = 1e-4  # Choice: ordinary training only; bilevel learns its own
    # Choice: 0.25 drowns the small differences between sets
    dropout: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1
    bilevel: BilevelConfig = BilevelConfig()
    ground_cost: TransportConfig = TransportConfig()


class OfflineConfig(Node):
    """The offline initialisation (Algorithm 1, line 3)."""

    pairs: Annotated[int, Field(ge=2, le=100_000)] = 500  # B.7
    held_out: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.2
    # Choice: this share of the pairs is never fitted; it audits u_hat against true utilities.
    # pairs trained once more, to see how often two trainings agree
    repeated_pairs: Annotated[int, Field(ge=0, le=40)] = 40
    proxy: bool = False  # Choice: true takes utilities from logistic heads on frozen features

    @pydantic.model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, value: Any) -> Any:
        """Read what version 0.1 called `ceiling_pairs`."""
        if not isinstance(value, Mapping) or "ceiling_pairs" not in value:
            return value
        rest = {name: own for name, own in value.items() if name != "ceiling_pairs"}
        return {"repeated_pairs": value["ceiling_pairs"]} | rest


class GateConfig(Node):
    """Look only where S_val looks: unlabeled images unlike it are left out before any strategy chooses."""

    # Choice: the paper has none; a boosted classifier, or the mass that unbalanced OT moves
    by: Literal["off", "classifier", "transport"] = "off"
    # Choice: share of the images left out that may belong after all; a clean pool is kept whole
    wrong: Annotated[float, Field(gt=0, le=0.5, allow_inf_nan=False)] = 0.2
    axes: Annotated[int, Field(ge=2, le=512)] = 40  # Choice: principal axes that describe an image
    # Choice: an image is judged by who has not seen it
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    # dataset indices that stay, whatever it says
    keep: tuple[Annotated[int, Field(ge=0)], ...] = ()


class AcquisitionConfig(Node):
    """What may be chosen at all, the gate, the margin filter and its batches (Algorithm 2)."""

    batch_size: Count = 50  # b, B.7
    filter_size: Count | None = None  # M; Choice: 10 b where it is not given
    # Choice: of near duplicates one label is enough; those with a label count; none: no limit
    per_cluster: Count | None = 1
    per_group: Count | None = None  # of a patient, a video; Choice: no limit, as a group may differ
    gate: GateConfig = GateConfig()

    @property
    def filtered(self) -> int:
        """M: how many of the smallest margins each greedy step looks at."""
        return self.filter_size if self.filter_size is not None else 10 * self.batch_size

    @pydantic.model_validator(mode="after")
    def _filter_holds_a_batch(self) -> "AcquisitionConfig":
        """Refuse M < b."""
        if self.filtered < self.batch_size:
            raise ValueError(
                ConfigError(
                    f"is below {{acquisition.batch_size}} {self.batch_size}",
                    field="acquisition.filter_size",
                    value=self.filtered,
                    limit=self.batch_size,
                    hint=f"raise it to at least {self.batch_size} or lower {{acquisition.batch_size}}",
                    others=("acquisition.batch_size",),
                )
            )
        return self


class RoundsConfig(Node):
    """What the rounds of pretraining may do otherwise than the paper; each field is one axis of the study `rounds`."""

    # the offline pairs with true utilities stay in D
    keep_true: bool = False
    # a quarter of the offline pairs is set aside, and a round is undone that ranks it worse than the u_hat before it
    undo_worse: bool = False


class RamboConfig(Node):
    """What only RAMBO needs: pretraining sizes and the utility model."""

    # k_1; Choice: k // 4, the paper's 50 of 200
    initial_size: Annotated[int, Field(ge=2, le=1_000_000)] | None = None
    pairs_per_iteration: Annotated[int, Field(ge=2, le=10_000)] = 50  # n, B.7
    utility_model: UtilityModelConfig = UtilityModelConfig()
    offline: OfflineConfig = OfflineConfig()
    rounds: RoundsConfig = RoundsConfig()


class PlusConfig(Node):
    """What RAMBO+ does otherwise; each field is one axis of its ablation."""

    # weights of the statistics learned on RAMBO's true pairs; false: certainty alone
    weigh: bool = True
    # batches that differ by k-means++ in the filter, or Algorithm 2's random chunks
    candidates: Literal["spread", "random"] = "spread"
    # the last two are controls: the same candidates without the ranking, and against it
    pick: Literal["highest", "random", "lowest"] = "highest"


class GlisterConfig(Node):
    """GLISTER-ONLINE (Killamsetty et al. 2021)."""

    learning_rate: Rate | None = None  # eta; Choice: the classifier's where it is not given


class LlalConfig(Node):
    """Learning loss for active learning (Yoo and Kweon 2019)."""

    weight: Weight = 1.0  # lambda of the original
    margin: Rate = 1.0  # xi of the original
    width: Annotated[int, Field(ge=1, le=4096)] = 128  # units a tap, of the original
    # share of the epochs; 120 of 200 in the original
    detached_from: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.6
    # Choice: f stops at 99 %, after about a tenth of its epochs; the module has all of them, detached
    learns_on: bool = True


class DuloConfig(Node):
    """Data utility learning by regression (Wang et al. 2023)."""

    # Choice: as many utility samples as RAMBO; B.3 speaks of thousands
    sample_factor: Annotated[int, Field(ge=1, le=20)] = 1
    # Choice: CORDS' constant of stochastic greedy
    epsilon: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.01


class TypiclustConfig(Node):
    """TypiClust (Hacohen et al. 2022)."""

    max_clusters: Annotated[int, Field(ge=2, le=10_000)] = 500  # of the original
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 20  # of the original
    smallest_cluster: Annotated[int, Field(ge=1, le=1000)] = 6  # of the original: 5 and less go


class ProbcoverConfig(Node):
    """ProbCover (Yehuda et al. 2022)."""

    radius: Rate | None = None  # delta; Choice: the largest of 0.2, 0.4 .. 2.0 that is pure enough
    purity: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.95  # alpha


class ActiveftConfig(Node):
    """Active Finetuning (Xie et al. 2023)."""

    temperature: Rate = 0.07  # tau of the original
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 300  # of the original
    learning_rate: Rate = 1e-3  # of the original
    diversity: Weight = 1.0  # lambda of the original


class RivalsConfig(Node):
    """What the rivals need beside problem, budget and f."""

    # of TypiClust, ProbCover, ActiveFT; auto: frozen features where u_hat reads them
    space: Literal["auto", "features", "embedding"] = "auto"
    glister: GlisterConfig = GlisterConfig()
    llal: LlalConfig = LlalConfig()
    dulo: DuloConfig = DuloConfig()
    typiclust: TypiclustConfig = TypiclustConfig()
    probcover: ProbcoverConfig = ProbcoverConfig()
    activeft: ActiveftConfig = ActiveftConfig()


class CorruptionConfig(Node):
    """What is wrong with the data: an oracle that errs, classes that are rare (Sections 5.5, B.2, B.3)."""

    # share of S_0 and U_0 whose label reads another class; S_val and test stay clean
    label_noise: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.0
    noisy_classes: tuple[Annotated[int, Field(ge=0, le=9999)], ...] = ()  # Choice: empty is all
    # 3 of 10 classes keep 80 % (the paper's words) or 10 % (GLISTER's code) of S_0 and U_0
    imbalance: Literal["none", "paper", "glister"] = "none"
    # share of U_0 that belongs to no class; the oracle answers "none of these", and the label is spent
    foreign: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.0
    # the dataset they come from; Choice: digits among clothes, else clothes, which are shipped
    foreign_source: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    # share of U_0 that nearly repeats another image of it, 19 frames each of as many scenes as that takes
    copies: Annotated[float, Field(ge=0, le=0.8, allow_inf_nan=False)] = 0.0

    @pydantic.model_validator(mode="after")
    def _one_kind_of_dirt(self) -> "CorruptionConfig":
        """Refuse foreign images and near copies in one pool: what they waste would be told as one."""
        if self.foreign and self.copies:
            raise ValueError(
                ConfigError(
                    "near copies are not mixed with foreign images",
                    field="dataset.corruption.copies",
                    value=self.copies,
                    limit=0,
                    hint="set it or {dataset.corruption.foreign} to 0",
                    others=("dataset.corruption.foreign",),
                )
            )
        return self


class DatasetConfig(Node):
    """Which images, and how many are held out."""

    name: Annotated[str, Field(min_length=1, max_length=1000)] = "fashion-mnist-mini"
    validation_size: Annotated[int, Field(ge=2, le=100_000)] = 1000  # Section 5.1
    # frozen extractor for images not 28 x 28 grey
    features: Literal["auto", "resnet18", "efficientnet-lite0"] = "auto"
    # Choice: side the images are resized to for it
    feature_resolution: Annotated[int, Field(ge=16, le=512)] = 64
    # a file of torchvision's ResNet-18 weights
    feature_weights: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    corruption: CorruptionConfig = CorruptionConfig()
    # of S_val, how many judge: a nested part, all else as it is (Table 2); none: all of it
    validation_part: Annotated[int, Field(ge=2, le=100_000)] | None = None

    @pydantic.model_validator(mode="after")
    def _weights_fit_the_network(self) -> "DatasetConfig":
        """Refuse weights for a network that is not used."""
        if self.feature_weights is not None and self.features == "efficientnet-lite0":
            raise ValueError(
                ConfigError(
                    "these are weights of ResNet-18",
                    field="dataset.feature_weights",
                    value=self.feature_weights,
                    hint="choose resnet18 or auto as {dataset.features}, or leave the weights out",
                    others=("dataset.features",),
                )
            )
        return self


class EvaluationConfig(Node):
    """How choices are made comparable, and judged once their labels are revealed."""

    # paired: cells and controls share whatever chance decides; first: as version 0.1 drew, for its stored runs
    draws: Literal["paired", "first"] = "paired"

    # trainings of f on S_1 whose mean accuracy counts; the paper: one. One of 400 images is noise of about a point.
    repeats: Annotated[int, Field(ge=1, le=20)] = 1


class ComputeConfig(Node):
    """Where the work is done; never part of the result on a CPU."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    # worker processes on a CPU; one per core where not given
    jobs: Annotated[int, Field(ge=1, le=1024)] | None = None
    backend: Literal["loky", "dask"] = "loky"  # joblib's; dask reaches a cluster
    # of the cluster's scheduler; one on this machine where not given
    address: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    # classifiers side by side; a GPU: 256 MnistNets, 64 ResNets; a CPU: one after the other
    slots: Annotated[int, Field(ge=1, le=4096)] | None = None
    precision: Literal["float32", "tf32"] = "float32"  # of the trainings on a GPU

    @pydantic.model_validator(mode="before")
    @classmethod
    def _ray_error(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Refuse ray, which version 0.1 offered and nobody ran; a stored run that names it is still shown."""
        if not isinstance(value, Mapping) or value.get("backend") != "ray":
            return value
        if info.context != _STORED:
            check_offered({"compute": value})
        return {**value, "backend": "loky", "address": None}


class Config(Node):
    """One run: a dataset, a budget, the strategies to compare, and everything that decides the result."""

    dataset: DatasetConfig = DatasetConfig()
    k: Annotated[int, Field(ge=2, le=1_000_000)] = 200  # size of S_0, Section 5.1
    budget: Count = 500  # B, Section 5.1
    strategies: Annotated[tuple[StrategyName, ...], Field(min_length=1)] = (
        "rambo",
        *lineup.CONTROLS,
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # trial t runs with seed + t
    trials: Annotated[int, Field(ge=1, le=1000)] = 1
    # random sets of B whose best an oracle picks, to show what there is to gain
    oracle_draws: Annotated[int, Field(ge=0, le=1000)] = 0
    classifier: ClassifierConfig = ClassifierConfig()
    acquisition: AcquisitionConfig = AcquisitionConfig()
    rambo: RamboConfig = RamboConfig()
    plus: PlusConfig = PlusConfig()
    rivals: RivalsConfig = RivalsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compute: ComputeConfig = ComputeConfig()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _draws_of_old_runs(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        """Let a run that was stored before there was a choice go on as it began."""
        if info.context == _STORED and isinstance(value, Mapping) and "evaluation" not in value:
            rivals = value.get("rivals", {})
            llal = {"learns_on": False} | dict(rivals.get("llal", {}))
            return {
                **value,
                "evaluation": {"draws": "first"},
                "rivals": {**rivals, "llal": llal},
            }
        return value

    @property
    def initial_size(self) -> int:
        """k_1: how many labels the pretraining starts from."""
        value = self.rambo.initial_size
        return value if value is not None else max(2, self.k // 4)

    @property
    def slices(self) -> int:
        """tau_1 = ceil((k - k_1) / b); the last slice may be smaller."""
        return math.ceil((self.k - self.initial_size) / self.acquisition.batch_size)

    @property
    def greedy_steps(self) -> int:
        """tau_2 = ceil(B / b); the last batch may be smaller."""
        return math.ceil(self.budget / self.acquisition.batch_size)

    def _repr_html_(self) -> str:
        """Return a table of every setting, for a notebook."""
        rows = "".join(
            f"<tr><td>{path}</td><td>{html.escape(shorten(value, 200))}</td></tr>"
            for path, value in flatten(describe(self))
        )
        return f"<table><thead><tr><th>setting</th><th>value</th></tr></thead><tbody>{rows}</tbody></table>"

    @pydantic.model_validator(mode="after")
    def _parts_agree(self) -> "Config":
        """Refuse settings that contradict each other across nodes."""
        if self.initial_size > self.k:
            raise ValueError(
                ConfigError(
                    f"exceeds {{k}} {self.k}",
                    field="rambo.initial_size",
                    value=self.initial_size,
                    limit=self.k,
                    hint=f"lower it to at most {self.k}",
                    others=("k",),
                )
            )
        if self.compute.address is not None and self.compute.backend == "loky":
            raise ValueError(
                ConfigError(
                    "loky works on this machine",
                    field="compute.address",
                    value=self.compute.address,
                    hint="choose dask as {compute.backend}, or leave the address out",
                    others=("compute.backend",),
                )
            )
        if len(set(self.strategies)) < len(self.strategies):
            raise ValueError(
                ConfigError(
                    "names one twice",
                    field="strategies",
                    value=", ".join(self.strategies),
                    hint="name each once",
                )
            )
        return self


def build(settings: Mapping[str, Any]) -> Config:
    """Return the checked config of nested `settings`.

    Raises:
        ConfigError: everything that is wrong, each with the field, the value and the way out.
    """
    config, complaints, _ = review(settings)
    if complaints or config is None:
        raise ConfigError.join(complaints)
    return config


def review(settings: Any) -> tuple[Config | None, list[ConfigError], set[str]]:
    """Return the config of nested `settings` without what is wrong, everything that is wrong, and what was left out.

    What spans fields is looked at only once each field is right by itself. So the wrong ones are left out, which makes
    them their defaults, and the rest is looked at again until nothing is wrong. A complaint that speaks of a field that
    was left out is not made: with another value there it may not hold.

    Returns:
        The config, or None where leaving out does not help; the complaints; and the paths of what was left out.
    """
    complaints: list[ConfigError] = []
    rest, bad_fields = settings, set[str]()
    while True:
        try:
            return Config.model_validate(rest), complaints, bad_fields
        except pydantic.ValidationError as error:
            reasons = [_explain(part) for part in error.errors(include_url=False)]
        complaints += [one for one in reasons if not one.speaks_of(bad_fields)]
        wrong = {one.field for one in reasons if one.field is not None} - bad_fields
        if rest is settings:
            rest = _copy(settings)
        if not wrong or not all([_leave_out(rest, path) for path in wrong]):
            return None, complaints, bad_fields | wrong
        bad_fields |= wrong


def _copy(settings: Any, levels: int = 5) -> Any:
    """Return settings that can be changed without changing these."""
    if not isinstance(settings, Mapping) or not levels:
        return settings
    return {name: _copy(value, levels - 1) for name, value in settings.items()}


def _leave_out(settings: Any, path: str) -> bool:
    """Take a field out of settings, in place; return whether it was there."""
    *parents, name = path.split(".")
    for parent in parents:
        settings = settings.get(parent) if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or name not in settings:
        return False
    del settings[name]
    return True


def restore(settings: Mapping[str, Any]) -> Config:
    """Return the config of a run as it was stored: a strategy whose plugin is not there keeps its name.

    Raises:
        ConfigError: as `build`, of everything else.
    """
    try:
        return Config.model_validate(settings, context=_STORED)
    except pydantic.ValidationError as error:
        parts = error.errors(include_url=False)
        raise ConfigError.join(_explain(part) for part in parts) from None


def check_offered(settings: Mapping[str, Any]) -> None:
    """Refuse to work on stored settings that an older version offered and this one does not.

    Raises:
        ConfigError: they name ray.
    """
    if settings.get("compute", {}).get("backend") == "ray":
        raise ConfigError(
            "is no longer offered", field="compute.backend", value="ray", hint="choose loky or dask"
        )


def assign(settings: Settings, path: str, value: Any) -> None:
    """Set the field at the dotted `path` of nested `settings` to `value`, in place.

    Raises:
        ConfigError: no such field; the message lists the fields there are.
    """
    node: Any = Config
    path = _EARLIER.get(path, path)
    names = path.split(".")
    target = settings
    for depth, name in enumerate(names):
        fields = getattr(node, "model_fields", {})
        if name not in fields:
            where = ".".join(names[:depth]) or "the config"
            choices = ", ".join(fields) or "no fields of its own"
            raise ConfigError(
                f"{shorten(where)} has no field {shorten(name)!r}",
                field="--set",
                value=path,
                hint=f"choose one of: {choices}",
            )
        if not isinstance(target, dict):
            node_path = ".".join(names[:depth])
            raise ConfigError(
                f"{shorten(node_path)} was set to {shorten(target)} before",
                field="--set",
                value=path,
                hint="leave that out",
            )
        node = fields[name].annotation
        if depth < len(names) - 1:
            target = target.setdefault(name, {})
    target[names[-1]] = value


# What pydantic finds -> what is wrong, where the hint does not say it, and the way out.
_WAYS_OUT = {
    "greater_than_equal": ("is too small", "use at least {ge}"),
    "greater_than": ("is too small", "use more than {gt}"),
    "less_than_equal": ("is too large", "use at most {le}"),
    "less_than": ("is too large", "use less than {lt}"),
    "literal_error": ("", "choose one of: {expected}"),
    "extra_forbidden": ("there is no such field", "leave it out"),
    "finite_number": ("", "use a finite number"),
    "int_parsing": ("", "use a whole number"),
    "int_from_float": ("", "use a whole number"),
    "int_parsing_size": ("is too large", "use a smaller whole number"),
    "int_type": ("", "use a whole number"),
    "float_parsing": ("", "use a number"),
    "float_type": ("", "use a number"),
    "bool_parsing": ("", "use true or false"),
    "bool_type": ("", "use true or false"),
    "string_type": ("", "use text"),
    "tuple_type": ("", "use a list"),
    "model_type": ("this is a group of fields", "set one of them"),
    "too_short": ("", "choose at least one"),
}


def _explain(part: Any) -> ConfigError:
    """Return one complaint of a failed validation."""
    context = part.get("ctx", {})
    for own in getattr(context.get("error"), "args", ()):
        if isinstance(own, ConfigError):  # of a check below, in a `ValueError` as pydantic wants it
            return own
    path = ".".join(str(name) for name in part["loc"] if isinstance(name, str))
    fallback = ("", part["msg"][:1].lower() + part["msg"][1:])
    problem, hint = _WAYS_OUT.get(part["type"], fallback)
    bounds = [context[name] for name in ("ge", "gt", "le", "lt") if name in context]
    return ConfigError(
        problem,
        field=path or "config",
        value=part["input"],
        limit=bounds[0] if bounds else None,
        hint=hint.format(**context).replace("'", ""),
    )


def describe(config: Config) -> Settings:
    """Return the config as nested JSON types, every default written out."""
    return config.model_dump(mode="json")


def flatten(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field of nested settings, with its dotted path."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def check_names(names: Sequence[str]) -> None:
    """Refuse a strategy that does not exist, with the list of those that do.

    Raises:
        ConfigError: an unknown name.
    """
    for name in names:
        if name not in lineup.names():
            raise ConfigError(
                "unknown",
                field="strategy",
                value=name,
                hint=f"choose one of: {', '.join(lineup.names())}",
            )
