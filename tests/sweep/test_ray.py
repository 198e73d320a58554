"""Ray tasks keep the executor contract on a cluster of two nodes on this machine."""

import pytest

ray = pytest.importorskip("ray")

from glotmix.errors import BadInput  # noqa: E402
from glotmix.sweep.executors.ray import RayExecutor  # noqa: E402
from tests.contracts.executor import ExecutorContract  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
        nodes.add_node(num_cpus=1, object_store_memory=80_000_000)
        nodes.wait_for_nodes()
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.mark.filterwarnings("ignore")
class TestRayExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, cluster):
        return RayExecutor(address=cluster.address)

    def test_it_carries_what_both_nodes_carry(self, executor):
        assert executor.workers == 2

    def test_more_than_the_cluster_has_is_bad_input(self, cluster):
        with pytest.raises(BadInput, match="at most what the cluster has"):
            RayExecutor(address=cluster.address, gpus=1.0)
