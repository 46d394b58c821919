"""A run as one file, to take to another machine: `pack` writes it, `unpack` reads what a stranger may have made.

    run.json                 settings, environment, events, results, and the SHA-256 of each member
    artifacts/<name>         arrays and tables, as in the run's folder
    edits/<name>.json        batches as a person left them
    notes.json               tags and notes of images
    dataset/                 the prepared images, where they are the person's own

No database and no pickle travels: the record is text, is checked word by word and is written anew. What belongs to the
machine it comes from stays there: paths, addresses, plugins, the workers' log.
"""

import dataclasses
import functools
import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from rambo import config as configs
from rambo import events as event_kinds
from rambo import plugins
from rambo.collection import limited
from rambo.collection.looks import Limits, limits_from_environment
from rambo.collection.readers import archives
from rambo.config import Settings
from rambo.datasets import catalog, prepared, rehearsal
from rambo.datasets.disk import refusing
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, DataError, RamboError, RunLockedError, StoreError, shorten
from rambo.runs import edits, notes, paths, record, results
from rambo.runs import environment as environments
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace
from rambo.storage import database, files
from rambo.storage.files import RefusedError

FORMAT = 1
_AGAIN = "let its owner pack the run again"
_RUN, _DATASET = "run.json", "dataset/"
_RECORD_BYTES = 200_000_000
_ARTIFACT_BYTES = 300_000_000  # pages read it whole, in three times that
_SETTINGS_BYTES = 1_000_000
_NAME, _NOTICE = 100, 500  # characters
_SECONDS = 300  # of the processor, for a stranger's file
_MEMBER = re.compile(
    r"artifacts/[a-z0-9_-]+(/[a-z0-9_-]+)*\.(safetensors|parquet)"
    r"|notes\.json|edits/\d{1,6}-[\w-]{1,100}\.json"
    r"|dataset/(images|labels|roles|groups|clusters|folds)\.npy|dataset/(meta|names)\.json"
)
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
# What a strategy's pages can be without: by far the largest, and made again by resuming.
_HEAVY = (paths.ATLAS, paths.POOLS, paths.U_HAT)


class _Event(pydantic.BaseModel):
    """A row of events."""

    model_config = pydantic.ConfigDict(extra="forbid")

    attempt: int
    trial: int | None
    strategy: str | None
    time: float = pydantic.Field(allow_inf_nan=False)
    kind: str
    data: dict[str, pydantic.JsonValue]  # JSON's edge: `events.restore` makes an event of it


class _Result(pydantic.BaseModel):
    """A row of results."""

    model_config = pydantic.ConfigDict(extra="forbid")

    trial: int = pydantic.Field(ge=0)
    strategy: str
    fields: dict[str, pydantic.JsonValue]  # JSON's edge: `results.restore` makes a result of it


