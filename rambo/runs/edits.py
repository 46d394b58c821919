"""A person's own batch beside the strategy's: on disk at once, whole or not at all. Imports no torch.

`edits/<trial>-<strategy>.json` in the run's folder holds the images of each greedy step as the person left them; a
step that is not in it stays as the strategy chose it. The strategy's own choice is never changed. A digest beside them
shows a bit that flipped; files of older versions have none.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import pydantic

from rambo.runs import paths
from rambo.runs.run import Run
from rambo.storage import files

_MOST = 1_000_000  # bytes of the file
_DAMAGED = (
    "its file is damaged",
    "export the strategy's own choice (--original), or delete the file",
)


class EditedBatch(pydantic.BaseModel):
    """What a person made of a batch.

    Attributes:
        steps: the images of each changed step, in order.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    steps: Mapping[int, tuple[int, ...]] = {}

    def batch(self, chosen: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
        """Return the images of the batch with the step of each, in order and each once.

        Args:
            chosen: what the strategy chose, in order.
            steps: the step of each, rising.
        """
        result: dict[int, int] = {}
        for step in sorted({*steps, *self.steps}):
            own = [image for image, place in zip(chosen, steps, strict=True) if place == step]
            for image in self.steps.get(step, own):
                result.setdefault(int(image), int(step))
        return list(result.items())

    def with_step(self, step: int, members: Iterable[int]) -> "EditedBatch":
        """Return the edit with other images in one step."""
        return EditedBatch(steps={**self.steps, step: tuple(map(int, members))})

    def without_step(self, step: int) -> "EditedBatch":
        """Return the edit with one step as the strategy chose it."""
        return EditedBatch(steps={s: members for s, members in self.steps.items() if s != step})

    def removed(self, chosen: Sequence[int], steps: Sequence[int]) -> list[int]:
        """Return the images of the strategy's choice that the person took out."""
        members = {image for image, _ in self.batch(chosen, steps)}
        return [int(image) for image in chosen if image not in members]

    def added(self, chosen: Sequence[int], steps: Sequence[int]) -> list[int]:
        """Return the images that the person put in."""
        own = set(map(int, chosen))
        return [image for image, _ in self.batch(chosen, steps) if image not in own]

    def limited(
        self, images: Iterable[int], chosen: Sequence[int], steps: Sequence[int]
    ) -> "EditedBatch":
        """Return the edit whose batch is what `images` leaves of it; images it lacks join the last step."""
        unique = list(dict.fromkeys(map(int, images)))
        now = self.batch(chosen, steps)
        last = max((step for _, step in now), default=0)
        groups = {
            step: [i for i, s in now if s == step and i in set(unique)] for step in {*steps, last}
        }
        present = {image for image, _ in now}
        groups[last] = groups[last] + [image for image in unique if image not in present]
        return EditedBatch(steps={step: tuple(members) for step, members in groups.items()})


def pack(edit: EditedBatch) -> bytes:
    """Return an edit as its file holds it."""
    return json.dumps(edit.model_dump(mode="json") | {"sha256": _digest(edit)}).encode()


def parse(data: bytes) -> EditedBatch:
    """Return the edit in the bytes of its file.

    Raises:
        RefusedError: it is damaged.
        ValueError: it is no such file.
    """
    if len(data) > _MOST:
        raise files.RefusedError("its file is too large", "delete it")
    fields = json.loads(data)
    digest = fields.pop("sha256", None) if isinstance(fields, dict) else None
    edit = EditedBatch.model_validate_json(json.dumps(fields))
    if digest not in (None, _digest(edit)):
        raise files.RefusedError(*_DAMAGED)
    return edit


def _digest(edit: EditedBatch) -> str:
    """Return the SHA-256 of the steps of an edit."""
    steps = {str(step): list(members) for step, members in sorted(edit.steps.items())}
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()


def load(run: Run, trial: int, strategy: str) -> EditedBatch | None:
    """Return what a person made of a batch, or None: it is as the strategy chose it.

    Raises:
        StoreError: the file is damaged.
    """
    with run.naming("the edited batch"):
        try:
            data = paths.edited_batch(run.folder, trial, strategy).read_bytes()
        except FileNotFoundError:
            return None
        edit = parse(data)
        return edit if edit.steps else None


def save(run: Run, trial: int, strategy: str, edit: EditedBatch | None) -> None:
    """Put what a person made of a batch on disk; None brings the strategy's own back.

    Raises:
        StoreError: the disk refuses.
    """
    with run.naming("the edited batch"):
        path = paths.edited_batch(run.folder, trial, strategy)
        if edit is None or not edit.steps:
            path.unlink(missing_ok=True)
        else:
            files.write_bytes(path, pack(edit))
