"""Are exports realised as promised? Errors at 5, 30 and 100 languages, and the trainers' own parsers on the files.

    bash scripts/exporter_envs.sh && .venv/bin/python benchmarks/exporters.py
    .venv/bin/python benchmarks/exporters.py --check NEWEST       which formats have moved since

Part 1 simulates every exporter on corpora with Zipf sizes. Part 2 exports a schedule, hands the files to each trainer's
own parser or loader (in its environment under .cache/exporter-envs), counts what it deals out, and compares that with
``realised.json``. Writes benchmarks/results/exporters.json. (benchmarks/trainer_paths.py goes on to the batch.) Part 3,
``--check NEWEST``, asks which trainers have later releases, makes their environments anew with these, beside the
others, runs part 2 in them, and tells which formats have moved; meant to be run every month, with PYTHON=python3.12 or
later in the environment where a release asks for it.
"""

import argparse
import datetime
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "paths"))
RESULTS = ROOT / "benchmarks" / "results" / "exporters.json"
ENVS = Path(os.environ.get("GLOTMIX_EXPORTER_ENVS", ROOT / ".cache" / "exporter-envs"))


# ---- Part 2, inside a trainer's environment: folder and request in, counts per phase and language out ----------------


def load_module(folder):
    spec = importlib.util.spec_from_file_location("mixture", Path(folder) / "mixture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blended(prefixes, weights, start, stop):
    """Megatron-core's compiled rule on a blend."""
    import numpy as np
    from megatron.core.datasets import helpers_cpp
    from megatron.core.datasets.utils import normalize

    index, sample = np.zeros(stop, dtype=np.int16), np.zeros(stop, dtype=np.int64)
    helpers_cpp.build_blending_indices(index, sample, normalize(weights), len(prefixes), stop, False)
    return {prefixes[i]: int(n) for i, n in enumerate(np.bincount(index[start:], minlength=len(prefixes)))}


def megatron(folder, request):
    """Blend files through get_blend_from_list and BlendedMegatronDatasetConfig, dealt by build_blending_indices."""
    from megatron.core.datasets.utils import get_blend_from_list

    counts = []
    for i, phase in enumerate(request["phases"], start=1):
        prefixes, weights = get_blend_from_list((Path(folder) / f"blend-{i}.txt").read_text().split())
        counts.append(blended(list(prefixes), list(weights), 0, phase["sequences"]))
    return counts


def bridge(folder, request):
    """The blends of the generated module, dealt by Megatron-core."""
    starts, counts = 0, []
    for (prefixes, weights), phase in zip(load_module(folder).BLENDS, request["phases"], strict=True):
        counts.append(blended(prefixes, weights, starts, starts + phase["sequences"]))
        starts += phase["sequences"]
    return counts


def nemo(folder, request):
    """paths(stage) of the generated module through get_blend_from_list, dealt by Megatron-core."""
    from megatron.core.datasets.utils import get_blend_from_list

    module, starts, counts = load_module(folder), 0, []
    for i, phase in enumerate(request["phases"]):
        prefixes, weights = get_blend_from_list(module.paths(i))
        counts.append(blended(list(prefixes), list(weights), starts, starts + phase["sequences"]))
        starts += phase["sequences"]
    return counts


def levanter(folder, request):
    """Weights and block through Levanter's MixtureDataset, every sequence of the run asked for."""
    import asyncio

    import yaml
    from levanter.data.mixture import MixtureDataset, rescale_mixture_schedule_for_batch_schedule
    from levanter.schedule import BatchSchedule

    document = yaml.safe_load((Path(folder) / "mixture.yaml").read_text())
    data, batch = document["data"], document["trainer"]["train_batch_size"]
    weights = [(step, shares) for step, shares in data["train_weights"]]
    weights = rescale_mixture_schedule_for_batch_schedule(weights, BatchSchedule(batch))
    sources = {name: endless(name) for name in data["components"]}
    mixture = MixtureDataset(sources, weights, data["mixture_block_size"], key=0)

    async def deal():
        counts, start = [], 0
        for phase in request["phases"]:
            dealt = Counter()
            for at in range(start, start + phase["sequences"], 4096):
                stop = min(at + 4096, start + phase["sequences"])
                dealt.update(name for name in await mixture.get_batch(list(range(at, stop))))
            counts.append(dict(dealt))
            start += phase["sequences"]
        return counts

    return asyncio.run(deal())


def endless(name):
    """A Levanter data set that gives its own name for every index."""
    from levanter.data.dataset import AsyncDataset

    class Named(AsyncDataset):
        async def async_len(self):
            return 2**31

        async def final_length_is_known(self):
            return True

        def is_finite(self):
            return False

        async def current_len(self):
            return None

        async def get_batch(self, indices):
            return [name] * len(indices)

    return Named()


def olmo_core(folder, request):
    """SourceMixtureDatasetConfig.build on files of the right size."""
    import numpy as np

    module = load_module(folder)
    for path, tokens in request["files"].items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.zeros(tokens, dtype=np.uint16).tofile(path)
    counts = []
    for i in range(len(module.STAGES)):
        config = module.mixture(i, processes=1)
        config.render_tables, config.quiet = False, True
        built = config.build(npdtype=np.uint16, sequence_length=module.SEQUENCE_LENGTH)
        counts.append({source.name: sum(part.tokens for part in source.path_tokens) for source in built.sources})
    return counts


def streaming(folder, request):
    """Stream.apply_weights of the installed library on the streams of the YAML."""
    import numpy as np
    import yaml
    from absent import absent

    # streaming imports torchvision for its image data sets, which no text needs and which wants a matching torch.
    absent("torchvision", classes=True)
    from streaming.base.stream import Stream

    counts = []
    for i, _ in enumerate(request["phases"]):
        overlay = yaml.safe_load((Path(folder) / f"mixture-{i}.yaml").read_text())
        dataset = overlay["train_loader"]["dataset"]
        streams = {name: Stream(**options) for name, options in dataset["streams"].items()}
        sizes = np.full(len(streams), 1000)
        Stream.apply_weights(list(streams.values()), sizes, dataset["epoch_size"], dataset["shuffle_seed"])
        counts.append({name: int(stream.choose) for name, stream in streams.items()})
    return counts


def litdata(folder, request):
    """CombinedStreamingDataset of the generated module, iterated; started over when it stops."""
    from litdata import StreamingDataset

    class Blocks(StreamingDataset):
        def __init__(self, path):
            self.path, self.size, self._state_dict = path, request["blocks"][path], None

        def __len__(self):
            return self.size

        def __iter__(self):
            return iter([self.path] * self.size)

    module, counts = load_module(folder), []
    for i, phase in enumerate(request["phases"]):
        dealt, combined, left = Counter(), module.dataset(i, make=Blocks), phase["sequences"] // request["batch"]
        for epoch in itertools.count(1):
            combined.set_epoch(epoch)  # as StreamingDataLoader does, which counts from 1
            stream, batch = iter(combined), [""] * request["batch"]
            while left and len(batch) == request["batch"]:  # the last batch of a pass is what was drawn before its end
                batch = list(itertools.islice(stream, request["batch"]))
                dealt.update(batch)
                left -= bool(batch)
            if not left:
                break
        counts.append(dict(dealt))
    return counts


def huggingface(folder, request):
    """The rows of the generated module, from the real interleave_datasets."""
    from datasets import IterableDataset

    def rows(path):
        for _ in range(1000):
            yield {"path": path}

    module = load_module(folder)
    stream = module.rows(load=lambda path: IterableDataset.from_generator(rows, gen_kwargs={"path": path}))
    return [dict(Counter(next(stream)["path"] for _ in range(count))) for count in module.ROWS]


def trl(folder, request):
    """TrlParser on the YAML, then get_dataset on files with as many rows as the languages have."""
    from trl.scripts.utils import DatasetMixtureConfig, TrlParser, get_dataset

    for path, size in request["rows"].items():
        Path(path).mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps({"text": path}) + "\n" for _ in range(size))
        (Path(path) / "train.jsonl").write_text(text)
    counts = []
    for i, _ in enumerate(request["phases"]):
        parser = TrlParser([DatasetMixtureConfig])
        parsed = parser.parse_args_and_config(
            ["--config", str(Path(folder) / f"mixture-{i}.yaml")], fail_with_unknown_args=False
        )
        counts.append(dict(Counter(get_dataset(parsed[0])["train"]["text"])))
    return counts