class _Packed(pydantic.BaseModel):
    """What `run.json` says."""

    model_config = pydantic.ConfigDict(extra="forbid")

    format: Literal[1]
    run: str
    created: str = pydantic.Field(pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", max_length=27)
    status: Literal["done", "stopped", "failed"]
    message: str
    attempt: int = pydantic.Field(ge=0)
    config: Settings  # JSON's edge: the config checks it
    environment: dict[str, pydantic.JsonValue]  # JSON's edge: `environment.restore` reads it
    events: list[_Event]
    results: list[_Result]
    digests: dict[str, str] | None
    maps_of: int | None = pydantic.Field(default=None, ge=0)
    sha256: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Parcel:
    """A run that arrived, or the file that leaves.

    Attributes:
        run: its id.
        notices: what stayed behind and what that means, each a sentence.
    """

    run: str
    notices: tuple[str, ...]


def pack(
    run: Run,
    workspace: Workspace,
    target: Path,
    *,
    pictures: bool = True,
    maps_of: int | None = None,
) -> Parcel:
    """Write a run as one file.

    Args:
        run: no worker may be at it.
        workspace: where it lies.
        target: the file; an old one is replaced once the new one is whole.
        pictures: take images of one's own along; those of the catalog never travel.
        maps_of: keep maps and u_hat of so many trials and one strategy, to save room; None for all.

    Raises:
        RunLockedError: a worker is at it.
        ConfigError: it is a study.
        StoreError: it is damaged, or the disk refuses.
    """
    if run.locked():
        raise RunLockedError(
            "is being worked on", field="run", value=run.id, hint="pack it when it has ended"
        )
    if "study" in run.config:
        raise ConfigError(
            "is a study", field="run", value=run.id, hint="pack the runs of its cells one by one"
        )
    notices: list[str] = []
    try:
        files.sweep_beside(target)  # nobody else would, outside the workspace
        with (
            files.whole(target) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            members = _Writer(archive)
            digests = _add_artifacts(run, members, maps_of, notices)
            with run.naming("its edited batches"):
                for path in sorted((run.folder / "edits").glob("*.json")):
                    members.add(f"edits/{path.name}", path.read_bytes())
            _add_notes(run, members, notices)
            data = _own_images(run, workspace, notices, pictures=pictures)
            for path in sorted(data.folder.iterdir()) if data is not None else ():
                if _MEMBER.fullmatch(f"{_DATASET}{path.name}"):
                    members.add(f"{_DATASET}{path.name}", path.read_bytes())
            config, parts = _without_places(run.config)
            notices += parts
            fewer = run.maps_of if maps_of is None else maps_of
            text = _described(run, config, digests, fewer, members.sha256).model_dump_json()
            archive.writestr(zipfile.ZipInfo(_RUN), text, zipfile.ZIP_DEFLATED)
    except OSError as error:
        reason = files.reason(error, "pack it again")
        raise StoreError(
            f"could not be written: {reason.problem}", field="file", value=target, hint=reason.hint
        ) from error
    return Parcel(run.id, tuple(notices))


def unpack(source: Path, workspace: Workspace, *, ours: bool = False) -> Parcel:
    """Return a run that a file brought; it joins the workspace whole or not at all.

    Its id stays unless another run has it. Nothing in the file is trusted: names and sizes are checked before a byte is
    unpacked, every member against its hash, settings as typed ones are, arrays are plain numbers. All of it is read in
    a child with limits, so that the process that asks stays as small as it is.

    Args:
        source: the file.
        workspace: where the run goes.
        ours: it came with this program, whose code is no less trusted: names, sizes and hashes are checked, and the
            second look at what a stranger could have made, which takes most of the time, is left out.

    Raises:
        DataError: it is no such file, or it is damaged; the reason and the way out.
        StoreError: the workspace cannot be written.
    """
    with (
        limited.scratch(workspace.root) as scratch,
        refusing("file", source, _AGAIN),
    ):
        task = _Arrival(source, workspace.root, scratch, limits_from_environment(), ours)
        if ours:
            run, notices = _lay_out(task)
        else:
            run, notices = limited.call(_read_strange, task, plugins.files(), seconds=_SECONDS)
        return Parcel(workspace.adopt(task.draft, run).id, notices)


@dataclasses.dataclass(frozen=True)
class _Arrival:
    """What to unpack: the file, the root of the workspace, where to lay it out, limits, whether it is ours."""

    source: Path
    root: Path
    scratch: Path
    limits: Limits
    ours: bool

    @property
    def draft(self) -> Path:
        """Return where the run is made before it joins the workspace."""
        return self.scratch / "run"


def _read_strange(
    task: _Arrival, files_of_plugins: tuple[Path, ...]
) -> tuple[str, tuple[str, ...]]:
    """Lay a stranger's file out, in a child: much can be hidden in few bytes."""
    with plugins.using(files_of_plugins):
        return _lay_out(task)


def _lay_out(task: _Arrival) -> tuple[str, tuple[str, ...]]:
    """Make the run of a file in the scratch folder; return the id that it had and what stayed behind.

    Its images, where they came along, join the workspace here: they are no one's until a run names them.
    """
    with closing(archives.open_zip(task.source, task.limits)) as archive:
        packed, names = _read_record(archive, task.limits)
        for name in names:
            _extract(archive, name, packed.sha256[name], task.scratch)
    config, notices = _checked_config(packed.config)
    environment = environments.restore(packed.environment)
    environment = dataclasses.replace(environment, plugins=())
    fingerprint = environment.dataset.fingerprint
    _typed(environment)
    if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
        raise RefusedError("the fingerprint of its dataset is damaged", _AGAIN)
    files.make_folder(task.draft)
    _write_record(task.draft, packed, config, environment.record(), typed=not task.ours)
    for name in {name.partition("/")[0] for name in names if not name.startswith(_DATASET)}:
        (task.scratch / name).rename(task.draft / name)
    if not task.ours:
        _check_run(Run(task.draft), packed)
        files.sync_tree(task.draft)  # the file that comes with the program can always be read again
    workspace = Workspace(task.root)
    if _DATASET + "meta.json" in names:
        _keep_dataset(task.scratch / "dataset", workspace, str(fingerprint))
    else:
        notices += _missing_images(config, fingerprint, workspace)
    return packed.run[:_NAME], tuple(shorten(notice, _NOTICE) for notice in notices)


class _Writer:
    """Adds members to a zip archive and keeps the hash of each."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Use an archive that is open for writing."""
        self._archive = archive
        self.sha256: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        """Write one member; the same bytes give the same archive."""
        self._archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        self.sha256[name] = hashlib.sha256(data).hexdigest()


def _add_artifacts(
    run: Run, members: _Writer, maps_of: int | None, notices: list[str]
) -> dict[str, str] | None:
    """Return the digests of the artifacts that were added; what is lost or damaged is said and left."""
    complete = run.digests() is not None
    digests: dict[str, str] = {}
    faults = []
    for name in run.artifacts():
        if maps_of is not None and _is_spare(run, name, maps_of):
            continue
        own = [
            f"{name}.{ending}"
            for ending in paths.ENDINGS
            if paths.artifact(run.folder, name, ending).is_file()
        ]
        if not own or not run.is_whole(name):
            faults.append(name)
            continue
        with run.naming(f"artifact {name}"):
            for file in own:
                members.add(f"artifacts/{file}", (paths.artifacts(run.folder) / file).read_bytes())
                digests[file] = members.sha256[f"artifacts/{file}"]
    if faults:
        notices.append(
            f"Lost or damaged, and so left behind: {', '.join(faults)}. Resume the run first to have them made again."
        )
    return digests if complete else None


def _add_notes(run: Run, members: _Writer, notices: list[str]) -> None:
    """Take tags and notes along, where there are any; a damaged file is said and left."""
    try:
        images = notes.load(run)
    except StoreError:
        notices.append("The file of tags and notes is damaged and stays behind.")
        return
    if images:
        members.add(paths.NOTES, notes.pack(images))


def _is_spare(run: Run, name: str, trials: int) -> bool:
    """Return whether a small file does without an artifact: a map of a later trial, or of a second strategy."""
    place, _, kind = name.rpartition("/")
    trial = re.fullmatch(r"trial-(\d+)(?:/(.+))?", place)
    if kind not in _HEAVY or trial is None:
        return False
    strategies = [
        strategy
        for strategy in run.config["strategies"]
        if run.has_artifact(paths.of_choice(int(trial[1]), strategy, paths.POOLS))
    ]
    return int(trial[1]) >= trials or trial[2] not in (None, *strategies[:1])


def _own_images(
    run: Run, workspace: Workspace, notices: list[str], *, pictures: bool
) -> Prepared | None:
    """Return the prepared images where they have to travel, else None; what stays is said."""
    name = record.dataset_name(run.config).removeprefix(rehearsal.PREFIX)
    if name in catalog.CATALOG and not record.dataset_name(run.config).startswith(rehearsal.PREFIX):
        return None
    if not pictures:
        notices.append("The images stay here; without them only figures can be seen elsewhere.")
        return None
    try:
        folder = prepared.folder_of(workspace.root, run.environment.dataset.fingerprint)
        return prepared.open_prepared(folder, verify=True)
    except DataError as error:
        notices.append(f"The images could not be read ({error.problem}) and stay behind.")
        return None


def _without_places(config: Settings) -> tuple[Settings, list[str]]:
    """Return settings without paths and addresses of a machine, and what was taken out, in sentences."""
    config = json.loads(json.dumps(config))
    notices = []
    dataset, compute = config.get("dataset"), config.get("compute")
    if isinstance(dataset, dict):
        corruption = dataset.get("corruption")
        for part, key in ((dataset, "name"), (corruption, "foreign_source")):
            if not isinstance(part, dict):
                continue
            name = part.get(key)
            if isinstance(name, str) and ("/" in name or "\\" in name):
                bare = re.split(r"[/\\]", name.rstrip("/\\"))[-1] or "images"
                prefix = rehearsal.PREFIX if name.startswith(rehearsal.PREFIX) else ""
                part[key] = prefix + bare
                notices.append(f"{bare} is named without its folder.")
        if dataset.get("feature_weights"):
            dataset["feature_weights"] = None
            notices.append("The file of feature weights is not named.")
    if isinstance(compute, dict) and (
        compute.get("address") or compute.get("backend", "loky") != "loky"
    ):
        compute.update(address=None, backend="loky")
        notices.append("The cluster is not named: resumed, the run works on its own machine.")
    return config, notices


def _described(
    run: Run,
    config: Settings,
    digests: dict[str, str] | None,
    maps_of: int | None,
    sha256: dict[str, str],
) -> _Packed:
    """Return the record of a run as it travels."""
    environment = dataclasses.replace(run.environment, plugins=())
    described = run.describe()
    status = described.status if described.status in ("done", "failed") else "stopped"
    events = run.events()
    return _Packed(
        format=FORMAT,
        run=run.id,
        created=described.created,
        status=status,
        message=described.message,
        attempt=max((entry.attempt for entry in events), default=0),
        config=config,
        environment=environment.record(),
        events=[
            _Event(
                attempt=entry.attempt,
                trial=entry.trial,
                strategy=entry.strategy,
                time=entry.time,
                kind=entry.event.kind,
                data=dict(entry.event.record()),
            )
            for entry in events
        ],
        results=[
            _Result(trial=result.trial, strategy=result.strategy, fields=result.record())
            for result in run.results()
        ],
        digests=digests,
        maps_of=maps_of,
        sha256=sha256,
    )


def _read_record(archive: zipfile.ZipFile, limits: Limits) -> tuple[_Packed, list[str]]:
    """Return what a file says of its run, and its other members, all of which it speaks of."""
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise RefusedError("a name stands twice in it", _AGAIN)
    if _RUN not in members:
        raise RefusedError(
            "it is no packed run: run.json is missing", "choose a file that `rambo pack` wrote"
        )
    for name, member in members.items():
        if (problem := archives.check_member(member, limits)) is not None:
            raise RefusedError(f"{shorten(name)}: {problem}", _AGAIN)
        if name.startswith("artifacts/") and member.file_size > _ARTIFACT_BYTES:
            raise RefusedError(
                f"{shorten(name)} has {member.file_size / 1e6:.0f} MB",
                f"an artifact that travels may have {_ARTIFACT_BYTES / 1e6:.0f} MB",
                _ARTIFACT_BYTES,
            )
        if name != _RUN and not _MEMBER.fullmatch(name):
            raise RefusedError(f"{shorten(name)} does not belong to a run", _AGAIN)
    text = archives.read_member(archive, members[_RUN], _RECORD_BYTES)
    try:
        if json.loads(text).get("format", FORMAT) > FORMAT:
            raise RefusedError("it is from a newer RAMBO", "update this one")
        packed = _Packed.model_validate_json(text)
    except (pydantic.ValidationError, RecursionError, AttributeError, TypeError) as error:
        raise RefusedError("run.json is damaged", _AGAIN) from error
    names = sorted(members.keys() - {_RUN})
    if set(names) != set(packed.sha256):
        raise RefusedError(
            "members are missing, or some that it does not speak of were added", _AGAIN
        )
    artifacts = {name for name in names if name.startswith("artifacts/")}
    if packed.digests is not None and artifacts != {f"artifacts/{file}" for file in packed.digests}:
        raise RefusedError("its record and its artifacts do not fit", _AGAIN)
    return packed, names


def _extract(archive: zipfile.ZipFile, name: str, sha256: str, folder: Path) -> None:
    """Write one member below `folder`, unless its bytes are others than those that were packed."""
    target = folder / name
    files.make_folder(target.parent, durable=False)
    digest = hashlib.sha256()
    with archive.open(name) as stream, target.open("xb") as file:
        for chunk in iter(lambda: stream.read(2**20), b""):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != sha256:
        raise RefusedError(f"{name} is damaged", _AGAIN)


def _checked_config(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings of a stranger as this machine may keep them.

    Raises:
        RefusedError: they are not settings of a run.
    """
    config, notices = _without_places(settings)
    if len(json.dumps(config)) > _SETTINGS_BYTES:  # every page reads them
        raise RefusedError("its settings are too long", _AGAIN)
    try:
        configs.build(config)
    except ConfigError as error:
        raise RefusedError(f"its settings: {error}", "open it where they fit") from error
    return config, notices


def _write_record(
    folder: Path,
    packed: _Packed,
    config: Settings,
    environment: Mapping[str, Any],
    *,
    typed: bool,
) -> None:
    """Write the record of a run anew from what travelled, each part held to its types or taken as it is."""
    path = paths.record(folder)
    record.create(path, config, environments.restore(environment))
    seed = config.get("seed", 0)
    rows = []
    for entry in packed.events:
        event = event_kinds.restore(entry.kind, entry.data)
        if typed:
            _typed(event)
        rows.append(record.event_row(event, entry.attempt, entry.trial, entry.strategy, entry.time))
    statements = [
        record.put_fact("created", packed.created),
        record.put_fact("status", packed.status),
        record.put_fact("message", shorten(packed.message, 500)),
        record.put_fact("attempt", packed.attempt),
        record.put_fact("digests", packed.digests),
        record.put_fact("maps_of", packed.maps_of),
    ]
    for row in packed.results:
        result = results.restore(row.trial, row.strategy, row.fields, seed)
        if typed:
            _typed(result)
        statements.append(record.put_result(row.trial, row.strategy, result.state, result.record()))
    with closing(database.open_writer(path, record.VERSION)) as db:
        record.write(db, rows, statements)


def _typed(value: Any) -> None:
    """Refuse a record of ours whose fields are not of their types; `restore` looks at their names alone."""
    kind: type = type(value)
    try:
        _types_of(kind).validate_python(dataclasses.asdict(value))
    except pydantic.ValidationError as error:
        raise RefusedError(f"a record of {kind.__name__} is damaged", _AGAIN) from error


@functools.cache
def _types_of(kind: type) -> pydantic.TypeAdapter[Any]:
    """Return what checks a kind of record: made once, for a run has thousands."""
    return pydantic.TypeAdapter(kind)


def _check_run(run: Run, packed: _Packed) -> None:
    """Refuse a run that could not be shown: rows that say nothing sensible, artifacts that cannot be read."""
    for result in run.results():
        if (
            len(result.selected) != len(result.steps)
            or result.strategy not in run.config["strategies"]
        ):
            raise RefusedError(f"the result of {shorten(result.strategy)} is damaged", _AGAIN)
    run.events()
    for name in run.artifacts():
        if paths.artifact(run.folder, name, "parquet").is_file():
            run.load_table(name)
        else:
            run.load_arrays(name)
    for name in packed.sha256:
        if name.startswith("edits/"):
            edits.parse((run.folder / name).read_bytes())
        elif name == paths.NOTES:
            notes.parse((run.folder / name).read_bytes())


def _keep_dataset(folder: Path, workspace: Workspace, fingerprint: str) -> None:
    """Let the images join the workspace, if they are the ones that the run is about.

    They are written as new ones are, so that nothing can stand under another's fingerprint.
    """
    with suppress(DataError):
        prepared.open_prepared(prepared.folder_of(workspace.root, fingerprint), verify=True)
        return
    meta = json.loads((folder / "meta.json").read_bytes())
    arrays = {
        key: np.load(folder / f"{key}.npy", mmap_mode="r", allow_pickle=False)
        for key in (*prepared.ARRAYS, *prepared.OPTIONAL)
        if (folder / f"{key}.npy").is_file()
    }
    names = folder / "names.json"
    data = prepared.write(
        workspace.root,
        name=str(meta["name"]),
        classes=[str(name) for name in meta["classes"]],
        mean=[float(value) for value in meta["mean"]],
        std=[float(value) for value in meta["std"]],
        source=str(meta["source"]),
        licence=str(meta["licence"]),
        origin=f"a packed run: {fingerprint}",
        names=prepared.Names.model_validate_json(names.read_bytes()) if names.is_file() else None,
        collection=str(meta.get("collection", "")),
        **arrays,
    )
    if data.fingerprint != fingerprint:
        raise RefusedError("its images are not those that the run chose from", _AGAIN)


def _missing_images(config: Settings, fingerprint: str | None, workspace: Workspace) -> list[str]:
    """Return what to do where the images did not come along and are not here; the shipped ones are got at once."""
    name = record.dataset_name(config)
    if fingerprint and prepared.folder_of(workspace.root, fingerprint).is_dir():
        return []
    if name == "fashion-mnist-mini":
        with suppress(RamboError):
            if catalog.prepare(name, workspace.root).fingerprint == fingerprint:
                return []
    if name in catalog.CATALOG:
        return [f"Its images are not here yet: get {name} on the page Data, or resume the run."]
    return ["Its images did not come along: figures can be seen, pictures cannot."]
