"""The form that starts a run: names, URIs and choices as flat fields, and the settings they become."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.engines import On
from graft.core import plugins
from graft.core.errors import BadInput
from graft.core.settings import explain

KEEP = "as params.yaml says"
PLACES = ("uri", "root")
"""Names under which an origin takes its place."""


def _one_of(package: str) -> Any:
    """Drop-down of the plug-ins that there are; no list to update."""
    names = [KEEP, *plugins.names(package)]
    return Field(max_length=64, json_schema_extra={"enum": list(names)})


Domain = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$")]
Origin = Annotated[str, _one_of("tasks.origins")]
Uri = Annotated[str, Field(max_length=1100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Method = Annotated[str, _one_of("graft.methods")]
Labels = Annotated[str, Field(pattern=r"^(all|[1-9][0-9]{0,5})?$")]
Seeds = Annotated[int, Field(ge=0, le=100)]
AtEnd = Literal["ask", "promote if better", "never"]


class Form(BaseModel):
    """What was filled in, checked once more: Prefect lets a caller switch its own check off."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    target: Domain
    target_origin: Origin
    target_uri: Uri
    source: Domain
    source_origin: Origin
    source_uri: Uri
    labels_per_class: Labels
    method: Method
    seeds: Seeds
    at_end: AtEnd
    on: On = "local"

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Form":
        """The form with `values`.

        Raises:
            BadInput: a field is unknown or out of range; the text names it.
        """
        try:
            return cls.model_validate(values)
        except ValueError as error:
            raise BadInput(explain(error, cls, "form")) from None  # type: ignore[arg-type]

    def assignments(self) -> list[str]:
        """The fields that say something, as `graft run --set` would take them.

        Raises:
            BadInput: a URI without an origin that takes one.
        """
        found = []
        for role in ("source", "target"):
            name, origin, uri = (getattr(self, f"{role}{part}") for part in ("", "_origin", "_uri"))
            found += [f"data.{role}.name={name}"] if name else []
            if origin != KEEP:
                found.append(f"data.{role}.origin={json.dumps({'name': origin} | _place(origin, uri))}")
            elif uri:
                raise BadInput(f"form.{role}_uri is given without {role}_origin; choose which kind of origin it is")
        found += [f"finetune.labels_per_class={self.labels_per_class}"] if self.labels_per_class else []
        found += [f"finetune.method.name={self.method}"] if self.method != KEEP else []
        found += [f"evaluate.seeds={self.seeds}"] if self.seeds else []
        return found


def _place(origin: str, uri: str) -> dict[str, str]:
    if not uri or origin not in plugins.names("tasks.origins"):
        return {}
    module = plugins.module("tasks.origins", origin)
    key = next((key for key in PLACES if key in module.Options.model_fields), "uri")
    return {key: uri}
