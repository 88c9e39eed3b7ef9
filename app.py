"""The page: upload a face, move sliders, watch it change.

python app.py
python app.py --model user/repo --port 8000
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
try:
    import spaces  # on ZeroGPU it must come before torch
except ImportError:
    spaces = None

import page
from page.frames import ROUTES
from page.look import CSS, theme
from vaegan.attributes import VectorError
from vaegan.checkpoint import SnapshotError
from vaegan.editor import Editor
from vaegan.files import FileError
from vaegan.hub import ModelNotFound

MAX_FILE = "30mb"
VISITORS = 64  # whose faces are kept; then whoever was quiet longest is forgotten


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="The face editor, in a browser.")
    add = parser.add_argument
    add("--model", help="a folder or a Hub repository user/repo; otherwise the bundled model")
    add("--revision", help="a branch, tag or commit of the Hub repository")
    add("--host", help="address to listen on; otherwise GRADIO_SERVER_NAME or 127.0.0.1")
    add("--port", type=int, help="otherwise GRADIO_SERVER_PORT or the first free one from 7860 on")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        editor = Editor.from_pretrained(flags.model, revision=flags.revision)
        page.build(editor).launch(
            server_name=flags.host, server_port=flags.port, **launch_options()
        )
    except (ModelNotFound, SnapshotError, VectorError, FileError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def launch_options() -> dict[str, Any]:
    """For `Blocks.launch`: looks and limits."""
    return {
        "theme": theme(),
        "css": CSS,
        "max_file_size": MAX_FILE,
        "state_session_capacity": VISITORS,
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
