#!/usr/bin/env bash
# Makes one virtual environment per trainer under .cache/exporter-envs, so that benchmarks/exporters.py can hand every
# exporter's files to the trainer's own parser or loader. Trainers pin each other's dependencies apart, hence one each.
#   bash scripts/exporter_envs.sh [NAME...]       default: all; a finished environment is left as it is
#   NEWEST=1 bash scripts/exporter_envs.sh ...    trainers in their newest releases instead of those pinned below
set -uo pipefail
cd "$(dirname "$0")/.."
ROOT=${GLOTMIX_EXPORTER_ENVS:-.cache/exporter-envs}
PYTHON=${PYTHON:-.venv/bin/python}
TORCH=$(grep -o '^torch==[0-9.]*' constraints.txt)

# Trainers are installed without their dependencies where those are large (CUDA kernels, cloud clients, web pages);
# what their data paths import is named instead. `packaged:` comes without dependencies, `newer:` too and although the
# trainer asks for a newer Python, `full:` with them, `free:` with them and outside constraints.txt, because the trainer
# pins other versions than glotmix is tested with, `checkout:` as a commit, where nothing is released.
needs() {
  case $1 in
    megatron)  echo "$TORCH numpy packaging packaged:megatron-core==0.16.1" ;;
    bridge)    echo "$TORCH numpy packaging pyyaml pillow free:omegaconf free:einops free:tqdm free:datasets free:triton free:transformers<=5.12.1 newer:megatron-core==0.19.2 newer:megatron-bridge==0.6.2" ;;
    levanter)  echo "free:jax<0.12 free:equinox free:jaxtyping free:tokenizers free:transformers free:chex free:optax free:draccus free:pyarrow free:zstandard free:datasets<5 free:gcsfs free:braceexpand free:jmp free:fsspec[http] free:tensorstore free:pytimeparse free:humanfriendly free:safetensors free:tblib free:dataclasses-json free:pydantic free:filelock free:async-lru free:tqdm-loggable free:deepdiff free:lenses free:jinja2 free:protobuf>=6 free:immutabledict free:gitpython free:wandb free:einops free:aqtp free:s3fs $MARIN" ;;
    olmo_core) echo "$TORCH numpy free:cached-path free:omegaconf free:safetensors free:importlib_resources free:rich free:requests free:torchmetrics free:dataclass-extensions free:bettermap free:pandas packaged:ai2-olmo-core==3.0.0" ;;
    streaming) echo "$TORCH numpy tqdm xxhash zstd brotli python-snappy requests packaging filelock pyarrow transformers pillow catalogue free:torchmetrics free:torch-optimizer free:coolname free:py-cpuinfo free:tabulate free:importlib-metadata free:psutil packaged:mosaicml==0.32.1 packaged:mosaicml-streaming==0.13.0 packaged:llm-foundry==0.22.0" ;;
    litdata)   echo "$TORCH numpy filelock requests lightning-utilities tifffile obstore free:boto3 free:lightning free:jsonargparse[signatures]<=4.41 free:huggingface-hub<1.4 free:tokenizers free:safetensors free:psutil packaged:litgpt==0.5.13 packaged:litdata==0.2.76" ;;
    trl)       echo "$TORCH full:trl==1.16.0" ;;
    torchtitan) echo "$TORCH numpy grain==0.2.18 datasets tyro tokenizers tensorboard torchdata free:wandb packaged:spmd-types==0.2.3 packaged:torchtitan==0.3.0" ;;
    llamafactory) echo "$TORCH free:datasets==4.0.0 free:transformers==4.57.6 free:peft==0.18.1 free:accelerate==1.11.0 free:trl==0.24.0 free:omegaconf packaged:llamafactory==0.9.5" ;;
    axolotl)   echo "$TORCH pydantic datasets transformers accelerate pillow peft numba addict fire free:colorama free:posthog free:evaluate free:art free:scikit-learn free:trl==1.9.0 packaged:axolotl==0.19.0" ;;
    swift)     echo "$TORCH free:transformers<5 free:peft free:accelerate free:datasets free:modelscope free:binpacking free:einops free:json_repair free:addict free:attrs free:av free:pydantic free:cpm_kernels free:dacite free:jieba free:scipy free:sentencepiece free:simplejson free:sortedcontainers free:zstandard free:uvicorn free:pillow free:trl packaged:ms-swift==4.6.0" ;;
    automodel) echo "$TORCH numpy transformers datasets pybind11 pillow torchdata packaged:nemo-automodel==0.7.0" ;;
    maxtext)   echo "grain==0.2.18 datasets transformers free:pyyaml free:omegaconf free:pydantic free:ml_collections free:jax free:flax free:optax free:orbax-checkpoint free:tiktoken free:sentencepiece free:etils free:absl-py free:array-record free:pillow free:pathwaysutils free:drjax free:jaxtyping free:qwix free:aqtp free:jinja2 free:psutil newer:maxtext==0.2.5" ;;
    torchtitan_main) echo "$TORCH numpy grain==0.2.18 datasets tyro tokenizers tensorboard torchdata free:wandb packaged:spmd-types==0.2.3 checkout:pytorch/torchtitan@b5bcd76c" ;;
    open_instruct) echo "$TORCH numpy transformers datasets accelerate pyarrow free:rich free:requests free:python-dateutil free:tqdm checkout:allenai/open-instruct@e6c3044a" ;;
    nanotron)  echo "$TORCH numpy transformers datasets pyyaml pybind11 numba tqdm free:dacite free:datatrove checkout:huggingface/datatrove@2c895af7 checkout:huggingface/nanotron@2411b022" ;;
    nemo2)     echo "$TORCH numpy packaging packaged:megatron-core==0.16.1 checkout:NVIDIA/NeMo@8cfedd7" ;;
    gpt_neox)  echo "$TORCH numpy pybind11 free:pyyaml checkout:EleutherAI/gpt-neox@ea7aefd8" ;;
    tinker)    echo "$TORCH numpy datasets transformers free:chz free:tinker free:tiktoken free:termcolor free:rich free:blobfile free:cloudpickle free:pillow free:pydantic free:tml-renderers packaged:tinker-cookbook==0.6.1" ;;
    *) return 1 ;;
  esac
}
MARIN=$(printf 'newer:marin-%s==0.2.227.dev40316220070 ' levanter haliax rigging zephyr fray finestore iris core)newer:marin-finelog

