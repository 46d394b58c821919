"""The words and symbols of the paper, each explained once; on a page a symbol explains itself on hover, tap or focus.

terms.caption("S_0 holds {k} = 200 labels")   a caption whose symbols explain themselves
terms.strip("S_0", "k", "u_hat")              one line of symbols at the foot of a page
terms.words("u_hat")                          the plain sentence, for `help=` of a widget or a metric
terms.explain()                               all other symbols of the page, found by the browser
"""

import dataclasses
import html
import re
from collections.abc import Mapping

import streamlit as st

from rambo.ui.components.words import explain as explain_words
from rambo.ui.configure import fields


@dataclasses.dataclass(frozen=True)
class Term:
    """A symbol or a word of the method.

    Attributes:
        symbol: as plain text, fit for a label.
        marked: as HTML, with its subscript or hat.
        formula: as LaTeX, as the form writes it.
        name: in words.
        meaning: one or two sentences a newcomer can read aloud.
        paper: where the paper brings it in.
        step: the step of Learn in which to touch it; empty where there is none.
    """

    symbol: str
    marked: str
    formula: str
    name: str
    meaning: str
    paper: str
    step: str = ""


def _term(
    symbol: str, name: str, meaning: str, paper: str, step: str = "", marked: str = ""
) -> tuple[str, Term]:
    """Return the key and the term; `S_0` is marked up as S with a small 0."""
    base, _, small = symbol.partition("_")
    usual = f"{base}<sub>{small}</sub>" if small else base
    greek = f"\\{base}" if base in _GREEK else base
    formula = f"{greek}_{{{small}}}" if len(small) > 1 else f"{greek}_{small}" if small else greek
    return symbol, Term(symbol, marked or usual, formula, name, meaning, paper, step)


_GREEK = ("lambda", "tau", "xi", "phi", "alpha")

