"""What MLflow runs when a registered model is loaded ("models from code"): a copy of this file.

Nothing of relscale is pickled. The copy lies in the artefact beside the code of relscale that wrote it and
the checkpoint's safetensors file.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from relscale.analysis.predictions import predict_questions


class ZeroShotModel(PythonModel):
    """A checkpoint that answers questions about RelBench 3 folders."""

    def load_context(self, context: Any) -> None:
        """Remember where the checkpoint lies."""
        self._checkpoint = Path(context.artifacts["checkpoint"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """`predict_questions`; params are its visibility, context_seeds, context_lengths and device."""
        return predict_questions(self._checkpoint, pd.DataFrame(model_input), **(params or {}))


set_model(ZeroShotModel())
