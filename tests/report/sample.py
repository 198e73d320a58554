"""Evidence as a real study would give it, made from a planted law: 6 languages for the eye, 100 × 1000 for the clock."""

import numpy as np

from glotmix.estimate import Estimate
from glotmix.fit.form import Form
from glotmix.measurements import Measurements
from glotmix.report.evidence import (
    About,
    Advice,
    Candidate,
    CorpusRow,
    Evidence,
    FormDraws,
    Front,
    HeldOutPredictions,
    Interactions,
    LawFit,
    RunRow,
    Spending,
    Trained,
)
from glotmix.transfer.matrix import TransferMatrix

KNOWN = [
    ("spa_Latn", "Spanish", "Indo-European", "Latin"),
    ("rus_Cyrl", "Russian", "Indo-European", "Cyrillic"),
    ("por_Latn", "Portuguese", "Indo-European", "Latin"),
    ("tur_Latn", "Turkish", "Turkic", "Latin"),
    ("swh_Latn", "Swahili", "Atlantic-Congo", "Latin"),
    ("jpn_Jpan", "Japanese", "Japonic", "Japanese"),
    ("ita_Latn", "Italian", "Indo-European", "Latin"),
    ("aze_Latn", "Azerbaijani", "Turkic", "Latin"),
]
FAMILIES = [
    "Indo-European",
    "Atlantic-Congo",
    "Austronesian",
    "Sino-Tibetan",
    "Turkic",
    "Afro-Asiatic",
    "Uralic",
    "Dravidian",
]
SCRIPTS = ["Latin", "Latin", "Latin", "Cyrillic", "Arabic", "Devanagari"]


def names(n, outside):
    total = n + outside
    if total <= len(KNOWN):
        rows = [*KNOWN[:n], *KNOWN[len(KNOWN) - outside :]] if outside else KNOWN[:n]
    else:
        rows = KNOWN + [
            (f"l{i:02d}_Latn", f"Language {i:02d}", FAMILIES[i * i % 8], SCRIPTS[i % 6])
            for i in range(len(KNOWN), total)
        ]
    return [row[0] for row in rows], {tag: About(name, family, script) for tag, name, family, script in rows}


def planted(languages, targets, about, rng):
    """θ of a ShapleyLaw per target: E, c, γ, κ, ν, w/<language>; relatives help more."""
    T, L = len(targets), len(languages)
    theta = np.zeros((T, 5 + L))
    theta[:, 0] = rng.uniform(1.1, 1.8, T)
    theta[:, 1] = rng.uniform(0.08, 0.2, T)
    theta[:, 2] = rng.uniform(0.0, 0.05, T)
    theta[:, 3] = rng.uniform(0.5, 0.8, T)
    theta[:, 4] = rng.uniform(0.5, 0.7, T)
    for t, target in enumerate(targets):
        for s, source in enumerate(languages):
            near = about[target].family == about[source].family
            script = about[target].script == about[source].script
            theta[t, 5 + s] = 1.0 if target == source else 0.004 + (0.12 * near + 0.02 * script) * rng.random()
    return theta


def predict(theta_TP, p):
    """Losses [..., T] at mixtures [..., L]."""
    p, kappa, nu = np.asarray(p), theta_TP[..., 3], theta_TP[..., 4]
    T, L = len(theta_TP), p.shape[-1]
    own = np.eye(T, L)
    if len(theta_TP) > L:
        nu = np.where(np.arange(T) < L, nu, 1.0)
    part = (p[..., None, :] * theta_TP[..., 5:]) ** kappa[..., None] * (1 - own)
    help_ = part.sum(-1) ** (1 / kappa)
    y = -np.log((p @ own.T) ** nu * (np.arange(T) < L) + help_**nu) / nu
    return theta_TP[..., 0] * (1 + theta_TP[..., 1] * np.expm1(theta_TP[..., 2] * y) / theta_TP[..., 2])


def interval(values):
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def optimum(theta_TP, own, ceilings):
    """A good mixture by exponentiated gradient with differences, clipped to the ceilings."""
    L = theta_TP.shape[1] - 5
    p = np.minimum(np.full(L, 1 / L), ceilings)
    for _ in range(150 if L < 20 else 5):
        step = 1e-5 * np.maximum(p, 1e-4)
        g = (predict(theta_TP, p + np.diag(step))[:, own].mean(1) - predict(theta_TP, p)[own].mean()) / step
        p = p * np.exp(-2.0 * (g - g @ p))
        for _ in range(30):
            p = np.minimum(p / p.sum(), ceilings)
    return p / p.sum()


def draws(n, targets, resamples):
    """Errors of form as a fit's resamples have them."""
    form = Form(0, 0.5, 0.002 * np.eye(targets))
    return FormDraws(*form.waves(n), form.amplitudes(resamples))


