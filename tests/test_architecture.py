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
    ("errors", "events", "seeding", "plugins"),
    ("interrupts", "lineup", "storage", "text"),
    ("calls", "config"),
    ("collection",),
    ("datasets",),
    ("checks", "method"),
    ("estimate",),
    ("training",),
    ("runs",),
    ("algorithm",),
    ("studies", "export", "strategies"),
    ("figures",),
    ("worker",),
    ("api", "commands"),
    ("__main__", "ui"),
)
PLANNED: set[str] = set()
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
DRAWING = {"streamlit", "plotly"}

FILES = sorted(CODE.rglob("*.py"))


TESTS = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "e2e"]


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


def test_imports_point_to_a_lower_floor() -> None:
    wrong, arrows = [], 0
    for path in FILES:
        name = module_name(path)
        for line, target in imported(path):
            if target == "rambo" or not target.startswith("rambo."):
                continue
            arrows += 1
            if name == "rambo":
                wrong.append(f"line {line}: the package itself imports {target}")
            elif house(target) != house(name) and FLOOR[house(target)] >= FLOOR[house(name)]:
                wrong.append(f"line {line}: {name} imports {target}, which is not below it")
    assert wrong == []
    assert arrows > 300, "the walk sees too little"


def test_nothing_imports_in_a_circle() -> None:
    """Inside the packages too, where floors say nothing."""
    graph = {
        module_name(path): {t for _, t in imported(path) if t in MODULES and t != module_name(path)}
        for path in FILES
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == MODULES


def test_the_mathematics_knows_tensors_and_not_our_config() -> None:
    # The one exception, `utility_model`: u_hat is no formula but the paper's model with some twenty settings (loss,
    # pooling, epochs, both learning rates, the hypergradient and its terms). Handed over one by one they would pass
    # through four functions each, and the same names and defaults would stand in two places. Its node holds values
    # alone; the mathematics it calls (`losses`, `bilevel`, `networks`) takes numbers and tensors.
    mathematics = [path for path in FILES if path.parent == CODE / "method"]
    assert len(mathematics) > 8
    wrong = [
        f"{module_name(path)} imports {target}"
        for path in mathematics
        for _, target in imported(path)
        if target in {"rambo.config", "rambo.config.presets", "rambo.storage.files"}
        and path.stem != "utility_model"
    ]
    assert wrong == []


def test_the_reader_of_imports_sees_them_all() -> None:
    """The walk above is worth nothing if it misses the imports inside functions and of submodules."""
    runs = {target for _, target in imported(CODE / "commands" / "runs.py")}
    assert {
        "rambo.worker.run_worker",
        "rambo.worker.progress",
        "rambo.config",
        "rambo.errors",
    } <= runs
    strategies = {target for _, target in imported(CODE / "strategies" / "__init__.py")}
    assert {"rambo.strategies.margin", "rambo.algorithm"} <= strategies


def test_no_import_is_for_type_checkers_only() -> None:
    wrong = [
        where(path, node)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name | ast.Attribute)
        and dotted(node).split(".")[-1] == "TYPE_CHECKING"
    ]
    assert wrong == []


def test_only_the_pages_draw() -> None:
    """A figure is plotly's JSON everywhere else; one function turns it into plotly's own object for a notebook."""
    drawing = [
        f"{module_name(path)} imports {target}"
        for path in FILES
        for _, target in imported(path)
        if target.split(".")[0] in DRAWING
    ]
    assert len(drawing) > 30
    elsewhere = {line for line in drawing if not line.startswith("rambo.ui.")}
    assert elsewhere == {"rambo.figures.graph imports plotly.graph_objects"}


_LIGHT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"torch", "torchvision", "streamlit", "plotly"} & set(sys.modules)
    print(name, *sorted(heavy))
