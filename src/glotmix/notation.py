"""Symbols and shape letters, once for the whole code base.

Scalars (the papers' letters)
    L   loss: nats per token inside a model, **bits per byte** (bpb) wherever languages are compared
    N   parameters of a model without its embeddings
    D   training tokens; D_l = p_l D tokens of language l
    U   unique tokens of a language; epochs = D_l / U_l
    C   training compute in FLOPs
    p   mixture: sampling ratios over languages, in tokens, on the simplex
    τ   sampling temperature: p_l ∝ U_l^(1/τ)
    T   transfer: TransferMatrix[target, source]
    φ   Shapley value of a source language for a target language
    w   weight of a source language in a target's effective share, w_{t→t} = 1
    E A B α β γ   parameters of scaling laws: irreducible loss, coefficients, exponents

Shape letters, as suffixes of array names (``p_RL`` has one row per run and one column per language)
    R   runs                    T   targets (languages evaluated); in model code: positions of a sequence
    L   languages trained on    P   parameters of a law
    B   batch; in fits: bootstrap resamples
    K   proxies in a stack      H   heads
    D   model width             F   width of the feed-forward layer       V   vocabulary
"""
