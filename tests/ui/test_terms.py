"""The words of the paper: all there, safe to mix with text of users, and each with its place."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rambo.ui import components, terms
from rambo.ui.configure import fields
from rambo.ui.learn import steps


def test_every_symbol_of_the_pages_has_a_term() -> None:
    names = "S_0 U_0 S_val k B b M u_hat lambda_OT tau_1 tau_2 f"
    assert set(names.split()) <= set(terms.TERMS)


@pytest.mark.parametrize("symbol", list(terms.TERMS))
def test_a_term_has_words_a_sentence_and_a_place(symbol: str) -> None:
    term = terms.TERMS[symbol]
    assert term.symbol == symbol
    assert len(term.meaning.split()) >= 4
    assert term.meaning.endswith(".")
    assert re.search(r"Section|Algorithm|Definition|Equation", term.paper)
    assert term.meaning in terms.words(symbol)


def test_a_known_symbol_explains_itself_and_an_unknown_one_stays() -> None:
    text = terms.marked("{k} = 200, {nothing} {S_0}")
    assert terms.TERMS["k"].meaning in text
    assert "{nothing}" in text
    assert "S<sub>0</sub>" in text


def test_text_of_users_is_text() -> None:
    text = terms.marked("<img src=x onerror=alert(1)> & {k}")
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt; &amp;" in text


def test_a_tap_reaches_the_words() -> None:
    """A tap gives focus only to what can have it."""
    assert 'tabindex="0"' in terms.marked("{B}")


def test_the_steps_to_touch_exist_and_name_known_symbols() -> None:
    names = {step.name for step in steps.STEPS}
    for step in steps.STEPS:
        assert set(step.terms) <= set(terms.TERMS), step.name
    assert {term.step for term in terms.TERMS.values() if term.step} <= names


def test_a_symbol_that_no_word_can_be_needs_no_braces() -> None:
    text = terms.marked(
        "u_hat learns on S_0, weighed by lambda_OT; a lambda, and some_S_0 of hu_hat"
    )
    for symbol in ("u_hat", "S_0", "lambda_OT", "lambda"):
        assert text.count(terms.TERMS[symbol].name) == 1, symbol
    assert "some_S_0 of hu_hat" in text


@pytest.mark.parametrize(
    ("symbol", "formula"),
    [("k", "k"), ("S_val", "S_{val}"), ("lambda_OT", r"\lambda_{OT}"), ("tau_1", r"\tau_1")],
)
def test_a_symbol_has_the_formula_that_the_form_writes(symbol: str, formula: str) -> None:
    assert terms.TERMS[symbol].formula == formula


def test_every_letter_of_the_form_outside_the_sections_is_a_term() -> None:
    names = {term.formula: term.name for term in terms.TERMS.values()}
    fields_ = [field for field in fields.TABLE if field.symbol and not field.section]
    assert len(fields_) > 5
    for field in fields_:
        assert terms.LABELS[field.title]["name"] == names[field.symbol], field.title


def test_a_letter_in_a_section_of_the_form_is_that_of_its_field() -> None:
    fields_ = [field for field in fields.TABLE if field.symbol and field.section]
    assert len(fields_) > 5
    for field in fields_:
        words = {"name": field.label, "meaning": field.help}
        assert terms.LABELS[field.title] == words, field.title


SCRIPT = """
export { patternsOf, symbolsIn };
if (process.argv[2]) {
  const { symbols, labels, texts } = JSON.parse(process.argv[2]);
  const [pattern, long] = patternsOf(symbols, Object.keys(labels));
  const all = [[texts, pattern], [texts, long]].map(([some, by]) => some.map((text) =>
    symbolsIn(text, by, labels).map(({ term, start, end }) => [term, text.slice(start, end)])));
  console.log(JSON.stringify(all));
}
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to run the page's own code")
def test_every_letter_in_a_label_of_the_form_is_found_in_the_page_and_is_its_own(
    tmp_path: Path,
) -> None:
    code = Path(components.__file__).with_name("words.js").read_text("utf-8")
    (tmp_path / "words.mjs").write_text(code + SCRIPT, "utf-8")
    titles = list(terms.LABELS)
    # As the form draws them, and as an error names them; the last is no label.
    texts = [*titles, *[f"{title} · changed" for title in titles], "the first k_1 of k"]
    payload = {"symbols": list(terms.TERMS), "labels": terms.LABELS, "texts": texts}
    command = ["node", str(tmp_path / "words.mjs"), json.dumps(payload)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    places, charts = json.loads(answer)
    letters = [title.rpartition("(")[2].rstrip(")") for title in titles]
    expected = [[[title, letter]] for title, letter in zip(titles, letters, strict=True)]
    assert places == [*expected, *expected, [["k_1", "k_1"], ["k", "k"]]]
    assert charts[-1] == [["k_1", "k_1"]]
