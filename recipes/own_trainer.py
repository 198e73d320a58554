"""A trainer that glotmix knows nothing of: one run of a handoff with transformers' Trainer, on a CPU.

python own_trainer.py data 300000 spa_Latn rus_Cyrl      text that stands in for yours: data/<language>.jsonl
python own_trainer.py train RUN_DIR --max_steps 100 ...   what ``sweep.command`` of own-trainer.yaml starts
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_DATASETS_CACHE", ".cache/datasets")


def write_data(size, languages):
    """Texts of some languages, ``size`` bytes of each."""
    import glotmix as gm

    Path("data").mkdir(exist_ok=True)
    for language in languages:
        with open(f"data/{language}.jsonl", "w", encoding="utf-8") as file:
            for document in gm.documents(language, reader="embedded", bytes_per_language=int(size)):
                file.write(json.dumps({"text": document.text}, ensure_ascii=False) + "\n")


def train(folder, words):
    """Train the run of a folder as its files and flags ask, and report its losses."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer
    from transformers import HfArgumentParser, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    from glotmix.live import ReportCallback

    torch.set_num_threads(1)
    run, handoff = Path(folder), Path(folder).parent.parent
    parser = HfArgumentParser(TrainingArguments)
    parser.add_argument("--block_size", type=int)
    parser.add_argument("--config_overrides")
    common = ["--output_dir", str(handoff / "checkpoints" / run.name), "--use_cpu", "--report_to", "none"]
    common += ["--save_strategy", "no", "--adam_beta2", "0.95", "--per_device_eval_batch_size", "4096"]
    common += ["--disable_tqdm", "true", "--logging_strategy", "no", "--prediction_loss_only", "true"]
    common += ["--remove_unused_columns", "false"]
    arguments, more = parser.parse_args_into_dataclasses([*common, *words])

    tokenizer = Tokenizer.from_file(str(handoff.parent / "tokens" / "tokenizer.json"))
    store = json.loads((handoff.parent / "tokens" / "store.json").read_text("utf-8"))
    end, length = store["end_of_document"], more.block_size
    held_out = {
        path.stem.replace("~", "/"): [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]
        for path in sorted((handoff / "held_out").glob("*.jsonl"))
    }
    measured = {text for texts in held_out.values() for text in texts}

    def ids(text):
        return [*tokenizer.encode(text, add_special_tokens=False).ids, end]

    def load(path):
        rows = [json.loads(line)["text"] for line in Path(path).read_text("utf-8").splitlines()]
        kept = [text for text in rows if text not in measured]
        return Dataset.from_dict({"text": kept}).shuffle(seed=arguments.seed).to_iterable_dataset()

    def blocks(texts):
        """Overlapping by one token, so that every token is predicted once."""
        rest = [end]
        for text in texts:
            rest += ids(text)
            while len(rest) > length:
                yield rest[: length + 1]
                rest = rest[length:]
        if len(rest) > 1:
            yield rest

    spec = importlib.util.spec_from_file_location("mixture", run / "mixture.py")
    mixture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mixture)

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter({"block": block} for block in blocks(row["text"] for row in mixture.stage(load=load)))

    def batch(rows):
        """Predict each token from those before it; what fills up a last block counts for nothing."""
        longest = max(len(row["block"]) for row in rows)
        padded = torch.tensor([row["block"] + [-100] * (longest - len(row["block"])) for row in rows])
        return {"input_ids": padded[:, :-1].clamp(min=0), "shift_labels": padded[:, 1:], "labels": padded[:, 1:]}

    class NextToken(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("shift_labels")
            inputs.pop("labels")
            outputs = model(**inputs)
            loss = torch.nn.functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten())
            return (loss, outputs) if return_outputs else loss

    torch.manual_seed(arguments.seed)
    shape = {key: int(value) for key, value in (pair.split("=") for pair in more.config_overrides.split(","))}
    config = LlamaConfig(
        vocab_size=store["vocab_size"],
        max_position_embeddings=length,
        num_key_value_heads=shape["num_attention_heads"],
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=shape["hidden_size"] ** -0.5,
        **shape,
    )
    trainer = NextToken(
        model=LlamaForCausalLM(config),
        args=arguments,
        data_collator=batch,
        train_dataset=Stream(),
        eval_dataset={target: [{"block": block} for block in blocks(texts)] for target, texts in held_out.items()},
        callbacks=[ReportCallback()],
    )
    trainer.model_accepts_loss_kwargs = False
    trainer.train()
    trainer.evaluate()


if __name__ == "__main__":
    what, first, *rest = sys.argv[1:]
    write_data(first, rest) if what == "data" else train(first, rest)