def torchtitan(folder, request):
    """Grain's own mixture on the weights of the generated module."""
    import grain.python as grain

    module, counts = load_module(folder), []
    for i, phase in enumerate(request["phases"]):
        weights = module.STAGES[i]
        children = [grain.MapDataset.source([module.SOURCES[name]]).repeat(10**6) for name in weights]
        mixed = grain.MapDataset.mix(children, weights=list(weights.values()))
        counts.append(dict(Counter(mixed[k] for k in range(phase["rows"]))))
    return counts


def llamafactory(folder, request):
    """Fields of LLaMA-Factory's arguments and its list of data sets: all that is written is known to it."""
    import yaml
    from absent import absent

    absent("torchaudio")  # of its multimodal plug-in, which mixes nothing; no build of it fits the pinned torch
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, FinetuningArguments, TrainingArguments

    known = {
        name for kind in (DataArguments, FinetuningArguments, TrainingArguments) for name in kind.__dataclass_fields__
    }
    for i, _ in enumerate(request["phases"]):
        overlay = yaml.safe_load((Path(folder) / f"mixture-{i}.yaml").read_text())
        assert set(overlay) <= known, f"unknown to LLaMA-Factory: {set(overlay) - known}"
        names = overlay["dataset"].split(",")
        assert all(one.num_samples for one in get_dataset_list(names, folder))
    return []


