"""open-instruct's own mixer from the overlay, its tokenising, cutting and filtering; finetune.py's loader and rate.

From a checkout, without the cluster, the judges and the kernels that its helpers import. The loader is made as
finetune.py's main() makes it, which wants a model and a GPU around it.
"""

import json
import sys
from pathlib import Path

import torch
import yaml
from absent import absent
from given import BATCH, FACTS, FOLDER, LANGUAGES, answer, documents, rates_of_one_launch
from marked import FIRST_ID, tokenizer

sys.path.insert(0, str(Path(sys.prefix) / "open-instruct"))
absent("beaker", "ray", "wandb", "peft")
absent("open_instruct.data_types", "open_instruct.model_utils", "open_instruct.padding_free_collator")
from accelerate import Accelerator  # noqa: E402
from accelerate.utils import DataLoaderConfiguration, set_seed  # noqa: E402
from open_instruct.dataset_transformation import (  # noqa: E402
    TOKENIZED_SFT_DATASET_KEYS,
    TokenizerConfig,
    get_cached_dataset_tulu,
)
from open_instruct.finetune import FlatArguments, _create_scheduler  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from transformers import DataCollatorForSeq2Seq  # noqa: E402

END = "{% if one['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
CHAT = "{% for one in messages %}{{ one['content'] + ' ' }}" + END + "{% endfor %}"
tokenizer(FOLDER / "model", len(LANGUAGES), chat_template=CHAT)
for _, i, sizes, path in documents():
    rows = [
        [{"role": "user", "content": f"w{i}"}, {"role": "assistant", "content": " ".join([f"w{i}"] * max(1, size - 2))}]
        for size in sizes
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))

overlay = yaml.safe_load((FOLDER / "out" / "mixture.yaml").read_text())
accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
set_seed(overlay["seed"])
config = TokenizerConfig(tokenizer_name_or_path=str(FOLDER / "model"))
data = get_cached_dataset_tulu(
    overlay["dataset_mixer_list"],
    overlay["dataset_mixer_list_splits"],
    config,
    ["sft_tulu_tokenize_and_truncate_v1", "sft_tulu_filter_v1"],
    [{"max_seq_length": overlay["max_seq_length"]}, {}],
    target_columns=TOKENIZED_SFT_DATASET_KEYS,
    dataset_local_cache_dir=str(FOLDER / "cache"),
)
data = data.shuffle(seed=overlay["seed"])
data.set_format(type="pt")
collate = DataCollatorForSeq2Seq(tokenizer=config.tokenizer, padding="longest")
loader = accelerator.prepare(DataLoader(data, shuffle=True, collate_fn=collate, batch_size=BATCH))
steps, last = [], overlay["max_train_steps"]
epoch = 0
while len(steps) < last:
    loader.set_epoch(epoch)
    for batch in loader:
        found = [0] * (FIRST_ID + len(LANGUAGES))
        for ids, length in zip(batch["input_ids"], batch["attention_mask"].sum(dim=1).tolist(), strict=True):
            found[int(ids.max())] += length  # the end of text too, which is missing where a conversation was cut
        steps.append({"stage": 0, "counts": found})
        if len(steps) == last:
            break
    epoch += 1


def scheduler(stage):
    """finetune.py's for the overlay's max_train_steps, or for a run that reads its data once."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-3)
    return _create_scheduler(FlatArguments, optimizer, len(loader) if stage is None else last)


FACTS["steps"] = last  # a step is a batch of conversations, whatever their length
answer(steps, ends=False, learning_rates=rates_of_one_launch(scheduler))
