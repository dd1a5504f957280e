"""The eight art styles: whose they are, which pinned package holds them."""

from typing import NamedTuple

from tasks.origins._glyphs.packages import Package


class Style(NamedTuple):
    """An art style: one icon package.

    Attributes:
        package: where its drawings come from.
        title, artist, licence: as the package states them.
        group: styles that are the same drawings in other clothes share one, and one side of every split.
        unseen: kept out of all training.
    """

    package: Package
    title: str
    artist: str
    licence: str
    group: str
    unseen: bool = False


STYLES = (
    Style(
        Package(
            "noto",
            "1.2.9",
            "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        ),
        "Noto Emoji",
        "Google Inc",
        "Apache-2.0",
        "noto",
    ),
    Style(
        Package(
            "noto-v1",
            "1.2.5",
            "sha512-/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
        ),
        "Noto Emoji (v1)",
        "Google Inc",
        "Apache-2.0",
        "noto-v1",
    ),
    Style(
        Package(
            "fluent-emoji",
            "1.2.7",
            "sha512-D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
        ),
        "Fluent Emoji",
        "Microsoft Corporation",
        "MIT",
        "fluent",
    ),
    Style(
        Package(
            "fluent-emoji-flat",
            "1.2.6",
            "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        ),
        "Fluent Emoji Flat",
        "Microsoft Corporation",
        "MIT",
        "fluent",
    ),
    Style(
        Package(
            "twemoji",
            "1.2.5",
            "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        ),
        "Twitter Emoji",
        "Twitter",
        "CC-BY-4.0",
        "twemoji",
    ),
    Style(
        Package(
            "emojione",
            "1.2.3",
            "sha512-T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
        ),
        "Emoji One (Colored)",
        "Emoji One",
        "CC-BY-4.0",
        "emojione",
    ),
    Style(
        Package(
            "fxemoji",
            "1.2.2",
            "sha512-UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
        ),
        "Firefox OS Emoji",
        "Mozilla",
        "Apache-2.0",
        "fxemoji",
        unseen=True,
    ),
    Style(
        Package(
            "streamline-emojis",
            "1.2.4",
            "sha512-iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPdI81yeG4ROqjWpYJE6A==",
        ),
        "Streamline Emojis",
        "Streamline",
        "CC-BY-4.0",
        "streamline",
        unseen=True,
    ),
)


class Credit(NamedTuple):
    """Whose drawings these are, for reports."""

    style: str
    title: str
    artist: str
    licence: str
    version: str


CREDITS = tuple(
    Credit(style.package.name, style.title, style.artist, style.licence, style.package.version) for style in STYLES
)
