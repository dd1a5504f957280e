"""Any set of TensorFlow Datasets that has pictures with a class label: `tfds:oxford_flowers102`."""

import contextlib
import difflib
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem, GraftError, one_line
from graft.core.names import to_path

_NAME = r"[a-z][a-z0-9_]*"  # no colon: sets of a community's namespace run code that nobody here has read
_CONFIG = r"[A-Za-z0-9][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*"
_URI = re.compile(rf"tfds:({_NAME}(?:/{_CONFIG})?(?::\d+\.\d+\.\d+)?)")
_SPLITS = {"test": "test", "validation": "validation", "valid": "validation", "val": "validation", "train": "train"}
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp"}
_ANSWER_WITHIN_S = 20


class Options(BaseModel):
    """Which set, and what of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    uri: str = Field(max_length=200, description="tfds:NAME, tfds:NAME/CONFIG or tfds:NAME/CONFIG:VERSION.")
    image_key: str = Field("image", min_length=1, max_length=200, description="Name of the set's picture feature.")
    label_key: str = Field("label", min_length=1, max_length=200, description="Name of the set's class label feature.")
    keep_splits: bool = Field(True, description="Use the set's own test and validation splits; false: draw anew.")
    most_per_class: int | None = Field(
        None, ge=1, le=1_000_000, description="Only the first so many of each class and split; none: all."
    )

    @field_validator("uri")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if not _URI.fullmatch(value):
            raise ValueError("should be tfds:NAME, tfds:NAME/CONFIG or tfds:NAME/CONFIG:VERSION")
        return value

    @property
    def set_name(self) -> str:
        """The URI without its scheme, as the library has it."""
        return self.uri.partition(":")[2]


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """The set's pictures as they were encoded, split by split, in the set's order; rows without a label are left out.

    What is not there yet is downloaded and prepared in the folder that TFDS_DATA_DIR names, or the cache. A set that
    has neither a test nor a validation split, or no train split, leaves all splits to be drawn.

    Raises:
        BadInput: there is no such set, it lacks a picture or class label feature, or what came has a wrong checksum.
        EnvironmentProblem: the set's server cannot be reached, a file must be fetched by hand, or a module is missing.
    """
    data_dir = Path(os.environ.get("TFDS_DATA_DIR") or request.cache / "tfds")
    builder = _builder(options.set_name, data_dir)
    class_of = _check_features(options, builder)
    if not builder.is_prepared():
        _prepare(options.set_name, builder, data_dir)
    splits = _splits(options.set_name, builder)
    total = sum(splits.values())
    keep, any_held_out, before = options.keep_splits and "train" in splits, False, 0
    for split, n_rows in splits.items():
        # Train comes last, when it is known whether any picture is held out: test rows may all lack a label.
        asked = _SPLITS[split] if keep and (split != "train" or any_held_out) else ""
        for number, data, label in _labelled(options, builder, split, class_of.num_classes):
            name = class_of.int2str(label)
            path = to_path(f"{name}/{split}-{number:06d}{_SUFFIXES.get(data[:2], '.img')}")
            yield Picture(path, name, data, split=asked)
            any_held_out = True
            request.progress(before + number + 1, total)
        before += n_rows
        request.progress(before, total)


def _splits(name: str, builder: Any) -> dict[str, int]:
    """Rows of each split that is used, by the set's own name for it."""
    here = builder.info.splits
    if found := {split: here[split].num_examples for split in _SPLITS if split in here}:
        return found
    raise BadInput(one_line(f"origin tfds: {name} has no train, validation or test split; found {', '.join(here)}"))