build() {
  local name=$1 env=$ROOT/$1 wanted
  [ -e "$env/.finished" ] && { echo "$name: there already"; return 0; }
  wanted=$(needs "$name") || { echo "$name: no such environment"; return 2; }
  rm -rf "$env" && "$PYTHON" -m venv "$env" || return 1
  local pip=("$env/bin/python" -m pip install -q --disable-pip-version-check -c constraints.txt)
  local first=() bare=() free=() newer=() checkouts=()
  [ -z "${NEWEST:-}" ] || wanted=$(printf '%s\n' $wanted | sed -E '/^torch==/!s/==[^ ]*//')
  for one in $wanted; do
    case $one in packaged:*) bare+=("${one#packaged:}") ;; checkout:*) checkouts+=("${one#checkout:}") ;; newer:*) newer+=("${one#newer:}") ;; free:*) free+=("${one#free:}") ;; *) first+=("${one#full:}") ;; esac
  done
  case $wanted in *"$TORCH"*) "${pip[@]}" "$TORCH" || return 1 ;; esac
  [ ${#first[@]} = 0 ] || "${pip[@]}" "${first[@]}" || return 1
  [ ${#free[@]} = 0 ] || "$env/bin/python" -m pip install -q --disable-pip-version-check "${free[@]}" || return 1
  [ ${#bare[@]} = 0 ] || "${pip[@]}" --no-deps "${bare[@]}" || return 1
  [ ${#newer[@]} = 0 ] || "${pip[@]}" --no-deps --ignore-requires-python "${newer[@]}" || return 1
  for one in ${checkouts[@]+"${checkouts[@]}"}; do
    local at=${one%@*}
    git clone -q "https://github.com/$at" "$env/${at#*/}" && git -C "$env/${at#*/}" checkout -q "${one#*@}" || return 1
  done
  touch "$env/.finished"
  echo "$name: built"
}

failed=0
for name in "${@:-megatron levanter olmo_core streaming litdata trl torchtitan llamafactory axolotl swift automodel bridge maxtext torchtitan_main tinker gpt_neox open_instruct nanotron nemo2}"; do
  for one in $name; do build "$one" || { echo "$one: NOT built"; failed=1; }; done
done
exit $failed
