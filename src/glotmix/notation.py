"""Symbols and shape letters, once for the whole code base.

Symbols (the papers' letters)
    L   loss: nats per token inside a model, **bits per byte** (bpb) wherever languages are compared
    N   parameters of a model without its embeddings
    D   training tokens; D_l = p_l D tokens of language l
    U   unique tokens of a language; epochs = D_l / U_l
    C   training compute in FLOPs, C = 6 N D
    p   mixture: sampling ratios over languages, in tokens, on the simplex
    q   the same per document or row, where a trainer counts those
    τ   sampling temperature: p_l ∝ U_l^(1/τ)
    T   transfer: TransferMatrix[target, source]
    φ   Shapley value of a source language for a target language
    w   weight of a source language in a target's effective share, w_{t→t} = 1
    E A B α β γ   parameters of scaling laws: irreducible loss, coefficients, exponents
    θ   all parameters of a law, as one vector
    S   a coalition: a set of languages; L(∅) is the loss of a model that was trained on nothing

Shape letters are suffixes of array names: ``p_RL`` has one row per run and one column per language. What a letter
counts is in ``SHAPES``, by room: a room's own meaning before that which holds everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

EVERYWHERE = "everywhere"
SHAPES: Mapping[str, Mapping[str, str]] = {
    EVERYWHERE: {
        "R": "runs, or mixtures that are asked about",
        "L": "languages trained on",
        "T": "targets: languages that are evaluated",
        "P": "parameters of a law",
        "B": "resamples of a fit",
        "C": "mixtures or coalitions among which one is chosen",
        "K": "proxies of a stack; in tests of several things at once, the things",
        "S": "seeds",
        "V": "vocabulary",
        "D": "width of a model",
        "X": "shares by phase and language in one row, one phase after the other",
    },
    "corpus": {"N": "hashes of documents"},
    "tokens": {"N": "documents, or tokens of a text", "M": "documents held out for a target"},
    "mixture": {
        "N": "places in a run, or blocks of sequences",
        "S": "stages of a schedule",
        "K": "phases of a run",
        "R": "rounds of a permutation",
        "T": "observations of a loss",
        "P": "parameters of a language's own law",
        "G": "starting points of a fit",
        "C": "coalitions that could be planned",
    },
    "measurements": {"K": "phases of a run"},
    "transfer": {
        "C": "coalitions, numbered by the bits of their members",
        "K": "values that are wanted: of a language, or of a pair",
        "S": "sizes of a coalition, or draws of a test",
        "V": "values of all targets in one row",
        "P": "parameters of a surrogate, or sources of noise",
        "B": "draws of a simulation",
        "G": "groups of sources",
        "N": "some of the draws, as many as memory takes at once",
        "Q": "repeats, each an independent contrast of the runs of one coalition",
    },
    "laws": {
        "S": "sources of transfer, or starting points of a fit",
        "M": "pairs of runs",
        "K": "inputs of a Gaussian process: logarithms of N, D and shares; in laws of order, phases of a run",
        "Q": "points at which a Gaussian process is asked",
        "N": "runs of all targets in one row",
    },
    "fit": {
        "S": "starting points",
        "M": "equations of a least-squares problem: runs, then priors",
        "K": "directions of the parameters, or of what is known of them beforehand; in predictions, phases of a run",
        "G": "mixtures, whose repeats are a group",
        "Q": "questions: mixtures whose predicted losses are weighed together; in a jackknife, questions at once",
        "V": "values of all targets in one row",
        "F": "waves that an error of the law's form is drawn from",
        "A": "kinds of parameters, of whose priors all targets share the mean",
    },
    "optimize": {
        "M": "members: targets with a weight; in a conflict, limits",
        "G": "groups with limits; along sizes, the sizes of a coarse grid",
        "F": "sizes of a fine grid",
        "R": "measured mixtures, or rows of limits",
        "E": "equations that shares meet: their sum, then shares that are kept",
        "S": "languages of a smaller problem, the kept block being one",
        "K": "rivals of the optimum, or phases of a run",
        "Q": "rivals and optimum, whose losses are weighed together",
        "Z": "variables of a polish: a power of every share, and the maximum where there is one",
    },
    "report": {
        "F": "waves that an error of the law's form is drawn from",
        "K": "inputs of a Gaussian process: logarithms of N, D and shares",
        "M": "runs that the deviation of a process is told by",
        "Q": "mixtures at which errors are looked at",
    },
    "exporters": {
        "P": "phases of a run",
        "N": "block sizes that are tried, or blocks",
        "E": "files of a source",
    },
    "proxy": {
        "B": "sequences of a batch",
        "T": "positions of a sequence",
        "S": "positions and the one behind them: a sequence with its last target",
        "N": "positions of all sequences of a batch in one row",
        "P": "parameters of a model, in one row",
        "R": "rows of a table that is looked up",
        "W": "windows of held-out text",
    },
    "probe": {
        "B": "sequences of a batch, or blocks of them",
        "T": "positions of a sequence, or targets",
        "S": "sentences, or sequences with their last target",
        "P": "parameters of a model, or pairs of languages",
        "M": "sentences of the other language",
        "N": "positions of all sequences of a batch in one row",
        "R": "runs, or resamples of blocks",
    },
    "attribution": {
        "B": "samples of a batch",
        "T": "positions of a sequence, or targets",
        "S": "positions with the last target, or shuffles of the labels",
        "P": "parameters of a model; in an index, samples that probe its error",
        "N": "training samples",
        "Q": "test samples",
        "E": "checkpoints",
        "M": "the most influential training samples",
        "L": "languages of the training samples",
        "I": "inputs of a weight matrix",
        "O": "outputs of a weight matrix",
        "G": "groups of a batch's samples",
        "K": "entries of a sparse gradient, or dimensions that are kept of one; proxies of a stack",
        "U": "rows of a table that some sample uses",
        "C": "rows of a table that many samples use",
        "R": "models trained on subsets, or draws of a null",
    },
    "posttraining": {
        "B": "samples of a batch",
        "T": "positions of a sequence",
        "N": "cells of a grid, or samples in training order",
        "R": "resamples",
        "G": "places where a plateau could begin",
        "C": "columns of a regression",
        "M": "products of two columns",
        "I": "items of a test",
    },
    "live": {
        "B": "sequences of a batch",
        "T": "positions of a sequence; of in-run values, targets",
        "P": "entries of a model's parameters",
        "R": "updates that were looked at",
    },
    "studies": {
        "M": "methods or mixtures; in a study of influence, the most influential training samples",
        "E": "evaluations along a run; in a study of influence, checkpoints",
        "B": "sentences of a batch, or mixtures of one",
        "R": "runs; in a study of influence, models that were trained again",
        "S": "seeds, or positions with the last target",
        "N": "training samples",
        "Q": "test samples, or questions that are weighed together",
        "I": "items of a test",
        "C": "candidates for the next run",
        "P": "parameters of a law, or comparisons that are tested together",
        "K": "proxies of a stack, or values that are to become certain",
    },
    "estimate": {"M": "methods", "R": "repeats", "P": "comparisons that are tested together"},
}
"""Room to letter to what it counts there."""
