"""The fields of the form, one line of meaning each; limits, types and choices are read from the config tree itself.

A field that the config gains and this table lacks fails a test, not a page: its default is used until it is named.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rambo import lineup
from rambo.config import Config

# A node of JSON Schema, as pydantic writes the config's.
Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of the form.

    Attributes:
        path: where it stands in the config, dotted.
        label: two or three words.
        help: what it does, in a sentence or two.
        group: the heading it stands under.
        symbol: the paper's letter, as LaTeX.
        section: the expander it stands in; none for what everyone should see.
        step: of the plus and minus buttons, for fractions.
        names: words for its choices, where the config's own are too short.
    """

    path: str
    label: str
    help: str
    group: str
    symbol: str = ""
    section: str = ""
    step: float = 0.1
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The label with the paper's letter: plain text, which a screen reader reads as it stands."""
        return f"{self.label} ({_spelled(self.symbol)})" if self.symbol else self.label


_LETTERS = {  # LaTeX -> as one writes it without
    r"\lambda_{OT}": "λ of OT",
    r"\lambda_1 = \lambda_2": "λ₁ = λ₂",
    r"\lambda_3": "λ₃",
    r"\lambda_x": "λ of x",
    r"\lambda_y": "λ of y",
    "k_1": "k₁",
    **{
        rf"\{name}": letter
        for name, letter in zip(
            ("eta", "lambda", "xi", "epsilon", "delta", "alpha", "tau"), "ηλξεδατ", strict=True
        )
    },
}


def _spelled(symbol: str) -> str:
    """Return a letter of the paper as plain text."""
    return _LETTERS.get(symbol, symbol)


DATA, BUDGETS, MODEL = "Data", "Budgets", "Utility model"
CLASSIFIER, STRATEGIES, COMPUTE, TRIALS = "Classifier", "Strategies", "Compute", "Seed and trials"
JUST_THE_BUDGET = ("dataset.name", "k", "budget", "strategies")  # what a first run has to decide
GROUPS = {  # heading -> what one decides there
    DATA: "Which images, and how many are set aside to check with.",
    BUDGETS: "How many labels you hold, how many you buy, and in what steps.",
    STRATEGIES: "Who chooses, side by side, from the same images with the same labels.",
    MODEL: "How u_hat learns which of two sets of images is worth more.",
    CLASSIFIER: "What the labels are for: the network f that is trained on them.",
    TRIALS: "How often all of it is done, and from which random numbers.",
    COMPUTE: "Where the work is done.",
}
_EXTRA, _NETWORK, _BILEVEL = "More about the data", "Network and training", "Bilevel training"
_ERRORS, _HEAD = "Errors and imbalance", "Logistic head"
_GPU, _CLUSTER = "On a GPU", "Cluster"
_TRANSPORT, _OFFLINE, _FIT = (
    "Optimal transport",
    "More about the offline pairs",
    "How it is trained",
)
_GATE = "Images that do not belong"
_REPEATS = "What a batch may hold"
_LEARNING, _SPATIAL = "What the rivals that learn need", "What the rivals that measure need"
_PLUS = "What RAMBO+ does otherwise"
_M, _B = "rambo.utility_model", "rambo.utility_model.bilevel"
_C, _R = "dataset.corruption", "rivals"
_AUTO = {"auto": "automatic"}
_NETS = {
    "mnistnet": "MnistNet",
    "resnet18": "ResNet-18",
    "efficientnet-lite0": "EfficientNet-Lite0",
}

