"""How the page looks: a theme of Gradio's, and over it style.css and, for the tabs, tabs.css."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

# Gradio puts its own prefix after every comma of a selector, so none stands inside :is() or :not().
CSS = "".join(
    (Path(__file__).parent / name).read_text("utf-8") for name in ("style.css", "tabs.css")
)


def theme() -> gr.themes.Base:
    """Quiet colours and the system's own fonts: nothing is fetched from anywhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#141312",
        background_fill_primary="white",
        background_fill_primary_dark="#1c1a19",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="#272523",
        block_background_fill="white",
        block_background_fill_dark="#1c1a19",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#33302d",
        input_background_fill="transparent",
        input_background_fill_dark="transparent",
        error_text_color_dark="#fca5a5",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="#272523",
        button_secondary_background_fill_hover_dark="#33302d",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="#33302d",
        button_border_width="1px",
        button_border_width_dark="1px",
        color_accent="*primary_600",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="#33302d",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )
