"""Write the JSON Schemas of everything fssbench stores into docs/reference/schemas. Run by ``make docs``."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from fssbench.leaderboard.board import Leaderboard
from fssbench.pages.examples import Examples
from fssbench.schemas.card import Card
from fssbench.schemas.leakage import LeakageRecord
from fssbench.schemas.manifest import Manifest
from fssbench.schemas.predictions import PredictionsManifest
from fssbench.schemas.result import Result
from fssbench.schemas.samples import EpisodeSample, ImageMeta, PredictionSample, TrainingMeta
from fssbench.schemas.submission import Submission
from fssbench.schemas.training_set import TrainingManifest

FOLDER = Path(__file__).parent / "reference" / "schemas"
SCHEMAS: dict[str, type[BaseModel]] = {
    "checkpoint": Card,
    "manifest": Manifest,
    "image-sample": ImageMeta,
    "episode-sample": EpisodeSample,
    "result": Result,
    "predictions": PredictionsManifest,
    "prediction-sample": PredictionSample,
    "examples": Examples,
    "leaderboard": Leaderboard,
    "submission": Submission,
    "training-set": TrainingManifest,
    "training-sample": TrainingMeta,
    "leakage": LeakageRecord,
}


def schema_text(model: type[BaseModel]) -> str:
    """The JSON Schema of a stored file, as text."""
    return json.dumps(model.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, model in SCHEMAS.items():
        (FOLDER / f"{name}.schema.json").write_text(schema_text(model))
