"""What one sample is, said once: every backbone, export and decoder meets it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """A square picture.

    Attributes:
        size_px: height and width.
        channels: 3 for RGB.
    """

    size_px: int
    channels: int = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.size_px, self.size_px, self.channels