def sample(n=6, outside=2, swarm=24, seed=0, title="Six languages, one budget", resamples=60, validated=True):
    rng = np.random.default_rng(seed)
    tags, about = names(n, outside)
    languages, targets = tuple(tags[:n]), tuple(tags)
    own = np.arange(n)
    theta = planted(languages, targets, about, rng)
    noise = 0.004

    rows, roles = [], []
    if n <= 6:
        for mask in range(1, 2**n):
            p = np.array([(mask >> i) & 1 for i in range(n)], float)
            rows.append(p / p.sum())
            roles.append("coalition")
    for _ in range(swarm):
        rows.append(rng.dirichlet(np.full(n, 1.0)))
        roles.append("swarm")
    for _ in range(3):
        rows.append(np.full(n, 1 / n))
        roles.append("anchor")
    p_RL = np.array(rows)
    loss = predict(theta, p_RL) + rng.normal(0, noise, (len(p_RL), len(targets)))
    R = len(p_RL)
    run_names = tuple(f"{role}-{i:04d}" for i, role in enumerate(roles))
    N, D = 1.4e5, 1.2e6
    measurements = Measurements(
        run_names, languages, targets, p_RL, loss, np.full(R, N), np.full(R, D), rng.integers(0, 9, R), tuple(roles)
    )

    fitted = theta * (1 + rng.normal(0, 0.002, theta.shape))
    boot = fitted * (1 + rng.normal(0, 0.004, (resamples, *theta.shape)))
    parameters = ("E", "c", "γ", "κ", "ν", *[f"w/{language}" for language in languages])
    law = LawFit(
        "shapley_law",
        "shapley_law",
        "L_t = E (1 + c (p̃^-γ - 1)/γ), p̃ = (p_t^ν + h^ν)^(1/ν), h = (Σ_{l≠t} (w_l p_l)^κ)^(1/κ)",
        "after ShapleyLaw, arXiv 2603.17945",
        languages, targets, parameters, fitted, boot, frozenset(), N, D, draws=draws(n, len(targets), resamples),
    )  # fmt: skip

    unique = 2e9 * np.arange(1, n + 1) ** -1.1
    budget = 2.5e9 if n < 50 else 3.0e9
    ceilings = np.minimum(1.0, 4 * unique / budget)
    best = optimum(fitted, own, ceilings)
    current = rng.dirichlet(np.full(n, 3.0))
    mixtures = {
        "optimum": best,
        "natural": unique / unique.sum(),
        "uniform": np.full(n, 1 / n),
        "temperature": unique**0.3 / (unique**0.3).sum(),
        "current": current,
    }

    def resampled(p):
        return np.stack([predict(theta_TP, p) for theta_TP in boot])

    def estimates(p):
        value, (low, high) = predict(fitted, p), np.quantile(resampled(p), [0.025, 0.975], axis=0)
        return {t: Estimate(float(value[k]), float(low[k]), float(high[k])) for k, t in enumerate(targets)}

    def mean(p):
        return Estimate(float(predict(fitted, p)[own].mean()), *interval(resampled(p)[:, own].mean(1)))

    def candidate(name):
        p = mixtures[name]
        losses = estimates(p)
        epochs = {language: float(p[i] * budget / unique[i]) for i, language in enumerate(languages)}
        return Candidate(name, dict(zip(languages, map(float, p), strict=True)), mean(p), losses, epochs)

    candidates = {name: candidate(name) for name in mixtures}

    def gain(name):
        each = (resampled(mixtures[name]) - resampled(best))[:, own].mean(1)
        value = predict(fitted, mixtures[name])[own].mean() - predict(fitted, best)[own].mean()
        return Estimate(float(value), *interval(each))

    advice = Advice(
        "shapley_law",
        "mean",
        candidates["optimum"],
        tuple(candidates[name] for name in mixtures if name != "optimum"),
        gains={name: gain(name) for name in mixtures if name != "optimum"},
        active=tuple(
            f"{about[language].name} at most {100 * c:.1f} % (4 epochs)"
            for language, c, p in zip(languages, ceilings, best, strict=True)
            if abs(c - p) < 1e-6
        ),
        honest=float(predict(fitted, best)[own].mean() + 0.004),
        spread={
            language: (float(p) * 0.7, min(1.0, float(p) * 1.4)) for language, p in zip(languages, best, strict=True)
        },
        extrapolates=False,
        floors={languages[-1]: 0.01},
        ceilings=dict(zip(languages, map(float, ceilings), strict=True)),
    )

    trained = tuple(
        Trained(
            name,
            {t: tuple(predict(theta, p)[k] + rng.normal(0, noise, 3)) for k, t in enumerate(targets)},
            candidates[name].losses,
            candidates[name].objective,
        )
        for name, p in mixtures.items()
        if name != "current"
    )

    held = np.array([role == "swarm" for role in roles])
    truth = loss[held]
    errors = {"null": None, "own_ratio": 0.02, "log_linear": 0.012, "shapley_law": 0.006}
    held_out = tuple(
        HeldOutPredictions(
            name,
            target,
            tuple(np.array(run_names)[held]),
            np.full(len(truth), truth[:, k].mean())
            if error is None
            else truth[:, k] * (1 + rng.normal(0, error, len(truth))),
            truth[:, k],
        )
        for name, error in errors.items()
        for k, target in enumerate(targets)
        if not (name == "own_ratio" and target not in languages)
    )

    size = rng.uniform(0.4, 1.5, (len(targets), 1))
    phi = 1.2 * theta[:, 5:] ** 0.7 * size + rng.normal(-0.05, 0.08, (len(targets), n))
    half = rng.uniform(0.01, 0.07, phi.shape)
    transfer = TransferMatrix(
        targets, languages, phi, phi - half, phi + half, "bpb", "exact Shapley",
        {"budget": "fixed", "empty coalition": "unigram entropy of the target", "repeats": 3},
    )  # fmt: skip
    # Two workers side by side, four runs a job.
    runs = [
        RunRow(
            r, role, "complete", int(s), N, D, 11.0, 1e9 + 44.0 * (i // 8), 1e9 + 44.0 * (i // 8) + 42 + (i // 4) % 2
        )
        for i, (r, role, s) in enumerate(zip(run_names, roles, measurements.seed_R, strict=True))
    ]
    runs.append(RunRow("swarm-diverged", "swarm", "diverged", 1, N, D, 4.0))
    pairs = rng.normal(0, 0.1, (n, n))
    interactions = Interactions(
        languages, np.where(np.eye(n), 0.0, pairs + pairs.T), half_LL=np.where(np.eye(n), 0.0, 0.08)
    )
    # A line from the optimum to the best for the languages outside: the further along it, the worse for the objective.
    away = next((t for t in targets if t not in languages), targets[0])
    served = {away: 1.0} if n < len(targets) else dict.fromkeys(targets[:1], 1.0)
    column = targets.index(away)
    corners = [(1 - w) * best + w * mixtures["natural"] for w in np.linspace(0, 1, 5)]
    values = sorted((float(predict(fitted, p)[column]), i) for i, p in enumerate(corners))
    rise = np.sort([float(predict(fitted, p)[own].mean()) for p in corners])
    front = Front(
        "mean loss",
        "mean loss of the languages outside" if n < len(targets) else f"loss of {about[away].name}",
        tuple(
            (float(rise[k]), values[-1 - k][0], dict(zip(languages, map(float, corners[k]), strict=True)))
            for k in range(5)
        ),
        {name: (candidate.objective, candidate.losses[away]) for name, candidate in candidates.items()},
        served,
    )
    census = tuple(
        CorpusRow(
            t,
            int(4000 / (i + 1)) + 50,
            int(4e6 / (i + 1)),
            float(unique[i]) if i < n else None,
            1.5 + 0.1 * (i % 7),
            3.9 - 0.2 * (i % 5),
            1 + 0.08 * (i % 6),
            candidates["optimum"].epochs.get(t),
        )
        for i, t in enumerate(targets)
    )
    return Evidence(
        title=title,
        description="Which share of each language serves all of them best, when the budget is 2.5 billion tokens?",
        about=about,
        measurements=measurements,
        runs=tuple(runs),
        census=census,
        transfer={"Shapley values": transfer},
        interactions=interactions,
        front=front,
        held_out=held_out,
        law=law,
        advice=advice,
        trained=trained if validated else (),
        noise=dict.fromkeys(targets, noise),
        cost=Spending(
            {"complete": R, "diverged": 1},
            R * D,
            6 * N * D * R,
            412.0,
            6 * 1e9 * budget,
            {"proxies": 380.0, "fit": 21.0, "validation": 11.0},
        ),
        simulated_epochs=True,
        warnings=("law own_ratio: 16 runs without the target were left out of its fit",),
        config={
            "name": title,
            "languages": list(languages),
            "target": {"tokens": budget},
            "fit": {"laws": list(errors)},
        },
        provenance={
            "glotmix": "0.1.0",
            "python": "3.11.2",
            "configuration": "91c2a4e07b15d3f8",
            "corpus": "5f02b1c99a7e4d10",
        },
        exports={"megatron": "export/megatron", "huggingface": "export/huggingface"},
    )


def big(runs=1000):
    """100 languages × 1000 runs."""
    return sample(100, 5, swarm=runs - 3, title="A hundred languages", resamples=60)


HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


def hostile():
    """Every name of a small study is an attack."""
    import dataclasses

    evidence = sample(3, 1, swarm=6)
    first, second = evidence.measurements.languages[:2]

    def walk(value):
        if isinstance(value, str):
            return value.replace(first, HOSTILE).replace(second, "=cmd|'/c calc'!A1")
        if isinstance(value, dict):
            return {walk(k): walk(v) for k, v in value.items()}
        if isinstance(value, tuple):
            return tuple(walk(v) for v in value)
        if dataclasses.is_dataclass(value):
            return dataclasses.replace(
                value, **{f.name: walk(getattr(value, f.name)) for f in dataclasses.fields(value)}
            )
        return value

    return dataclasses.replace(
        walk(evidence), about={}, title=HOSTILE, description=HOSTILE + "</style>", provenance={HOSTILE: HOSTILE}
    )
