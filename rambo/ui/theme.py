"""One look for all pages: a colour, a symbol and a word for each strategy, pool and state."""

BLUE, ORANGE, GREEN, PURPLE, GREY = "#2563eb", "#e8590c", "#0f9d76", "#9c36b5", "#7b8794"
PINK = "#c2255c"

# Readable on white and on the dark background; a symbol each, so that colour is never alone.
STRATEGY_COLOURS = {"rambo": BLUE, "filter-only": PINK, "margin": ORANGE, "random": GREY}
STRATEGY_SYMBOLS = {
    "rambo": "circle",
    "filter-only": "triangle-up",
    "margin": "diamond",
    "random": "cross",
}
STRATEGY_WORDS = {
    "rambo": "RAMBO",
    "filter-only": "Filter only",
    "margin": "Margin",
    "random": "Random",
}
STRATEGY_HELP = {
    "rambo": "Small margins first, and of those the batch that the learned set utility u_hat ranks highest.",
    "filter-only": "The same margin filter, then a random batch: what RAMBO does without u_hat.",
    "margin": "The images between whose two likeliest classes f hesitates most.",
    "random": "Images drawn at random from the unlabeled pool.",
}
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
    "offline": "Offline: true utilities",
    "pretraining": "Pretraining: u_hat learns",
    "acquisition": "Acquisition: batches are chosen",
    "evaluation": "Evaluation: labels are revealed",
    "features": "Frozen features",
}


def strategy_word(name: str) -> str:
    """Return what to call a strategy; its own name, not made safe, where it is none of ours."""
    return STRATEGY_WORDS.get(name, name)