"""


def test_what_the_web_process_imports_brings_no_torch() -> None:
    names = "lineup config events export runs.report runs.workspace runs.jobs runs.line runs.whatif runs.atlas checks"
    names += " estimate.costs estimate.outline studies.grid studies.study config.presets"
    names += " datasets.catalog datasets.prepared datasets.vision_sets figures.charts figures.maps figures.rivals"
    names += " datasets.collections collection.collection collection.health collection.importing"
    names += " api api.choice api.comparison api.record"
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


PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}


def test_nothing_is_pickled_or_unpickled() -> None:
    wrong = [
        f"{module_name(path)} imports {target}"
        for path in FILES
        for _, target in imported(path)
        if target.split(".")[0] in PICKLERS
    ]
    wrong += [
        where(path, call) for path in FILES for call, name in calls(path) if pickles(call, name)
    ]
    assert wrong == []


def pickles(call: ast.Call, name: str) -> bool:
    """Return whether a call reads or writes Python objects."""
    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
    return (
        options.get("allow_pickle", "False") != "False"
        or (name == "torch.load" and options.get("weights_only") != "True")
        or name in {"torch.save", "joblib.dump", "joblib.load"}
        or name.endswith((".to_pickle", ".read_pickle"))
    )


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


def test_randomness_arrives_as_an_argument() -> None:
    """Global state is touched in seeding.py alone, and every draw names its generator."""
    others = [path for path in FILES if path != CODE / "seeding.py"]
    wrong = [
        f"{module_name(path)}, line {line}: the standard library's random"
        for path in others
        for line, target in imported(path)
        if target == "random"
    ]
    wrong += [
        where(path, call)
        for path in others
        for call, name in calls(path)
        if draws_unseen(call, name)
    ]
    assert wrong == []


def draws_unseen(call: ast.Call, name: str) -> bool:
    """Return whether a call touches global random state, or draws without naming its generator."""
    parts = name.split(".")
    return (
        name in GLOBAL_SEEDS
        or (name.startswith(("np.random.", "numpy.random.")) and parts[2] not in NUMPY_GENERATORS)
        or (
            name in {f"torch.{draw}" for draw in TORCH_DRAWS}
            and "generator" not in {word.arg for word in call.keywords}
        )
    )


@pytest.mark.parametrize(
    ("code", "pickled", "unseen"),
    [
        ("np.load(path)", False, False),
        ("np.load(path, allow_pickle=True)", True, False),
        ("torch.load(path)", True, False),
        ("torch.load(path, weights_only=True)", False, False),
        ("frame.to_pickle(path)", True, False),
        ("joblib.dump(x, path)", True, False),
        ("np.random.rand(3)", False, True),
        ("np.random.default_rng(3)", False, False),
        ("torch.randn(3)", False, True),
        ("torch.randn(3, generator=generator)", False, False),
        ("torch.manual_seed(3)", False, True),
    ],
)
def test_the_readers_of_calls_see_what_they_look_for(
    code: str, pickled: bool, unseen: bool
) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert pickles(call, dotted(call.func)) == pickled
    assert draws_unseen(call, dotted(call.func)) == unseen


def test_global_random_state_is_touched_in_seeding() -> None:
    """The rule above would hold in an empty house too: here is the one place it speaks of."""
    assert {"torch.manual_seed", "torch.random.fork_rng"} <= {
        n for _, n in calls(CODE / "seeding.py")
    }


def test_threads_are_set_in_the_worker_alone() -> None:
    setters = {
        path.name: where(path, call)
        for path in FILES
        for call, name in calls(path)
        if name.split(".")[-1].startswith("set_num_")
    }
    assert setters
    assert set(setters) <= {"run_worker.py", "__main__.py", "backends.py"}, setters


def test_optimizers_of_torch_are_left_to_the_gpu() -> None:
    """The first of a process imports torch's compiler; `method/adam.py` takes the same steps without."""
    users = {
        path.relative_to(CODE).as_posix()
        for path in FILES
        for _, name in calls(path)
        if name.startswith("torch.optim.")
    }
    assert users == {"training/gpu/batched.py"}


def test_only_the_command_line_prints() -> None:
    printed = {
        house(module_name(path))
        for path in FILES
        for _, name in calls(path)
        if name in {"print", "pprint.pprint"}
    }
    assert printed
    assert printed <= {"__main__", "commands"}, printed


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


def test_everything_public_says_what_it_is() -> None:
    silent = [
        f"{module_name(path)}, the module" for path in FILES if not ast.get_docstring(tree(path))
    ]
    silent += [
        f"{where(path, node)} {node.name}"
        for path in FILES
        for node in public(path)
        if not ast.get_docstring(node)
    ]
    assert silent == []


MACHINE = re.compile(
    r"(^|[\s\"'=(:])(/(home|root|tmp|work|mnt|Users|opt|var|usr|srv|data)/\S|[A-Za-z]:\\\\?\w)"
)


