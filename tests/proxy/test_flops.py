import pytest
import torch

from glotmix.proxy import flops, kernels, model
from glotmix.proxy.model import Shape, init_parameters

SHAPES = [Shape(64, 3, 4, 176, 2048), Shape(32, 2, 2, 48, 97, tied=False, context=16)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_parts_sum_to_all_parameters(shape):
    assert sum(flops.parameter_groups(shape).values()) == shape.parameters


@pytest.mark.parametrize("shape", SHAPES)
def test_the_count_is_the_multiply_adds_that_the_forward_pass_does(shape, monkeypatch):
    counted = 0

    def counting(product):
        def wrapped(*tensors):
            nonlocal counted
            a, b = tensors[-2:]
            counted += 2 * a.numel() * b.shape[-1]
            return product(*tensors)

        return wrapped

    monkeypatch.setattr(torch, "bmm", counting(torch.bmm))
    monkeypatch.setattr(torch, "baddbmm", counting(torch.baddbmm))
    tokens = torch.zeros(1, 2, shape.context, dtype=torch.long)
    with kernels.plain(), torch.no_grad():
        model.logits(init_parameters(shape, [0]), tokens, shape)
    parts = flops.forward_per_token(shape, shape.context)
    products = 2 * 2 * shape.context * shape.width * shape.layers  # attention's two, which happen inside one operation
    assert parts["scores"] + parts["mixing"] == products
    assert counted / tokens.numel() + products == sum(parts.values())


def test_utilisation_of_the_peak_is_one_at_the_peak():
    per_token = flops.per_token(SHAPES[0], 128)
    assert flops.utilisation(SHAPES[0], 128, 1e9 / per_token, 1e9) == pytest.approx(1)
