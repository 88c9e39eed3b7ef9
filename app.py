"""The page: upload a face, move sliders, watch it change.

python app.py
python app.py --model user/repo --port 8000
python app.py --model faces64 --model runs/mine/model --model user/repo@v2
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from vaegan.errors import command_line

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
try:
    import spaces  # on ZeroGPU it must come before torch
except ImportError:
    spaces = None

import page
from page import disk
from page.frames import ROUTES
from page.look import CSS, theme
from vaegan.editor import Editor

MAX_FILE = "30mb"
SESSIONS = 1000  # that Gradio keeps, 0.3 MB each; of their faces, see `page.visitors.MOST_OPEN`

EXAMPLES = """
examples:
  python app.py                                        the bundled model, on this machine only
  python app.py --host 0.0.0.0 --port 8000             for everybody who can reach this machine
  python app.py --model runs/mine/model                a model of your own
  python app.py --model faces64 --model user/repo@v2   two, each with a page, and one to compare
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="The face editor, in a browser.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", action="append", default=[], metavar="MODEL", dest="models",
        help="a folder, a Hub repository user/repo or user/repo@revision, or a bundled model's "
        "name; repeat it, and each has a page of its own, with one to compare them")  # fmt: skip
    add("--revision", help="a branch, tag or commit, where one Hub repository is named")
    add("--any-model", action="store_true", help="visitors may name other models on the Hub: each "
        "is downloaded to this machine and takes memory")  # fmt: skip
    add("--host", help="address to listen on; otherwise GRADIO_SERVER_NAME or 127.0.0.1")
    add("--port", type=int, help="otherwise GRADIO_SERVER_PORT or the first free one from 7860 on")
    flags = parser.parse_args(arguments)
    if flags.revision and len(flags.models) != 1:
        parser.error("--revision goes with one --model; write user/repo@revision for more")
    return flags


def load(name: str | None, revision: str | None) -> Editor:
    """The model that a flag names: `user/repo@revision` where it is no folder."""
    if name and not revision and not Path(name).exists():
        name, _, revision = name.partition("@")
    return Editor.from_pretrained(name, revision=revision or None)


@command_line
def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    editors = [load(name, flags.revision) for name in flags.models or [None]]
    disk.begin()
    page.build(*editors, any_model=flags.any_model).launch(
        server_name=flags.host, server_port=flags.port, **launch_options()
    )
    return 0


def launch_options() -> dict[str, Any]:
    """For `Blocks.launch`: looks and limits."""
    return {
        "theme": theme(),
        "css": CSS,
        "max_file_size": MAX_FILE,
        "state_session_capacity": SESSIONS,
        "run_history": False,  # it would keep references to faces in the browser's storage
        "ssr_mode": False,
        "app_kwargs": {"routes": ROUTES},
        "footer_links": ["api", "gradio", "settings"],
    }


if spaces is not None:

    @spaces.GPU
    def unused() -> None:
        """ZeroGPU asks for one such function. Faces this small are decoded on the CPU."""


if __name__ == "__main__":
    sys.exit(main())
