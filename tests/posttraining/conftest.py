import pytest

from tests.posttraining.toy import chat_model


@pytest.fixture(scope="session")
def proxy(tmp_path_factory):
    """A random chat-ready proxy and its tokenizer."""
    return chat_model(tmp_path_factory.mktemp("proxy"))
