"""A random proxy with a chat template, made in a second."""

import torch

from glotmix.posttraining.chat import chat_proxy, load_chat_tokenizer
from glotmix.posttraining.tasks import TASKS, find_task
from glotmix.posttraining.tasks.phrases import embedded_languages
from glotmix.proxy.checkpoint import save_checkpoint
from glotmix.proxy.model import Shape, init_parameters
from glotmix.tokens.tokenizer import train_tokenizer

torch.set_num_threads(1)


def texts(count=20):
    return {
        language: [s.text for task in TASKS for s in find_task(task).embedded(language, "train", count)]
        for language in embedded_languages()
    }


def chat_model(directory, width=32, layers=2, context=256, tied=True):
    """Directory of a chat-ready proxy, and its tokenizer."""
    tokenizer = train_tokenizer(texts(), 700, 20_000)
    (directory / "plain").mkdir(parents=True)
    tokenizer.save(directory / "plain")
    shape = Shape(width, layers, 2, 48, tokenizer.vocab_size, tied, context)
    parameters = init_parameters(shape, [0])
    save_checkpoint(directory / "plain", parameters, shape, end_of_document=tokenizer.end_of_document)
    chat_proxy(directory / "plain", directory / "plain" / "tokenizer.json", directory / "chat")
    return directory / "chat", load_chat_tokenizer(directory / "chat")
