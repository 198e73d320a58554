"""Results that strangers hand in: tables of runs in every form, fitted laws, mixtures, and the directory of a study."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from glotmix.artifact import read_json
from glotmix.exporters import all_exporters
from glotmix.exporters.from_file import export_file
from glotmix.fit.choice import fit_measurements, open_fit
from glotmix.fit.predictions import predict_table
from glotmix.measurements import read_mixtures, read_runs
from glotmix.optimize.config import OptimizeConfig
from glotmix.optimize.optimum import Optimum
from glotmix.optimize.request import optimum_of
from glotmix.study.status import status_of
from tests.mutants import Hostile, Tree, parsed

GROUPS = ("es", "fr")
EVERY = 16
"""What takes long is done with one input in so many."""


def wide_rows(count: int = 8) -> list[dict]:
    """Runs whose losses follow their shares."""
    return [
        {"run": f"r{i}", "N": 1e6 * (1 + i % 2), "D": 1e8 * (1 + i), "seed": i, "p/es": (1 + i) / (count + 2),
         "p/fr": (count + 1 - i) / (count + 2),
         "loss/es": 3 - i / 9, "loss/fr": 2 + i / 7}
        for i in range(count)
    ]  # fmt: skip


def as_csv(rows: list[dict], separator: str = ",") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


class Counting(Hostile):
    """Counts its inputs, so that some are asked more of."""

    inputs = 0

    def read(self, data: bytes) -> object:
        self.inputs += 1
        return self.looked_at(data)

    def looked_at(self, data: bytes) -> object:
        raise NotImplementedError


class TableForms(Counting):
    """Long tables, trackers' exports, other separators, Parquet: the first byte says under which ending; every so often
    beside a table of shares, or as mixtures to predict for."""

    endings: tuple[str, ...] = ("csv", "tsv", "parquet", "txt")
    words = (b"metric", b"value", b"step", b"tokens", b"p/es", b"loss/es", b"summary.", b"config.", b"{'es': 1}", b"nan", b"1,5", b"12 %",
             b";", b"|", b"\t", b"\r", b'"', b"crashed", b"1e999", b"language", b"\xff\xfe", b"PAR1", b"N (M)", b"1.234.567", b"\x00",
             b"[" * 3000)  # fmt: skip

    def make(self):
        wide = wide_rows()
        metrics = ("p/es", "p/fr", "loss/es", "loss/fr")
        long = [
            {"run": row["run"], "step": step, "metric": name, "value": row[name]} for row in wide for step in (1, 2) for name in metrics
        ]  # fmt: skip
        by_language = [
            {"run": row["run"], "tokens": row["D"], "language": name, "metric": "bpb", "value": row[f"loss/{name}"]}
            for row in wide
            for name in GROUPS
        ]
        tracker = [
            {"Name": row["run"], "State": "finished", "config.mixture.es": row["p/es"], "config.mixture.fr": row["p/fr"],
             "config.n_params": row["N"], "summary.tokens": row["D"], "eval/es/bpb": row["loss/es"], "eval/fr/bpb": row["loss/fr"]}
            for row in wide
        ]  # fmt: skip
        dictionaries = [
            {"name": row["run"], "config": str({"mixture": {"es": row["p/es"], "fr": row["p/fr"]}, "tokens": row["D"]}),
             "summary": json.dumps({"loss/es": row["loss/es"], "loss/fr": row["loss/fr"]})}
            for row in wide
        ]  # fmt: skip
        shares = [{"run": row["run"], "es": row["p/es"], "fr": row["p/fr"]} for row in wide]
        (self.folder / "shares.csv").write_bytes(as_csv(shares))
        pl.DataFrame(wide).write_parquet(self.folder / "seed.parquet")
        german = [{name: str(cell).replace(".", ",") for name, cell in row.items()} for row in wide]
        return [
            b"\0" + as_csv(long), b"\0" + as_csv(tracker), b"\0" + as_csv(dictionaries), b"\0" + as_csv(by_language),
            b"\1" + as_csv(wide, "\t"), b"\0" + as_csv(german, ";"), b"\3" + as_csv(wide, "|"),
            b"\2" + (self.folder / "seed.parquet").read_bytes(),
        ]  # fmt: skip

    def looked_at(self, data):
        path = self.folder / f"runs.{self.endings[data[0] % len(self.endings) if data else 0]}"
        path.write_bytes(data[1:])
        if self.inputs % 4 == 1:
            return read_runs(path, mixtures=self.folder / "shares.csv")
        if self.inputs % 4 == 2:
            return read_mixtures(path, GROUPS).written
        return read_runs(path)


class JsonFile(Counting):
    """A JSON file that glotmix wrote: most changes are to its values."""

    words = (
        b"NaN",
        b"Infinity",
        b"null",
        b"{}",
        b"[]",
        b'"x"',
        b"-1",
        b"1e999",
        b"1" * 4400,
        b"[" * 3000,
        b'"law"',
        b"}",
    )

    def tree(self, data: bytes) -> Tree | None:
        return parsed(data, lambda value: json.dumps(value).encode())


class FittedLaw(JsonFile):
    """``fit.json``: opened, asked for losses, and every so often for the best mixture."""

    def make(self):
        (self.folder / "runs.csv").write_bytes(as_csv(wide_rows(16)))
        (self.folder / "asked.csv").write_text("p/es,p/fr,N,D\n0.25,0.75,1e6,1e8\n")
        runs, found = read_runs(self.folder / "runs.csv"), []
        for law in ("own_ratio", "null"):
            fitted = fit_measurements(runs, laws=[law], folds=2, bootstrap=2, seed=0)
            found.append(json.dumps({"fit": fitted.fit.to_json(), "remarks": []}).encode())
        return found

    def looked_at(self, data):
        path = self.folder / "fit.json"
        path.write_bytes(data)
        law = open_fit(path)
        predict_table(law, self.folder / "asked.csv", self.folder / "predicted.csv")
        if self.inputs % EVERY == 0:
            optimum_of(law, OptimizeConfig(max_epochs=None))


class MixtureFile(JsonFile):
    """``mixture.json``: an optimum, a schedule or plain shares, exported to one trainer after the other."""

    def make(self):
        (self.folder / "runs.csv").write_bytes(as_csv(wide_rows(16)))
        law = fit_measurements(
            read_runs(self.folder / "runs.csv"), laws=["own_ratio"], folds=2, bootstrap=2, seed=0
        ).fit
        optimum = optimum_of(law, OptimizeConfig(max_epochs=None), D=1e5, unique=dict.fromkeys(GROUPS, 1e5))
        self.trainers = sorted(all_exporters())
        stages = [
            {"start": 0.0, "mixture": {"es": 0.25, "fr": 0.75}},
            {"start": 0.5, "mixture": {"es": 0.5, "fr": 0.5}},
        ]
        return [json.dumps(one).encode() for one in (optimum.to_json(), stages, {"es": 0.5, "fr": 0.5})]

    def looked_at(self, data):
        path = self.folder / "mixture.json"
        path.write_bytes(data)
        value = read_json(path)
        if isinstance(value, dict) and "baselines" in value:
            Optimum.from_json(value, where=path).to_json()
        trainer = self.trainers[self.inputs // EVERY % len(self.trainers)] if self.inputs % EVERY == 0 else "levanter"
        export_file(path, trainer, self.folder / "out", tokens=1e5, sequence_length=64, batch=8, paths=(), seed=0,
                    unique={}, tokens_per_document={})  # fmt: skip


class StudyResults(Counting):
    """The directory of a study: which file the bytes replace is their first byte modulo six; the two tables are written
    as Parquet of the rows that the bytes hold."""

    words = (b"null", b"-1", b"1e999", b"{}", b"[]", b'"complete"', b'"../../x"', b'"run"', b"NaN")
    files = ("runs", "losses", "progress.json", "compute.json", "work.json", "swarm_plan.json")

    def make(self):
        self.study = self.folder / "study"
        (self.study / "measurements").mkdir(parents=True)
        (self.study / "runs" / "r0").mkdir(parents=True)
        runs = [
            {**{k: v for k, v in row.items() if not k.startswith("loss")}, "role": "method", "status": "complete", "reason": "",
             "schedule": "", "unique/es": 1e6, "unique/fr": 1e6}
            for row in wide_rows()
        ]  # fmt: skip
        losses = [
            {
                "run": row["run"],
                "step": 9,
                "tokens": row["D"],
                "language": name,
                "metric": "bpb",
                "value": row[f"loss/{name}"],
            }
            for row in wide_rows()
            for name in GROUPS
        ]
        plan = [
            {
                "run": "r0",
                "role": "method",
                "schedule": [{"start": 0.0, "mixture": {"es": 1.0}}],
                "tokens": 100,
                "seed": 0,
            }
        ]
        sound = (
            runs,
            losses,
            {"seconds_left": 3.0, "doing": "x"},
            {"r0": 1e9},
            [{"name": "x", "path": "runs/r0"}],
            plan,
        )
        self.sound = [json.dumps(one).encode() for one in sound]
        (self.study / "study.json").write_text(json.dumps({"name": "x", "languages": list(GROUPS)}))
        (self.study / "runs/r0/run.json").write_text(json.dumps({"status": "complete", "C": 1e9}))
        for number, data in enumerate(self.sound):
            self._put(number, data)
        self.changed = 0
        return [bytes([number]) + data for number, data in enumerate(self.sound)]

    def tree(self, data):
        return parsed(data[1:], lambda value: data[:1] + json.dumps(value).encode())

    def _put(self, number: int, data: bytes) -> None:
        name = self.files[number]
        if number > 1:
            (self.study / name).write_bytes(data)
            return
        path = self.study / "measurements" / f"{name}.parquet"
        try:
            pl.DataFrame(json.loads(data), infer_schema_length=None, strict=False).write_parquet(path)
        except Exception:
            path.write_bytes(data)

    def looked_at(self, data):
        self._put(self.changed, self.sound[self.changed])
        self.changed = data[0] % len(self.files) if data else 0
        self._put(self.changed, data[1:])
        return read_runs(self.study) if self.changed < 2 else status_of(self.study)


RESULTS: dict[str, Callable[[Path], Hostile]] = {
    "tables": TableForms,
    "fit": FittedLaw,
    "mixture": MixtureFile,
    "results": StudyResults,
}
