"""Where every artefact lies: the only Python that spells their paths. dvc.yaml says the same to DVC."""

from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import BadInput

ROLES = ("source", "target")
ARMS = ("transfer", "scratch", "article")
HELD_OUT = ("test", "unseen")
"""Splits that models are measured on, and never learn from or are chosen by."""
STAGES = ("ingest", "validate", "extract", "pretrain", "finetune", "evaluate", "curve", "export")


@dataclass(frozen=True)
class Workspace:
    """A folder with params.yaml and dvc.yaml, and what the stages made of it."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> "Workspace":
        """The workspace around `start` (the current folder).

        Raises:
            BadInput: neither the folder nor one above it has params.yaml and dvc.yaml.
        """
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "params.yaml").exists() and (folder / "dvc.yaml").exists():
                return cls(folder)
        raise BadInput(f"no params.yaml with dvc.yaml in {start} or above; run graft inside a graft checkout")

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def search(self) -> Path:
        """The space of a search over settings, and how it is done."""
        return self.root / "search.yaml"

    @property
    def private(self) -> Path:
        """Run-time state that nobody versions: locks, the local Prefect database, the stages' seconds."""
        return self.root / ".graft"

    @property
    def home(self) -> "Workspace":
        """The workspace that keeps what outlives a run: this one, or the one whose worktree this is."""
        above = Workspace(self.root.parent.parent.parent)
        return above if above.runs == self.root.parent else self

    @property
    def pages(self) -> Path:
        """What runs show over http, and the state of the server that serves it."""
        return self.private / "pages"

    @property
    def written(self) -> tuple[Path, ...]:
        """Every folder in which stages put artefacts."""
        reports = self.root / "reports"
        return self.root, self.root / "data", self.root / "models", reports, reports / "plots"

    @property
    def trainings(self) -> Path:
        """What stages that train have trained so far: a killed one goes on from there."""
        return self.private / "trainings"

    def ahead(self, stage: str) -> Path:
        """What jobs did ahead of `ingest`, `validate` or `extract`, until that stage has ended well."""
        return self.private / "ahead" / stage

    def board(self, stage: str, training: str) -> Path:
        """TensorBoard's file of a training."""
        return self.private / "tensorboard" / stage / training

    @property
    def tuning(self) -> Path:
        """The journal of all searches, what their trials have trained so far, and backbones pretrained for them."""
        return self.private / "tune"

    @property
    def lock(self) -> Path:
        return self.private / "run.lock"

    @property
    def runs(self) -> Path:
        """Worktrees of scheduled runs, a number each."""
        return self.private / "runs"

    @property
    def publishing(self) -> Path:
        """Lock of whoever publishes from this workspace."""
        return self.private / "publish.lock"

    def last_run(self, model: str) -> Path:
        """What the last retraining of `model` that came to an end was made from, and how it ended."""
        return self.private / "retrain" / f"{model}.json"

    def question(self, run: str) -> Path:
        """What the suspended flow run `run` asks a person."""
        return self.private / "questions" / f"{run}.json"

    def stage_record(self, stage: str) -> Path:
        """Seconds and memory of the stage's last run."""
        return self.private / "stages" / f"{stage}.json"

    @property
    def origins_record(self) -> Path:
        """What the origins looked like when ingest read them."""
        return self.private / "origins.json"

    def raw(self, role: str) -> Path:
        """Folder of tar shards with the pictures of `source` or `target`, as they came."""
        return self.root / "data" / role

    @property
    def manifest(self) -> Path:
        """One row per picture of both domains."""
        return self.root / "data" / "manifest.parquet"

    @property
    def findings(self) -> Path:
        """Every picture, class or domain that broke a rule of the data gate."""
        return self.root / "data" / "findings.parquet"

    @property
    def rejected(self) -> Path:
        """Those of the findings for which a picture is left out."""
        return self.root / "data" / "rejected.parquet"

    @property
    def validation(self) -> Path:
        return self.root / "reports" / "validation.json"

    @property
    def validation_page(self) -> Path:
        """The data gate's verdict for people."""
        return self.root / "reports" / "validation.html"

    @property
    def profile(self) -> Path:
        """Histograms of both domains; those in the accepted git revision are what later data are compared with."""
        return self.root / "reports" / "plots" / "profile.csv"

    @property
    def features(self) -> Path:
        return self.root / "features"

    def packed(self, role: str, split: str) -> Path:
        """Folder of `images.npy` (n, size, size, 3) uint8 and `labels.npy` (n,) int64; of rows to learn or choose from.

        Raises:
            ValueError: for the rows that models are measured on.
        """
        if split in HELD_OUT:
            raise ValueError(f"{split} rows have no say in any model: only what measures reads them, by held_out")
        return self.features / role / split

    def held_out(self, role: str, split: str) -> Path:
        """The same for `test` and `unseen`: for evaluate, curve and the report, and for export's proof of the files."""
        if split not in HELD_OUT:
            raise ValueError(f"{split} is not held out")
        return self.features / role / split

    @property
    def classes(self) -> Path:
        """Class names of both domains, in label order."""
        return self.features / "classes.json"

    @property
    def projection(self) -> Path:
        return self.root / "reports" / "plots" / "projection.csv"

    @property
    def pretrained(self) -> Path:
        return self.root / "models" / "pretrained"

    @property
    def pretrain_report(self) -> Path:
        return self.root / "reports" / "pretrain.json"

    @property
    def finetuned(self) -> Path:
        return self.root / "models" / "finetuned"

    def classifier(self, arm: str, seed: int) -> Path:
        return self.finetuned / f"{arm}-{seed}.keras"

    def variant(self, name: str) -> Path:
        """The classifier of a variant of the net that ships, one of `finetune.smaller`."""
        return self.finetuned / f"{name}.keras"

    @property
    def finetune_report(self) -> Path:
        return self.root / "reports" / "finetune.json"

    def curve(self, stage: str) -> Path:
        """Training curve of `pretrain` or `finetune`: one row per evaluation; of `curve`: accuracy over labels."""
        return self.root / "reports" / "plots" / f"{stage}.csv"

    def cost(self, stage: str) -> Path:
        """What the trainings of `pretrain` cost, by backbone, or those of `finetune`, by arm and variant."""
        return self.root / "reports" / f"{stage}_cost.json"

    @property
    def evaluation(self) -> Path:
        return self.root / "reports" / "evaluation.json"

    @property
    def curve_report(self) -> Path:
        """Accuracy over labels per class, and what is read from it."""
        return self.root / "reports" / "curve.json"

    @property
    def transferability(self) -> Path:
        """What the features alone say of the transfer."""
        return self.root / "reports" / "transferability.json"

    @property
    def predictions(self) -> Path:
        """What every arm and seed answered on every test row."""
        return self.root / "reports" / "predictions.parquet"

    @property
    def why(self) -> Path:
        """Folder of `why.json`, `maps.npz` and `features.csv`: pictures to look at, and why each is one."""
        return self.root / "reports" / "why"

    @property
    def confusion(self) -> Path:
        return self.root / "reports" / "plots" / "confusion.csv"

    @property
    def per_class(self) -> Path:
        return self.root / "reports" / "plots" / "per_class.csv"

    @property
    def exported(self) -> Path:
        return self.root / "models" / "exported"

    @property
    def export_report(self) -> Path:
        return self.root / "reports" / "export.json"

    @property
    def challenge(self) -> Path:
        """How the exported file did against the model that is live, and whether it may take its place."""
        return self.root / "reports" / "challenge.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.root / "reports" / "report.html"

    @property
    def card(self) -> Path:
        """The same facts as the report, for whoever finds the model elsewhere."""
        return self.root / "reports" / "model_card.md"

    @property
    def comparison(self) -> Path:
        """The page on which two runs stand side by side."""
        return self.root / "reports" / "side-by-side.html"

    @property
    def matrix(self) -> Path:
        """Which sources, targets, methods and numbers of labels `graft compare` compares."""
        return self.root / "compare.yaml"

    @property
    def compared(self) -> Path:
        """What comparisons work with: domains, pretrained nets, trainings at work. Can be made again."""
        return self.private / "compare"

    @property
    def atlas(self) -> Path:
        """Every cell that was measured here or brought from the store, a file each."""
        return self.private / "atlas"

    @property
    def compare_report(self) -> Path:
        return self.root / "reports" / "compare.json"

    @property
    def compare_page(self) -> Path:
        """The page that says which source to take, and why."""
        return self.root / "reports" / "compare.html"

    @property
    def forecast_report(self) -> Path:
        return self.root / "reports" / "forecast.json"

    @property
    def forecast_page(self) -> Path:
        """The page that says what reuse would gain, before it is tried."""
        return self.root / "reports" / "forecast.html"

    @property
    def tune_report(self) -> Path:
        """What a search over settings found."""
        return self.root / "reports" / "tune.json"

    @property
    def tune_page(self) -> Path:
        """The same for people."""
        return self.root / "reports" / "tune.html"
