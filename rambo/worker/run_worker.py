"""The process that works on one run: the only place where threads and devices are set.

A worker holds the run's lock for life. Whatever it finished is kept, so working again on a stopped or killed run
goes on where it ended and gives the same result.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from joblib.externals.loky import get_reusable_executor

from rambo import checks, plugins, strategies
from rambo.checks import check, judging_words, wants_features
from rambo.config import Config, check_offered, restore
from rambo.datasets import foreign, prepared, repeats
from rambo.datasets.features import frozen_features
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, DataError, RamboError, RunCancelled, StoreError
from rambo.events import Emit, Event, Noticed, StageFinished, StageStarted, ignore
from rambo.method.pools import Selection
from rambo.runs import paths, repair
from rambo.runs.jobs import Devices, only_cpu
from rambo.runs.line import wait_in_line
from rambo.runs.record import StoredEvent
from rambo.runs.results import Result
from rambo.runs.workspace import Run, Workspace, create_run
from rambo.storage import pulse
from rambo.training import backends
from rambo.training.gpu.batched import exactly
from rambo.worker import memory
from rambo.worker import trial as trials

WAITING = "batch chosen, waiting for labels"  # what a run says that ends without an oracle
_DURABLE = (
    StageStarted,
    StageFinished,
    Noticed,
)  # shown at once; the rest within a fraction of a second


def start(config: Config, workspace: Workspace, listener: Emit = ignore) -> Run:
    """Return a new queued run of a config that fits its dataset.

    Raises:
        RamboError: the config does not fit, the data cannot be had, or the workspace cannot be written.
    """
    device = resolve_device(config.compute.device)
    data = foreign.prepare(config.dataset, workspace.root, emit=listener)
    checks.check(config, data)
    fitted = checks.fit(config, data)
    if words := checks.change_words(config, data):
        listener(Noticed(words))
    if repeats.limits(fitted.acquisition, data):
        for number in range(fitted.trials):  # what repeats S_0 is known only once S_0 is drawn
            trials.split(fitted, data, number, None)
    return create_run(fitted, data, workspace, name_device(device))


def name_device(device: str) -> str:
    """Return what people call a torch device: the card's name for CUDA."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def devices() -> Devices:
    """Return the devices of this machine."""
    cpu = only_cpu()
    names = dict(cpu.names)
    if torch.cuda.is_available():
        names["cuda"] = torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        names["mps"] = "Apple GPU"
    return Devices(resolve_device("auto"), names, cpu.cores)


def resolve_device(name: str) -> str:
    """Return the torch device for `auto`, `cpu`, `cuda` or `mps`.

    Choice: `auto` takes CUDA where there is one, else the CPU; MPS only when asked for.

    Raises:
        ConfigError: the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(name, True):
        raise ConfigError(
            "this machine has none", field="compute.device", value=name, hint="use cpu or auto"
        )
    return name


def work(run: Run, listener: Emit = ignore, *, launch: float | None = None) -> str:
    """Wait in line for the device, work on a run until it is done, stopped or failed, and return that status.

    Args:
        run: a queued, stopped, failed or interrupted run; of a done one only lost or damaged files are made again.
        listener: hears every event beside the run's own record.
        launch: see `Run.take_up`.

    Raises:
        RunLockedError: another worker holds the run, or was meant.
        RamboError: what went wrong; the run's status says it too.
    """
    with run.lock(), contextlib.ExitStack() as stack:
        done = run.status == "done"
        if done and not repair.broken(run):
            return "done"
        ended = done or _ended(run)
        run.take_up(launch)
        try:
            run.heed_stop()  # asked for while torch was imported
            files = run.environment.plugins
            stack.enter_context(plugins.using(files))
            check_offered(run.config)
            config = restore(run.config)
            for name in config.strategies:
                strategies.find(name, map(Path, files))  # before hours of work, not after
            device = resolve_device(config.compute.device)
            with wait_in_line(run.folder.parent, device, run.id, _Waiting(run, listener)):
                run.begin_attempt()
                run.set_status("running", repair.RUNNING if ended else "")
                with single_threaded(), exactly("float32"), pulse.into(paths.pulse(run.folder)):
                    _work_through(run, listener, recording=not ended)
            run.check_there()
        except (RunCancelled, KeyboardInterrupt):
            stopped = "stopped", "stopped on request; resume it to go on"
            run.set_status(*("done", repair.UNFINISHED) if ended else stopped)
            return "stopped"
        except Exception as error:
            words = _words(error, run)
            if ended:  # the choice stands, whatever cannot be drawn of it
                run.set_status("done", f"lost or damaged files are not made again: {words}")
            else:
                run.set_status("failed", words)
            if isinstance(error, RamboError) or not memory.ran_out(error):
                raise
            raise _shortage(error, run) from error
        run.set_status("done", WAITING if waits_for_labels(run) else "")
        return "done"


def _words(error: Exception, run: Run) -> str:
    """Return why the work on a run failed, as one line."""
    if isinstance(error, RamboError):
        return str(error)
    if memory.ran_out(error):
        return str(_shortage(error, run))
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror}"
    return f"an unforeseen {type(error).__name__}; the log has the details"


def _shortage(error: Exception, run: Run) -> StoreError:
    """Return the error of a run for which memory ran out."""
    return memory.shortage(error, restore(run.config).compute.device)


def _ended(run: Run) -> bool:
    """Return whether every strategy of every trial has its result, so that only files can be missing."""
    config = run.config
    names = [
        *config["strategies"],
        *([trials.BEST_OF_RANDOM] if config.get("oracle_draws") else []),
    ]
    complete = {(r.trial, r.strategy) for r in run.results() if r.test_accuracy is not None}
    return {(trial, name) for trial in range(config["trials"]) for name in names} <= complete


def waits_for_labels(run: Run) -> bool:
    """Return whether a run has chosen for a person to label: nobody knows the labels."""
    results = run.results()
    return bool(results) and all(result.test_accuracy is None for result in results)


class _Waiting:
    """Tells the run and the listener how many are ahead, and leaves the line where a stop was asked for."""

    def __init__(self, run: Run, listener: Emit) -> None:
        self.run, self.listener, self.ahead = run, listener, 0

    def __call__(self, ahead: int) -> None:
        if ahead != self.ahead:
            self.ahead = ahead
            message = f"waits for the device: {ahead} ahead"
            self.run.set_waiting(message)
            self.listener(Noticed(message))
        self.run.heed_stop()


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Use one thread in this process, and end the worker processes however the block ends.

    One thread a process is fastest for many small trainings, and makes results independent of the machine's cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    except BaseException:
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise
    finally:
        torch.set_num_threads(before)


def _work_through(run: Run, listener: Emit, *, recording: bool) -> None:
    """Run every trial of the run's config."""
    config = restore(run.config)
    keeper = _RunKeeper(run, listener, recording, run.events())
    workspace = Workspace(run.folder.parent)
    device = resolve_device(config.compute.device)
    emit = keeper.listener(None, None)
    data = _open_data(run, config, workspace, emit)
    check(config, data)
    for words in judging_words(data):
        emit(Noticed(words))
    features, features_file = None, ""
    if wants_features(config, data):
        values, backbone = frozen_features(
            data, config.dataset, data_root=None, device=device, emit=emit
        )
        emit(Noticed(f"frozen features of {backbone} are read, {values.shape[1]} numbers an image"))
        features, features_file = torch.from_numpy(values), str(getattr(values, "filename", ""))
    memo, compute = workspace.memo(), config.compute
    with backends.connected(
        compute.backend, compute.address, compute.jobs or joblib.cpu_count()
    ) as backend:
        for number in range(config.trials):
            trial = trials.split(config, data, number, features, features_file)
            trials.run_trial(
                trial,
                number,
                config,
                keeper=keeper,
                memo=memo,
                device=device,
                jobs=backend.jobs,
                backend=backend,
            )
    for notice in memo.notices:
        emit(Noticed(notice))


