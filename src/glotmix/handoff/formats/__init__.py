"""Formats in which trainers leave their results, one per file; the first that knows a file reads it."""

from __future__ import annotations

from glotmix.registry import Registry

FORMATS = Registry(
    "format of results",
    {
        "lines": "glotmix.handoff.formats.lines:Lines",
        "table": "glotmix.handoff.formats.table:ResultsTable",
        "trainer_state": "glotmix.handoff.formats.trainer_state:TrainerState",
        "lm_eval": "glotmix.handoff.formats.lm_eval:LmEval",
        "tensorboard": "glotmix.handoff.formats.tensorboard:TensorBoard",
        "json": "glotmix.handoff.formats.json_export:JsonExport",
        "megatron_log": "glotmix.handoff.formats.logs:MegatronLog",
        "olmo_core_log": "glotmix.handoff.formats.logs:OlmoCoreLog",
    },
)
"""Name to the class."""
