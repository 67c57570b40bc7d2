# `knowlearn` in a container, with a user that is not root. Runs write to /work.
#
#   docker build -t knowlearn .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" knowlearn quickstart
#
# For a GPU, build with the index of a CUDA build of torch that fits your driver, and run with `--gpus all`:
#
#   docker build -t knowlearn --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Extras of the package: "", "[documents]" or "[documents,qlora]".
ARG EXTRAS=""

# Why: torch is installed before the package is copied, so that its layer stays in the build cache.
COPY constraints.txt /src/
RUN pip install --no-cache-dir --no-deps -c /src/constraints.txt --index-url "$TORCH_INDEX" torch

COPY pyproject.toml README.md LICENSE /src/
COPY hf_knowlearn /src/hf_knowlearn
COPY recipes /src/recipes
COPY model_cards /src/model_cards
RUN pip install --no-cache-dir -c /src/constraints.txt "/src$EXTRAS" && rm -rf /src

# HOME is writable for every user that `--user` can name. Models of the Hub go to /work.
RUN useradd --create-home knowlearn && chmod 1777 /home/knowlearn && mkdir /work && chmod 1777 /work
ENV HOME=/home/knowlearn HF_HOME=/work/.huggingface
USER knowlearn
WORKDIR /work
ENTRYPOINT ["knowlearn"]
CMD ["--help"]