def _open_data(run: Run, config: Config, workspace: Workspace, emit: Emit) -> Prepared:
    """Return the very dataset the run was made for, prepared again where it is gone or damaged.

    Raises:
        DataError: what the name stands for now is something else.
    """
    fingerprint = run.environment.dataset.fingerprint
    with contextlib.suppress(DataError):
        return prepared.open_prepared(prepared.folder_of(workspace.root, fingerprint), verify=True)
    data = foreign.prepare(config.dataset, workspace.root, emit=emit)
    if data.fingerprint != fingerprint:
        raise DataError(
            "has changed since this run was made",
            field="dataset",
            value=data.name,
            hint="start a new run",
        )
    return data


@dataclasses.dataclass(frozen=True)
class _RunKeeper:
    """Keeps a trial's events, selections and results in the run directory."""

    run: Run
    listener_: Emit
    recording: bool  # False: the events of a run that ended stay as they are
    past_: Sequence[StoredEvent] = ()  # the events of all earlier attempts

    def listener(self, trial: int | None, strategy: str | None) -> Emit:
        """Return the listener for one strategy: it records, passes on, and stops where a stop was asked for."""

        def emit(event: Event) -> None:
            self.run.check_there()
            if self.recording:
                self.run.append(event, trial=trial, strategy=strategy)
            if isinstance(event, _DURABLE):
                self.run.flush()
            self.listener_(event)
            self.run.heed_stop()

        return emit

    def past(self, trial: int, strategy: str | None) -> list[StoredEvent]:
        """Return what earlier attempts told of one strategy, or of the trial."""
        return [entry for entry in self.past_ if entry.place == (trial, strategy)]

    def find(self, trial: int, strategy: str) -> Result | None:
        """Return the result kept for one strategy of one trial."""
        for result in self.run.results():
            if (result.trial, result.strategy) == (trial, strategy):
                return result
        return None

    def keep_selection(self, result: Result, selection: Selection) -> None:
        """Write the evidence as artifacts, then the result."""

        def place(name: str) -> str:
            return paths.of_choice(result.trial, result.strategy, name)

        for name, tensors in selection.arrays.items():
            arrays = {key: tensor.numpy() for key, tensor in tensors.items()}
            self.run.save_arrays(place(name), arrays)
        self.run.save_table(place(paths.SELECTION), _table(selection))
        self.run.save_result(result)
        if not self.recording:
            repair.forget(self.run, result)

    def is_whole(self, result: Result) -> bool:
        """Return whether the evidence of a kept choice can be read."""
        return repair.is_whole(self.run, result)

    def keep_result(self, result: Result) -> None:
        """Write the evaluated result."""
        self.run.save_result(result)

    def has_arrays(self, trial: int, name: str) -> bool:
        """Return whether a trial's artifact is there as it was written."""
        return self.run.is_whole(paths.of_trial(trial, name))

    def keep_arrays(self, trial: int, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a trial's artifact."""
        self.run.save_arrays(paths.of_trial(trial, name), arrays)


def _table(selection: Selection) -> pd.DataFrame:
    """Return the chosen images with their evidence, one row each in the order of choice."""
    count = len(selection.indices)
    columns = {
        "order": range(1, count + 1),
        "step": selection.steps.tolist(),
        "dataset_index": selection.indices.tolist(),
    }
    evidence = {
        name: selection.evidence[name].tolist() if name in selection.evidence else [None] * count
        for name in ("margin", "predicted_class", "predicted_utility")
    }
    return pd.DataFrame(columns | evidence)
