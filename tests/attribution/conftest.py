import numpy as np
import pytest
import torch

from glotmix.attribution.samples import Samples

torch.set_num_threads(1)


def xlmr(layers=2, width=64, vocab=600, labels=2, seed=0):
    """A random XLM-R classifier of 0.1M to 0.2M parameters; eager attention, which every peer can differentiate."""
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=vocab,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=34,
        num_labels=labels,
        attn_implementation="eager",
        pad_token_id=1,
    )
    model = XLMRobertaForSequenceClassification(config)
    with torch.no_grad():  # away from the start, where LayerNorms are ones and biases zeros
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model


def classified(n, seed, vocab=600, longest=20):
    """Padded samples of two languages in which tokens repeat."""
    rng = np.random.default_rng(seed)
    ids = torch.from_numpy(rng.integers(2, vocab, (n, longest)))
    ids[:, 3] = ids[:, 1]
    length = torch.from_numpy(rng.integers(5, longest, n))
    mask = (torch.arange(longest)[None] < length[:, None]).long()
    ids = torch.where(mask == 1, ids, 1)
    labels = torch.from_numpy(rng.integers(0, 2, n))
    languages = tuple("ab"[i % 2] for i in range(n))
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return Samples(inputs, languages, tuple(str(i // 2) for i in range(n)), tuple(labels.tolist()))


def autograd_gradients(model, loss, samples, names):
    """The plain loop: one backward per sample, flattened in fp64, [N, P]."""
    model.eval()
    parameters = dict(model.named_parameters())
    rows = []
    for i in range(len(samples)):
        ((_, batch),) = samples.take([i]).batches(1)
        value = loss(model, batch).sum()
        found = torch.autograd.grad(value, [parameters[n] for n in names], allow_unused=True)
        rows.append(
            torch.cat(
                [
                    (torch.zeros_like(parameters[n]) if g is None else g).flatten()
                    for n, g in zip(names, found, strict=True)
                ]
            ).double()
        )
    return torch.stack(rows).numpy()


@pytest.fixture(scope="session")
def classifier():
    return xlmr()
