"""Runs a module that trains with transformers, and writes down what every step is trained on.

    COUNTED_MODULE=trl.scripts.sft COUNTED=log.jsonl python counted.py [ARGUMENTS...]

One line per step: the step, its learning rate, and the tokens of each id in its batch (the data are made so that an id
is a language).
"""

import importlib
import json
import os
import runpy
import sys

import torch
from absent import absent
from transformers import Trainer


def counted(self, model, inputs, *args, **kwargs):
    ids = inputs["input_ids"]
    if inputs.get("attention_mask") is not None and inputs["attention_mask"].shape == ids.shape:
        ids = ids[inputs["attention_mask"].bool()]
    rate = self.lr_scheduler.get_last_lr()[0]
    with open(os.environ["COUNTED"], "a", encoding="utf-8") as file:
        line = {"step": self.state.global_step, "rate": rate, "counts": torch.bincount(ids.flatten()).tolist()}
        file.write(json.dumps(line) + "\n")
    return torch.zeros(())  # the model has no part in what is read, nor in when and at which rate


absent(*os.environ.get("ABSENT", "").split())
for place in os.environ.get("UNCHECKED", "").split():  # what a trainer asks of a machine for the sake of its model
    module, _, path = place.partition(":")
    kind, _, method = path.partition(".")
    setattr(getattr(importlib.import_module(module), kind), method, lambda self: None)
Trainer.training_step = counted
module = os.environ["COUNTED_MODULE"]
sys.argv[0] = module
runpy.run_module(module, run_name="__main__", alter_sys=True)