def axolotl(folder, request):
    """AxolotlInputConfig's fields: all keys of the overlay are known to the schema."""
    import yaml
    from axolotl.utils.schemas.config import AxolotlInputConfig

    overlay = yaml.safe_load((Path(folder) / "mixture.yaml").read_text())
    unknown = [key for key in overlay if key not in AxolotlInputConfig.model_fields]
    assert not unknown, f"unknown to axolotl: {unknown}"
    return []


def nemo_automodel(folder, request):
    """The blend and the domains through Automodel's own configuration classes, which compare the two."""
    import yaml
    from nemo_automodel.components.datasets.llm.megatron.megatron_utils import get_blend_from_list
    from nemo_automodel.components.datasets.llm.megatron_dataset import MegatronPretrainingConfig
    from nemo_automodel.components.optim.optimizer import LRSchedulerConfig
    from nemo_automodel.components.training.domain_mixture import DomainMixtureConfig, DomainWeightConfig

    for i, _ in enumerate(request["phases"]):
        overlay = yaml.safe_load((Path(folder) / f"mixture-{i}.yaml").read_text())
        dataset = {key: value for key, value in overlay["dataset"].items() if key != "_target_"}
        MegatronPretrainingConfig(**dataset)
        LRSchedulerConfig(**overlay["lr_scheduler"])
        rows = yaml.safe_load((Path(folder) / f"domains-{i}.yaml").read_text())["domain_mixture"]["domains"]
        domains = DomainMixtureConfig(domains=tuple(DomainWeightConfig(**row) for row in rows))
        mixture = domains.build(blend=get_blend_from_list(dataset["paths"]))
        assert all(abs(one - 1) < 1e-9 for one in mixture.loss_multipliers)
    return []


def ms_swift(folder, request):
    """The data sets' names through ms-swift's own parser, on files that are there."""
    import yaml
    from swift.dataset.dataset_syntax import DatasetSyntax

    counts = []
    for i, _ in enumerate(request["phases"]):
        overlay = yaml.safe_load((Path(folder) / f"mixture-{i}.yaml").read_text())
        dealt = {}
        for entry in overlay["dataset"]:
            path = entry.rsplit("#", 1)[0]
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
            parsed = DatasetSyntax.parse(entry)
            assert (parsed.dataset, parsed.dataset_type) == (path, "path")
            dealt[path] = parsed.dataset_sample
        counts.append(dealt)
    return counts


def torchtitan_0_3(folder, request):
    """torchtitan's InterleavedDataset on endless sources, with the weights and seeds of the generated module."""
    from torchtitan.hf_datasets.interleaved import InterleavedDataset

    class Endless:
        def __init__(self, path):
            self.path = path

        def __iter__(self):
            while True:
                yield self.path

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    module, counts = load_module(folder), []
    for i, phase in enumerate(request["phases"]):
        weights = module.STAGES[i]
        sources = [Endless(module.SOURCES[name]) for name in weights]
        mixed = iter(InterleavedDataset(sources, list(weights.values()), seed=module.SEED + i))
        counts.append(dict(Counter(next(mixed) for _ in range(phase["sequences"]))))
    return counts


