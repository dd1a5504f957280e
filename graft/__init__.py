"""Reuse a labelled data set from one domain to get a better model in another.

`graft.load("plants@prod").predict("picture.jpg").labels` is all that a user of models needs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graft.edge import Model, Predictions, load

__version__ = "0.1.0"
__all__ = ["Model", "Predictions", "load"]


def __getattr__(name: str) -> Any:
    """The public names, loaded on first use: `graft --help` needs none of them."""
    if name in __all__:
        from graft import edge

        return getattr(edge, name)
    raise AttributeError(f"module 'graft' has no attribute {name!r}")
