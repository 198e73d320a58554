"""Two trainers, one mathematics: TRL's and the proxies' own give the same losses on the same data and seed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from glotmix.errors import BadInput, MissingExtra
from glotmix.mixture.mixture import Mixture
from glotmix.mixture.schedule import Schedule, Stage
from glotmix.posttraining.answer import answers, load_model
from glotmix.posttraining.chat import Encoded, encode
from glotmix.posttraining.engine import Proxy, finetune_proxy
from glotmix.posttraining.finetune import Finetuning, learning_rate
from glotmix.posttraining.generation import TransformersGenerator, VllmGenerator, batches_of
from glotmix.posttraining.order import reading_order, steps_of
from glotmix.posttraining.tasks import find_task
from glotmix.posttraining.trainer import finetune_with_trl, footprint, validation_loss
from glotmix.proxy.architecture import Architecture
from tests.measured_bytes import peak

LANGUAGES = ("eng_Latn", "spa_Latn", "rus_Cyrl")


@pytest.fixture(scope="module")
def data(proxy):
    _, tokenizer = proxy

    def of(split, count):
        task = find_task("mathematics")
        return [encode(tokenizer, s) for language in LANGUAGES for s in task.embedded(language, split, count)]

    return of("train", 8), of("validation", 2)


def settings(**changes):
    return Finetuning(batch=4, steps=8, learning_rate=3e-3, weight_decay=0.1, warmup=0.2, save_every=3, **changes)


def both(proxy, data, tmp_path, chosen, weights=None):
    directory, tokenizer = proxy
    train, validation = data
    tmp_path.mkdir(exist_ok=True)
    order = reading_order([s.language for s in train], None, chosen.steps, chosen.batch, 0)
    pad = tokenizer.pad_token_id
    ours = finetune_proxy(directory, train, validation, order, chosen, tmp_path / "own", weights=weights, pad=pad)
    theirs = finetune_with_trl(
        directory, tokenizer, train, validation, order, chosen, tmp_path / "trl", weights=weights, device="cpu"
    )
    return ours, theirs


@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_trls_trainer_and_ours_give_the_same_loss_curve(proxy, data, tmp_path, decay):
    """Equal but for the order of fp32 sums; the losses themselves fall by far more than that."""
    ours, theirs = both(proxy, data, tmp_path, settings(decay=decay))
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=2e-4)
    assert [step for step, _ in ours.validations] == [step for step, _ in theirs.validations] == [3, 6, 8]
    np.testing.assert_allclose([v for _, v in ours.validations], [v for _, v in theirs.validations], rtol=2e-4)
    assert ours.chosen == theirs.chosen
    assert ours.losses[0] - ours.losses[-1] > 0.5
    state = load_model(tmp_path / "own").state_dict()
    for name, tensor in load_model(tmp_path / "trl").state_dict().items():
        torch.testing.assert_close(tensor, state[name], atol=2e-3, rtol=2e-2)


def test_loss_weights_are_the_same_in_both_and_change_the_losses(proxy, data, tmp_path):
    weights = {"eng_Latn": 0.5, "spa_Latn": 2.0, "rus_Cyrl": 1.0}
    ours, theirs = both(proxy, data, tmp_path, settings(), weights)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=2e-4)
    plain = finetune_proxy(
        proxy[0], *data, reading_order([s.language for s in data[0]], None, 8, 4, 0), settings(), tmp_path / "plain",
        pad=proxy[1].pad_token_id,
    )  # fmt: skip
    assert abs(np.array(plain.losses) - ours.losses).max() > 0.05


@pytest.mark.parametrize(
    "weights", [None, {"eng_Latn": 0.5, "spa_Latn": 2.0, "rus_Cyrl": 1.0}], ids=["plain", "weighted"]
)
def test_passes_of_a_few_samples_give_what_the_whole_batch_gives(proxy, data, tmp_path, weights):
    """Samples differ in length, so a mean of the passes' means would be another number."""
    whole = both(proxy, data, tmp_path / "whole", settings(), weights)
    parted = both(proxy, data, tmp_path / "parts", settings(micro_batch=1), weights)
    for one, other in zip(whole, parted, strict=True):
        np.testing.assert_allclose(one.losses, other.losses, rtol=2e-5)
        np.testing.assert_allclose([v for _, v in one.validations], [v for _, v in other.validations], rtol=2e-5)
    with pytest.raises(ValueError, match="a batch of 4 does not part into passes of 3"):
        settings(micro_batch=3)


