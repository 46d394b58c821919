"""One look for all pages: a colour, a symbol and a word for each strategy, pool and state."""

BLUE, ORANGE, GREEN, PURPLE, GREY = "#2563eb", "#e8590c", "#0f9d76", "#9c36b5", "#7b8794"
PINK = "#c2255c"

# Readable on white and on the dark background; a symbol each, so that colour is never alone.
STRATEGY_COLOURS = {
    "rambo": BLUE,
    "filter-only": PINK,
    "margin": ORANGE,
    "random": GREY,
    "entropy": "#b8860b",
    "least-confidence": "#a0522d",
    "badge": GREEN,
    "coreset": PURPLE,
    "glister": "#1098ad",
    "llal": "#d6336c",
    "dulo": "#4c6ef5",
    "typiclust": "#6a994e",
    "probcover": "#7048e8",
    "activeft": "#2b8a8a",
    "best-of-random": "#8d6e63",
}
STRATEGY_SYMBOLS = {
    "rambo": "circle",
    "filter-only": "triangle-up",
    "margin": "diamond",
    "random": "cross",
    "entropy": "triangle-down",
    "least-confidence": "triangle-left",
    "badge": "pentagon",
    "coreset": "hexagon",
    "glister": "star",
    "llal": "triangle-right",
    "dulo": "square",
    "typiclust": "hourglass",
    "probcover": "bowtie",
    "activeft": "star-diamond",
    "best-of-random": "x",
}
STRATEGY_WORDS = {
    "rambo": "RAMBO",
    "filter-only": "Filter only",
    "margin": "Margin",
    "random": "Random",
    "entropy": "Entropy",
    "least-confidence": "Least confidence",
    "badge": "BADGE",
    "coreset": "CoreSet",
    "glister": "GLISTER",
    "llal": "LLAL",
    "dulo": "DULO",
    "typiclust": "TypiClust",
    "probcover": "ProbCover",
    "activeft": "ActiveFT",
    "best-of-random": "Best of random (oracle)",
}
STRATEGY_HELP = {
    "rambo": "Small margins first, and of those the batch that the learned set utility u_hat ranks highest.",
    "filter-only": "The same margin filter, then a random batch: what RAMBO does without u_hat.",
    "margin": "The images between whose two likeliest classes f hesitates most.",
    "random": "Images drawn at random from the unlabeled pool.",
    "entropy": "The images over whose classes f spreads its guess most evenly.",
    "least-confidence": "The images whose likeliest class f believes in least.",
    "badge": "Images of which f is unsure and that differ from each other (k-means++ on gradients).",
    "coreset": "Images far from all labeled ones and from each other (k-center).",
    "glister": "Images whose gradient helps most on the validation images.",
    "llal": "The images on which a second network expects the largest loss.",
    "dulo": "Blocks of images that a learned set utility, a regression, rates highest.",
    "typiclust": "The most typical image of each cluster without a label.",
    "probcover": "Images that cover as many others as possible within a radius.",
    "activeft": "A set spread as the whole pool is, found by gradient descent.",
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