# A table reads better unformatted.
# fmt: off
TABLE: tuple[Field, ...] = (
    Field("dataset.name", "Dataset",
          "A name of the list, or the path of an .npz file on this machine with images and labels.", DATA),
    Field("dataset.validation_size", "Validation images",
          "Images with labels that every set is judged by. They are never chosen and never trained on.",
          DATA),
    Field("dataset.validation_part", "Of them judge",
          "So many of the validation images judge, a nested part; all else stays as it is. Left empty: all. The study "
          "of their number sets it.", DATA, section=_EXTRA),
    Field("dataset.features", "Frozen features",
          "The pretrained network through which u_hat sees images that are not 28 x 28 grey.",
          DATA, section=_EXTRA, names=_AUTO | _NETS),
    Field("dataset.feature_resolution", "Feature resolution",
          "Side in pixels to which images are resized for the frozen features.", DATA, section=_EXTRA),
    Field("dataset.feature_weights", "Weights of ResNet-18",
          "A file on this machine with torchvision's weights of ResNet-18. Left empty: those that are there, or "
          "are downloaded.", DATA, section=_EXTRA),
    Field(f"{_C}.label_noise", "Wrong labels",
          "The share of the labels you hold or buy that the oracle gets wrong: it reads another class, at random. "
          "Validation and test images stay clean.", DATA, section=_ERRORS, step=0.05),
    Field(f"{_C}.imbalance", "Rare classes",
          "3 of 10 classes, drawn at random, keep 80 % of the images to choose from (the paper's words) or 10 % "
          "(the code of GLISTER that the paper follows).", DATA, section=_ERRORS,
          names={"none": "none", "paper": "keep 80 % (paper)", "glister": "keep 10 % (GLISTER)"}),
    Field(f"{_C}.noisy_classes", "Classes it errs about",
          "The oracle errs about these only. Left empty: about all.", DATA, section=_ERRORS),
    Field(f"{_C}.foreign", "Foreign images",
          "The share of the unlabeled images that belong to no class. Asked about one, the oracle answers none of "
          "these: the label is spent and teaches nothing.", DATA, section=_ERRORS, step=0.05),
    Field(f"{_C}.foreign_source", "Foreign images from",
          "The dataset whose images are mixed in: a name of the list, or the path of an .npz file. "
          "Left empty: digits among clothes, and clothes among all else.", DATA, section=_ERRORS),
    Field(f"{_C}.copies", "Near copies",
          "The share of the unlabeled images that nearly repeat another one, as frames of a video do: 19 more of each "
          "of some scenes. A second label of a scene teaches next to nothing.", DATA, section=_ERRORS, step=0.05),

    Field("k", "Labels you hold",
          "Images whose labels are known from the start: the pool S_0.", BUDGETS, "k"),
    Field("budget", "Labels to buy",
          "Images that are chosen, all in one round, before any of their labels is seen.", BUDGETS, "B"),
    Field("acquisition.batch_size", "Images each step",
          "The budget is spent in greedy steps of this many images. It is also the size of a pretraining "
          "slice.", BUDGETS, "b"),
    Field("acquisition.filter_size", "Margin filter",
          "Each greedy step looks at this many of the smallest margins. M = b is margin sampling; as large as "
          "the pool, u_hat decides alone. Left empty: 10 b.", BUDGETS, "M"),
    Field("rambo.initial_size", "Pretraining starts at",
          "Pretraining grows the labels in use from k_1 to k, in slices of b. Left empty: a quarter of k.",
          BUDGETS, "k_1"),
    Field("rambo.pairs_per_iteration", "Pairs a round adds",
          "Pairs of sets that each pretraining iteration adds. Their utilities are interpolated: nothing is "
          "trained for them.", BUDGETS, "n"),
    Field("rambo.offline.pairs", "Offline pairs",
          "Pairs of sets that are trained for their true utility before anything else: two classifiers each, "
          "most of the work.", BUDGETS),
    Field("acquisition.per_cluster", "Labels a picture",
          "Of images that show the same, nearly, so many get a label at most; those that have one count. Left empty: "
          "no limit.", BUDGETS, section=_REPEATS),
    Field("acquisition.per_group", "Images a group",
          "Of a group (a patient, a video) so many images can be chosen at most. Left empty: no limit.",
          BUDGETS, section=_REPEATS),
    Field("rambo.offline.held_out", "Held-out share",
          "The share of the offline pairs that u_hat never learns from. They tell how well it ranks.",
          BUDGETS, section=_OFFLINE, step=0.05),
    Field("rambo.offline.repeated_pairs", "Pairs trained twice",
          "Pairs trained once more. How often two trainings agree is what u_hat is measured by: a perfect "
          "model would agree with one training a little more often.", BUDGETS, section=_OFFLINE),
    Field("rambo.offline.proxy", "Utilities by proxy",
          "Take true utilities from logistic heads on frozen features, hundreds a second, in place of trained "
          "networks: a stand-in, and every page says so.", BUDGETS, section=_OFFLINE),
    Field("acquisition.gate.by", "Gate",
          "Look only where the validation images look: images unlike the labeled and the validation images are "
          "left out before any strategy chooses. A test finds how many; a clean pool is kept whole.",
          BUDGETS, section=_GATE,
          names={"off": "off", "classifier": "by a boosted classifier", "transport": "by unbalanced OT"}),
    Field("acquisition.gate.wrong", "Wrong exclusions",
          "Of the images left out, this share may belong after all. A larger share leaves more out.",
          BUDGETS, section=_GATE, step=0.05),
    Field("acquisition.gate.axes", "Axes of an image",
          "Principal axes of the pixels, or of the frozen features.", BUDGETS, section=_GATE),
    Field("acquisition.gate.folds", "Folds",
          "Every image is judged by a classifier that has not seen it: one for each fold.", BUDGETS, section=_GATE),
    Field("acquisition.gate.keep", "Kept anyway",
          "Dataset indices of images that stay to be chosen, whatever the gate says.", BUDGETS, section=_GATE),

    Field("strategies", "Strategies to run",
          "Each chooses its own batch and is judged in the same way. Filter only and random show what u_hat "
          "adds.", STRATEGIES),
    Field("oracle_draws", "Sets an oracle tries",
          "Random sets of B images that an oracle tries out, to show how much a perfect choice among them would "
          "gain. It is no strategy: it sees the labels first. Each is one more training; 0 is none.", STRATEGIES),
    Field("plus.weigh", "RAMBO+: learned weights",
          "RAMBO+ learns from the offline pairs how much to trust each thing a set says of the validation images. "
          "Off: certainty alone, and nothing is trained for it.", STRATEGIES, section=_PLUS),
    Field("plus.repeats", "RAMBO+: close pairs",
          "Of the offline pairs it learns from, the closer half is trained so often, and the means count: which of two "
          "close sets is better, one training says half by chance.", STRATEGIES, section=_PLUS),
    Field("plus.candidates", "RAMBO+: candidates",
          "The batches of a step: images that differ, of the filter or as BADGE's of the whole pool, which takes M / b "
          "times as long as BADGE, random parts of the filter as in RAMBO, or what six others would take next.",
          STRATEGIES, section=_PLUS,
          names={"spread": "differ, from the filter", "pool": "differ, from the whole pool", "random": "random parts",
                 "rivals": "what others would take"}),
    Field("plus.filter_factor", "RAMBO+: wider filter",
          "Its filter holds so many times M of the smallest margins, and is cut into so many times as many batches.",
          STRATEGIES, section=_PLUS),
    Field("plus.caution", "RAMBO+: caution",
          "An ensemble of RAMBO+ sees the validation images and the pairs as chance might have drawn them. So many "
          "standard deviations among its members are taken off the lead of a batch. 0: no ensemble.",
          STRATEGIES, section=_PLUS, step=0.5),
    Field("plus.validation", "RAMBO+: ranks by",
          "All validation images, with f's guesses as labels of what nobody has bought. Half of them, and the other "
          "half says afterwards how much of the lead was chance. Or each half, with the guesses of a classifier that "
          "has learned the labels of the other: two more trainings, and better guesses.", STRATEGIES, section=_PLUS,
          names={"whole": "all of S_val", "half": "half of S_val", "crossed": "both halves, crossed"}),
    Field("plus.pick", "RAMBO+: picks",
          "The candidate it takes. Random and lowest are controls: they show what the ranking adds.",
          STRATEGIES, section=_PLUS,
          names={"highest": "the highest ranked", "random": "one at random", "lowest": "the lowest ranked"}),
    Field(f"{_R}.glister.learning_rate", "GLISTER: step",
          "Of the gradient step by which GLISTER looks ahead. Left empty: the classifier's learning rate.",
          STRATEGIES, r"\eta", _LEARNING, step=0.0005),
    Field(f"{_R}.llal.weight", "LLAL: weight",
          "How much the loss of its second network counts beside that of f.", STRATEGIES, r"\lambda", _LEARNING),
    Field(f"{_R}.llal.margin", "LLAL: margin",
          "By how much the predicted losses of two images should differ.", STRATEGIES, r"\xi", _LEARNING),
    Field(f"{_R}.llal.width", "LLAL: width",
          "Units of its second network for each layer of f that it reads.", STRATEGIES, section=_LEARNING),
    Field(f"{_R}.llal.detached_from", "LLAL: share with f",
          "The share of the epochs after which its second network no longer moves f.",
          STRATEGIES, section=_LEARNING),
    Field(f"{_R}.llal.learns_on", "LLAL: goes on alone",
          "f stops as soon as it is right, after about a tenth of its epochs. On, the second network alone has the "
          "others.", STRATEGIES, section=_LEARNING),
    Field(f"{_R}.dulo.sample_factor", "DULO: samples",
          "Times as many utility samples as RAMBO has.", STRATEGIES, section=_LEARNING),
    Field(f"{_R}.dulo.epsilon", "DULO: accuracy",
          "Of stochastic greedy: smaller looks at more images in each step.",
          STRATEGIES, r"\epsilon", _LEARNING, step=0.01),
    Field(f"{_R}.space", "Distances between",
          "Where TypiClust, ProbCover and ActiveFT measure: frozen features, or embeddings of f. Automatic: "
          "frozen features for images that are not 28 x 28 grey.", STRATEGIES, section=_SPATIAL,
          names=_AUTO | {"features": "frozen features", "embedding": "embeddings of f"}),
    Field(f"{_R}.typiclust.max_clusters", "TypiClust: clusters",
          "At most so many clusters.", STRATEGIES, section=_SPATIAL),
    Field(f"{_R}.typiclust.neighbours", "TypiClust: neighbours",
          "An image is typical when so many neighbours are near.", STRATEGIES, section=_SPATIAL),
    Field(f"{_R}.typiclust.smallest_cluster", "TypiClust: smallest",
          "Clusters with fewer images are passed over.", STRATEGIES, section=_SPATIAL),
    Field(f"{_R}.probcover.radius", "ProbCover: radius",
          "How far an image covers others. Left empty: the largest radius whose balls are pure enough.",
          STRATEGIES, r"\delta", _SPATIAL),
    Field(f"{_R}.probcover.purity", "ProbCover: purity",
          "The share of images around which a ball of that radius holds one class only.",
          STRATEGIES, r"\alpha", _SPATIAL, step=0.05),
    Field(f"{_R}.activeft.temperature", "ActiveFT: temperature",
          "Smaller looks at nearest images only.", STRATEGIES, r"\tau", _SPATIAL, step=0.01),
    Field(f"{_R}.activeft.iterations", "ActiveFT: iterations",
          "Steps of gradient descent.", STRATEGIES, section=_SPATIAL),
    Field(f"{_R}.activeft.learning_rate", "ActiveFT: rate",
          "Learning rate of that descent.", STRATEGIES, section=_SPATIAL, step=0.0005),
    Field(f"{_R}.activeft.diversity", "ActiveFT: diversity",
          "How much the chosen images should differ from each other.", STRATEGIES, r"\lambda", _SPATIAL),

    Field(f"{_M}.bilevel.enabled", "Bilevel training",
          "Learn on small sets, tune on large ones. Off: ordinary training with a fixed weight decay.",
          MODEL),
    Field(f"{_M}.transport", "OT as second task",
          "Learn the optimal-transport distance to the validation images beside the ranking.", MODEL),
    Field(f"{_M}.loss", "Loss",
          "RankNet learns which of two sets is better. Regression learns each set's accuracy; the interpolated ones "
          "fall with the size of a set, though true ones rise, and it learns that too.",
          MODEL, names={"rank": "RankNet", "regression": "Regression"}),
    Field(f"{_M}.pooling", "Pooling",
          "How the images of a set become one: their mean, as in the paper, or attention (Set Transformer).",
          MODEL, names={"mean": "Mean", "attention": "Attention"}),
    Field(f"{_M}.ot_weight", "Weight of OT",
          "How much the OT loss counts beside the ranking loss. 0 is none; the paper takes 1. OT is in units "
          "of its mean over the offline sets, so that both losses are of one size.",
          MODEL, r"\lambda_{OT}"),
    Field(f"{_M}.epochs", "Epochs",
          "Passes over the pairs, in each pretraining iteration and in the warm start.", MODEL),
    Field(f"{_M}.extractor", "What u_hat sees",
          "Pixels through a small convolutional network, or frozen features.",
          MODEL, section=_NETWORK, names=_AUTO | {"conv": "pixels", "features": "frozen features"}),
    Field(f"{_M}.dropout", "Dropout",
          "Share of activations dropped while learning.", MODEL, section=_NETWORK, step=0.05),
    Field(f"{_M}.learning_rate", "Learning rate",
          "Of Adam, in ordinary training and the warm start.", MODEL, section=_NETWORK, step=0.0005),
    Field(f"{_M}.minibatch_pairs", "Pairs a minibatch",
          "In ordinary training and the warm start.", MODEL, section=_NETWORK),
    Field(f"{_M}.weight_decay", "Weight decay",
          "In ordinary training. Bilevel training learns its own.", MODEL, section=_NETWORK, step=0.0001),
    Field("rambo.rounds.keep_true", "True pairs stay",
          "The offline pairs, whose utilities are trained and not interpolated, stay among what u_hat learns from. "
          "In the paper they warm it up and go.", MODEL, section=_FIT),
    Field("rambo.rounds.undo_worse", "Worse rounds undone",
          "A quarter of the offline pairs is set aside, and a round that ranks them worse is undone. The paper keeps "
          "every round.", MODEL, section=_FIT),
    Field(f"{_M}.square_weight", "Weight of squares",
          "Of the squared errors and of the size of the predictions, in the OT loss.",
          MODEL, r"\lambda_1 = \lambda_2", _TRANSPORT),
    Field(f"{_M}.positive_weight", "Weight of the sign",
          "Of the penalty for a negative distance, in the OT loss.", MODEL, r"\lambda_3", _TRANSPORT),
    Field(f"{_M}.ground_cost.feature_weight", "Cost of features",
          "How much the distance of two images counts in the cost of moving one onto the other (OTDD).",
          MODEL, r"\lambda_x", _TRANSPORT),
    Field(f"{_M}.ground_cost.label_weight", "Cost of labels",
          "How much the distance of two classes counts in that cost.", MODEL, r"\lambda_y", _TRANSPORT),
    Field(f"{_M}.ground_cost.label_dimensions", "Label dimensions",
          "Directions kept (PCA) before classes are compared.", MODEL, section=_TRANSPORT),
    Field(f"{_M}.ground_cost.residual", "OT beyond size",
          "OT mostly follows the size of a set. On, u_hat learns what is left of it beyond the mean at that size; the "
          "paper takes the whole.", MODEL, section=_TRANSPORT),
    Field(f"{_M}.ground_cost.solver", "OT is solved",
          "Exactly, or within guaranteed bounds for all sets at once (shared kernel), which many labeled images need. "
          "Automatic: exactly up to 5,000 labeled images.",
          MODEL, section=_TRANSPORT,
          names=_AUTO | {"exact": "exactly", "shared-kernel": "by a shared kernel"}),
    Field(f"{_B}.hypergradient", "Hypergradient",
          "How the tuning looks through the learning: a Neumann series, unrolled steps, or conjugate "
          "gradients.",
          MODEL, section=_BILEVEL,
          names={"neumann": "Neumann series", "unroll": "unrolled", "conjugate-gradient": "conjugate gradients"}),
    Field(f"{_B}.inner_steps", "Inner steps",
          "Steps of gradient descent on the small sets for each step of tuning.", MODEL, "T", _BILEVEL),
    Field(f"{_B}.inner_learning_rate", "Inner learning rate",
          "Of these steps.", MODEL, section=_BILEVEL, step=0.005),
    Field(f"{_B}.momentum", "Momentum", "Of these steps.", MODEL, section=_BILEVEL, step=0.05),
    Field(f"{_B}.terms", "Terms",
          "Terms of the Neumann series, or iterations of conjugate gradients.", MODEL, "K", _BILEVEL),
    Field(f"{_B}.damping", "Damping",
          "Added to the curvature; conjugate gradients only.", MODEL, section=_BILEVEL, step=0.001),
    Field(f"{_B}.outer_learning_rate", "Outer learning rate",
          "Of Adam on the log weights of the L2 penalty.", MODEL, section=_BILEVEL, step=0.01),
    Field(f"{_B}.initial_log_l2", "First log weight",
          "Where the log weights of the L2 penalty begin.", MODEL, section=_BILEVEL, step=0.5),
    Field(f"{_B}.learn_lambda", "Learn lambda",
          "Off, lambda stays where it starts and all else is as it was: the fair control of bilevel training.",
          MODEL, section=_BILEVEL),
    Field(f"{_B}.stop_at_lowest", "Lowest outer loss",
          "Take the weights of the step with the lowest outer loss. The paper takes the last; mostly that loss has "
          "risen by then.", MODEL, section=_BILEVEL),
    Field(f"{_B}.refit", "Refit on all pairs",
          "Train once more on small and large sets together with the weights that were found.",
          MODEL, section=_BILEVEL),

    Field("classifier.name", "Network",
          "Automatic: MnistNet for 28 x 28 grey images, else ResNet-18. The logistic head on frozen features is a "
          "stand-in for machines without a GPU.",
          CLASSIFIER, "f", names=_AUTO | _NETS | {"logistic": "Logistic head (proxy)"}),
    Field("classifier.learning_rate", "Learning rate", "Of Adam.", CLASSIFIER, section=_FIT, step=0.0005),
    Field("classifier.minibatch_size", "Minibatch", "Images a step of training.", CLASSIFIER, section=_FIT),
    Field("classifier.train_accuracy", "Stops at accuracy",
          "Training ends once this share of its own images is right.", CLASSIFIER, section=_FIT, step=0.01),
    Field("classifier.max_epochs", "Most epochs",
          "Training ends after this many passes in any case.", CLASSIFIER, section=_FIT),
    Field("classifier.accuracy_mode", "Accuracy is taken",
          "After each epoch with the network at rest (eval), or while it trains.",
          CLASSIFIER, section=_FIT, names={"eval": "after the epoch", "train": "while training"}),
    Field("classifier.logistic.l2", "L2 penalty",
          "Of the head's weights, against the sum of the losses. For the logistic head and utilities by proxy.",
          CLASSIFIER, section=_HEAD),
    Field("classifier.logistic.iterations", "Iterations",
          "Full-batch steps of the head.", CLASSIFIER, section=_HEAD),

    Field("seed", "Seed", "The same seed gives the same choice. Trial t runs with seed + t.", TRIALS),
    Field("evaluation.draws", "Chance",
          "Paired, all strategies and cells share what chance decides wherever they can: S_0, and the batches that "
          "the filter is cut into. As in version 0.1 they shared less.", TRIALS,
          names={"paired": "paired", "first": "as in version 0.1"}),
    Field("evaluation.repeats", "Trainings of a choice",
          "Classifiers trained on the k + B labels of each choice; their mean accuracy counts. One training of 400 "
          "images is noise of about a point.", TRIALS),
    Field("trials", "Trials",
          "Each trial has other labels from the start; the mean and its standard error are reported.",
          TRIALS),

    Field("compute.device", "Device",
          "Automatic: a GPU where there is one, else the CPU.",
          COMPUTE, names=_AUTO | {"cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"}),
    Field("compute.jobs", "Processes",
          "Classifiers that train at the same time on a CPU. It changes no result. Left empty: one per core.",
          COMPUTE),
    Field("compute.slots", "Side by side",
          "Classifiers trained in one network at once: what keeps a GPU busy, and no gain on a CPU. Left empty: 256 "
          "MnistNets or 64 ResNet-18s on an NVIDIA GPU, one after the other elsewhere.",
          COMPUTE, section=_GPU),
    Field("compute.precision", "Precision",
          "Of classifiers trained on an NVIDIA GPU. TF32 rounds more; whether it leaves their order as it is "
          "was not measured.",
          COMPUTE, section=_GPU, names={"float32": "float32", "tf32": "TF32"}),
    Field("compute.backend", "Workers through",
          "Processes of this machine, or a Dask cluster that is running.", COMPUTE, section=_CLUSTER,
          names={"loky": "this machine", "dask": "Dask"}),
    Field("compute.address", "Cluster address",
          "Of its scheduler, for example tcp://host:8786. Left empty: a cluster on this machine.",
          COMPUTE, section=_CLUSTER),
)
# fmt: on

