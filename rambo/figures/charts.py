"""The charts of the Train page in their order, each with the words around it."""

import dataclasses
from collections.abc import Callable

from rambo.config import Config
from rambo.events import (
    BatchChosen,
    ClassifierTrained,
    Event,
    HyperStep,
    LabeledPoolGrew,
    RankingAudited,
    TrainingsCompared,
    TransportPredicted,
    UtilityModelEpoch,
    UtilitySamplesAdded,
)
from rambo.figures import curves
from rambo.figures.curves import Kinds
from rambo.figures.prepared import Figure


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart and what stands around it.

    Attributes:
        name: in keys and file names.
        title: plain words, then the paper's symbol.
        caption: how to read it, with the definition.
        alt: what it shows, for those who do not see it.
        waits: what will appear, and when; shown while there is nothing.
        reads: the kinds of events it is made of.
        draw: events -> figure or None.
        missing: config -> why this run has no such chart; empty where it has.
    """

    name: str
    title: str
    caption: str
    alt: str
    waits: str
    reads: tuple[type[Event], ...]
    draw: Callable[[Kinds], Figure | None]
    missing: Callable[[Config], str] = lambda config: ""


def _no_transport(config: Config) -> str:
    """Say that optimal transport is off."""
    if config.rambo.utility_model.transport:
        return ""
    return "Optimal transport is switched off in this run: u_hat predicts no distance."


def _no_bilevel(config: Config) -> str:
    """Say that bilevel training is off."""
    if config.rambo.utility_model.bilevel.enabled:
        return ""
    return "Bilevel training is switched off in this run: lambda is not learned."


CHARTS = (
    Chart(
        "ranking",
        "Does u_hat rank sets correctly?",
        "The share of set pairs that u_hat puts in the order of their utilities: short sets train its weights "
        "(inner), long ones its lambda (outer). In the rounds utilities are interpolated; stars are held-out pairs "
        "with true utilities. The line is how often two trainings agree, the band above it where a perfect model lies.",
        "Ranking accuracy of u_hat on short and long sets over epochs, with the 50 % line of a coin, how often two "
        "trainings agree, the band of a perfect model and the held-out pairs.",
        "Appears when the offline trainings are done and u_hat learns for the first time.",
        (UtilityModelEpoch, RankingAudited, TrainingsCompared),
        curves.ranking,
    ),
    Chart(
        "losses",
        "Losses: ranking (L_Rank) and transport (L_OT)",
        "Lower is better. L_Rank is the RankNet cross-entropy of a pair; guessing gives 0.69. L_OT is the error of "
        "the predicted transport distance. Where the long sets rise while the short ones fall, u_hat memorises.",
        "Rank loss and OT loss of u_hat on short and long sets over epochs.",
        "Appears when u_hat learns for the first time.",
        (UtilityModelEpoch,),
        curves.losses,
    ),
    Chart(
        "transport",
        "Predicted against true OT distance",
        "One point a set: how far it is from the validation images by optimal transport, in units of the offline "
        "mean. On the dotted diagonal the prediction is perfect.",
        "Predicted over true optimal transport distances of the utility samples of the newest phase, with the "
        "diagonal.",
        "Appears when u_hat has been fitted for the first time.",
        (TransportPredicted,),
        curves.transport,
        _no_transport,
    ),
    Chart(
        "samples",
        "Utility samples: set size and accuracy (u)",
        "One point a set: the validation accuracy of a classifier trained on it alone. Filled circles were "
        "trained, crosses trained once more from other weights, open diamonds interpolated (Algorithm 3).",
        "Validation accuracy over set size of all utility samples, trained ones and interpolated ones.",
        "Fills in when the first classifier on a random subset has been trained.",
        (ClassifierTrained, UtilitySamplesAdded),
        curves.samples,
    ),
    Chart(
        "labeled",
        "What labels have bought so far (acc_i)",
        "The validation accuracy of f, trained on the growing labeled pools S_i of the pretraining. The "
        "interpolated utilities lie between neighbours on this line.",
        "Validation accuracy of f over the number of labels during pretraining.",
        "Appears when the pretraining has trained f on its first pool.",
        (LabeledPoolGrew,),
        curves.labeled,
    ),
    Chart(
        "penalties",
        "Learned weight decay of each tensor (lambda)",
        "Each row is a tensor of u_hat, each column a hyper-step. Blue: a stronger pull to zero than at the "
        "start; orange: a weaker one. Grey is where lambda began.",
        "Heatmap of log lambda for every parameter tensor of u_hat over the hyper-steps.",
        "Appears with the first hyper-step of the pretraining.",
        (HyperStep,),
        curves.penalties,
        _no_bilevel,
    ),
    Chart(
        "batches",
        "Acquisition: candidate batches by u_hat",
        "Each dash is a candidate batch of a greedy step, scored with all that was chosen before it; the star was "
        "taken, the diamond came second. u_hat ranks and has no unit; close together means: nearly equal.",
        "Predicted utility of all candidate batches in each greedy step, the chosen one and the runner-up marked.",
        "Fills in step by step once the pretraining is done.",
        (BatchChosen,),
        curves.batches,
    ),
)
