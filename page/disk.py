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

PREFIX = "face-editor-"
MARK = ".face-editor"  # a file in a server's folder that it touches as long as it runs
KEPT = 1800  # seconds that a file stays
EVERY = 300  # seconds between two sweeps


def begin() -> None:
    """Gives this server a folder that only its user can read, and sweeps it as long as it runs.

    What servers left behind that were killed goes too.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    (folder / MARK).touch()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(target=_sweep_for_ever, args=(folder,), daemon=True).start()


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


def _sweep_for_ever(own: Path) -> None:
    while True:
        sweep(own)
        for folder in own.parent.glob(f"{PREFIX}*"):
            # Whoever else calls a folder so has no mark in it.
            with suppress(OSError):
                if not folder.is_symlink() and _idle(folder / MARK):
                    shutil.rmtree(folder, ignore_errors=True)
        time.sleep(EVERY)


def _idle(path: Path) -> bool:
    """Whether it was last changed more than KEPT seconds ago. OSError: it is not there."""
    return time.time() - path.lstat().st_mtime > KEPT
