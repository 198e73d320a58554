"""A SkyPilot task for a study: any cloud's spot machines, one after the other, until the study is done.

``sky jobs launch`` starts another machine when one is taken away; what the last one finished comes back from the
mirror. The task has SkyPilot's documented fields (name, resources, workdir, setup, run); no test of ours starts one.
"""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from glotmix.errors import BadInput

PACKAGE = "glotmix[train,storage]"


def sky_task(study: Path, mirror: str, *, accelerators: str | None = None, cpus: str = "8+") -> str:
    """The task as YAML.

    Args:
        study: the study file, below the directory that is sent along.
        mirror: URL that finished results are sent to and fetched from.
        accelerators: SkyPilot's name and number of them ("A100:1"); None for processors alone.
        cpus: processors of the machine, as SkyPilot writes them.

    Raises:
        BadInput: a study outside of the directory, or a mirror that only this machine can reach.
    """
    if study.is_absolute() or ".." in study.parts:
        raise BadInput("lies outside of the directory that is sent along", where=study, expected="a path inside of it")
    if "://" not in mirror or mirror.startswith(("file://", "memory://", "local://")):
        raise BadInput(f"{mirror!r}", where="--mirror", expected="a URL that every machine reaches (s3://bucket/study)")
    command = ["glotmix", "run", str(study), "--set", f"sweep.mirror={mirror}"]
    resources: dict[str, Any] = {"use_spot": True, "cpus": cpus}
    if accelerators is not None:
        resources["accelerators"] = accelerators
    task = {
        "name": re.sub("[^a-z0-9-]+", "-", study.stem.lower()).strip("-") or "study",
        "resources": resources,
        "workdir": ".",
        "setup": shlex.join(["pip", "install", PACKAGE]),
        "run": shlex.join(command),
    }
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(task, out)
    return out.getvalue()
