"""The house rules of DESIGN.md, read from the code itself: floors, imports, randomness, files, words."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "rambo"

# From the ground up, a row a floor. A module imports from lower floors only, never sideways and never up. A name stands
# for a module, or for a folder, whose modules may import each other as long as nothing runs in a circle.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "events", "seeding", "places"),
    ("lineup", "storage"),
    ("config",),
    ("collection",),
    ("presets", "datasets"),
    ("checks", "method"),
    ("estimate", "training"),
    ("runs", "offline"),
    ("algorithm",),
    ("studies", "export", "strategies"),
    ("worker",),
    ("__main__", "ui"),
)
PLANNED: set[str] = set()
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
DRAWING = {"streamlit", "plotly"}

FILES = sorted(CODE.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]
every_file = pytest.mark.parametrize("path", FILES, ids=IDS)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_name(path: Path) -> str:
    """Return `rambo.datasets.catalog` for its file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Return line and full name of everything a file imports, wherever in the file it does."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_name(path).split(".")
                inside = len(package) - node.level + (path.name == "__init__.py")
                base = ".".join([*package[:inside], *filter(None, [base])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in MODULES else base


def house(name: str) -> str:
    """Return the floor's name for a module: `datasets` for `rambo.datasets.catalog`."""
    return name.split(".")[1]


def dotted(node: ast.AST) -> str:
    """Return `np.random.seed` for a chain of attributes, `` for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Return every call in a file with the dotted name of what is called."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_every_module_has_one_floor_and_every_floor_its_module() -> None:
    names = {house(name) for name in MODULES if name != "rambo"}
    assert len(FLOOR) == sum(map(len, FLOORS)), "a name stands on two floors"
    assert names - set(FLOOR) == set(), "give these modules a floor"
    assert set(FLOOR) - names <= PLANNED, "these floors have no module"


@every_file
def test_imports_point_to_a_lower_floor(path: Path) -> None:
    name = module_name(path)
    wrong = []
    for line, target in imported(path):
        if target == "rambo" or not target.startswith("rambo."):
            continue
        if name == "rambo":
            wrong.append(f"line {line}: the package itself imports {target}")
        elif house(target) != house(name) and FLOOR[house(target)] >= FLOOR[house(name)]:
            wrong.append(f"line {line}: {name} imports {target}, which is not below it")
    assert wrong == []


def test_nothing_imports_in_a_circle() -> None:
    """Inside the packages too, where floors say nothing."""
    graph = {
        module_name(path): {t for _, t in imported(path) if t in MODULES and t != module_name(path)}
        for path in FILES
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == MODULES


def test_the_mathematics_knows_tensors_and_not_our_config() -> None:
    mathematics = [path for path in FILES if path.parent == CODE / "method"]
    assert len(mathematics) > 8
    wrong = [
        f"{module_name(path)} imports {target}"
        for path in mathematics
        for _, target in imported(path)
        if target in {"rambo.config", "rambo.presets", "rambo.storage.files"}
        and path.stem != "utility_model"
    ]
    assert wrong == []


def test_the_reader_of_imports_sees_them_all() -> None:
    """The walk above is worth nothing if it misses the imports inside functions and of submodules."""
    main = {target for _, target in imported(CODE / "__main__.py")}
    assert {
        "rambo.worker.run_worker",
        "rambo.worker.progress",
        "rambo.config",
        "rambo.errors",
    } <= main
    strategies = {target for _, target in imported(CODE / "strategies" / "__init__.py")}
    assert {"rambo.strategies.margin", "rambo.algorithm"} <= strategies


@every_file
def test_no_import_is_for_type_checkers_only(path: Path) -> None:
    names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert "TYPE_CHECKING" not in names | attributes


@every_file
def test_only_the_pages_draw(path: Path) -> None:
    if path.is_relative_to(CODE / "ui"):
        return
    assert DRAWING & {target.split(".")[0] for _, target in imported(path)} == set()


_LIGHT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"torch", "torchvision", "streamlit", "plotly"} & set(sys.modules)
    print(name, *sorted(heavy))
"""


def test_what_the_web_process_imports_brings_no_torch() -> None:
    names = "lineup config events export runs.report runs.workspace runs.jobs runs.line runs.whatif runs.atlas checks"
    names += " estimate.costs estimate.outline studies.grid studies.study presets"
    names += " datasets.catalog datasets.prepared datasets.vision_sets"
    light = ["rambo", *(f"rambo.{name}" for name in names.split())]
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT, *light],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == light


def test_no_page_brings_torch_into_the_server() -> None:
    """A server that imports torch takes seconds to start and hundreds of megabytes."""
    modules = sorted(name for name in MODULES if name.startswith("rambo.ui"))
    assert len(modules) > 30
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += "print(*sorted({'torch', 'torchvision', 'ot', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == ""


@every_file
def test_nothing_is_pickled_or_unpickled(path: Path) -> None:
    picklers = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}
    assert picklers & {target.split(".")[0] for _, target in imported(path)} == set()
    for call, name in calls(path):
        options = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert options.get("allow_pickle", "False") == "False", where(path, call)
        if name == "torch.load":
            assert options.get("weights_only") == "True", where(path, call)
        assert name not in {"torch.save", "joblib.dump", "joblib.load"}, where(path, call)
        assert not name.endswith((".to_pickle", ".read_pickle")), where(path, call)


