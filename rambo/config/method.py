"""The part of the config tree that the paper's method reads: classifier, utility model, acquisition."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from rambo.config.node import Count, Node, Rate, Weight
from rambo.errors import ConfigError

_EXACT_LABELED = 5000  # labeled images whose OT is solved exactly unless asked otherwise


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
    # trainings of the closer half of these pairs, whose mean is the true utility: there one is half chance
    repeats: Annotated[int, Field(ge=1, le=10)] = 1
    # batches that differ by k-means++, in the filter or as BADGE's in the whole pool; Algorithm 2's random chunks; or
    # what other strategies would take next
    candidates: Literal["spread", "pool", "random", "rivals"] = "spread"
    # times M that the filter of `spread` and `random` holds, and with it times as many candidates
    filter_factor: Annotated[int, Field(ge=1, le=100)] = 1
    # standard deviations taken off by an ensemble that resamples S_val and the true pairs; 0: no ensemble
    caution: Weight = 0.0
    # what ranks: all of S_val with f's guesses as labels; half of it, and the other half says what is left of the lead;
    # or each half, with the guesses of a classifier that has seen the labels of the other
    validation: Literal["whole", "half", "crossed"] = "whole"
    # the last two are controls: the same candidates without the ranking, and against it
    pick: Literal["highest", "random", "lowest"] = "highest"
