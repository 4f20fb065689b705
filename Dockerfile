# hrdet on torch's official image, for a user without privileges; `make image` builds it.
ARG TORCH_IMAGE=pytorch/pytorch:2.14.1-cuda13.0-cudnn9-runtime
FROM ${TORCH_IMAGE}

# What a run needs beside hrdet, such as "timm wandb" or "ray[default]".
ARG PACKAGES=""
ENV PIP_NO_CACHE_DIR=1 PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore

# Triton builds its kernels with a C compiler when they first run.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/hrdet
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY presets presets
COPY hrdet_cli hrdet_cli
# The image's torch and torchvision stay; all else has the versions that hrdet was tested with.
RUN python -c "import torch, torchvision; print(f'torch=={torch.__version__}\ntorchvision=={torchvision.__version__}')" > versions.txt \
    && sed -n 's/^\([a-z0-9._-]*==[^ ;]*\).*/\1/p' requirements.lock | grep -Ev '^(torch|torchvision|triton|nvidia|cuda)' >> versions.txt \
    && python -m pip install --constraint versions.txt . ${PACKAGES}

RUN useradd --create-home --uid 10001 --user-group hrdet
USER 10001:10001
WORKDIR /home/hrdet
CMD ["hrdet", "--help"]
