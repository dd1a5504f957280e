"""A plug-in is a module: its file name is its name in params.yaml. No list to update, no import for side effects."""

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from graft.core.errors import BadInput
from graft.core.sections import Choice
from graft.core.settings import explain


@dataclass(frozen=True)
class Plugin:
    """A chosen module and its checked options.

    Attributes:
        name: the module's file name, the name in params.yaml.
        module: offers the verb of its kind (`build`, `adapt`, `convert`, ...).
        options: the module's own frozen `Options`.
    """

    name: str
    module: Any
    options: Any


def names(package: str) -> list[str]:
    """Names of the plug-ins in `package` ("graft.methods", say), sorted. A leading underscore hides a helper."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


def module(package: str, name: str) -> Any:
    """The plug-in of that name, one of `names`."""
    return importlib.import_module(f"{package}.{name}")


def resolve(package: str, choice: Choice, setting: str) -> Plugin:
    """The plug-in that `choice` names in `package`, with its options checked.

    Args:
        setting: where the choice stands ("finetune.method"), for the error's text.

    Raises:
        BadInput: there is no such plug-in (the text lists those that exist), or an option is unknown or out of range.
    """
    known = names(package)
    if choice.name not in known:
        near = difflib.get_close_matches(choice.name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadInput(f"{setting}.name is {choice.name!r}; {_kind(package)} here: {', '.join(known)}{hint}")
    found = module(package, choice.name)
    options_type: type[BaseModel] = found.Options
    try:
        options = options_type.model_validate(choice.options)
    except ValidationError as error:
        raise BadInput(explain(error, options_type, setting)) from None
    return Plugin(choice.name, found, options)


def _kind(package: str) -> str:
    return package.rpartition(".")[2]
