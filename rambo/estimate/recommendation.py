"""Which strategy we would take, and why: the one place of that fact. The evidence is in `benchmarks/ACCURACY.md`.

Pages take their words from here, and a test compares every figure with that page. No torch.
"""

import dataclasses

from rambo import lineup
from rambo.text import unbroken


@dataclasses.dataclass(frozen=True)
class Measured:
    """A mean with its standard error, of test accuracy in percent or of points, as `benchmarks/` has it."""

    mean: float
    error: float

    def __str__(self) -> str:
        """Return `83.0 ± 0.3 %`."""
        return unbroken(f"{self.mean:.1f} ± {self.error:.1f} %")


STRATEGY = "badge"

# FashionMNIST, k = 200, B = 500, five paired trials ("All strategies").
CLEAN_TRIALS = 5
CLEAN = {
    "badge": Measured(83.0, 0.3),
    "rambo": Measured(82.4, 0.4),
    "margin": Measured(82.3, 0.2),
    "filter-only": Measured(81.8, 0.2),
    "random": Measured(80.4, 0.4),
}
# MNIST with the same sizes ("Clean pools"): test points by which it was ahead of others in ten paired trials.
LEADS_TRIALS = 10
LEADS = {
    "rambo": Measured(0.7, 0.2),
    "margin": Measured(0.5, 0.2),
    "filter-only": Measured(0.5, 0.2),
}
# The same with 40 % digits in the pool, the strategy without the gate and with it ("Dirty pools").
DIRTY_TRIALS = 5
DIRTY = {"off": Measured(80.2, 0.3), "on": Measured(83.1, 0.1)}
WASTED = {"off": "266 to 346", "on": "0 to 4"}  # of the 500 labels, by the same strategy


def short() -> str:
    """Return which strategy we would take, in a sentence for those who are about to choose."""
    word = lineup.of(STRATEGY).word
    return (
        f"We would take {word}: it was ahead on clean pools ({CLEAN[STRATEGY]} of test accuracy, RAMBO "
        f"{CLEAN['rambo']}, random {CLEAN['random']}; FashionMNIST, {CLEAN_TRIALS} trials). Where the pool may hold "
        "images that belong to no class, with the gate on."
    )


def whole() -> list[str]:
    """Return which strategy we would take and why, in paragraphs."""
    word = lineup.of(STRATEGY).word
    others = ", ".join(
        f"{lineup.of(name).word} {figure}" for name, figure in CLEAN.items() if name != STRATEGY
    )
    leads = ", ".join(
        f"{figure.mean:+.1f} ± {figure.error:.1f} points over {lineup.of(name).word}"
        for name, figure in LEADS.items()
    )
    return [
        f"**{word}.** With 200 labels held and 500 bought on FashionMNIST it came to {CLEAN[STRATEGY]} of test "
        f"accuracy over {CLEAN_TRIALS} paired trials; {others}. On MNIST {LEADS_TRIALS} trials put it ahead: {leads}. "
        "What RAMBO learns was not shown to add anything to its own margin filter.",
        "**With the gate on where the pool may hold images that belong to no class.** With 40 % digits among the "
        f"clothes {word} wasted {WASTED['off']} of 500 labels without the gate and {WASTED['on']} with it; test "
        f"accuracy went from {DIRTY['off']} to {DIRTY['on']} ({DIRTY_TRIALS} trials). Clean pools it left whole.",
        "**On your own images a rehearsal knows better** than these figures: it plays the choice inside your labeled "
        "images and says who won.",
    ]
