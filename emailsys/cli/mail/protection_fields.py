"""Layers of signatures and encryption as JSON fields."""

from __future__ import annotations

from typing import Any

from emailsys.client.crypto.values import Layer
from emailsys.client.text.terminal import safe_line


def layer_fields(layer: Layer) -> dict[str, Any]:
    """Return the JSON fields of a layer. Its texts are safe for a terminal."""
    return {
        "part": layer.part,
        "whole": layer.is_whole,
        "method": layer.method.value,
        "encryption": None if layer.decryption is None else layer.decryption.value,
        "reason": safe_line(layer.reason),
        "signatures": [
            {
                "state": one.state.value,
                "signer": safe_line(one.signer),
                "key": one.key,
                "made": None if one.made is None else one.made.isoformat(),
                "reason": safe_line(one.reason),
            }
            for one in layer.signatures
        ],
    }
