"""Every choice of params.yaml resolved at once: a wrong name fails in the first second, not the fifth hour."""

from dataclasses import dataclass

from graft.core.plugins import Plugin, resolve
from graft.core.sections import Settings
from tasks.gate import rules


@dataclass(frozen=True)
class Choices:
    """The chosen plug-ins with their checked options."""

    modality: Plugin
    source_origin: Plugin
    target_origin: Plugin
    backbone: Plugin
    objective: Plugin
    method: Plugin
    formats: tuple[Plugin, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Choices":
        """Resolve all choices.

        Raises:
            BadInput: a plug-in does not exist or refuses an option.
        """
        data = settings.data
        choices = cls(
            modality=resolve("graft.modalities", data.modality, "data.modality"),
            source_origin=resolve("tasks.origins", data.source.origin, "data.source.origin"),
            target_origin=resolve("tasks.origins", data.target.origin, "data.target.origin"),
            backbone=resolve("graft.backbones", settings.pretrain.backbone, "pretrain.backbone"),
            objective=resolve("graft.objectives", settings.pretrain.objective, "pretrain.objective"),
            method=resolve("graft.methods", settings.finetune.method, "finetune.method"),
            formats=tuple(
                resolve("graft.exports", choice, f"export.formats[{index}]")
                for index, choice in enumerate(settings.export.formats)
            ),
        )
        rules.check_severities(settings.validate_.rules, choices.modality.module.RULES)
        return choices

    def origin(self, role: str) -> Plugin:
        """The origin of `source` or `target`."""
        return self.source_origin if role == "source" else self.target_origin
