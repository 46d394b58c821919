"""The server's settings as shipped: this machine only, nothing told to anyone, no details in the browser."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
STYLE = (ROOT / "rambo" / "ui" / "style.css").read_text()


def test_the_server_is_for_this_machine() -> None:
    server = SETTINGS["server"]
    assert server["address"] == "127.0.0.1"
    assert set(server["allowedHosts"]) == {"localhost", "127.0.0.1"}
    assert server["enableXsrfProtection"] is True
    assert server["enableCORS"] is True
    assert server["enableStaticServing"] is False


def test_nothing_is_told_to_anyone() -> None:
    assert SETTINGS["browser"]["gatherUsageStats"] is False
    assert SETTINGS["client"]["showErrorDetails"] == "none"
    assert SETTINGS["server"]["showEmailPrompt"] is False


def test_light_and_dark_are_both_ours() -> None:
    light, dark = SETTINGS["theme"]["light"], SETTINGS["theme"]["dark"]
    assert light.keys() == dark.keys()
    assert contrast(light["textColor"], light["backgroundColor"]) > 7
    assert contrast(dark["textColor"], dark["backgroundColor"]) > 7
    for theme in (light, dark):
        assert contrast(theme["primaryColor"], theme["backgroundColor"]) > 4
        assert contrast(theme["linkColor"], theme["backgroundColor"]) > 4.5


def test_the_text_of_a_primary_button_stands_out() -> None:
    """Our style, not the primary colour of the theme, is its ground: that of the dark theme is a bright one."""
    button = r'\[data-testid="stBaseButton-primary"\]:not\(:disabled\) '
    rule = button + r"\{ background-color: light-dark\((\S+), (\S+)\); color: (\S+); \}"
    ((light, dark, text),) = re.findall(rule, STYLE)
    inner = button + r"\* \{ color: (\S+) !important; opacity: 1 !important; \}"
    assert re.findall(inner, STYLE) == [text]
    assert contrast(text, light) > 4.5
    assert contrast(text, dark) > 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG counts it."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
