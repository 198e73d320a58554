"""What strangers send is read or refused with place and reason; nothing of it runs, hangs or fills the memory."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile import TARGETS


@pytest.fixture(scope="module", params=sorted(TARGETS))
def hostile(request, tmp_path_factory):
    return TARGETS[request.param](tmp_path_factory.mktemp(request.param))


def test_what_mutations_start_from_is_read(hostile):
    """Else the fuzzing would see the first line of each reader only."""
    assert hostile(hostile.seeds[0])


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_input_gives_anything_but_a_result_or_an_error_with_place_and_reason(hostile, data):
    hostile(data.draw(hostile.strategy()))
