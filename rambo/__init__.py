"""RAMBO: ranking-based active learning via multi-task bilevel optimisation.

Read `rambo.algorithm` first: one function per algorithm box of the paper. Data flows one way:
dataset -> pools -> utility samples -> utility model -> acquisition -> reveal and evaluate -> run directory -> pages.
Importing this package imports neither torch nor streamlit: `rambo.choose` and the others come from `rambo.api`, which
is loaded when one of them is asked for.
"""

__version__ = "0.2.0"

_DOOR = ("choose", "compare", "load", "open", "rehearse", "show", "strategy")
_BESIDE = {
    "Choice": "rambo.api.choice",
    "Comparison": "rambo.api.comparison",
    "Config": "rambo.config",
    "Interrupted": "rambo.errors",
    "RamboError": "rambo.errors",
    "Selection": "rambo.method.pools",
}


def __getattr__(name: str) -> object:
    """Return what the Python door offers, loading it now."""
    import importlib

    if name == "runs":  # a package that may be called: it lists the runs
        return importlib.import_module("rambo.runs")
    if name in _DOOR:
        with importlib.import_module("rambo.interrupts").whole():
            door = importlib.import_module("rambo.api")
        return getattr(door, name)
    if name in _BESIDE:
        return getattr(importlib.import_module(_BESIDE[name]), name)
    if name.startswith("_"):
        raise AttributeError(f"module 'rambo' has no attribute {name!r}")
    absent = importlib.import_module("rambo.calls").absent
    raise absent("rambo", name, (*_DOOR, *_BESIDE, "runs"))


def __dir__() -> list[str]:
    """Return the names of the door too, for those who press Tab."""
    return sorted({*globals(), *_DOOR, *_BESIDE, "runs"})
