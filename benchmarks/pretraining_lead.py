"""A pretraining lead's work by the command line: tables of five forms, 64 runs elsewhere, optimum, export and page.

    python benchmarks/pretraining_lead.py run --out DIR [--tables DIR]     about 4 processor minutes
    python benchmarks/pretraining_lead.py --show

Ten sources, four of them no language. The trainer is simulated: losses follow from the shares of the handoff by a law
that is planted here, with noise. Tables of earlier runs are made by the same law, or are those of --tables (runs.csv,
percent_blank.csv, long.csv, wandb_wide.csv, scaled.csv). Every command is one that a user types; the page is then
opened in a Chromium and photographed.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "pretraining_lead.json"
UNIQUE = {"code": 4e11, "math": 6e10, "web/en-hq": 3e11, "web/en-lq": 3e12, "deu": 3e11, "fra": 3e11,
          "cmn_Hans": 5e11, "hin": 3e10, "swh": 1e9, "yor": 2e8}  # fmt: skip
"""Tokens that there are of each source."""
LANGUAGES = {"web/en-hq": "en", "web/en-lq": "en", "deu": "de", "fra": "fr", "cmn_Hans": "zh", "hin": "hi", "swh": "sw",
             "yor": "yo"}  # fmt: skip
RUNS, NOISE = 64, 0.002
TABLES = ("runs", "percent_blank", "long", "wandb_wide", "scaled")
STUDY = """\
name: Before 2T tokens
description: What do 2e12 tokens of a 7B model get, from ten sources of which four are no language?
sources:
{sources}
corpus: {{reader: jsonl, held_out: 0.2}}
tokens: {{vocab_size: 600, held_out_tokens: 6000}}
target: {{tokens: 2e12, parameters: 7e9}}
design: {{coalitions: none, swarm: 61, swarm_roles: fit, anchors: 1, anchor_seeds: 3}}
proxy: {{size: 150M, tokens: 3e9, batch: 512, context: 2048}}
fit: {{laws: ["null", log_linear, own_ratio, shapley_law], bootstrap: 50}}
optimize:
  objective: mean
  current: {{code: 0.15, math: 0.05, web/en-hq: 0.2, web/en-lq: 0.3, deu: 0.08, fra: 0.08, cmn_Hans: 0.1,
            hin: 0.03, swh: 0.008, yor: 0.002}}
  floors: {{code: 0.1, hin: 0.01}}
  ceilings: {{web/en-lq: 0.4}}
  max_epochs: 4
  groups:
    web: {{floor: 0.2, ceiling: 0.6, keep: within}}
    africa: {{languages: [swh, yor], max_epochs: 6}}
sweep:
  executor: external
  trainer: megatron_lm
  data: /data/{{language}}_text_document
  command: python train.py {{run_dir}} {{arguments}}
  slurm: {{time: "12:00:00", nodes: 4}}