def test_no_path_of_one_machine_is_written_down() -> None:
    written = [
        f"{where(path, node)} {node.value[:60]!r}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and MACHINE.search(node.value)
    ]
    written += [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in FILES
        for line in path.read_text().splitlines()
        if MACHINE.search(line.partition("#")[2])
    ]
    assert written == []


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("/home/me/x", True),
        ("see /tmp/out.txt", True),
        ("C:\\Users", True),
        ("a/tmp/b", False),
        ("/", False),
    ],
)
def test_the_pattern_for_machine_paths(text: str, hit: bool) -> None:
    assert bool(MACHINE.search(text)) == hit


# Names are nouns of what a thing is: a participle says what somebody did with it, and reads like a riddle.
RIDDLES = set(
    "told found known held said left shown given asked wanted kept seen drawn gone made sent lost "
    "heard meant spoken brought".split()
)
# Terms of the field, and what others read: an argument of `rambo.choose`, an error that is raised as Python's own is.
TERMS = {"held_out", "held_out_pairs", "RunNotFoundError"}
PUBLIC_ARGUMENTS = {("rambo/api/__init__.py", "known"), ("rambo/datasets/in_memory.py", "known")}


def own_names(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Return every name that a module gives: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node, node.name
            case ast.arg():
                yield node, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node, node.attr


@functools.cache
def sides(path: Path) -> set[int]:
    """Return the names `left` and `right` of two columns, which stand in one assignment."""
    pairs = (
        node.elts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Tuple) and [dotted(part) for part in node.elts] == ["left", "right"]
    )
    return {id(part) for pair in pairs for part in pair}


