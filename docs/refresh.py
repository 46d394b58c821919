"""Write the parts of the documentation that are made from the code: `python docs/refresh.py`.

The picture of the floors in `architecture.md` comes from `tests/test_architecture.py`, which holds every module to it;
the table of events in `run-format.md` comes from `rambo/events.py`. Tests fail when either is out of date.
"""

import ast
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ROOT / "docs" / "architecture.md"
EVENTS = ROOT / "docs" / "run-format.md"


def floors() -> Sequence[Sequence[str]]:
    """Return the rooms of each floor, the ground first, as the test has them."""
    for node in ast.parse((ROOT / "tests" / "test_architecture.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FLOORS":
            assert node.value is not None
            rows: Sequence[Sequence[str]] = ast.literal_eval(node.value)
            return rows
    raise LookupError("tests/test_architecture.py has no FLOORS")


def picture() -> str:
    """Return the floors as text, the roof on top; a room with a slash is a folder."""
    rows = []
    for height, names in reversed(list(enumerate(floors(), start=1))):
        rooms = (f"{name}/" if (ROOT / "rambo" / name).is_dir() else name for name in names)
        rows.append(f"{height:>2} | {'   '.join(rooms)}")
    ground = "   +" + "-" * (max(map(len, rows)) - 4)
    return "\n".join(["```text", *rows, ground, "```"])


def events() -> str:
    """Return a table of all events with their fields and what they tell."""
    sys.path.insert(0, str(ROOT))
    from rambo import events as module

    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, module.Event) and kind is not module.Event
    ]
    lines = ["| `kind` | fields | tells |", "| --- | --- | --- |"]
    for kind in kinds:
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))
        tells = (kind.__doc__ or "").strip().splitlines()[0]
        lines.append(f"| `{kind.__name__}` | {fields} | {tells} |")
    return "\n".join(lines)


def filled(text: str, name: str, part: str) -> str:
    """Return `text` with `part` between the two marks of that name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    pattern = re.escape(begin) + r".*?" + re.escape(end)
    done, count = re.subn(pattern, lambda _: begin + part + "\n" + end, text, flags=re.DOTALL)
    if count != 1:
        raise LookupError(f"{count} places for {name}")
    return done


def refreshed() -> dict[Path, str]:
    """Return the text that each page should have."""
    return {
        FLOORS: filled(FLOORS.read_text(), "floors", picture()),
        EVENTS: filled(EVENTS.read_text(), "events", events()),
    }


if __name__ == "__main__":
    for path, text in refreshed().items():
        path.write_text(text)
