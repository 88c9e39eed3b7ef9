"""Where uploads and downloads lie on disk, and that they do not lie there for long.

Gradio sweeps too, but not the files that an API call returns in a list, nor what a server that was
killed left behind; and an upload in the midst of its sweeping ends it for good.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "face-editor-"
MARK = ".face-editor"  # a file in a server's folder that it holds and touches as long as it runs
KEPT = 1800  # seconds that a file stays
EVERY = 300  # seconds between two sweeps


def begin() -> None:
    """Gives this server a folder that only its user can read, and sweeps it as long as it runs.

    What servers left behind that were killed goes too.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    mark = FileLock(folder / MARK)
    mark.acquire()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(target=_sweep_for_ever, args=(folder, mark), daemon=True).start()


def sweep(folder: Path) -> None:
    """Removes what was last changed more than KEPT seconds ago, and the folders that are empty."""
    with suppress(OSError):
        os.utime(folder / MARK)
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            with suppress(OSError):  # just removed, or somebody else's
                if _idle(path := Path(place, name)):
                    path.unlink()
        with suppress(OSError):  # not empty
            if Path(place) != folder and _idle(Path(place)):
                Path(place).rmdir()


def _sweep_for_ever(own: Path, mark: FileLock) -> None:
    """mark: own's, which would be let go of with its last reference."""
    while True:
        sweep(own)
        clear(own.parent)
        time.sleep(EVERY)


def clear(place: Path) -> None:
    """Removes the folders in `place` that servers left behind."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            if not folder.is_symlink() and _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    """Whether a server left it that runs no more. Whoever else calls a folder so has no mark in it.

    Raises:
        OSError: there is no mark. Timeout: a server holds it, which may have been asleep.
    """
    if not _idle(folder / MARK):
        return False
    with FileLock(folder / MARK, timeout=0):
        return True


def _idle(path: Path) -> bool:
    """Whether it was last changed more than KEPT seconds ago. OSError: it is not there."""
    return time.time() - path.lstat().st_mtime > KEPT
