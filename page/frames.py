"""Frames of live pictures, on a route of their own beside Gradio's.

Gradio's call of a component's function parses, checks and wraps more than a frame costs to draw.
This route takes a small JSON and answers with the picture. What it shows, it finds by a key that
nobody can guess (see `page.visitors`), and `draw` takes its turn on the cores.
"""

from __future__ import annotations

import json
import time

import anyio.to_thread
import gradio as gr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

LARGEST = 20_000  # bytes of a request; a hundred sliders take 3,000
# What comes of a request that live.js would not send.
BAD = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)


async def frame(request: Request) -> Response:
    """The picture of `live(elem_id, …)` for the wish in the body: a data URL."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            return Response(status_code=413)
    page: gr.Blocks = request.app.get_blocks()
    name = request.path_params["elem_id"]
    draw = next((b.draw for b in page.blocks.values() if drawn(b, name)), None)
    if draw is None:
        return Response(status_code=404)
    try:
        start = time.perf_counter()
        picture = await anyio.to_thread.run_sync(draw, json.loads(body))
        spent = 1000 * (time.perf_counter() - start)
        return PlainTextResponse(picture, headers={"Server-Timing": f"draw;dur={spent:.2f}"})
    except BAD:
        return Response(status_code=400)


def drawn(block: gr.blocks.Block, name: str) -> bool:
    return block.elem_id == name and isinstance(block, gr.HTML) and hasattr(block, "draw")


ROUTES = [Route("/frame/{elem_id}", frame, methods=["POST"])]
