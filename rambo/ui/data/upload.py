"""Files that people send: kept whole below their own hash, or not at all."""

import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

from rambo.errors import DataError, StoreError
from rambo.storage import files

LIMIT_MB = 200


def keep_upload(sent: BinaryIO, name: str, root: Path) -> Path:
    """Return `<root>/uploads/<sha256>/<name>.npz` with the bytes of `sent`, whole or not there at all.

    Raises:
        DataError: more than 200 MB.
        StoreError: the disk refuses.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")[:40] or "images"
    beside = root / "uploads" / f".{secrets.token_hex(8)}.part"
    try:
        files.make_folder(beside.parent)
        sha, size = hashlib.sha256(), 0
        with beside.open("xb") as file:
            while block := sent.read(1 << 20):
                size += len(block)
                if size > LIMIT_MB << 20:
                    raise DataError(
                        f"the file is larger than {LIMIT_MB} MB", hint="type its path instead"
                    )
                sha.update(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        target = root / "uploads" / sha.hexdigest() / f"{plain}.npz"
        files.make_folder(target.parent)
        beside.replace(target)
        files.sync_folder(target.parent)
    except OSError as error:
        told = files.reason(error, "send the file again")
        raise StoreError(f"the file could not be kept: {told.problem}", hint=told.hint) from error
    finally:
        beside.unlink(missing_ok=True)
    return target
