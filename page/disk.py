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
KEPT = 1800  # seconds that a file stays
EVERY = 300  # seconds between two sweeps


def begin() -> None:
    """Gives this server a folder that only its user can read, and sweeps it as long as it runs.

    What other servers of the same user left behind is swept along.
    """
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=place)
    os.environ["GRADIO_TEMP_DIR"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(target=_sweep_for_ever, args=(place,), daemon=True).start()


def sweep(folder: Path, age: float = KEPT) -> None:
    """Removes what was last changed more than `age` seconds ago, and the folders that are empty."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            with suppress(OSError):  # just removed, or somebody else's
                if time.time() - (path := Path(place, name)).lstat().st_mtime > age:
                    path.unlink()
        with suppress(OSError):  # not empty
            if Path(place) != folder and time.time() - Path(place).stat().st_mtime > age:
                Path(place).rmdir()


def _sweep_for_ever(place: Path) -> None:
    while True:
        for folder in place.glob(f"{PREFIX}*"):
            sweep(folder)
        time.sleep(EVERY)