GLOBAL_SEEDS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.random.manual_seed",
    "torch.random.fork_rng",
    "torch.set_rng_state",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
}
NUMPY_GENERATORS = {"default_rng", "Generator", "PCG64", "Philox", "SeedSequence"}
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal"}


@every_file
def test_randomness_arrives_as_an_argument(path: Path) -> None:
    """Global state is touched in seeding.py alone, and every draw names its generator."""
    if path == CODE / "seeding.py":
        return
    assert "random" not in {target for _, target in imported(path)}, "the standard library's random"
    for call, name in calls(path):
        assert name not in GLOBAL_SEEDS, where(path, call)
        if name.startswith(("np.random.", "numpy.random.")):
            assert name.split(".")[2] in NUMPY_GENERATORS, where(path, call)
        if name in {f"torch.{draw}" for draw in TORCH_DRAWS}:
            assert "generator" in {word.arg for word in call.keywords}, where(path, call)


def test_global_random_state_is_touched_in_seeding() -> None:
    """The rule above would hold in an empty house too: here is the one place it speaks of."""
    assert {"torch.manual_seed", "torch.random.fork_rng"} <= {
        n for _, n in calls(CODE / "seeding.py")
    }


@every_file
def test_threads_are_set_in_the_worker_alone(path: Path) -> None:
    setters = [
        where(path, c) for c, name in calls(path) if name.split(".")[-1].startswith("set_num_")
    ]
    assert setters == [] or path.name in {"run_worker.py", "__main__.py", "backends.py"}


@every_file
def test_only_the_command_line_prints(path: Path) -> None:
    printed = [
        where(path, call) for call, name in calls(path) if name in {"print", "pprint.pprint"}
    ]
    assert printed == [] or path.name == "__main__.py"


def public(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Return the public functions and classes of a module, and the public methods of those classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree(path).body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                for part in node.body:
                    if isinstance(part, kinds) and not part.name.startswith("_"):
                        yield part


@every_file
def test_everything_public_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)), "the module has no docstring"
    silent = [
        f"{where(path, node)} {node.name}" for node in public(path) if not ast.get_docstring(node)
    ]
    assert silent == []


MACHINE = re.compile(
    r"(^|[\s\"'=(:])(/(home|root|tmp|work|mnt|Users|opt|var|usr|srv|data)/\S|[A-Za-z]:\\\\?\w)"
)


@every_file
def test_no_path_of_one_machine_is_written_down(path: Path) -> None:
    found = [
        f"{where(path, node)} {node.value[:60]!r}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and MACHINE.search(node.value)
    ]
    assert found == []
    comments = [line for line in path.read_text().splitlines() if "#" in line]
    assert [line for line in comments if MACHINE.search(line.partition("#")[2])] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/home/me/x", True),
        ("see /tmp/out.txt", True),
        ("C:\\Users", True),
        ("a/tmp/b", False),
        ("/", False),
    ],
)
def test_the_pattern_for_machine_paths(text: str, found: bool) -> None:
    assert bool(MACHINE.search(text)) == found


@every_file
def test_all_events_a_module_emits_are_declared_in_events(path: Path) -> None:
    """Pages know the events of one module; an event declared elsewhere would reach nobody."""
    if path == CODE / "events.py":
        return
    bases = [
        dotted(base).split(".")[-1]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    ]
    assert "Event" not in bases