def _labelled(options: Options, builder: Any, split: str, n_classes: int) -> Iterator[tuple[int, bytes, int]]:
    """(running number, encoded picture, label) of one split, no more of each class than asked for."""
    import tensorflow_datasets as tfds

    image, label = options.image_key, options.label_key
    with _quiet():
        wanted = tfds.decode.PartialDecoding({image: True, label: True}, decoders={image: tfds.decode.SkipDecoding()})
        # one shard after the other: the order is the set's, whatever the machine
        reading = tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1)
        rows = builder.as_dataset(split=split, shuffle_files=False, decoders=wanted, read_config=reading)
        rows = rows.as_numpy_iterator()
    taken: Counter[int] = Counter()
    most = options.most_per_class
    for number, row in enumerate(rows):
        one = int(row[label])
        if one < 0 or (most and taken[one] >= most):
            continue
        taken[one] += 1
        yield number, bytes(row[image]), one
        if most and sum(taken.values()) == most * n_classes:
            break


def _builder(name: str, data_dir: Path) -> Any:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    tfds.disable_progress_bar()
    try:
        with _quiet():
            return tfds.builder(name, data_dir=data_dir)
    except DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(re.split("[/:]", name)[0], known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`tfds.list_builders()` names all"
        raise BadInput(f"origin tfds: there is no set {name}; {hint}") from None
    except Exception as error:  # a wrong config or version, in each set's own words
        raise _as_ours(name, error) from None


def _check_features(options: Options, builder: Any) -> Any:
    """The set's class label feature; raises unless it and the picture feature are there."""
    import tensorflow_datasets as tfds

    found = builder.info.features
    features = dict(found.items()) if isinstance(found, tfds.features.FeaturesDict) else {}
    here = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items())) or "none"
    for setting, kind in (("image_key", tfds.features.Image), ("label_key", tfds.features.ClassLabel)):
        key = getattr(options, setting)
        if not isinstance(features.get(key), kind):
            raise BadInput(
                one_line(
                    f"origin tfds: {options.set_name} has no {kind.__name__} under {setting} {key!r}; it has {here}"
                )
            )
    return features[options.label_key]


def _prepare(name: str, builder: Any, data_dir: Path) -> None:
    """Download the set from its own server, check it by the library's checksums, convert it."""
    import tensorflow_datasets as tfds

    # What was prepared elsewhere carries no checksum.
    how = tfds.download.DownloadConfig(try_download_gcs=False, force_checksums_validation=True)
    try:
        with _quiet():
            if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
                _knock(builder)
            builder.download_and_prepare(download_dir=data_dir / "downloads", download_config=how)
    except Exception as error:  # each set has code of its own, which raises whatever it likes
        raise _as_ours(name, error) from None


def _knock(builder: Any) -> None:
    """Ask the first server for anything at all: the library would try for minutes before it says that none is there."""
    import requests

    first = next((url for url in builder.url_infos or {} if url.startswith("http")), None)
    if first:
        requests.head(first, timeout=_ANSWER_WITHIN_S)


def _as_ours(name: str, error: Exception) -> GraftError:
    """What the library or a set's own code raised, as one line that says who can mend it."""
    import requests
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
    from tensorflow_datasets.core.download.util import DownloadError

    first = str(error).strip().partition("\n")[0]
    said = one_line(re.sub(r'^Failed to construct dataset .*?\}": ', "", first), 200)
    text = f"origin tfds: {name}: "
    if isinstance(error, NonMatchingChecksumError):
        return BadInput(f"{text}wrong checksum: {said.partition(',')[0]} is not what the set was made of; not used")
    if isinstance(error, ImportError):
        return EnvironmentProblem(f"{text}{said}; this set needs that Python module too, install it beside graft")
    if isinstance(error, requests.RequestException | DownloadError | ConnectionError | TimeoutError):
        way_out = "try again with a network, or prepare it elsewhere and point TFDS_DATA_DIR to it"
        return EnvironmentProblem(f"{text}its server cannot be reached ({said}); {way_out}")
    if isinstance(error, AssertionError) and said.startswith("Manual directory"):
        return EnvironmentProblem(f"{text}its files must be fetched by hand: {said}")
    if isinstance(error, OSError):
        return EnvironmentProblem(f"{text}{type(error).__name__}: {said}")
    return BadInput(f"{text}{type(error).__name__}: {said}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the library prints and logs off the terminal, warnings of things that go well among them."""
    loggers = [logging.getLogger(name) for name in ("absl", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