def test_how_samples_go_through_the_model_does_not_part_cells_and_adapters_do():
    plain = settings().determining()
    assert settings(micro_batch=2, recompute_activations=False).determining() == plain
    assert settings(lora_alpha=8).determining() != plain


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_bytes_of_fine_tuning_are_those_that_are_allocated(proxy, tmp_path, method, monkeypatch):
    """With narrow tiles: without a GPU's kernels TRL copies a tile several times."""
    monkeypatch.setattr("trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE", 8)
    monkeypatch.setattr("glotmix.posttraining.trainer.TILE", (4096, 8))
    directory, tokenizer = proxy
    length, batch = 192, 6
    train = [Encoded(np.arange(length) % 500, np.arange(length) >= 8, "eng_Latn") for _ in range(batch)]
    chosen = Finetuning(batch=batch, steps=2, context=length, method=method, recompute_activations=False, save_every=9)
    architecture = Architecture.of(str(directory), {}, directory, where="base")
    planned = footprint("", architecture, chosen, tokens=1.0)
    order = np.tile(np.arange(batch), (2, 1))
    with peak() as measured:
        finetune_with_trl(directory, tokenizer, train, [], order, chosen, tmp_path / "out", device="cpu")
    assert planned.bytes == pytest.approx(measured.most, rel=0.1)


def test_the_checkpoint_with_the_least_validation_loss_is_kept(proxy, data, tmp_path):
    """Trained so hot that later checkpoints are worse than some earlier one."""
    directory, tokenizer = proxy
    train, validation = data
    hot = Finetuning(batch=4, steps=30, learning_rate=0.1, save_every=1)
    order = reading_order([s.language for s in train[:4]], None, 30, 4, 0)
    history = finetune_proxy(directory, train[:4], validation, order, hot, tmp_path / "own", pad=tokenizer.pad_token_id)
    least = min(history.validations, key=lambda pair: pair[1])
    assert history.chosen == least[0] != 30
    kept = Proxy(tmp_path / "own").loss(validation, tokenizer.pad_token_id)
    assert kept == pytest.approx(least[1], rel=1e-4)
    assert validation_loss(load_model(tmp_path / "own"), validation, tokenizer.pad_token_id) == pytest.approx(
        kept, rel=1e-3
    )


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
def test_adapters_train_little_and_are_merged(proxy, data, tmp_path):
    directory, tokenizer = proxy
    train, validation = data
    chosen = settings(method="lora", lora_rank=4)
    order = reading_order([s.language for s in train], None, 8, 4, 0)
    history = finetune_with_trl(directory, tokenizer, train, validation, order, chosen, tmp_path / "lora", device="cpu")
    assert history.losses[-1] < history.losses[0]
    before, after = load_model(directory).state_dict(), load_model(tmp_path / "lora").state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("proj" in name for name in changed)  # linear layers only: no embedding, no norm
    difference = after["model.layers.0.self_attn.q_proj.weight"] - before["model.layers.0.self_attn.q_proj.weight"]
    assert torch.linalg.matrix_rank(difference.double(), rtol=1e-4) <= 4


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft's own
def test_adapters_go_where_they_are_asked_for_and_as_strongly(proxy, data, tmp_path):
    directory, tokenizer = proxy
    order = reading_order([s.language for s in data[0]], None, 2, 4, 0)

    def moved(name, **dials):
        chosen = Finetuning(
            batch=4, steps=2, learning_rate=1e-3, method="lora", lora_rank=4, lora_targets=["q_proj"], **dials
        )
        finetune_with_trl(directory, tokenizer, data[0], [], order, chosen, tmp_path / name, device="cpu")
        before, after = load_model(directory).state_dict(), load_model(tmp_path / name).state_dict()
        return {key: (after[key] - before[key]).norm() for key in before if not torch.equal(before[key], after[key])}

    weak, strong = moved("weak", lora_alpha=4), moved("strong", lora_alpha=16)
    assert weak.keys() == strong.keys()
    assert all("q_proj" in name for name in weak)
    assert all(strong[name] > 2 * weak[name] for name in weak)