def maxtext(folder, request):
    """Grain's own mixture of iterators, built from the mixture file as MaxText builds it."""
    import grain.python as grain

    start, counts = 0, []
    for i, phase in enumerate(request["phases"]):
        mixture = json.loads((Path(folder) / f"mixture-{i}.json").read_text())
        total = sum(row["weight"] for row in mixture.values())
        parts = {
            n: grain.MapDataset.source([row["path"]]).repeat(10**6).to_iter_dataset() for n, row in mixture.items()
        }
        mixed = iter(grain.IterDataset.mix(parts, {name: row["weight"] / total for name, row in mixture.items()}))
        for _ in range(start):  # a checkpoint has the place in the mixture, and a new mixture goes on there
            next(mixed)
        counts.append(dict(Counter(next(mixed) for _ in range(phase["rows"]))))
        start += phase["rows"]
    return counts


CHECKS = {
    # exporter: (environment, function, distribution whose version is recorded, what is counted)
    "megatron_lm": ("megatron", megatron, "megatron-core", "dealt"),
    "megatron_bridge": ("megatron", bridge, "megatron-core", "dealt"),
    "nemo2": ("megatron", nemo, "megatron-core", "dealt"),
    "levanter": ("levanter", levanter, "marin-levanter", "dealt"),
    "olmo_core": ("olmo_core", olmo_core, "ai2-olmo-core", "dealt"),
    "mosaicml_streaming": ("streaming", streaming, "mosaicml-streaming", "dealt"),
    "litdata": ("litdata", litdata, "litdata", "dealt"),
    "huggingface": ("", huggingface, "datasets", "dealt"),
    "trl": ("trl", trl, "trl", "dealt"),
    "torchtitan": ("torchtitan", torchtitan, "grain", "dealt"),
    "torchtitan_0_3": ("torchtitan", torchtitan_0_3, "torchtitan", "dealt"),
    "maxtext": ("maxtext", maxtext, "maxtext", "dealt"),
    "ms_swift": ("swift", ms_swift, "ms-swift", "dealt"),
    "nemo_automodel": ("automodel", nemo_automodel, "nemo-automodel", "keys"),
    "llama_factory": ("llamafactory", llamafactory, "llamafactory", "keys"),
    "axolotl": ("axolotl", axolotl, "axolotl", "keys"),
}


def child(name, folder):
    """Run one check in this interpreter and print its counts as the last line."""
    from importlib.metadata import version

    request = json.loads((Path(folder) / "request.json").read_text())
    _, function, distribution, _ = CHECKS[name]
    counts = function(folder, request)
    print(json.dumps({"version": version(distribution), "counts": counts}))


# ---- Here: glotmix ---------------------------------------------------------------------------------------------------


def zipf_request(n, tokens, sequence_length=2048, batch=512):
    """n languages, sizes by Zipf's law with exponent 1.6, sampled at temperature 1/0.3, four epochs of the rarest."""
    import numpy as np

    from glotmix.exporters.exporter import ExportRequest
    from glotmix.mixture.mixture import Mixture
    from glotmix.mixture.schedule import Schedule

    names = [f"l{i:03}" for i in range(n)]
    sizes = np.arange(1, n + 1) ** -1.6
    mixture = Mixture.normalised(dict(zip(names, sizes**0.3, strict=True)))
    scale = mixture[names[-1]] * tokens / 4 / sizes[-1]
    unique = {name: float(round(size * scale)) for name, size in zip(names, sizes, strict=True)}
    lengths = np.random.default_rng(0).lognormal(math.log(600), 0.8, n)
    return ExportRequest(
        Schedule.constant(mixture),
        tokens,
        sequence_length,
        batch,
        unique,
        dict(zip(names, lengths.tolist(), strict=True)),
    )


def errors(names=None):
    """Part 1: total variation and worst relative error per exporter (all, or those named) and number of languages."""
    from glotmix.exporters import all_exporters
    from glotmix.exporters.exporter import export

    table = {}
    for name, exporter in all_exporters().items():
        if name not in (names or [name]):
            continue
        table[name] = {
            "unit": exporter.unit,
            "packing": exporter.packing,
            "schedule": exporter.schedule_support,
            "target": exporter.target_version,
        }
        for n in (5, 30, 100):
            with tempfile.TemporaryDirectory() as folder:
                realised = export(exporter, zipf_request(n, 90 * 512 * 2048), Path(folder))
            table[name][str(n)] = {
                "total_variation": realised.total_variation,
                "worst_relative": max(abs(error) for error in realised.relative_error.values()),
                "dropped": [lang for lang, share in realised.realised.items() if share == 0],
                "remarks": list(realised.remarks),
            }
            print(f"{name:20} {n:4} languages: TV {realised.total_variation:.2e}", flush=True)
    return table


