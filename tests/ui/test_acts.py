"""Whatever a page changes, an editor changed it: every act in the code of the pages stands inside the guard."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "rambo/ui").rglob("*.py")]
)
# What changes a workspace, by the name under which pages call it.
ACT = re.compile(
    r"(^|\.)(jobs\.(start|start_study|stop|resume|launch)|imports\.(begin|stop|forget)|travel\.unpack"
    r"|(edits|notes)\.save|(models|study)\.create|rehearsal\.derive|intake\.(take|undo)|own\.delete"
    r"|answers\.(add|take)|workspace\(\)\.delete"
    r"|collection\.(undo|change|set_price|set_validation_share|add_labels))$"
)


class Module:
    """The code of a module, in which every node knows what it stands in."""

    def __init__(self, code: str) -> None:
        self.nodes = list(ast.walk(ast.parse(code)))
        self.parent = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def acts(self) -> list[ast.Call]:
        """Return the calls that change something."""
        return [
            node
            for node in self.nodes
            if isinstance(node, ast.Call) and ACT.search(ast.unparse(node.func))
        ]

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Return what a place stands in, from the inside."""
        while node in self.parent:
            node = self.parent[node]
            yield node

    def is_guarded(self, node: ast.Call | ast.Name, above: tuple[str, ...] = ()) -> bool:
        """Return whether a place is reached by editors alone: itself, or all that use the function around it."""
        function = ""
        for around in self.around(node):
            match around:
                case ast.With() if "visitor.acting(" in heads(around):
                    return True
                case ast.Call() if ast.unparse(around.func).endswith("confirm_deletion"):
                    return True
                case ast.FunctionDef() if requires(around, node.lineno):
                    return True
                case ast.FunctionDef():
                    function = around.name
        users = [
            user
            for user in self.nodes
            if isinstance(user, ast.Name) and user.id == function and function not in above
        ]
        return bool(users) and all(self.is_guarded(user, (*above, function)) for user in users)


def heads(block: ast.With) -> str:
    """Return what a `with` opens."""
    return " ".join(ast.unparse(item.context_expr) for item in block.items)


def requires(function: ast.FunctionDef, line: int) -> bool:
    """Return whether a function asks who looks before a line, in any case: itself or in a block of `with`."""
    statements = [
        inner
        for statement in function.body
        for inner in (statement.body if isinstance(statement, ast.With) else [statement])
    ]
    return any(
        ast.unparse(statement).startswith("visitor.require(") and statement.lineno < line
        for statement in statements
    )


def test_whatever_a_page_changes_is_for_editors_and_stands_in_the_log() -> None:
    modules = {path: Module(path.read_text()) for path in FILES}
    acts = [(path, module, act) for path, module in modules.items() for act in module.acts()]
    assert len(acts) >= 24, "the walk sees too little"
    assert [
        f"{path.relative_to(ROOT)}:{act.lineno}"
        for path, module, act in acts
        if not module.is_guarded(act)
    ] == []


@pytest.mark.parametrize(
    ("code", "guarded"),
    [
        ("def f():\n with calmly():\n  collection.undo(1)", False),
        ("def f():\n with calmly(), visitor.acting('label'):\n  collection.undo(1)", True),
        ("def f():\n with calmly():\n  visitor.require('label')\n  collection.undo(1)", True),
        ("def f():\n collection.undo(1)\n visitor.require('label')", False),
        ("def f():\n with visitor.acting('label'):\n  g()\ndef g():\n collection.undo(1)", True),
        ("def f():\n g()\ndef g():\n collection.undo(1)", False),
        ("def f():\n confirm_deletion(lambda: g())\ndef g():\n own.delete(c)", True),
        ("button(on_click=g)\ndef g():\n own.delete(c)", False),
        ("def g():\n own.delete(c)\n g()", False),
    ],
)
def test_the_walk_tells_a_guarded_act_from_another(code: str, guarded: bool) -> None:
    module = Module(code)
    (act,) = module.acts()
    assert module.is_guarded(act) == guarded
