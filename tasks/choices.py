"""Every choice of params.yaml resolved at once: a wrong name fails in the first second, not the fifth hour."""

from collections.abc import Mapping
from dataclasses import dataclass

from graft.core.errors import BadInput
from graft.core.extras import lacking
from graft.core.plugins import Plugin, module, names, resolve
from graft.core.sections import Choice, Domain, Finetune, Pretrain, Settings, Train
from tasks.gate import rules

INBOX = "inbox"
"""In the store and in the manifest, above whatever came later than what the origin has."""


@dataclass(frozen=True)
class Choices:
    """The chosen plug-ins with their checked options; an inbox that is not taken is None; variants are by name."""

    modality: Plugin
    source_origin: Plugin
    source_inbox: Plugin | None
    target_origin: Plugin
    target_inbox: Plugin | None
    backbone: Plugin
    objective: Plugin
    method: Plugin
    variants: Mapping[str, Plugin]
    formats: tuple[Plugin, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Choices":
        """Resolve all choices.

        Raises:
            BadInput: a plug-in does not exist or refuses an option, or cannot do what another setting asks of it.
        """
        data = settings.data
        choices = cls(
            modality=resolve("graft.modalities", data.modality, "data.modality"),
            source_origin=resolve("tasks.origins", data.source.origin, "data.source.origin"),
            source_inbox=inbox(data.source) if data.source.inbox else None,
            target_origin=resolve("tasks.origins", data.target.origin, "data.target.origin"),
            target_inbox=inbox(data.target) if data.target.inbox else None,
            backbone=resolve("graft.backbones", settings.pretrain.backbone, "pretrain.backbone"),
            objective=resolve("graft.objectives", settings.pretrain.objective, "pretrain.objective"),
            method=resolve("graft.methods", settings.finetune.method, "finetune.method"),
            variants=_variants(settings.finetune),
            formats=tuple(
                resolve("graft.exports", choice, f"export.formats[{index}]")
                for index, choice in enumerate(settings.export.formats)
            ),
        )
        _check_installed(choices.formats)
        rules.check_severities(settings.validate_.rules, choices.modality.module.RULES)
        _check_pretrain(settings.pretrain, choices.objective)
        _check_train(settings.train, settings.pretrain, choices)
        if settings.finetune.views > (most := len(choices.modality.module.VIEWS)):
            raise BadInput(
                f"finetune.views is {settings.finetune.views}; 0 to {most} would do for {data.modality.name}s"
            )
        return choices

    @property
    def learns_by_rows(self) -> bool:
        """Whether the objective's loss is a mean over pictures, so that a batch can be cut into parts."""
        return bool(getattr(self.objective.module, "BY_ROWS", False))

    def origin(self, role: str) -> Plugin:
        """The origin of `source` or `target`."""
        return self.source_origin if role == "source" else self.target_origin

    def inbox(self, role: str) -> Plugin | None:
        """The same for its inbox."""
        return self.source_inbox if role == "source" else self.target_inbox


def inbox(domain: Domain) -> Plugin:
    """What reads the pictures that were sent to the store for a domain."""
    where = {"uri": f"s3:///{INBOX}/{domain.name}", "min_classes": 0}
    return resolve("tasks.origins", Choice.model_validate({"name": "s3"} | where), f"the inbox of {domain.name}")


def _variants(section: Finetune) -> dict[str, Plugin]:
    """What trains each variant of the net that ships."""
    found = {}
    for index, (name, choice) in enumerate(section.variants.items()):
        setting = f"finetune.smaller[{index}]"
        found[name] = resolve("graft.methods", choice, setting)
        if not getattr(found[name].module, "SMALLER", False):
            good = [one for one in names("graft.methods") if getattr(module("graft.methods", one), "SMALLER", False)]
            raise BadInput(f"{setting}.name is {choice.name!r}, whose net is no smaller; {', '.join(good)} would do")
    return found


def _check_installed(formats: tuple[Plugin, ...]) -> None:
    """Before anything is trained, not when it is to be exported."""
    for index, one in enumerate(formats):
        needs = getattr(one.module, "needs", None)
        if needs and (lack := lacking(needs(one.options))):
            raise BadInput(f"export.formats[{index}] is {one.name} of precision {one.options.precision}, which {lack}")


def _check_pretrain(section: Pretrain, objective: Plugin) -> None:
    if section.unlabelled == "target" and not getattr(objective.module, "USES_UNLABELLED", False):
        raise BadInput(
            f"pretrain.unlabelled is target and objective {objective.name} learns nothing from pictures without "
            "labels; source would do, or an objective such as simclr"
        )
    if section.learning_rates and not hasattr(objective.options, "learning_rate"):
        raise BadInput(
            f"pretrain.learning_rates is {list(section.learning_rates)} and objective {objective.name} has no learning "
            "rate; [] would do"
        )


def _check_train(train: Train, section: Pretrain, choices: Choices) -> None:
    if train.data == "store" and section.folds:
        raise BadInput(
            f"pretrain.folds is {section.folds} and train.data is store, whose rows are not taken apart; folds 0 or "
            "data packed would do"
        )
    if not choices.learns_by_rows:
        for key, found, fit in (
            ("data", train.data, ("packed",)),
            ("strategy", train.strategy, ("auto", "single")),
            ("precision", train.precision, ("auto", "float32")),
            ("accumulate", train.accumulate, (1,)),
        ):
            if found not in fit:
                raise BadInput(
                    f"train.{key} is {found} and objective {choices.objective.name} learns from packed rows, on one "
                    f"device, in float32; {' or '.join(map(str, fit))} would do, or objective supervised or autoencoder"
                )
    if section.batch_size % train.accumulate:
        raise BadInput(
            f"train.accumulate is {train.accumulate}, and pretrain.batch_size is {section.batch_size}, which cannot be "
            "cut into so many equal parts; a divisor would do"
        )