def toy_request(folder):
    """Five languages in three stages, small enough for every loader."""
    from glotmix.exporters.exporter import ExportRequest
    from glotmix.mixture.mixture import Mixture
    from glotmix.mixture.schedule import Schedule, Stage

    names = ["eng_Latn", "no", "swh_Latn", "zh-Hans", "y"]
    stages = [
        Stage(start, Mixture.normalised(dict(zip(names, weights, strict=True))))
        for start, weights in ((0.0, (6, 2, 1, 3, 0.5)), (0.5, (2, 2, 2, 2, 1)), (0.75, (0, 1, 3, 1, 2)))
    ]
    unique = {"eng_Latn": 200_000.0, "no": 60_000.0, "swh_Latn": 30_000.0, "zh-Hans": 90_000.0, "y": 12_000.0}
    lengths = {"eng_Latn": 50.0, "no": 30.0, "swh_Latn": 25.0, "zh-Hans": 80.0, "y": 20.0}
    paths = {name: f"{folder}/data/l{i}" for i, name in enumerate(names)}
    return ExportRequest(Schedule(tuple(stages)), 400 * 32 * 64, 64, 32, unique, lengths, paths, seed=11)


def round_trip(name):
    """Part 2 for one exporter: what its trainer deals out beside what was simulated."""
    from glotmix.exporters import all_exporters
    from glotmix.exporters.counted import counted_rows
    from glotmix.exporters.exporter import export
    from glotmix.exporters.huggingface import rows_per_phase
    from glotmix.exporters.torchtitan import documents_of_stage

    environment, _, _, kind = CHECKS[name]
    python = Path(sys.executable) if not environment else ENVS / environment / "bin" / "python"
    if not python.exists() or (environment and not (ENVS / environment / ".finished").exists()):
        return {"status": f"no environment {environment}: bash scripts/exporter_envs.sh {environment}"}
    exporter = all_exporters()[name]
    with tempfile.TemporaryDirectory() as folder:
        request = toy_request(folder)
        if name == "olmo_core":
            request = type(request)(**{**vars(request), "paths": {k: f"{v}.npy" for k, v in request.paths.items()}})
        out = Path(folder) / "out"
        export(exporter, request, out)
        simulated = exporter.simulate(request).tokens
        paths, rows = exporter.paths(request), rows_per_phase(request)
        if name == "maxtext":
            rows = [int(counted_rows(request, phase).sum()) for phase in request.phases]
        if name == "torchtitan":
            rows = [documents_of_stage(request, phase) for phase in request.phases]
        facts = {
            "batch": request.batch,
            "phases": [
                {"sequences": phase.steps * request.batch, "rows": rows[i]} for i, phase in enumerate(request.phases)
            ],
            "files": {paths[n]: int(request.unique[n]) for n in paths},
            "blocks": {paths[n]: int(request.unique[n] // (request.sequence_length + 1)) for n in paths},
            "rows": {paths[n]: int(request.unique[n] / request.tokens_per_document[n]) for n in paths},
            "language_rows": {n: int(request.unique[n] / request.tokens_per_document[n]) for n in paths},
        }
        (out / "request.json").write_text(json.dumps(facts))
        # -P: kernels.py and others beside this file are not the libraries of these names, which trainers look for.
        command = [str(python), "-P", str(Path(__file__).resolve()), "--child", name, str(out)]
        environ = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "JAX_PLATFORMS": "cpu",
            "HF_HOME": folder,
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=3000)
        if done.returncode:
            return {"status": "failed", "why": done.stderr.strip().splitlines()[-1:]}
        reply = json.loads(done.stdout.strip().splitlines()[-1])
        result = {"status": "agrees", "version": reply["version"], "compared": kind}
        if kind == "keys":
            return result
        language = {**{path: n for n, path in paths.items()}, **{n: n for n in paths}}
        worst = 0.0
        for counted, expected in zip(reply["counts"], simulated, strict=True):
            lengths = (
                request.tokens_per_document if exporter.unit == "rows" and kind == "dealt" else dict.fromkeys(paths, 1)
            )
            tokens = {language[key]: count * lengths[language[key]] for key, count in counted.items()}
            total, wanted = sum(tokens.values()), sum(expected.values())
            worst = max(worst, *(abs(tokens.get(n, 0) / total - expected.get(n, 0.0) / wanted) for n in paths))
        result["largest_difference_of_a_share"] = worst
        if worst > 1e-6:
            result["status"] = "differs"
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, metavar=("EXPORTER", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument(
        "--check", choices=["NEWEST"], help="run the round trips with the newest releases of the trainers"
    )
    parser.add_argument("--only", nargs="*", metavar="EXPORTER", help="round trips of these alone, into the same file")
    parser.add_argument("--table", action="store_true", help="print the recorded results as docs/exporters.md has them")
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    if arguments.check:
        sys.exit(newest(arguments.only or list(CHECKS)))
    if arguments.table:
        print(table(json.loads(RESULTS.read_text())))
        return
    record(errors=errors(arguments.only))
    for name in CHECKS if arguments.only is None else arguments.only:
        trip = round_trip(name)
        print(f"{name:20} {trip}", flush=True)
        record(round_trip={name: trip})


def newest(names):
    """Part 3: the round trips with the newest releases; 1 where a format has moved."""
    global ENVS
    recorded = json.loads(RESULTS.read_text())["round_trip"]
    releases = {name: newest_release(CHECKS[name][2]) for name in names}
    later = [name for name in names if CHECKS[name][0] and releases[name] != recorded.get(name, {}).get("version")]
    ENVS = ENVS.with_name(f"{ENVS.name}-newest")
    environments = sorted({CHECKS[name][0] for name in later})
    environ = {**os.environ, "GLOTMIX_EXPORTER_ENVS": str(ENVS), "NEWEST": "1"}
    if environments:
        subprocess.run(["bash", str(ROOT / "scripts" / "exporter_envs.sh"), *environments], env=environ, check=False)
    told, moved = {}, []
    for name in names:
        before = recorded.get(name, {})
        if name not in later:
            told[name] = f"no later release than {before.get('version', '?')}"
        else:
            trip = round_trip(name)
            told[name], has_moved = compared_with(before, trip, releases[name])
            moved += [name] if has_moved else []
        print(f"{name:20} {told[name]}", flush=True)
    date = datetime.date.today().isoformat()
    record(newest={"date": date, "told": told, "moved": moved})
    print(f"moved: {', '.join(moved) or 'none'}")
    return 1 if moved else 0


def compared_with(before, trip, release):
    """What the newest release's round trip tells beside the recorded one, and whether the format has moved."""
    old, new = before.get("version", "?"), trip.get("version", release)
    if trip["status"].startswith("no environment") or (release and new == old != release):
        return f"{release} is out and was not built on this Python (PYTHON=python3.13 tells another)", False
    same = trip["status"] == before.get("status")
    what = f"{'as before' if same else 'MOVED'}, {trip['status']} {trip.get('why', '')}".rstrip()
    return f"{old} -> {new}: {what}", not same


def newest_release(distribution):
    """The version that pip would install; empty where it cannot tell."""
    command = [sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", distribution]
    if distribution.startswith("marin-"):
        command.append("--pre")  # there are no others
    done = subprocess.run([*command, "--python-version", "3.13"], capture_output=True, text=True)
    first = done.stdout.partition("\n")[0]
    return first[first.find("(") + 1 : first.find(")")] if done.returncode == 0 else ""


def record(**parts):
    """Merge new results into the file of results."""
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part, values in parts.items():
        recorded[part] = {**recorded.get(part, {}), **values}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")


def table(recorded):
    """The recorded results as Markdown."""
    lines = [
        "| exporter | weights count | documents are | schedule | total variation at 5 / 30 / 100 languages "
        "| worst language at 100 | checked with |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in recorded["errors"].items():
        trip = recorded["round_trip"].get(name, {"status": "a model of its grammar (the contract test)"})
        checked = f"{CHECKS[name][2]} {trip['version']}" if "version" in trip else "a model of its grammar"
        if trip["status"] == "agrees" and trip.get("compared") != "dealt":
            checked += f" ({trip['compared']} only)"
        if trip["status"] == "differs":
            checked += f", differs by {trip['largest_difference_of_a_share']:.1g}"
        variation = " / ".join(f"{row[n]['total_variation']:.1e}" for n in ("5", "30", "100"))
        worst = f"{100 * row['100']['worst_relative']:.2g} %"
        what = f"{row['unit']} | {row['packing']} | {row['schedule']}"
        lines.append(f"| `{name}` | {what} | {variation} | {worst} | {checked} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
