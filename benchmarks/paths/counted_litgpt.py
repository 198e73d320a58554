"""Runs LitGPT's command line, and writes down what every step of its pretraining is trained on, and at which rate."""

import json
import os

import torch
from litgpt import __main__, pretrain

RATE = pretrain.get_lr


def counted(rate, step, *rest):
    """The rate of an iteration, which the loop asks for before it reads the batch."""
    found.update(step=step, rate=RATE(rate, step, *rest))
    return found["rate"]


def forward(self, ids, *args, **kwargs):
    if self.training and found:
        line = {**found, "counts": torch.bincount(ids.flatten()).tolist()}
        with open(os.environ["COUNTED"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        found.clear()
    # The model's arithmetic has no part in what is read, nor in when and at which rate.
    return torch.zeros(*ids.shape, self.config.padded_vocab_size, device=ids.device, requires_grad=self.training)


found = {}
pretrain.get_lr, pretrain.GPT.forward = counted, forward
__main__.main()
