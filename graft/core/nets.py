"""Networks at their very start."""

from typing import Any

from graft.core.plugins import Plugin
from graft.core.spec import Spec


def from_nothing(backbone: Plugin, spec: Spec, seed: int) -> Any:
    """A new network with random weights, also where the backbone's own would come pretrained from elsewhere."""
    untrained = getattr(backbone.module, "untrained", lambda options: options)
    return backbone.module.build(untrained(backbone.options), spec, seed)
