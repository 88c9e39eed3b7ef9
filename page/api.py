"""What programs can call: `gradio_client` finds these by name."""

from __future__ import annotations

import gradio as gr

from page.visitors import download, open_faces
from vaegan.attributes import VectorError
from vaegan.editor import Editor, FaceNotFound
from vaegan.hub import ModelNotFound
from vaegan.images import BadImage


def endpoint(editor: Editor) -> None:
    """`gradio_client` can call this: client.predict(photo, settings, detail, api_name="/edit")."""

    def edit(photo: gr.FileData, settings: dict, detail: float = 1.0) -> str:
        """The edited photograph.

        Parameters:
            photo: the photograph; its largest face is edited
            settings: {attribute: slider value}, such as {"Smiling": 2}
            detail: 0, the decoder's picture, to 1, all of the photograph's texture
        """
        try:
            face = open_faces(editor, photo["path"])[0]
            wanted = {name: float(value) for name, value in settings.items()}
            return download(editor, face, wanted, float(detail), whole=True)
        except (BadImage, FaceNotFound, ModelNotFound, VectorError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(edit, api_name="edit")
