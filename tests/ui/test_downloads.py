"""A made file outlives the ends of script runs, and goes when its time is over."""

import time

import pytest
from streamlit import runtime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from rambo.ui import downloads

MIME = "text/csv"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> MediaFileManager:
    """Streamlit's store of files, as a server has it."""
    manager = MediaFileManager(MemoryMediaFileStorage("/media"))
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(
        runtime, "get_instance", lambda: type("Runtime", (), {"media_file_mgr": manager})
    )
    return manager


def served(files: MediaFileManager, url: str) -> bytes | None:
    """Return what the browser gets under an address, or None for 404."""
    name = url.rpartition("/")[2].partition(".")[0]
    stored = files.read_file(name)
    return None if stored is None else stored.content


def press(files: MediaFileManager, name: str, *, ours: bool, seconds: float = 60) -> str:
    """Press a button of Streamlit's deferred kind; return the address that the browser is sent to."""
    make = (lambda: downloads.hold(name, MIME, "a.csv", seconds)) if ours else (lambda: name)
    return files.execute_deferred(files.add_deferred(make, MIME, "place", "a.csv"))


def test_streamlit_alone_loses_a_made_file_after_two_ends_of_script_runs(
    files: MediaFileManager,
) -> None:
    """The reason for this module: when it goes, `downloads` may go too."""
    url = press(files, "x,y", ours=False)
    for _ in range(2):
        files.remove_orphaned_files()
    assert served(files, url) is None


def test_a_held_file_outlives_them(files: MediaFileManager) -> None:
    url = press(files, "x,y", ours=True)
    for _ in range(20):
        files.clear_session_refs("a session that begins a run")
        files.remove_orphaned_files()
    assert served(files, url) == b"x,y"


def test_two_files_at_once_do_not_replace_each_other(files: MediaFileManager) -> None:
    urls = [press(files, text, ours=True) for text in ("first", "second")]
    for _ in range(2):
        files.remove_orphaned_files()
    assert [served(files, url) for url in urls] == [b"first", b"second"]


def test_a_held_file_goes_when_its_time_is_over(files: MediaFileManager) -> None:
    url = press(files, "x,y", ours=True, seconds=0.05)
    end = time.monotonic() + 20
    while served(files, url) is not None:
        assert time.monotonic() < end, "the file stays for ever"
        time.sleep(0.02)
        files.remove_orphaned_files()
    with pytest.raises(MediaFileStorageError):
        files._storage.get_file(url)  # type: ignore[attr-defined]
