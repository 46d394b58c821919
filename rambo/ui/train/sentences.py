"""What a run does, said in one sentence for people who have not read the paper."""

from rambo.estimate.workload import Plan
from rambo.figures.theme import strategy_word
from rambo.text import count
from rambo.ui.train.stages import Place, Tracker

READY = "Getting ready: the worker reads the images and starts its processes."


def doing(tracker: Tracker) -> str:
    """Return what a running run does now."""
    place = tracker.place
    if place is None:
        return READY
    trial, strategy = tracker.where
    words = _place_words(tracker.plan, place)
    if tracker.where not in tracker.places:  # what is done before the first trial
        return words
    parts = []
    if tracker.plan.trials > 1:
        parts.append(f"Trial {(trial or 0) + 1} of {tracker.plan.trials}")
    if strategy is not None:
        parts.append(strategy_word(strategy))
    return f"{', '.join(parts)}: {words[:1].lower()}{words[1:]}" if parts else words


def remaining(seconds: float) -> str:
    """Return a remaining time as people say it: `about 1 min 20 s left`."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 60:
        return f"about {5 * round(seconds / 5)} s left"
    if seconds < 600:
        minutes, rest = divmod(10 * round(seconds / 10), 60)
        return f"about {minutes} min {rest} s left" if rest else f"about {minutes} min left"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min left"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    return f"about {hours} h {rest} min left" if rest and hours < 10 else f"about {hours} h left"


def ago(seconds: float) -> str:
    """Return how long ago something was, in whole seconds or minutes."""
    seconds = max(seconds, 0.0)
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{count(seconds // 60, 'minute')} ago"


def _place_words(plan: Plan, place: Place) -> str:
    """Return the sentence without its place."""
    step, steps = place.steps.get(place.stage or "", (0, 0))
    if place.finished:
        return "The results are being written."
    match place.stage:
        case "features":
            return f"Images are turned into frozen features: {step} of {steps}."
        case "classifier":
            return "A classifier f is trained on the labels at hand; its guesses give the margins."
        case "offline":
            return _offline(plan, place, step, steps)
        case "pretraining":
            return _pretraining(plan, place)
        case "acquisition" if steps > 1:
            return f"Batch {min(step + 1, steps)} of {steps} is being chosen."
        case "acquisition":
            return "The images are being chosen."
        case "evaluation":
            return (
                f"The chosen labels are revealed, and a fresh classifier is trained for each strategy: "
                f"{step} of {steps}."
            )
    return READY


def _offline(plan: Plan, place: Place, step: int, steps: int) -> str:
    """Return the sentence of the offline stage."""
    if place.epoch is not None:
        epoch, epochs = place.epoch
        return f"u_hat learns to rank from the true utilities: epoch {epoch} of {epochs}."
    if place.fits == 0 < plan.fits:
        return (
            f"The first of {plan.fits} classifiers are being trained, each on a random subset of the labeled "
            "images; the first results come after some seconds."
        )
    if place.fits < plan.fits:
        return (
            f"Classifiers are trained on random subsets of the labeled images, to learn how useful "
            f"each subset is: {place.fits} of {plan.fits}."
        )
    return f"Distances from the subsets to the validation images (optimal transport): {step} of {steps}."


def _pretraining(plan: Plan, place: Place) -> str:
    """Return the sentence of the pretraining."""
    if place.labeled == 0:
        return "The pretraining begins with a classifier on a part of the labeled images."
    each = plan.epochs * (2 if plan.refits else 1)
    behind = place.epochs - 1 if place.epoch else place.epochs
    round_ = (
        f"round {min(max(behind, 0) // each + 1, max(plan.iterations, 1))} of {plan.iterations}"
    )
    if place.epoch is not None:
        epoch, epochs = place.epoch
        return f"u_hat learns from interpolated utilities, {round_}: epoch {epoch} of {epochs}."
    return f"The labeled part grows and f is trained again, {round_}."
