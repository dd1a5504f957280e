"""What a person looks at beside a run and its tasks in Prefect's pages: tables, pictures, links."""

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks import report
from tasks.adapters.files import read_json
from tasks.workspace import Workspace


def of_stage(stage: str, place: Workspace) -> None:
    """Attach to the task at hand what its stage made, also when it failed."""
    if stage == "validate":
        _verdict(place)


def of_run(place: Workspace) -> None:
    """Attach to the run the results' table and a link to the report."""
    create_markdown_artifact(report.markdown(place), key="results", description="What reuse gained")
    create_link_artifact(place.report.as_uri(), link_text="the report", key="report", description="Pictures and plots")


def _verdict(place: Workspace) -> None:
    """What the data gate found: a line per broken rule, and a link to the page."""
    if not place.validation.exists() or not place.validation_page.exists():
        return
    found = read_json(place.validation)["found"]
    rows = [{"rule": rule, "severity": one["severity"], "count": one["count"]} for rule, one in found.items()]
    nothing = [{"rule": "every rule", "severity": "passed", "count": 0}]
    create_table_artifact(rows or nothing, key="data-gate", description="What the data gate found")
    create_link_artifact(
        place.validation_page.as_uri(), link_text="the validation page", key="validation", description="With pictures"
    )
