"""Private names of other projects that only the tests use, all in one place."""

from __future__ import annotations

from typing import Any


def screen_update(app: Any) -> Any:
    """Return the whole screen of a Textual app as a Rich renderable.

    The public way, `App.export_screenshot`, gives an SVG picture, which cannot be compared line by line.
    Seen in Textual 8.2 (`textual.app.App.export_screenshot`).
    """
    return app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
