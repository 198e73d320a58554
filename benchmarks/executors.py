"""The same small study by every executor: local processes, Ray on two nodes, SLURM. Tables must agree byte for byte.

    python benchmarks/executors.py            # as root, with Debian's slurmctld, slurmd, slurm-client and munge

Starts its own Ray cluster and its own SLURM on this machine (scripts/slurm.sh). Raw: benchmarks/results/executors.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from faults import ROOT, SMALLER, TABLES

from glotmix.artifact import checksum

RESULT = ROOT / "benchmarks/results/executors.json"


def run(out: Path, executor: str, *more: str) -> dict:
    """Run the study; seconds and digests."""
    changes = [word for change in (*SMALLER, *more) for word in ("--set", change)]
    recipe = str(ROOT / "recipes/quickstart.yaml")
    command = [sys.executable, "-m", "glotmix", "run", recipe, "--out", str(out), "--executor", executor, *changes]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.monotonic() - began, "digests": {name: checksum(out / name) for name in TABLES}}


def main() -> None:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results["local"] = run(folder / "local", "local")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        results["ray, two nodes"] = run(folder / "ray", "ray", f"sweep.address={cluster.address}")
        cluster.shutdown()
        subprocess.run([ROOT / "scripts/slurm.sh", folder / "slurm-node"], check=True)
        os.environ["SLURM_CONF"] = str(folder / "slurm-node/slurm.conf")
        results["slurm, one node"] = run(folder / "slurm", "slurm")
        subprocess.run([ROOT / "scripts/slurm.sh", folder / "slurm-node", "stop"], check=True)
    expected = results["local"]["digests"]
    identical = {name: one["digests"] == expected for name, one in results.items()}
    RESULT.write_text(json.dumps({"identical": identical, "runs": results}, indent=1) + "\n")
    print(json.dumps(identical, indent=1))
    sys.exit(0 if all(identical.values()) else 1)


if __name__ == "__main__":
    main()