EXCLUDED: Mapping[str, str] = {}  # path -> why the form does not show it
FIELDS: Mapping[str, Field] = {entry.path: entry for entry in TABLE}


@dataclass(frozen=True)
class FieldFacts:
    """What the config says of a field: `kind` is a JSON type, `choices` a Literal's values or the lineup's names."""

    kind: str
    optional: bool
    choices: tuple[str, ...]
    limits: str


def facts() -> dict[str, FieldFacts]:
    """Return what the config says of every field of the tree, by path, in its order."""
    return _facts(lineup.names())


@functools.cache
def _facts(strategies: tuple[str, ...]) -> dict[str, FieldFacts]:
    """Return the facts for a lineup."""
    schema = Config.model_json_schema()
    by_path = dict(_leaves(schema, schema["$defs"], ""))
    by_path["strategies"] = dataclasses.replace(by_path["strategies"], choices=strategies)
    return by_path


def is_optional(path: str) -> bool:
    """Return whether a field may be left empty."""
    return path in facts() and facts()[path].optional


def _leaves(node: Schema, definitions: Schema, prefix: str) -> list[tuple[str, FieldFacts]]:
    """Return the facts of all fields below a node of the schema."""
    leaves: list[tuple[str, FieldFacts]] = []
    for name, part in node["properties"].items():
        path = f"{prefix}{name}"
        if "$ref" in part:
            leaves += _leaves(definitions[part["$ref"].rsplit("/", 1)[1]], definitions, f"{path}.")
            continue
        kinds = [kind for kind in part.get("anyOf", [part]) if kind.get("type") != "null"]
        shape = kinds[0]
        choices = shape.get("items", shape).get("enum", ())
        optional = "anyOf" in part and len(kinds) < len(part["anyOf"])
        leaves.append((path, FieldFacts(shape["type"], optional, tuple(choices), _limits(shape))))
    return leaves


def _limits(shape: Schema) -> str:
    """Return the limits of a number in words: `1 to 1,000,000`, `above 0, at most 10`, or nothing."""
    if shape["type"] not in ("integer", "number"):
        return ""
    low, high = shape.get("minimum", -math.inf), shape.get("maximum", math.inf)
    if "exclusiveMinimum" in shape:
        low_words = f"above {_number(shape['exclusiveMinimum'])}"
    else:
        low_words = f"at least {_number(low)}" if low > -math.inf else ""
    if "exclusiveMaximum" in shape:
        high_words = f"below {_number(shape['exclusiveMaximum'])}"
    else:
        high_words = f"at most {_number(high)}" if high < math.inf else ""
    if low > -math.inf and high < math.inf:
        return f"{_number(low)} to {_number(high)}"
    return ", ".join(filter(None, (low_words, high_words)))


def _number(value: float) -> str:
    """Return a number as people write it."""
    return f"{value:,.10g}"