validation: {{seeds: 2, baselines: [natural, current]}}
export: [megatron_lm, olmo_core]
"""


def planted(shares, D, name):
    """Bits per byte of every source after a run, by a law that glotmix is not told: what others are worth differs."""
    rng = np.random.default_rng(zlib.crc32(str(name).encode()))
    near: dict[str, list[str]] = {name: [] for name in UNIQUE}
    pairs = (("code", "math"), ("web/en-hq", "web/en-lq"), ("deu", "fra"), ("deu", "web/en-hq"), ("swh", "yor"))
    for one, other in pairs:
        near[one].append(other)
        near[other].append(one)
    found = {}
    for t, (name, others) in enumerate(near.items()):
        useful = shares.get(name, 0.0) + 0.25 * sum(shares.get(one, 0.0) for one in others) + 0.01
        found[name] = (0.4 + 0.02 * t + 0.25 * (useful * D / 3e9) ** -(0.2 + 0.01 * t)) * np.exp(NOISE * rng.normal())
    return found


def train():
    """The trainer of the study: what it is asked stands in the folder of the run."""
    run = Path(sys.argv[2])
    asked = json.loads((run / "asked.json").read_text())
    told = planted(asked["realised"], asked["D"], run.name)
    row = {"run": run.name, "D": asked["D"], "bits_per_byte": told}
    results = run.parents[1] / "results"
    results.mkdir(exist_ok=True)
    (results / f"{run.name}.jsonl").write_text(json.dumps(row) + "\n")


def tables(folder):
    """Earlier runs in the forms in which people have them."""
    rng = np.random.default_rng(3)
    names = list(UNIQUE)
    drawn = rng.dirichlet(np.ones(len(names)), RUNS)
    runs = [dict(zip(names, map(float, row), strict=True)) for row in drawn]
    losses = [planted(shares, 3e9, k) for k, shares in enumerate(runs)]

    def write(name, rows):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def wide(number, N, D, told):
        shares = {f"p/{name}": round(x, 6) for name, x in runs[number].items()}
        return (
            {"run": f"r{number:03}", "N": N, "D": D, "seed": 0}
            | shares
            | {f"loss/{t}": round(x, 5) for t, x in told.items()}
        )

    write("runs", [wide(k, 1.5e8, 3e9, told) for k, told in enumerate(losses)])
    sizes = [(n, 20 * n) for n in (2e7, 6e7, 1.5e8, 4e8)]
    write("scaled", [wide(k, *sizes[k % 4], planted(runs[k], sizes[k % 4][1], k)) for k in range(RUNS)])
    blank = [
        {"run": f"r{k:03}"} | {f"p/{n}": round(100 * x, 3) if x > 0.004 else "" for n, x in runs[k].items()}
        for k in range(RUNS)
    ]
    write(
        "percent_blank",
        [row | {f"loss/{t}": round(x, 5) for t, x in told.items()} for row, told in zip(blank, losses, strict=True)],
    )
    long = [
        {"run": f"r{k:03}", "step": 1000, "metric": f"eval/{t}/bpb", "value": round(x, 5)}
        for k, told in enumerate(losses)
        for t, x in told.items()
    ]
    write("long", long)
    write("wandb_wide", [
        {"Name": f"r{k:03}", "State": "finished", "Runtime": 3600, "config.n_params": 1.5e8, "config.tokens": 3e9}
        | {f"config.mixture.{n}": round(x, 6) for n, x in runs[k].items()}
        | {f"eval/{t}/bpb": round(x, 5) for t, x in told.items()}
        for k, told in enumerate(losses)
    ])  # fmt: skip


def texts(folder):
    """Text of every source, and the study."""
    from glotmix.corpus.config import CorpusConfig
    from glotmix.corpus.readers.reader import open_reader

    rng = np.random.default_rng(0)
    known = {"en": "eng_Latn", "de": "deu_Latn", "fr": "fra_Latn", "zh": "zho_Hans", "hi": "hin_Deva", "sw": "swh_Latn"}
    (folder / "data").mkdir(exist_ok=True)
    lines = []
    for name in UNIQUE:
        tag = known.get(LANGUAGES.get(name, ""))
        rows = []
        try:
            config = CorpusConfig(reader="embedded", bytes_per_language=160_000, seed=len(lines))
            rows = [document.text for document in open_reader(config, [tag], folder).documents(tag)] if tag else []
        except Exception:  # a language that the embedded text has no sentences of
            rows = []
        made = rng.choice(
            ["tan", "lo", "wa", "ṣe", "ní", "ilé"]
            if name == "yor"
            else ["x", "=", "(", "y", ")", "+", "def", "1", "27"],
            (1000, 30),
        )
        rows = rows or [" ".join(row) for row in made.tolist()]
        file = folder / "data" / f"{name.replace('/', '-')}.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
        told = [f"path: data/{file.name}", f"tokens: {UNIQUE[name]:g}", "tokens_per_document: 900"]
        told += [f"language: {LANGUAGES[name]}"] if name in LANGUAGES else []
        told += ["group: web"] if name.startswith("web") else []
        lines.append(f"  {name}: {{{', '.join(told)}}}")
    (folder / "study.yaml").write_text(STUDY.format(sources="\n".join(lines)))
    shutil.copy(Path(__file__), folder / "lead.py")
    (folder / "train.py").write_text("import sys\nsys.argv.insert(1, 'train')\nimport lead\nlead.train()\n")


def steps():
    """What is typed, and the exit code that is right: 3 where runs wait."""
    light = "--law null --law own_ratio --folds 4 --bootstrap 0"
    yield f"glotmix fit tables/runs.csv {light}", 0
    yield f"glotmix fit tables/percent_blank.csv {light}", 0
    yield f"glotmix fit tables/long.csv --mixtures tables/runs.csv {light}", 0
    yield f"glotmix fit tables/wandb_wide.csv {light}", 0
    yield "glotmix fit tables/scaled.csv --law null --law shapley_law --folds 4 --bootstrap 0", 0
    yield "glotmix run study.yaml --out out", 3
    yield "bash out/handoff/loop.sh", 0
    yield "glotmix run study.yaml --out out", 3
    yield "bash out/handoff/loop.sh", 0
    yield "glotmix run study.yaml --out out", 0
    yield "glotmix collect out --out collected.csv", 0
    yield "glotmix fit collected.csv --law null --law own_ratio --law shapley_law --bootstrap 50 --out fit.json", 0
    limits = "--floor code=0.1 --ceiling web/en-lq=0.4 --max-epochs 4"
    limits += " --set groups.africa.languages=[swh,yor] --set groups.africa.max_epochs=6"
    unique = " ".join(f"--unique {name}={tokens:g}" for name, tokens in UNIQUE.items())
    yield f"glotmix optimize fit.json {limits} {unique} --tokens 2e12 --parameters 7e9 --out mixture.json", 0
    lengths = " ".join(f"--tokens-per-document {name}=900" for name in UNIQUE)
    trainer = "--to megatron_lm --tokens 2e12 --batch 1024 --sequence-length 4096"
    yield f"glotmix export mixture.json {trainer} {unique} {lengths} --out export", 0


def run(folder, given):
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    if given is None:
        tables(folder / "tables")
    else:
        for name in TABLES:
            shutil.copy(given / f"{name}.csv", folder / "tables")
    texts(folder)
    env = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    told = []
    for line, right in steps():
        words = [sys.executable, "-m", *line.split()] if line.startswith("glotmix ") else line.split()
        done = subprocess.run(words, cwd=folder, env=env, check=False, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip().replace(str(folder), "DIR")
        (folder / f"step-{len(told) + 1:02}.txt").write_text(f"$ {line}\n{said}\n")
        told.append({"command": line, "exit": done.returncode, "last": said.splitlines()[-1] if said else ""})
        if done.returncode != right:
            sys.exit(f"{line}: exit code {done.returncode}, not {right}\n{said[-3000:]}")
    RESULT.write_text(json.dumps({"commands": told} | found(folder), indent=1) + "\n")


def found(folder):
    """What came out: runs, the optimum and its limits, shares that the trainer will give, and the page in a browser."""
    out = folder / "out"
    optimum = json.loads((out / "optimum.json").read_text())
    realised = json.loads((folder / "export" / "realised.json").read_text())
    runs = [path.name for path in (out / "handoff" / "runs").iterdir()]
    mixture = optimum["mixture"]
    passes = {name: mixture[name] * 2e12 / UNIQUE[name] for name in UNIQUE}
    web = mixture["web/en-hq"] + mixture["web/en-lq"]
    return {
        "runs": {
            "planned": sum(not name.startswith("validation") for name in runs),
            "closed_loop": sum(name.startswith("validation") for name in runs),
        },
        "optimum": {key: optimum[key] for key in ("mixture", "spread", "objective", "predicted")},
        "epochs": passes,
        "web": {"share": web, "within": mixture["web/en-hq"] / web},
        "africa_epochs": (mixture["swh"] + mixture["yor"]) * 2e12 / (UNIQUE["swh"] + UNIQUE["yor"]),
        "closed_loop": json.loads((out / "closed_loop.json").read_text())["differences"],
        "export": {name: one["realised"] for name, one in realised["languages"].items()},
        "page": page(out / "report.html", folder / "page.png"),
    }


def page(path, picture):
    """The page in a Chromium: complaints, requests, and what the explorer says of the mixture in use."""
    import own_tests  # noqa: F401 - before anything of the tests

    from tests.report import browser as chromium

    with tempfile.TemporaryDirectory() as profile:
        browser = chromium.start(profile)
        try:
            chromium.open_page(browser, path.resolve())
            chromium.frame(browser)
            height = browser.execute_script("return document.documentElement.scrollHeight")
            wide = browser.execute_script(
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            browser.set_window_size(1200, min(height, 12000))
            browser.save_screenshot(str(picture))
            text = browser.execute_script("return document.body.innerText")
            return {
                "complaints": chromium.complaints(browser),
                "requests": [one for one in chromium.requests(browser) if not one.startswith("chrome")],
                "sideways": wide,
                "sources_named": sum(name in text for name in UNIQUE),
                "title": browser.title,
            }
        finally:
            browser.quit()


def show():
    result = json.loads(RESULT.read_text())
    commands = result["commands"]
    waits = [one for one in commands if one["exit"] == 3]
    runs = result["runs"]
    print(f"{len(commands)} commands, {runs['planned']} runs planned, {runs['closed_loop']} to close the loop\n")
    print("| source | share | interval | passes at 2e12 tokens | exported |\n|---|---|---|---|---|")
    for name, share in result["optimum"]["mixture"].items():
        low, high = result["optimum"]["spread"][name]
        told = [f"{share:.4f}", f"[{low:.4f}, {high:.4f}]", f"{result['epochs'][name]:.2f}"]
        print(f"| {name} | {' | '.join(told)} | {result['export'][name]:.4f} |")
    print(f"\nTogether: web {result['web']['share']:.3f}, swh and yor {result['africa_epochs']:.2f} passes")
    for one in result["closed_loop"]:
        print(f"Measured gain over {one['baseline']}: {one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]")
    seen = result["page"]
    found = [f"{len(seen[what])} {what}" for what in ("complaints", "requests")]
    print(f"The page: {', '.join(found)}, {seen['sources_named']} of {len(UNIQUE)} sources named")
    print(f"Said while runs wait: {waits[0]['last']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["run"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    if given.what == "run":
        run(given.out, given.tables)
    elif not RESULT.is_file():
        sys.exit(f"{RESULT.relative_to(ROOT)}: not there; `run --out DIR` makes it")
    else:
        show()


if __name__ == "__main__":
    main()
