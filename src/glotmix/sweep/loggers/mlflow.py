"""MLflow: ``MLFLOW_TRACKING_URI`` says where to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glotmix.errors import MissingExtra
from glotmix.sweep.loggers.logger import Logger, Numbers


class MlflowLogger(Logger):
    """Runs of an MLflow experiment."""

    def __init__(self, project: str):
        super().__init__(project)
        try:
            import mlflow
        except ImportError:
            raise MissingExtra("mlflow", "mlflow") from None
        self._mlflow = mlflow
        mlflow.set_experiment(project)

    def show(self, run: str, settings: Mapping[str, Any], numbers: Numbers) -> None:
        """See :class:`Logger`."""
        with self._mlflow.start_run(run_name=run):
            self._mlflow.log_params(dict(settings))
            for step, values in numbers.items():
                self._mlflow.log_metrics(dict(values), step=step)
