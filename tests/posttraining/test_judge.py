"""The judge is asked only where it was named, only what no code can tell, and its silence loses nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from glotmix.errors import BadInput, GlotmixError
from glotmix.posttraining.judge import Judge, JudgeConfig, Unreachable, as_score
from glotmix.posttraining.sample import Message, Sample

SAMPLE = Sample("1", "instructions", "spa_Latn", (Message("user", "¿Qué hora es?"), Message("assistant", "Las dos.")))


@pytest.fixture
def endpoint():
    """An OpenAI-compatible server that answers from a list, and keeps what it was asked."""
    replies, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body), self.headers.get("Authorization")))
            reply = replies.pop(0) if replies else "Rating: [[3]]"
            payload = (
                reply
                if isinstance(reply, bytes)
                else json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", replies, asked
    server.shutdown()
    server.server_close()
    thread.join()


def judge(url, **options):
    return Judge(JudgeConfig(endpoint=url, model="m", **{"retries": 0} | options))


def test_a_rating_is_read_from_its_brackets(endpoint, monkeypatch):
    url, replies, asked = endpoint
    replies += ["It answers the question. Rating: [[5]]", "Rating: [[1]]"]
    monkeypatch.setenv("MY_KEY", "secret")
    ratings = judge(url, key_variable="MY_KEY").rate_all([SAMPLE, SAMPLE], ["Las dos.", "?"])
    assert ratings == [5, 1]
    path, body, key = asked[0]
    assert (path, key, body["model"], body["temperature"]) == ("/v1/chat/completions", "Bearer secret", "m", 0)
    assert "¿Qué hora es?" in body["messages"][0]["content"]
    assert [as_score(rating) for rating in (1, 3, 5)] == [0, 0.5, 1]


def test_a_reply_without_a_rating_is_asked_for_again_and_then_an_error(endpoint):
    url, replies, _ = endpoint
    replies += ["I like it.", "Rating: [[4]]"]
    assert judge(url, retries=1).rate(SAMPLE, "x") == 4
    replies += ["no", "still no"]
    with pytest.raises(GlotmixError, match="no rating"):
        judge(url, retries=1).rate(SAMPLE, "x")
    replies += [b"not json"]
    with pytest.raises(Unreachable, match="no chat completion"):
        judge(url).rate(SAMPLE, "x")


def test_an_unreachable_judge_is_a_named_error():
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:9/v1/chat/completions: .*refused"):
        judge("http://127.0.0.1:9/v1").rate(SAMPLE, "x")


def test_an_address_or_a_key_that_is_none_is_named(monkeypatch):
    with pytest.raises(BadInput, match="endpoint = 'ftp://x'"):
        judge("ftp://x")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(BadInput, match="environment has no NO_SUCH_KEY"):
        judge("http://x/v1", key_variable="NO_SUCH_KEY")
