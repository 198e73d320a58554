"""One fine-tuning with weights in parts, alone or in two processes: ``… ORDER.json …``, one file after the other.

The processes are told of each other as torchrun tells them, but forked from one that has opened the libraries, which
takes longer than all they compute; that torchrun starts them is tested by studies.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from torch.distributed import TCPStore
from trl.trainer import utils

from glotmix.posttraining import sharded
from glotmix.posttraining.chat import Encoded, encode, load_chat_tokenizer
from glotmix.posttraining.finetune import Finetuning
from glotmix.posttraining.order import reading_order
from glotmix.posttraining.tasks import find_task
from glotmix.proxy.parallel import join, leave

sys.path.insert(0, str(Path(__file__).parents[1]))
from measured_bytes import peak  # this file is started by its path

LANGUAGES = ("eng_Latn", "spa_Latn", "rus_Cyrl")
WEIGHTS = {"eng_Latn": 0.5, "spa_Latn": 2.0, "rus_Cyrl": 1.0}


def samples(tokenizer, split, count):
    task = find_task("mathematics")
    return [encode(tokenizer, s) for language in LANGUAGES for s in task.embedded(language, split, count)]


def finetune(order, team, dies_at=None):
    """Fine-tune as an order says; the first process dies in the middle of a step where ``dies_at`` says so."""
    model, tokenizer = order["model"], load_chat_tokenizer(order["model"])
    train, validation = samples(tokenizer, "train", 8), samples(tokenizer, "validation", 2)
    settings = Finetuning.model_validate(order["settings"])
    reads = reading_order([s.language for s in train], None, settings.steps, settings.batch, 0)
    steps, norms = 0, []

    class Dying(sharded.Sharded):
        def step(self, rate, clip):
            nonlocal steps
            steps += 1
            if steps == dies_at and team.leads:
                os.kill(os.getpid(), signal.SIGKILL)
            super().step(rate, clip)
            norms.append(self.norm)

    real, sharded.Sharded = sharded.Sharded, Dying
    try:
        history = sharded.finetune_sharded(
            model, tokenizer, train, validation, np.array(reads), settings, Path(order["out"]), team,
            weights=WEIGHTS if order.get("weighted") else None,
            state=Path(order["state"]) if order.get("state") else None, made_from=order["settings"],
        )  # fmt: skip
    finally:
        sharded.Sharded = real
    return {
        "losses": history.losses,
        "validations": history.validations,
        "chosen": history.chosen,
        "steps": steps,
        "norms": norms,
    }


def measured(order, team):
    """Bytes that training takes in this process, two steps of it, narrow tiles of the vocabulary."""
    settings, length = Finetuning.model_validate(order["settings"]), order["settings"]["context"]
    utils._CHUNKED_LOGPROB_CHUNK_SIZE = order["tile"]
    batch = [Encoded(np.arange(length) % 500, np.arange(length) >= 8, "eng_Latn") for _ in range(settings.batch)]
    each, together = settings.shared(team.size)
    with peak() as found:
        model = sharded.Sharded(order["model"], settings, team, 0, half=order["half"])
        loaded, found.most = found.most, 0  # the process that reads the model holds it whole, on the CPU
        for _ in range(2):
            model.backward(batch, each, together)
            model.step(1e-3, 1.0)
    return {"bytes": found.most, "loaded": loaded}


def main(path):
    torch.set_num_threads(1)
    order, team = json.loads(Path(path).read_text()), join("cpu")
    found = [measured(one, team) if "tile" in one else finetune(one, team, one.get("dies_at")) for one in order]
    Path(f"{path}.{team.rank}").write_text(json.dumps(found))
    leave()


def together(path, size):
    """Exit codes of processes that follow a file's orders together; where one dies the others are ended."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True")
    running, codes = {}, []
    for rank in range(size):
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
        running[os.fork() or alone(path)] = rank
    while running:
        ended, status = os.wait()
        codes.append(os.waitstatus_to_exitcode(status))
        del running[ended]
        if codes[-1]:
            for process in running:
                os.kill(process, signal.SIGKILL)
    return codes


def alone(path):
    """A process that was made for a file's orders follows them and ends."""
    code = 1
    try:
        main(path)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    codes = {path: together(path, 2) for path in sys.argv[1:]}
    print(json.dumps(codes))