def test_names_are_nouns_and_no_riddles() -> None:
    """Of tests too, but for what they are called: that is a sentence."""
    wrong = [
        f"{where(path, node)} {name}"
        for path in [*FILES, *(ROOT / "tests").rglob("*.py")]
        for node, name in own_names(path)
        if RIDDLES & {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
        and not (isinstance(node, ast.FunctionDef) and name.startswith("test_"))
        and name not in TERMS
        and (path.relative_to(ROOT).as_posix(), name) not in PUBLIC_ARGUMENTS
        and id(node) not in sides(path)
    ]
    assert wrong == []


def test_every_class_has_a_name_of_its_own() -> None:
    """One word a thing: whoever looks for a name finds one class."""
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(where(path, node))
    assert {name: lines for name, lines in places.items() if len(lines) > 1} == {}


def test_all_events_are_declared_in_one_module() -> None:
    """Pages know the events of one module; an event declared elsewhere would reach nobody."""
    declared = [
        (path.name, node.name)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and "Event" in {dotted(base).split(".")[-1] for base in node.bases}
    ]
    assert len(declared) > 10
    assert [(file, name) for file, name in declared if file != "events.py"] == []


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by their names alone, and stops at the second; `e2e` is a package."""
    assert len(TESTS) > 60
    names = [path.name for path in TESTS]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


# `{}` stands for what an f-string fills in.
OF_A_RUN = re.compile(
    r"run\.sqlite|worker\.(lock|log)|^(ballast|artifacts|datasets)$|^trial-(\d|\{\}/)"
    r"|/(selection|served|atlas|pools|u_hat|gate)$|(^|/)datasets/"
)


def texts(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Return the texts of a module that are no docstrings, f-strings with `{}` for what they fill in."""
    nodes = list(ast.walk(tree(path)))
    inside = {
        id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values
    } | {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in nodes:
        match node:
            case ast.JoinedStr():
                parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
                yield node, "".join(map(str, parts))
            case ast.Constant(value=str(text)) if id(node) not in inside:
                yield node, text


@pytest.mark.parametrize(
    ("code", "hit"),
    [
        ('folder / "run.sqlite"', True),
        ('f"trial-{number}/{name}"', True),
        ('f"{folder}/artifacts/{name}/u_hat"', True),
        ('root / "datasets" / fingerprint', True),
        ('f"{root}/datasets/{fingerprint}"', True),
        ('f"trial-{run.id}"', False),
        ('"u_hat"', False),
        ('"the datasets of a workspace"', False),
    ],
)
def test_the_pattern_for_paths_of_a_run_reads_f_strings(
    code: str, hit: bool, tmp_path: Path
) -> None:
    (tmp_path / "one.py").write_text(code)
    assert any(OF_A_RUN.search(text) for _, text in texts(tmp_path / "one.py")) == hit


def test_where_the_things_of_a_run_lie_is_said_in_one_module() -> None:
    home = CODE / "runs" / "paths.py"
    assert {"run.sqlite", "worker.lock", "trial-{}/{}"} <= {
        text.strip("/") for _, text in texts(home)
    }
    wrong = [
        f"{where(path, node)} {text!r}"
        for path in FILES
        if path != home
        for node, text in texts(path)
        if OF_A_RUN.search(text)
    ]
    assert [line.partition(":")[0] for line in wrong] == ["rambo/datasets/prepared.py"], wrong


FREE_FORM = {"dict[str, Any]", "dict[str, object]"}
# What has no record of ours may have a name: plotly.js, JSON Schema, a person's table, and settings that nobody checked
# yet.
ALIASES = {"Figure", "Schema", "Columns", "Settings"}


def free_forms(path: Path) -> Iterator[ast.stmt]:
    """Return the statements that speak of a dict of anything; of a function its head alone counts as one."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts: list[ast.AST] = [node.args, *([node.returns] if node.returns else [])]
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Return | ast.Expr):
            parts = [node]
        else:
            continue
        forms = {
            ast.unparse(n) for part in parts for n in ast.walk(part) if isinstance(n, ast.Subscript)
        }
        if forms & FREE_FORM:
            yield node


def test_records_are_classes_and_no_dicts_of_anything() -> None:
    """A dict of anything is for the edges: JSON, another library; above each stands why it is one."""
    everywhere = [(path, node) for path in FILES for node in free_forms(path)]
    silent = [
        where(path, node)
        for path, node in everywhere
        if not path.read_text().splitlines()[node.lineno - 2].strip().startswith("#")
    ]
    named = {
        ast.unparse(node.targets[0])
        for _, node in everywhere
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in FREE_FORM
    }
    assert silent == []
    assert named == ALIASES, "a name is no way round the count"
    assert len(everywhere) <= 19, [where(*each) for each in everywhere]


ERRORS = {
    node.name
    for node in tree(CODE / "errors.py").body
    if isinstance(node, ast.ClassDef)
    and {dotted(base) for base in node.bases} & {"RamboError", "ConfigError", "StoreError"}
} | {"RamboError"}
# What says no field, or no way out, and why.
BARE: dict[str, str] = {}


def test_an_error_names_its_field_and_the_way_out() -> None:
    """A sentence alone is read by people; a form asks for the field, and a program for value and limit."""
    assert len(ERRORS) >= 8
    raised, wrong = 0, []
    for path in FILES:
        if path == CODE / "errors.py":
            continue
        for call, name in calls(path):
            words = {word.arg for word in call.keywords}
            kind = name.split(".")[-1]
            if kind in ERRORS:
                raised += 1
                wrong += [] if {"field", "hint"} <= words else [f"{where(path, call)} {kind}"]
            elif kind == "RefusedError" and len(call.args) < 2 and not starred(call):
                wrong.append(f"{where(path, call)} {kind}")
            wrong += (
                [
                    f"{where(path, call)}: two clauses in one"
                    for part in ast.walk(call.args[0])
                    if kind in ERRORS | {"RefusedError"}
                    if isinstance(part, ast.Constant) and "; " in str(part.value)
                ]
                if call.args
                else []
            )
    assert [line for line in wrong if line.partition(":")[0] not in BARE] == []
    assert raised > 150


def starred(call: ast.Call) -> bool:
    """Return whether arguments come as a tuple of problem and way out."""
    return any(isinstance(argument, ast.Starred) for argument in call.args)


def test_no_error_is_read_out_of_its_text() -> None:
    """What went wrong stands in the fields of an error; `str(error)` is for people alone."""
    wrong = [
        where(path, call)
        for path in FILES
        for call, name in calls(path)
        if name.split(".")[-1]
        in {"partition", "rpartition", "split", "search", "match", "findall", "fullmatch"}
        and re.search(r"\b(str\(error\)|error\.problem|error\.hint|words\(\))", ast.unparse(call))
    ]
    # torch says how much memory it asked for nowhere else
    assert [line for line in wrong if not line.startswith("rambo/worker/memory.py")] == []
    assert len(wrong) == 1
