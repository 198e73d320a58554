"""tinker-cookbook's own data set from the generated builder, rendered and cut to datums, batch after batch."""

import json
from pathlib import Path

from given import FACTS, FOLDER, LANGUAGES, LENGTH, answer, documents, module
from marked import FIRST_ID, tokenizer
from tinker_cookbook.renderers import get_renderer
from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig
from transformers import AutoTokenizer

tokenizer(FOLDER / "model", len(LANGUAGES))
renderer = get_renderer("role_colon", AutoTokenizer.from_pretrained(FOLDER / "model"))


def conversation(language, words):
    text = " ".join([f"w{language}"] * words)
    return [{"role": "user", "content": f"w{language}"}, {"role": "assistant", "content": text}]


around = renderer.build_supervised_example(conversation(0, 1))[0].length - 1
for _, i, sizes, path in documents():
    rows = [json.dumps({"messages": conversation(i, max(1, size - around))}) for size in sizes]
    Path(path).write_text("\n".join(rows) + "\n")

mixture = module()
common = ChatDatasetBuilderCommonConfig(
    model_name_for_tokenizer=str(FOLDER / "model"), renderer_name="role_colon", max_length=LENGTH,
    batch_size=mixture.BATCH_SIZE,
)  # fmt: skip
data, _ = mixture.builder(common)()
data.set_epoch(0)
steps = [{"stage": stage, "counts": [0] * (FIRST_ID + len(LANGUAGES))} for stage in range(len(FACTS["phases"]))]
assert len(data) == mixture.LAST_STEPS[-1]
for index in range(len(data)):
    stage = next(i for i, last in enumerate(mixture.LAST_STEPS) if index < last)
    for datum in data.get_batch(index):
        ids = datum.model_input.to_ints()
        steps[stage]["counts"][max(ids)] += len(ids) + 1  # the last one is a target only
answer(steps, ends=False)
