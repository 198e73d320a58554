"""Translations: what every run makes of held-out sentences, greedily, and how near that is to the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glotmix.artifact import creating, fingerprint, open_artifact, read_json, write_json
from glotmix.errors import BadInput, MissingExtra
from glotmix.language import Language
from glotmix.study.training import Training
from glotmix.tokens.store import TokenStore

METRICS = ("BLEU", "chrF")
"""Of whole corpora, 0 to 100, higher is better (sacrebleu; Papineni et al. 2002, Popović 2015)."""
KIND, FILE = "translations", "translations.json"
BY_CHARACTER = frozenset("Jpan Thai Laoo Khmr Mymr Tibt".split())
"""Scripts without spaces between words, of which BLEU counts characters; of Chinese, sacrebleu has words of its own."""

TranslationScores = Mapping[str, Mapping[str, float]]
"""Source of the corpus to metric to score; "sentences" is how many were translated."""


@dataclass(frozen=True)
class _Asked:
    """Held-out sentences of one source of the corpus."""

    prompts: tuple[tuple[int, ...], ...]
    """Token ids that a translation goes on from."""
    references: tuple[str, ...]
    """What it should be."""


def check_extra() -> None:
    """See that scores can be computed.

    Raises:
        MissingExtra: sacrebleu is not installed.
    """
    try:
        import sacrebleu  # noqa: F401
    except ImportError:
        raise MissingExtra("sacrebleu", "translate") from None


def translated(
    study: Training, store: TokenStore, runs: Sequence[str], step: int, sentences: int
) -> dict[str, TranslationScores]:
    """Scores of every run's translations; what was translated before is not done again.

    Args:
        study: whose directory holds the runs, with the weights of their last step.
        store: the pairs; translated are the first of those that losses are measured on, as far as prompts fit.
        runs: names.
        step: number of the last update.
        sentences: of each source of the corpus, at most.

    Raises:
        MissingExtra: sacrebleu is not installed.
        BadInput: no prompt of a source leaves room for a translation.
    """
    from glotmix.proxy.checkpoint import load_checkpoint
    from glotmix.proxy.greedy import continued

    check_extra()
    asked = _asked(store, study.config.languages, study.config.proxy.context, sentences)
    tokenizer, device = store.tokenizer(), study.device()
    found: dict[str, TranslationScores] = {}
    with study.narrator.bar("Translating") as advance:
        for number, run in enumerate(runs):
            advance(f"Translating: {number} of {len(runs)} runs", number, len(runs))
            trained = study.directory / "runs" / run
            artifact = open_artifact(trained, "run")
            assert artifact is not None
            made_from = {
                "run": fingerprint(artifact.files),
                "asked": fingerprint({name: [one.prompts, one.references] for name, one in asked.items()}),
            }
            kept = study.directory / "translations" / run
            if not _is_there(kept, made_from):
                shape, stored = load_checkpoint(trained / "checkpoints" / f"step-{step}")
                parameters = {name: tensor.to(device) for name, tensor in stored.items()}
                told = {}
                for name, one in asked.items():
                    said = continued(parameters, shape, one.prompts, store.end_of_document)
                    hypotheses = [tokenizer.decode(ids).strip() for ids in said]
                    tag = store.tag(name)
                    told[name] = {
                        **scored(hypotheses, one.references, tag),
                        "hypotheses": hypotheses,
                        "references": list(one.references),
                    }
                with creating(kept, KIND, made_from) as part:
                    write_json(part / FILE, told)
            told = read_json(kept / FILE)
            found[run] = {
                name: {metric: float(told[name][metric]) for metric in METRICS} | {"sentences": len(one.references)}
                for name, one in asked.items()
            }
    return found


def _is_there(directory: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether a run's translations are there; those of other sentences are made again."""
    try:
        return open_artifact(directory, KIND, made_from) is not None
    except BadInput:
        return False


def _asked(store: TokenStore, names: Sequence[str], context: int, sentences: int) -> dict[str, _Asked]:
    from glotmix.proxy.evaluation_texts import divided

    end, tokenizer = store.end_of_document, store.tokenizer()
    found = {}
    for name in names:
        text, _ = divided(store.held_out(name))
        assert text.starts is not None
        prompts: list[tuple[int, ...]] = []
        references: list[str] = []
        for pair in np.split(np.asarray(text.tokens, dtype=np.int64), text.starts[1:]):
            cut = int(np.flatnonzero(pair == end)[0]) + 1
            if len(pair) <= context and len(prompts) < sentences:
                prompts.append((end, *pair[:cut].tolist()))
                references.append(tokenizer.decode(pair[cut:-1].tolist()))
        if not prompts:
            expected = "a longer one, or translation.sentences: 0"
            raise BadInput(f"no held-out pair of {name} fits into {context}", where="proxy.context", expected=expected)
        found[name] = _Asked(tuple(prompts), tuple(references))
    return found


def scored(hypotheses: Sequence[str], references: Sequence[str], tag: str) -> dict[str, float]:
    """BLEU and chrF of a corpus, by sacrebleu with its defaults.

    Args:
        hypotheses: translations.
        references: one of each.
        tag: of the language translated into, whose script decides what BLEU takes for a word.
    """
    from sacrebleu.metrics import BLEU, CHRF

    script = Language.resolve(tag).script
    words = "zh" if script in ("Hans", "Hant") else "char" if script in BY_CHARACTER else "13a"
    bleu = BLEU(tokenize=words).corpus_score(list(hypotheses), [list(references)])
    chrf = CHRF().corpus_score(list(hypotheses), [list(references)])
    return {"BLEU": float(bleu.score), "chrF": float(chrf.score)}
