"""A proposed study as a YAML file in which every choice says why it was made and what else could be said there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glotmix.studies.mixture.proposal import TARGET_FACTOR, Proposal
from glotmix.study.commented import comment, commented, in_hours, not_used, opening, value
from glotmix.study.machine import SPEED
from glotmix.wording import counted

DESIGNS = {
    "all": "every group of these languages is trained once: who helps whom, exactly",
    "sampled": "some groups of these languages; all of them would be too many",
    "none": "so many languages are told apart by mixtures of all of them",
}


def proposal_text(found: Proposal) -> str:
    """The study file."""
    return "".join(f"{line}\n" for line in _lines(found))


def _lines(found: Proposal) -> Iterator[str]:
    study = found.study
    yield from opening("text holds", "`glotmix fields` explains every field, docs/how-to-choose.md the choices.")
    yield f"name: {value(study['name'])}"
    yield ""
    yield from _languages(found)
    yield ""
    yield "corpus:"
    yield from commented(study["corpus"], _corpus_words(found))
    yield "tokens:"
    yield from commented(
        study["tokens"],
        {"vocab_size": "a byte-level BPE trained on as much text of each language; tokenizer: FILE takes yours"},
    )
    yield ""
    yield f"# {counted(found.runs, 'proxy', 'proxies')}, {found.flops:.2g} FLOP: about {in_hours(found.hours)} on"
    yield f"# {found.machine} at {SPEED[found.device]:.0e} FLOP/s each; `--dry-run` measures your own."
    yield "design:"
    yield from commented(
        study["design"],
        {
            "coalitions": DESIGNS[study["design"]["coalitions"]],
            "swarm": "mixtures drawn at random, which the laws are fitted to as well",
        },
    )
    yield "proxy:"
    yield from commented(study["proxy"], _proxy_words(study))
    yield ""
    yield from _target(found)
    yield ""
    yield "optimize:"
    yield from commented(
        study["optimize"],
        {
            "objective": "every language counts alike; also worst, normalised, or weighted with weights: {…}",
            "max_epochs": "passes over a language's text beyond which repetition gives little (arXiv 2305.16264)",
        },
    )
    shares = ", ".join(f"{one.language}: {found.survey.natural[one.language]:.2g}" for one in found.kept[:3])
    more = ", …" if len(found.kept) > 3 else ""
    yield f"  # current: {{{shares}{more}}}     # the mixture that you use today, to be compared with"
    least, floor = found.kept[-1].language, 0.5 / len(found.kept)
    yield f"  # floors: {{{least}: {floor:.1g}}}     # the least share that a language must get"
    yield "validation:"
    yield from commented(
        study["validation"], {"seeds": "trainings of the best mixture and of each rival; more tell smaller differences"}
    )
    yield "# export: [megatron_lm]     # your trainer's own files: see `glotmix exporters`"


def _languages(found: Proposal) -> Iterator[str]:
    yield "# Shares are sought of these; the natural mixture is in proportion to the text there is."
    if not all(one.is_counted for one in found.kept):
        yield "# Sizes are estimates from the beginning of each language and the size of its files."
    yield "languages:"
    total = sum(one.bytes for one in found.kept)
    for one in found.kept:
        spelt = "" if one.spelt == one.language else f", from {one.spelt}"
        size = f"{one.bytes / 1e6:,.2f} MB in {one.documents:,} documents, natural share {one.bytes / total:.1%}"
        yield f"  - {one.language:<12}# {comment(one.name)}: {size}{comment(spelt)}"
    yield "# outside: []     # languages that are measured and never trained on"
    yield from not_used(found.left_out)
    for remark in found.survey.remarks:
        yield f"# {comment(remark)}"


def _corpus_words(found: Proposal) -> dict[str, str]:
    held = found.study["corpus"]["held_out"]
    small = "" if held <= 0.05 else ", so that the smallest language has enough to measure on"
    return {
        "reader": "",
        "text_field": "field with the text",
        "language_field": "field with the language of a row",
        "labels": "labels that are no language; their rows are left out",
        "sources": "which names hold which language",
        "held_out": f"share of documents that is measured on and never trained on{small}",
    }


def _proxy_words(study: Mapping[str, Any]) -> dict[str, str]:
    tokens = "20 tokens a parameter; width, layers, batch and learning rate follow from it"
    return {
        "size": tokens if "tokens" not in study["proxy"] else "width, layers and learning rate follow from it",
        "context": "tokens of a sequence",
        "tokens": "all the text once",
        "batch": "small enough for 200 steps",
        "simulate_epochs": "simulated repetition would leave the smallest language next to nothing",
    }


def _target(found: Proposal) -> Iterator[str]:
    if "target" in found.study:
        yield "# The run that you are planning. Here: one pass over this text, and the parameters that suit so many"
        yield "# tokens. If the text is a sample of more, say your own and unique_tokens: {language: tokens}."
        yield "target:"
        yield from commented(found.study["target"], {"tokens": "proxies repeat a language as often as this run would"})
    else:
        yield f"# No target run: the text has less than {TARGET_FACTOR} times the tokens of a proxy. If it is a sample"
        yield "# of more, say of how much, and proxies will repeat it as often as that run would:"
        yield "# target: {tokens: 20e9, parameters: 1e9, unique_tokens: {…}}"
