"""The lineup: one record for each strategy, all that anyone but the strategy itself has to know of it. No torch.

Configs ask it which names there are, costs and checks what a strategy needs, pages what to call and how to draw it.
What a strategy does is in `rambo.algorithm` and `rambo.strategies`. Strategies of other people, `rambo.plugins`, stand
behind ours with what they declare of themselves.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from rambo import plugins
from rambo.errors import ConfigError, shorten

_NEUTRAL, _NEUTRAL_SYMBOL = "#7b8794", "octagon"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")  # it names files and stands in addresses
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_ALL = "all"  # in place of names it means all of ours
SYMBOLS = (  # those of plotly's markers that are an area, which a colour fills
    *("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "triangle-left"),
    *("triangle-right", "triangle-ne", "triangle-se", "triangle-sw", "triangle-nw", "pentagon"),
    *("hexagon", "hexagon2", "octagon", "star", "hexagram", "star-triangle-up"),
    *("star-triangle-down", "star-square", "star-diamond", "diamond-tall", "diamond-wide"),
    *("hourglass", "bowtie"),
)
_SYMBOL = re.compile(rf"(?:{'|'.join(SYMBOLS)})(?:-open)?")


@dataclasses.dataclass(frozen=True)
class Strategy:
    """What is known of a strategy beside what it does.

    Attributes:
        name: in configs, records, files and addresses.
        word: what people call it; the name where there is none.
        help: what it chooses, in one sentence.
        colour: readable on white and on the dark background.
        symbol: plotly's marker, so that colour is never alone.
        phrase: its word in the middle of a sentence; the word where there is none.
        learns: `utility`, of sets, from classifiers trained on random parts of S_0; `loss`, of images, by a network
            trained beside f; or nothing.
        pretrains: whether what it learned goes on learning while the labeled pool grows (Algorithm 1).
        greedy: whether it spends the budget in steps of b.
        filters: whether it looks at the M smallest margins only.
        measures_distances: whether it knows distances only, in the space that `rivals.space` names.
        needs_network: whether it reads the layers of f, which a logistic head has not.
        reads_classifier: whether it looks at f trained on S_0.
        reads_validation: whether it looks at the labels of S_val.
        node: its hyper-parameters, as a dotted path in the config, or None.
        control: whether RAMBO is nothing without a run of it.
    """

    name: str
    word: str = ""
    help: str = "A strategy from outside RAMBO, which says no more of itself."
    colour: str = _NEUTRAL
    symbol: str = _NEUTRAL_SYMBOL
    phrase: str = ""
    learns: Literal["", "utility", "loss"] = ""
    pretrains: bool = False
    greedy: bool = False
    filters: bool = False
    measures_distances: bool = False
    needs_network: bool = False
    reads_classifier: bool = True
    reads_validation: bool = False
    node: str | None = None
    control: bool = False

    def __post_init__(self) -> None:
        """Call it by its name where nothing better is known."""
        object.__setattr__(self, "word", self.word or self.name)
        object.__setattr__(self, "phrase", self.phrase or self.word)


# A table reads better unformatted.
# fmt: off
_OURS = (
    Strategy("rambo", "RAMBO",
             "Small margins first, and of those the batch that the learned set utility u_hat ranks highest.",
             "#2563eb", "circle",
             learns="utility", pretrains=True, greedy=True, filters=True, reads_validation=True, node="rambo"),
    Strategy("filter-only", "Filter only",
             "The same margin filter, then a random batch: what RAMBO does without u_hat.",
             "#c2255c", "triangle-up", "filter-only", greedy=True, filters=True, control=True),
    Strategy("margin", "Margin", "The images between whose two likeliest classes f hesitates most.",
             "#e8590c", "diamond", "margin sampling", control=True),
    Strategy("random", "Random", "Images drawn at random from the unlabeled pool.",
             "#7b8794", "cross", "random choice", reads_classifier=False, control=True),
    Strategy("lowest", "Lowest u_hat",
             "RAMBO turned round: of the same batches the one that u_hat ranks lowest. A good u_hat makes this lose.",
             "#5f6b2f", "hexagram", "the lowest u_hat",
             learns="utility", pretrains=True, greedy=True, filters=True, reads_validation=True, node="rambo"),
    Strategy("rambo-plus", "RAMBO+",
             "Small margins that differ, and of several batches the one that makes a closed-form fit surest of S_val.",
             "#8a5cf6", "triangle-ne",
             learns="utility", greedy=True, filters=True, reads_validation=True, node="plus"),
    Strategy("entropy", "Entropy", "The images over whose classes f spreads its guess most evenly.",
             "#b8860b", "triangle-down", "entropy"),
    Strategy("least-confidence", "Least confidence", "The images whose likeliest class f believes in least.",
             "#a0522d", "triangle-left", "least confidence"),
    Strategy("badge", "BADGE", "Images of which f is unsure and that differ from each other (k-means++ on gradients).",
             "#0f9d76", "pentagon"),
    Strategy("coreset", "CoreSet", "Images far from all labeled ones and from each other (k-center).",
             "#9c36b5", "hexagon"),
    Strategy("glister", "GLISTER", "Images whose gradient helps most on the validation images.",
             "#1098ad", "star", reads_validation=True, node="rivals.glister"),
    Strategy("llal", "LLAL", "The images on which a second network expects the largest loss.",
             "#d6336c", "triangle-right", learns="loss", needs_network=True, node="rivals.llal"),
    Strategy("dulo", "DULO", "Blocks of images that a learned set utility, a regression, rates highest.",
             "#4c6ef5", "square", learns="utility", greedy=True, reads_validation=True, node="rivals.dulo"),
    Strategy("typiclust", "TypiClust", "The most typical image of each cluster without a label.",
             "#6a994e", "hourglass", measures_distances=True, node="rivals.typiclust"),
    Strategy("probcover", "ProbCover", "Images that cover as many others as possible within a radius.",
             "#7048e8", "bowtie", measures_distances=True, node="rivals.probcover"),
    Strategy("activeft", "ActiveFT", "A set spread as the whole pool is, found by gradient descent.",
             "#2b8a8a", "star-diamond", measures_distances=True, node="rivals.activeft"),
)
# fmt: on

OURS: tuple[str, ...] = tuple(strategy.name for strategy in _OURS)
CONTROLS: tuple[str, ...] = tuple(strategy.name for strategy in _OURS if strategy.control)

# No strategy, and in no config: it sees the labels before it chooses. Its results stand beside theirs.
ORACLE = Strategy(
    "best-of-random",
    "Best of random (oracle)",
    "The best of some random sets, by an oracle that knows all labels.",
    "#8d6e63",
    "x",
    reads_classifier=False,
    reads_validation=True,
)

_RECORDS = {strategy.name: strategy for strategy in (*_OURS, ORACLE)}


_registered: dict[str, Strategy] = {}  # declared in this process, by code that ran


def names() -> tuple[str, ...]:
    """Return the names of all strategies that a config may hold: ours, then those of others."""
    return (*OURS, *_others())


def of(name: str) -> Strategy:
    """Return the record of a strategy; of one that is not there, a neutral one that calls it by its name."""
    return _RECORDS.get(name) or _others().get(name) or Strategy(name)


def files_of(strategies: Iterable[str]) -> list[Path]:
    """Return the files that bring these strategies, each once."""
    outsiders = set(strategies) - set(OURS)
    return [
        path
        for path in plugins.files()
        if outsiders & {declaration.name for declaration in plugins.declared(path)}
    ]


def check(strategy: Strategy) -> Strategy:
    """Return a record that may stand in the lineup beside ours.

    Raises:
        ConfigError: its name, its colour or its symbol will not do, or its name is taken.
    """
    name, problem, hint = strategy.name, "", ""
    if not _NAME.fullmatch(name):
        hint = "use up to 40 small letters, digits and hyphens as its name"
    elif name in _RECORDS:
        problem, hint = "RAMBO has one of that name", "choose another name"
    elif name == _ALL:
        problem, hint = "is the word for all of RAMBO's own", "choose another name"
    elif not _COLOUR.fullmatch(strategy.colour):
        problem, hint = f"has the colour {shorten(strategy.colour)}", "write it as #rrggbb"
    elif not _SYMBOL.fullmatch(strategy.symbol):
        problem = f"has the symbol {shorten(strategy.symbol)}"
        hint = f"use one of {', '.join(SYMBOLS)}; -open behind it draws its outline"
    if hint:
        raise ConfigError(problem, field="strategy", value=name, hint=hint)
    return strategy


def register(strategy: Strategy) -> None:
    """Let a strategy of someone else stand in the lineup for as long as this process lives.

    Raises:
        ConfigError: as `check`.
    """
    _registered[strategy.name] = check(strategy)


_WORDS = ("word", "help", "colour", "symbol")
_FLAGS = ("greedy", "measures_distances", "needs_network", "reads_validation")


def _fits(key: str, value: object) -> bool:
    """Return whether a strategy of someone else may say this of itself; what ours train is counted by us alone."""
    return (key in _WORDS and isinstance(value, str) and value != "") or (
        key in _FLAGS and isinstance(value, bool)
    )


def _others() -> dict[str, Strategy]:
    """Return the strategies of others: registered here, in files, in packages; the first of a name counts."""
    declarations = [
        declaration for path in plugins.files() for declaration in plugins.declared(path)
    ]
    declarations += [
        declaration for offer in plugins.offers() for declaration in plugins.offered(offer)
    ]
    records = dict(_registered)
    for declaration in declarations:
        words = {key: value for key, value in declaration.arguments.items() if _fits(key, value)}
        with contextlib.suppress(ConfigError):  # whoever runs it is told; here it is not there
            records.setdefault(declaration.name, check(Strategy(declaration.name, **words)))
    return records


def learners(strategies: Iterable[str]) -> list[str]:
    """Return those that learn a utility of sets from true utilities, in the order of the lineup."""
    chosen = set(strategies)
    return [name for name in names() if name in chosen and of(name).learns == "utility"]
