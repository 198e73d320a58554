"""Hand a schedule to the trainer the user already has: its own files, and what it will make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glotmix.registry import Registry

if TYPE_CHECKING:
    from glotmix.exporters.exporter import Exporter

EXPORTERS = Registry(
    "exporter",
    {
        "axolotl": "glotmix.exporters.axolotl:Axolotl",
        "gpt_neox": "glotmix.exporters.gpt_neox:GptNeox",
        "huggingface": "glotmix.exporters.huggingface:HuggingFace",
        "levanter": "glotmix.exporters.levanter:Levanter",
        "litdata": "glotmix.exporters.litdata:LitData",
        "llama_factory": "glotmix.exporters.llama_factory:LlamaFactory",
        "marin": "glotmix.exporters.marin:Marin",
        "maxtext": "glotmix.exporters.maxtext:MaxText",
        "megatron_bridge": "glotmix.exporters.megatron_bridge:MegatronBridge",
        "megatron_lm": "glotmix.exporters.megatron_lm:MegatronLM",
        "mosaicml_streaming": "glotmix.exporters.mosaicml_streaming:MosaicMLStreaming",
        "ms_swift": "glotmix.exporters.ms_swift:MsSwift",
        "nanotron": "glotmix.exporters.nanotron:Nanotron",
        "nemo2": "glotmix.exporters.nemo2:Nemo2",
        "nemo_automodel": "glotmix.exporters.nemo_automodel:NemoAutomodel",
        "olmo_core": "glotmix.exporters.olmo_core:OlmoCore",
        "open_instruct": "glotmix.exporters.open_instruct:OpenInstruct",
        "tinker_cookbook": "glotmix.exporters.tinker_cookbook:TinkerCookbook",
        "torchtitan": "glotmix.exporters.torchtitan:TorchTitan",
        "torchtitan_0_3": "glotmix.exporters.torchtitan_0_3:TorchTitan03",
        "trl": "glotmix.exporters.trl:Trl",
    },
)
"""Name on the command line and in a study to the class; one per trainer and file."""


def all_exporters() -> dict[str, Exporter]:
    """Every exporter by name."""
    return {name: EXPORTERS.find(name)() for name in EXPORTERS}
