"""The judge is asked only where it was named, only what no code can tell, and its silence loses nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import polars as pl
import pytest

from glotmix.errors import BadInput, GlotmixError
from glotmix.posttraining.judge import Judge, JudgeConfig, Spent, Unreachable, as_score
from glotmix.posttraining.sample import Message, Sample
from glotmix.studies.posttraining.judging import _rated

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
            self.send_response(reply if isinstance(reply, int) else 200)
            if isinstance(reply, int):
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", replies, asked
    server.shutdown()
    server.server_close()
    thread.join()


def judge(url, **options):
    return Judge(JudgeConfig(endpoint=url, model="m", **{"retries": 0} | options))


def test_the_wording_may_be_the_studys_own(endpoint):
    url, replies, asked = endpoint
    replies += ["Rating: [[2]]"]
    own = "Rate {answer} to {request} as [[1]] to [[5]], {other} {{braces}}."
    assert judge(url, prompt=own).rate(SAMPLE, "{request} at two") == 2
    told = asked[0][1]["messages"][0]["content"]
    assert told.startswith("Rate {request} at two to ")  # an answer's own braces are no places
    assert "¿Qué hora es?" in told
    assert told.endswith("as [[1]] to [[5]], {other} {{braces}}.")
    for wrong in ("Rate {answer}: [[1]]", "Rate {request}: [[1]]", "Rate {answer} to {request}"):
        with pytest.raises(ValueError, match="has no"):
            JudgeConfig(endpoint=url, model="m", prompt=wrong)


def test_a_rating_is_read_from_its_brackets(endpoint, monkeypatch):
    url, replies, asked = endpoint
    replies += ["It answers the question. Rating: [[5]]", "Rating: [[1]]"]
    monkeypatch.setenv("MY_KEY", "secret")
    ratings = judge(url, key_variable="MY_KEY", concurrent=1).rate_all([(SAMPLE, "Las dos."), (SAMPLE, "?")])
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


def test_a_busy_server_is_asked_again_and_one_that_refuses_is_not(endpoint, monkeypatch):
    url, replies, asked = endpoint
    waited = []
    monkeypatch.setattr("glotmix.posttraining.judge.time.sleep", waited.append)
    replies += [429, 503, "Rating: [[2]]"]
    assert judge(url, retries=2).rate(SAMPLE, "x") == 2
    assert len(asked) == 3
    assert len(waited) == 2
    replies += [401, "Rating: [[2]]"]
    with pytest.raises(Unreachable, match="401"):
        judge(url, retries=2).rate(SAMPLE, "x")
    assert len(asked) == 4


def test_requests_side_by_side_give_ratings_in_order_and_no_more_than_the_budget(monkeypatch):
    """Four at a time: nobody goes on before all four have been asked."""
    together, gate = [], threading.Barrier(4, timeout=20)

    def reply(self, prompt):
        self._spend()
        number = int(prompt.rpartition("answer ")[2])
        together.append(number)
        if number < 4:
            gate.wait()
        return f"Rating: [[{1 + number % 5}]]"

    monkeypatch.setattr(Judge, "_asked", reply)
    told = {}
    asked = [(SAMPLE, f"answer {i}") for i in range(8)]
    assert judge("http://x/v1").rate_all(asked, told.__setitem__) == [1 + i % 5 for i in range(8)]
    assert told == {i: 1 + i % 5 for i in range(8)}
    assert sorted(together[:4]) == [0, 1, 2, 3]
    few = {}
    with pytest.raises(Spent, match="5 requests are made"):
        judge("http://x/v1", budget=5, concurrent=1).rate_all(asked[4:] * 2, few.__setitem__)
    assert sorted(few) == [0, 1, 2, 3, 4]


def test_ratings_that_are_under_way_when_one_fails_are_told(monkeypatch):
    """The second is answered after the first has failed."""
    begun, failed = threading.Event(), threading.Event()

    def reply(self, prompt):
        if prompt.endswith("answer 0"):
            begun.wait(20)
            failed.set()
            raise Unreachable("gone")
        begun.set()
        failed.wait(20)
        return "Rating: [[4]]"

    monkeypatch.setattr(Judge, "_asked", reply)
    told = {}
    with pytest.raises(Unreachable, match="gone"):
        judge("http://x/v1", concurrent=2).rate_all([(SAMPLE, "answer 0"), (SAMPLE, "answer 1")], told.__setitem__)
    assert told == {1: 4}


def test_what_was_rated_within_the_budget_is_not_asked_again(endpoint, tmp_path):
    url, _, asked = endpoint
    samples = [Sample(str(i), *([getattr(SAMPLE, n) for n in ("task", "language", "messages")])) for i in range(4)]
    plan = SimpleNamespace(setting=SimpleNamespace(data=SimpleNamespace(samples=lambda *_: samples)))
    rows = [
        {"task": "instructions", "language": "spa_Latn", "id": s.id, "answer": s.id, "value": None} for s in samples
    ]
    table = pl.DataFrame([*rows[:3], rows[3] | {"value": 0.0}], schema_overrides={"value": pl.Float64})
    with pytest.raises(Spent):
        _rated(table, judge(url, budget=2, concurrent=1), plan, tmp_path / "begun.jsonl")
    assert len(asked) == 2
    with (tmp_path / "begun.jsonl").open("a") as notes:
        notes.write('["cut o')
    done = _rated(table, judge(url), plan, tmp_path / "begun.jsonl")
    assert len(asked) == 3
    assert done["value"].to_list() == [0.5, 0.5, 0.5, 0.0]


def test_an_unreachable_judge_is_a_named_error():
    with pytest.raises(Unreachable, match=r"http://127.0.0.1:9/v1/chat/completions: .*refused"):
        judge("http://127.0.0.1:9/v1").rate(SAMPLE, "x")


def test_an_address_or_a_key_that_is_none_is_named(monkeypatch):
    with pytest.raises(BadInput, match="endpoint = 'ftp://x'"):
        judge("ftp://x")
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(BadInput, match="environment has no NO_SUCH_KEY"):
        judge("http://x/v1", key_variable="NO_SUCH_KEY")