TERMS: Mapping[str, Term] = dict(
    [
        _term(
            "S_0",
            "the labeled pool",
            "The k images whose labels are there from the start. f is trained on it, and u_hat learns from its "
            "subsets.",
            "Section 3",
        ),
        _term(
            "U_0",
            "the unlabeled pool",
            "The images whose labels nobody has paid for yet. What is chosen comes from here.",
            "Section 3",
        ),
        _term(
            "S_val",
            "the validation set",
            "1,000 labeled images on which accuracy is measured while choosing. They are not trained on, and they "
            "are not the test images.",
            "Sections 3 and 5.1",
            "transport",
        ),
        _term(
            "S_1",
            "the labeled pool afterwards",
            "S_0 and the B chosen images with their new labels.",
            "Section 3",
        ),
        _term(
            "S_i",
            "the labeled pool as it grows",
            "The labels that the pretraining uses after i slices: S_0 is its end, the first k_1 labels its start.",
            "Algorithm 1, lines 4 to 16",
            "interpolation",
        ),
        _term(
            "S_j",
            "the labeled pool of a greedy step",
            "S_0 and everything chosen in the steps before. A candidate batch is judged together with it.",
            "Algorithms 1 and 2",
            "filter",
        ),
        _term(
            "k",
            "the labels at hand",
            "How many labeled images there are before anything is chosen: the size of S_0.",
            "Section 3",
        ),
        _term(
            "B",
            "the budget",
            "How many labels are bought, all at once, in one round.",
            "Section 3",
            "rounds",
        ),
        _term(
            "b",
            "the batch size",
            "How many images a greedy step takes. B / b steps spend the budget.",
            "Section 4, Algorithm 2",
            "filter",
        ),
        _term(
            "M",
            "the size of the margin filter",
            "Each greedy step looks only at the M images with the smallest margins. M = b is margin sampling, M = "
            "the whole pool is u_hat alone.",
            "Algorithm 2, line 3",
            "filter",
        ),
        _term(
            "n",
            "pairs a round",
            "How many pairs of sets each pretraining round adds to what u_hat learns from.",
            "Algorithm 3",
            "interpolation",
        ),
        _term(
            "k_1",
            "the first part of S_0",
            "How many labels the pretraining begins with; the rest of S_0 comes in slices of b, as if it were "
            "bought.",
            "Algorithm 1, line 4",
        ),
        _term(
            "tau_1",
            "the pretraining rounds",
            "How many slices of b take the pretraining from k_1 labels to all of S_0.",
            "Algorithm 1, line 5",
            marked="&tau;<sub>1</sub>",
        ),
        _term(
            "tau_2",
            "the greedy steps",
            "How many batches of b spend the budget: B / b.",
            "Algorithm 1, line 5",
            marked="&tau;<sub>2</sub>",
        ),
        _term(
            "f",
            "the classifier",
            "The network that is to learn the task. It is trained from scratch on a set, and its accuracy is the "
            "utility of that set.",
            "Sections 3 and 5.1",
            "beat",
        ),
        _term(
            "u",
            "the utility of a set",
            "The validation accuracy of f when it is trained on that set alone. Training twice gives two values.",
            "Section 3, Equation 1",
            "which",
        ),
        _term(
            "u_hat",
            "the utility model",
            "A network that looks at a whole set of images, without labels, and predicts how useful it is. Only "
            "the order of its numbers counts.",
            "Section 4.1",
            "which",
            marked="&ucirc;",
        ),
        _term(
            "S",
            "a set of images",
            "Any set of labeled images that f could be trained on; its distance to S_val says how alike the two are.",
            "Definition 3",
            "transport",
        ),
        _term(
            "xi",
            "a utility sample's set",
            "A subset of labeled images. With its utility it is one utility sample.",
            "Section 4.1",
            "which",
            marked="&xi;",
        ),
        _term(
            "phi",
            "the embedding of a set",
            "The numbers into which u_hat turns a set: every image is embedded, the average is taken, and a small "
            "network reads it.",
            "Section 4.1, A.3",
            "interpolation",
            marked="&phi;",
        ),
        _term(
            "margin",
            "the margin of an image",
            "The chance f gives the likeliest class less that of the second. Small means f hesitates. It is a score "
            "of one image, not a utility.",
            "Algorithm 2, B.1",
            "filter",
        ),
        _term(
            "u_1",
            "the utility of the first set",
            "How good f becomes on the first set of a pair; which of u_1 and u_2 is larger is all that ranking asks.",
            "Definition 2",
            "ranknet",
        ),
        _term(
            "u_2",
            "the utility of the second set",
            "How good f becomes on the second set of a pair.",
            "Definition 2",
            "ranknet",
        ),
        _term(
            "s_1",
            "the score of the first set",
            "What u_hat says of the first set of a pair; only the difference to s_2 counts.",
            "Definition 2",
            "ranknet",
        ),
        _term(
            "s_2",
            "the score of the second set",
            "What u_hat says of the second set of a pair.",
            "Definition 2",
            "ranknet",
        ),
        _term(
            "P_12",
            "the chance that the first set is better",
            "The sigmoid of the difference of two predicted utilities.",
            "Definition 2",
            "ranknet",
        ),
        _term(
            "L_Rank",
            "the ranking loss",
            "Cross-entropy between P_12 and which set really was better. A coin pays 0.69.",
            "Definition 2",
            "ranknet",
        ),
        _term(
            "OT",
            "the optimal transport distance",
            "The cheapest way to turn one set of images into another, by how far images look and classes lie "
            "apart.",
            "Definition 3",
            "transport",
        ),
        _term(
            "L_OT",
            "the transport loss",
            "How wrong u_hat is about the transport distance between a set and S_val: its second task.",
            "Definition 3",
            "transport",
        ),
        _term(
            "lambda_OT",
            "the weight of the transport loss",
            "How much L_OT counts beside L_Rank. 0 switches the hint off.",
            "Definition 4, Equation 3",
            "transport",
            marked="&lambda;<sub>OT</sub>",
        ),
        _term(
            "lambda",
            "the learned weight decay",
            "How strongly u_hat's weights are pulled to zero. It is chosen so that what short sets taught also "
            "holds for long ones.",
            "Section 4.2.1",
            "bilevel",
            marked="&lambda;",
        ),
        _term(
            "acc_i",
            "the accuracy after i slices",
            "Validation accuracy of f on the labeled pool S_i of a pretraining round.",
            "Algorithm 1, lines 6 and 11",
            "interpolation",
        ),
        _term(
            "d_i",
            "the distance to S_i",
            "How far u_hat sees a set from the labeled pool S_i of a pretraining round, and d_i+1 from the next one.",
            "Definition 5, Equation 4",
            "interpolation",
        ),
        _term(
            "alpha",
            "the weight of the earlier accuracy",
            "Where a set lies between S_i and S_{i+1}: the nearer pool weighs more.",
            "Definition 5, Equation 4",
            "interpolation",
            marked="&alpha;",
        ),
    ]
)


