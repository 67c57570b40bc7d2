"""Locks a run folder, so that only one process at a time uses the folder."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder within the block.

    Raises:
        ValueError: another process of this machine holds the lock.
    """
    # Why: the lock is in the folder for temporary files, because the run folder must not exist before all checks have
    # passed.
    name = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=8).hexdigest()
    path = Path(tempfile.gettempdir()) / f"knowlearn-{name}.lock"
    owner = path.with_suffix(".pid")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        process = owner.read_text(encoding="utf-8") if owner.is_file() else "unknown"
        raise ValueError(
            f"output_dir={str(folder)!r} is in use by process {process}. Wait until it has finished, stop it, or"
            " choose another folder."
        ) from None
    try:
        owner.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()
