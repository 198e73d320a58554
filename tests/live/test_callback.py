"""transformers' Trainer with MixtureCallback reads the same sequences whether or not it was interrupted."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs the extra glotmix[posttrain]")
pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")

from glotmix.errors import BadInput  # noqa: E402
from glotmix.live import GlotmixIterableDataset, LossWeighting, TokenSequences  # noqa: E402
from glotmix.live.callback import MixtureCallback  # noqa: E402
from glotmix.mixture.mixture import Mixture  # noqa: E402
from glotmix.mixture.samplers.scheduled import Sampler  # noqa: E402
from glotmix.mixture.schedule import Schedule, Stage  # noqa: E402

SCHEDULE = Schedule((Stage(0, Mixture({"swh": 0.75, "no": 0.25})), Stage(0.5, Mixture({"swh": 0.25, "no": 0.75}))))
STEPS, BATCH = 8, 4


class Tiny(torch.nn.Module):
    """A bigram model that remembers the first token of every sequence it was trained on."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(64, 64)
        self.seen = []

    def forward(self, input_ids):
        if self.training:
            self.seen += input_ids[:, 0].tolist()
        return {"logits": self.table(input_ids)}


def train(folder, *, resume=None, **options):
    tokens = {"swh": torch.arange(64).repeat(4).numpy(), "no": torch.arange(64).flip(0).repeat(4).numpy()}
    sampler = Sampler(SCHEDULE, STEPS * BATCH, {"swh": 64, "no": 64}, seed=1, block=8)
    data = GlotmixIterableDataset(
        {name: TokenSequences(ids, 4) for name, ids in tokens.items()}, sampler, batch_size=2, with_language=True
    )
    torch.manual_seed(0)
    model = Tiny()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=STEPS, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        save_steps=3, logging_steps=4, use_cpu=True, report_to=[], remove_unused_columns=False, disable_tqdm=True,
        **options,
    )  # fmt: skip
    callback = MixtureCallback(data)
    wrapped = LossWeighting(model, {"swh": 1.0, "no": 1.0}, sampler.languages)
    trainer = transformers.Trainer(model=wrapped, args=arguments, train_dataset=data, callbacks=[callback])
    trainer.train(resume_from_checkpoint=resume)
    return model, trainer


@pytest.mark.filterwarnings("ignore")
def test_an_interrupted_run_reads_and_learns_the_same(tmp_path):
    whole, trainer = train(tmp_path)
    assert len(whole.seen) == STEPS * BATCH
    logs = [row for row in trainer.state.log_history if "share/swh" in row]
    assert [row["share/swh"] for row in logs] == [0.75, 0.25]
    checkpoint = str(tmp_path / "checkpoint-3")
    rest, _ = train(tmp_path / "b", resume=checkpoint, ignore_data_skip=True)
    assert rest.seen == whole.seen[3 * BATCH :]
    torch.testing.assert_close(rest.table.weight, whole.table.weight)
    with pytest.raises(BadInput, match="ignore_data_skip"):
        train(tmp_path / "c", resume=checkpoint)