def _words_of(term: Term) -> dict[str, str]:
    """Return what the browser needs to know of a term."""
    return {
        "name": term.name,
        "meaning": term.meaning,
        "paper": term.paper,
        "formula": term.formula,
    }


def _words_of_field(field: fields.Field) -> dict[str, str]:
    """Return what the letter in a field's label means: the paper's own, or that of one rival or one training."""
    terms = {term.formula: term for term in TERMS.values()}
    term = None if field.section else terms.get(field.symbol)
    return _words_of(term) if term else {"name": field.label, "meaning": field.help}


_WORDS = {term.symbol: _words_of(term) for term in TERMS.values()}
LABELS: Mapping[str, Mapping[str, str]] = {
    field.title: _words_of_field(field) for field in fields.TABLE if field.symbol
}
# In plain text a symbol is one that no English word can be; a single letter stands in braces.
_WHOLE_WORDS = ("lambda", "alpha", "OT")
_UNMISTAKABLE = sorted(
    (name for name in TERMS if "_" in name or name in _WHOLE_WORDS), key=len, reverse=True
)
_SYMBOL = re.compile(rf"\{{([A-Za-z_0-9]+)\}}|(?<![\w{{])({'|'.join(_UNMISTAKABLE)})(?!\w)")


def words(symbol: str) -> str:
    """Return what a symbol means, as a plain sentence for the help of a widget or a metric."""
    term = TERMS[symbol]
    return f"{term.symbol}, {term.name}: {term.meaning} ({term.paper})"


def caption(text: str) -> None:
    """Draw a caption in which S_0 and `{k}` become symbols that explain themselves; all else is shown as it is.

    Args:
        text: plain text; what comes from users and files is safe in it, its braces too.
    """
    st.html(f'<p class="rambo-terms">{marked(text)}</p>')


def explain() -> None:
    """Make every symbol on the page explain itself on hover and on tap, wherever it stands."""
    explain_words(_WORDS, LABELS)


def strip(*symbols: str, lead: str = "Words on this page") -> None:
    """Draw one line of symbols that explain themselves, and the way to all of them."""
    parts = " ".join(f"{_spot(TERMS[symbol])}" for symbol in symbols)
    st.html(f'<p class="rambo-terms"><span class="lead">{html.escape(lead)}:</span> {parts}</p>')


def marked(text: str) -> str:
    """Return HTML of a text whose symbols explain themselves: `S_0` as it stands, a letter in braces: `{k}`."""
    pieces, end = [], 0
    for match in _SYMBOL.finditer(text):
        if (term := TERMS.get(match[1] or match[2])) is not None:
            pieces += [html.escape(text[end : match.start()]), _spot(term)]
            end = match.end()
    return "".join([*pieces, html.escape(text[end:])])


def _spot(term: Term) -> str:
    """Return a symbol with its explanation, which shows on hover and on focus; a tap gives focus."""
    tip = f"<b>{html.escape(term.name)}</b> {html.escape(term.meaning)} <i>{html.escape(term.paper)}</i>"
    return (
        f'<span class="rambo-term" tabindex="0">{term.marked}'
        f'<span class="rambo-tip" role="tooltip">{tip}</span></span>'
    )
