"""The model card: what a release is, is for, and how good it is, for whoever only pulls it (Mitchell et al. 2019)."""

import io
from typing import Any

from ruamel.yaml import YAML

from graft.core.sections import Settings
from tasks import results
from tasks.adapters import files
from tasks.workspace import Workspace

_HEAD = "| trained | test pictures | accuracy % | macro recall % | macro-F1 % |\n|---|---|---|---|---|"

LICENCES = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "mpl-2.0", "cc0-1.0") + (
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
)
"""Identifiers that Hugging Face knows."""


def write(workspace: Workspace, settings: Settings, model: str) -> str:
    """The card as Markdown with the head that Hugging Face reads.

    Names from the data are shown as code, so that none is taken for markup.
    """
    evaluation, export = files.read_json(workspace.evaluation), files.read_json(workspace.export_report)
    classes = files.read_json(workspace.classes)["target"]
    data, gain = settings.data, evaluation["gain"]
    parts = [
        f"# {model}",
        f"Tells {len(classes)} classes of {_code(data.target.name)} apart. A {_code(settings.pretrain.backbone.name)} "
        f"network, pretrained on {_code(data.source.name)}, then adapted ({_code(settings.finetune.method.name)}) with "
        f"{evaluation['labels_per_class']} labels per class.",
        "## Use",
        f'`graft predict {model}@prod picture.jpg`, or in Python `graft.load("{model}@prod").predict("picture.jpg")`. '
        "Every picture gets one of the classes below, with a probability: one that shows none of them, too. Pictures "
        "that differ from the training data in kind (see the unseen groups) are recognised less well.",
        f"Classes: {', '.join(_code(name) for name in classes)}.",
        "## How good it is",
        f"Mean over {len(evaluation['seeds'])} seeds with its 95 % interval.",
        "\n".join([_HEAD, *(f"| {' | '.join(row)} |" for row in results.rows(workspace))]),
        "\n".join(_gain(name, one) for name, one in gain.items() if one),
        "## Files",
        "\n".join(_file(name, one, name == export["runs"]) for name, one in export["files"].items() if one["passed"]),
        _calibration(export),
        "When to say nothing: a probability that validation pictures chose, and what it gave on test pictures.",
        "\n".join(_sure(evaluation)),
        *_cost(workspace, settings),
        "## Data and licences",
        f"The model's licence: {_code(settings.export.licence or 'not stated')}. Source: {_domain(data.source)}. "
        f"Target: {_domain(data.target)}. The pictures' licences go with them.",
        *_credits(settings),
    ]
    return f"---\n{_head(settings, model, evaluation)}---\n\n" + "\n\n".join(parts) + "\n"


def _head(settings: Settings, model: str, evaluation: dict[str, Any]) -> str:
    """The metadata of a model card, as YAML; accuracy and macro-F1 of transfer are in [0, 1]."""
    told = {
        "library_name": "litert",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "transfer-learning", "tflite", "graft"],
        **_licence(settings.export.licence),
        "model-index": [{"name": model, "results": _measured(settings.data.target.name, evaluation["transfer"])}],
    }
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    yaml.dump(told, text)
    return text.getvalue()


def _licence(said: str) -> dict[str, str]:
    """As Hugging Face has it: one that it knows, or another by name."""
    if said.lower() in LICENCES:
        return {"license": said.lower()}
    return {"license": "other", "license_name": said or "see-data-and-licences"}


def _measured(target: str, sets: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": f"{target}, {name} groups", "type": target, "split": "test"},
            "metrics": [
                {"type": kind, "name": title, "value": round(scores[score]["mean"], 4)}
                for kind, score, title in (("accuracy", "accuracy", "accuracy"), ("f1", "macro_f1", "macro-F1"))
            ],
        }
        for name, scores in sets.items()
        if scores
    ]


def _gain(name: str, gain: dict[str, Any]) -> str:
    low, high = gain["ci95"]
    told = f"{gain['points']:+z.1f} points, 95 % interval {low:+z.1f} to {high:+z.1f}"
    return f"- Gain of reuse on {name} groups: {told}."


def _file(name: str, facts: dict[str, Any], runs: bool) -> str:
    low, high = facts["accuracy_ci95"]
    network = f"variant {_code(facts['variant'])} of the trained network" if facts.get("variant") else "trained network"
    return (
        f"- {_code(name)}{', which runs unless another is named' if runs else ''}: {facts['bytes']:,} bytes, accuracy "
        f"{facts['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}) on every test picture, names the same class "
        f"as the {network} on {facts['agreement']:.2%}."
    )


def _calibration(export: dict[str, Any]) -> str:
    before, after = (export["calibration"][when]["expected_calibration_error"] for when in ("before", "after"))
    return (
        f"Probabilities are calibrated by one temperature, {export['calibration']['temperature']:.2f}, fitted on "
        f"validation pictures: the expected calibration error on test pictures is {after:.1%} ({before:.1%} without)."
    )


def _sure(evaluation: dict[str, Any]) -> list[str]:
    """What comes of answering only when sure, on each test set."""
    told = []
    for name, scores in evaluation["transfer"].items():
        for one in scores["abstention"]["thresholds"] if scores else ():
            found = "no probability is enough"
            if one["confidence"] <= 1:
                answered = f"from {one['confidence']:.2f} on it answers {one['coverage']:.0%}"
                found = f"{answered}, {one['accuracy']:.1%} of those rightly"
            told.append(f"- To be right {one['wanted']:.0%} of the time on {name} groups: {found}.")
    return told


def _cost(workspace: Workspace, settings: Settings) -> list[str]:
    """What each arm's trainings cost; nothing where that is not known."""
    told = []
    for arm, one in results.costs(workspace, settings).items():
        both = [each for each in (one["pretraining"], one["finetuning"]) if each]
        energy = [each["energy_wh"] for each in both]
        used = "energy not counted on that machine" if None in energy else f"{sum(energy):.2f} Wh"
        told.append(
            f"- {arm}: {sum(each['cpu_seconds'] for each in both):,.0f} seconds of processor time in "
            f"{sum(each['trainings'] for each in both)} trainings, at most "
            f"{max(each['peak_memory_mb'] for each in both):,} MB, {used}."
        )
    return ["## What training cost", "\n".join(told)] if told else []


def _domain(domain: Any) -> str:
    return f"{_code(domain.name)} from {_code(domain.origin.name)}"


def _credits(settings: Settings) -> list[str]:
    rows = results.credits(settings)
    return ["\n".join(f"- {row['title']}, {row['artist']}, {row['licence']}" for row in rows)] if rows else []


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"
