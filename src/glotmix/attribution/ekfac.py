"""EK-FAC influence, the stronger counterfactual predictor, by kronfluence (extra ``ekfac``).

Influence functions (Koh & Liang 2017) with the curvature in Kronecker factors whose eigenvalues are corrected (Grosse
et al. 2023, arXiv 2308.03296): ``g_qᵀ (H + λ)⁻¹ g_n``. Linear layers only; positive: training on the sample helps. One
checkpoint, which should be near a minimum. The work is kronfluence's; here its scores get our shape, sign and checks.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glotmix.attribution.gradients import Loss
from glotmix.attribution.influence import Described, InfluenceScores
from glotmix.attribution.samples import Samples, classification_loss, next_token_loss
from glotmix.errors import BadInput, MissingExtra

STRATEGIES = ("ekfac", "kfac", "diagonal", "identity")
"""Curvature: eigenvalue-corrected Kronecker factors, plain ones, a diagonal, or none (TracIn of linear layers)."""


def ekfac_scores(
    model: nn.Module,
    loss: Loss,
    test: Samples,
    train: Samples,
    *,
    strategy: str = "ekfac",
    batch: int = 32,
) -> InfluenceScores:
    """Influence of all training samples on all test samples at the model's present weights.

    Args:
        model: a transformers classifier or causal language model; it is left as it is.
        loss: ``classification_loss`` or ``next_token_loss`` (the factors need labels drawn from the model's own
            predictions, so a loss alone would not do).
        test: samples whose predictions are explained.
        train: samples that were trained on.
        strategy: one of :data:`STRATEGIES`.
        batch: samples of one pass.

    Raises:
        MissingExtra: kronfluence is not installed.
        BadInput: another loss, an unknown strategy, or samples that do not fit the model.
    """
    if loss not in (classification_loss, next_token_loss):
        raise BadInput("a loss of your own", expected="classification_loss or next_token_loss")
    if strategy not in STRATEGIES:
        raise BadInput(f"strategy = {strategy!r}", expected=" | ".join(STRATEGIES))
    test.check_fit(model, "test")
    train.check_fit(model, "train")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from kronfluence.analyzer import Analyzer, prepare_model
            from kronfluence.arguments import FactorArguments, ScoreArguments
    except ImportError:
        raise MissingExtra("kronfluence", "ekfac") from None
    task = _task(loss is next_token_loss)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare_model(copy.deepcopy(model).eval(), task)
        on_cpu = next(model.parameters()).device.type == "cpu"
        analyzer = Analyzer("influence", prepared, task, cpu=on_cpu, output_dir=folder, disable_tqdm=True)
        analyzer.fit_all_factors(
            "factors", _SampleRows(train), per_device_batch_size=batch, factor_args=FactorArguments(strategy=strategy)
        )
        analyzer.compute_pairwise_scores(
            "scores",
            "factors",
            _SampleRows(test),
            _SampleRows(train),
            per_device_query_batch_size=batch,
            per_device_train_batch_size=batch,
            score_args=ScoreArguments(),
        )
        found: Mapping[str, Tensor] = analyzer.load_pairwise_scores("scores")
    value_QN = found["all_modules"].double().cpu().numpy()
    method = {"similarity": "influence function", "curvature": strategy, "parameters": "linear layers"}
    return InfluenceScores(value_QN[None], Described.of(test), Described.of(train), ("last",), method)


class _SampleRows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Samples one by one."""

    def __init__(self, samples: Samples):
        self._inputs = samples.inputs
        self._length = len(samples)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {name: tensor[i] for name, tensor in self._inputs.items()}


def _task(next_token: bool) -> Any:
    """kronfluence's description of the loss. Factors take labels that are drawn from the model's predictions."""
    from kronfluence.task import Task

    class Losses(Task):
        def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
            logits_NV, labels_N = _logits_and_labels(batch, model, next_token)
            if sample:
                with torch.no_grad():
                    drawn_N = torch.multinomial(logits_NV.float().softmax(-1), 1).flatten()
                labels_N = torch.where(labels_N == -100, labels_N, drawn_N)
            losses_N = cross_entropy(logits_NV, labels_N, reduction="none", ignore_index=-100)
            if not next_token:
                return losses_N.sum()
            B = len(batch["input_ids"])
            counted_B = (labels_N.view(B, -1) != -100).sum(1).clamp(min=1)
            return (losses_N.view(B, -1).sum(1) / counted_B).sum()

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            return self.compute_train_loss(batch, model)

        def get_attention_mask(self, batch: Any) -> Tensor | None:
            mask: Tensor | None = batch.get("attention_mask")
            return mask

    return Losses()


def _logits_and_labels(batch: Mapping[str, Tensor], model: nn.Module, next_token: bool) -> tuple[Tensor, Tensor]:
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    if not next_token:
        return model(**inputs).logits, batch["labels"]
    logits_BTV = model(**inputs, use_cache=False).logits[:, :-1]
    labels = batch.get("labels", batch["input_ids"])
    if "labels" not in batch and "attention_mask" in batch:
        labels = labels.masked_fill(batch["attention_mask"] == 0, -100)
    return logits_BTV.flatten(0, 1), labels[:, 1:].flatten()
