"""One look for all pages: a colour, a symbol and a word for each pool and state; the lineup has the strategies'."""

from rambo import lineup

BLUE, ORANGE, GREEN, PURPLE, GREY = "#2563eb", "#e8590c", "#0f9d76", "#9c36b5", "#7b8794"
PINK = "#c2255c"

POOL_COLOURS = {"labeled": GREEN, "unlabeled": "#aab4c3", "validation": PURPLE, "chosen": BLUE}
POOL_SYMBOLS = {
    "labeled": "square",
    "unlabeled": "circle",
    "validation": "diamond",
    "chosen": "star",
}

# status -> (word, badge colour, icon)
STATES = {
    "queued": ("in line", "orange", ":material/hourglass_top:"),
    "running": ("running", "blue", ":material/play_circle:"),
    "done": ("done", "green", ":material/check_circle:"),
    "failed": ("failed", "red", ":material/error:"),
    "stopped": ("stopped", "gray", ":material/stop_circle:"),
    "interrupted": ("stopped unexpectedly", "red", ":material/heart_broken:"),
    "unreadable": ("unreadable", "red", ":material/broken_image:"),
}
STAGES = ("offline", "pretraining", "acquisition", "evaluation")
STAGE_WORDS = {
    "classifier": "f on the labeled pool",
    "gate": "Gate: what may be chosen",
    "offline": "Offline: true utilities",
    "pretraining": "Pretraining: u_hat learns",
    "acquisition": "Acquisition: batches are chosen",
    "evaluation": "Evaluation: labels are revealed",
    "features": "Frozen features",
}


def strategy_word(name: str) -> str:
    """Return what to call a strategy, not made safe: one from outside brings its own word."""
    return lineup.of(name).word