def test_a_model_learns_to_answer_and_answers_do_not_depend_on_their_company(proxy, tmp_path, monkeypatch):
    directory, tokenizer = proxy
    samples = find_task("mathematics").embedded("eng_Latn", "train", 3)
    train = [encode(tokenizer, sample) for sample in samples]
    long = Finetuning(batch=3, steps=60, learning_rate=1e-2, save_every=60)
    order = reading_order([s.language for s in train], None, 60, 3, 0)
    finetune_proxy(directory, train, [], order, long, tmp_path / "own", pad=tokenizer.pad_token_id)
    model = TransformersGenerator(load_model(tmp_path / "own"))
    said = answers(model, tokenizer, samples, 4)
    assert said == [sample.answer for sample in samples]
    assert said == [answers(model, tokenizer, [sample], 4)[0] for sample in samples]
    monkeypatch.setattr("glotmix.posttraining.generation.CACHE_BYTES", 1)
    assert said == answers(model, tokenizer, samples, 4)
    assert answers(TransformersGenerator(load_model(directory)), tokenizer, samples, 4) != said


class FakeVllm:
    """vLLM's names and arguments, its answers computed by transformers one prompt at a time."""

    def __init__(self, *, model, dtype, seed, trust_remote_code, skip_tokenizer_init):
        assert (dtype, skip_tokenizer_init, trust_remote_code) == ("float32", True, False)
        self.generator = TransformersGenerator(load_model(model))
        config = SimpleNamespace(max_model_len=self.generator.context)
        self.llm_engine = SimpleNamespace(model_config=config)

    def generate(self, prompts, sampling_params, use_tqdm):
        assert sampling_params["temperature"] == 0
        most, ends = sampling_params["max_tokens"], sampling_params["stop_token_ids"]
        said = [self.generator.continued([one["prompt_token_ids"]], most, ends, ends[0])[0] for one in prompts]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(ids))]) for ids in said]


def test_vllm_is_asked_for_the_same_answers_and_refused_by_name_where_it_is_not(proxy, monkeypatch):
    directory, tokenizer = proxy
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match="vllm"):
        VllmGenerator(directory, half=False)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=FakeVllm, SamplingParams=dict))
    samples = find_task("mathematics").embedded("eng_Latn", "test", 3)
    said = answers(VllmGenerator(directory, half=False), tokenizer, samples, 4)
    assert said == answers(TransformersGenerator(load_model(directory)), tokenizer, samples, 4)
    with pytest.raises(BadInput, match="at most 256 together"):
        answers(VllmGenerator(directory, half=False), tokenizer, samples, 250)


def test_what_is_answered_together_is_bounded_by_number_and_by_tokens():
    lengths = [2, 3, 3, 10, 50]
    assert list(batches_of(lengths, "abcde", 20)) == [["a", "b", "c"], ["d"], ["e"]]
    assert list(batches_of([1] * 300, range(300), 1e9)) == [list(range(a, min(a + 128, 300))) for a in (0, 128, 256)]


def test_a_question_that_leaves_no_room_for_its_answer_is_a_named_error(proxy):
    directory, tokenizer = proxy
    sample = find_task("mathematics").embedded("spa_Latn", "test", 1)[0]
    with pytest.raises(BadInput, match=r"mathematics in spa_Latn: the question of sample .* at most 256 together"):
        answers(TransformersGenerator(load_model(directory)), tokenizer, [sample], 250)


def test_every_sample_is_read_equally_often_and_a_schedule_is_kept_to():
    names = ["eng_Latn"] * 12 + ["spa_Latn"] * 4
    steps = steps_of(16, 4, 3)
    assert steps == 12
    order = reading_order(names, None, steps, 4, 0)
    assert (np.bincount(order.ravel(), minlength=16) == 3).all()
    assert (reading_order(names, None, steps, 4, 0) == order).all()
    assert (reading_order(names, None, steps, 4, 1) != order).any()
    only = {"eng_Latn": 1.0, "spa_Latn": 0.0}
    later = Schedule((Stage(0.0, Mixture(only)), Stage(0.5, Mixture({"eng_Latn": 0.5, "spa_Latn": 0.5}))))
    read = reading_order(names, later, 100, 4, 0)
    assert (read[:50] < 12).all()
    assert np.mean(read[50:] >= 12) == pytest.approx(0.5, abs=0.02)


def test_learning_rates_warm_up_and_fall():
    chosen = Finetuning(learning_rate=1.0, warmup=0.1, decay="cosine")
    rates = [learning_rate(step, 100, chosen) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert {learning_rate(step, 100, Finetuning(learning_rate=2.0)) for step in range(100)} == {2.0}


def test_a_model_that_is_not_there_is_a_named_error(tmp_path):
    with pytest.raises(BadInput, match="cannot load the model"):
        load_model(tmp_path / "nowhere")
