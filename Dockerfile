# docker build -t palm-vein .                                       OpenVINO, the default
# docker build -t palm-vein --build-arg ENGINE=tensorflow .         TensorFlow
FROM python:3.11-slim-bookworm AS build
ARG ENGINE=openvino
COPY requirements/serve*.txt /locks/
RUN case "$ENGINE" in \
        openvino) cp /locks/serve.txt /locks/engine.txt ;; \
        tensorflow) cp /locks/serve-tensorflow.txt /locks/engine.txt ;; \
        *) echo "ENGINE is openvino or tensorflow, not '$ENGINE'" >&2; exit 1 ;; \
    esac \
    && python3 -m venv /venv \
    && /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes --only-binary :all: -r /locks/engine.txt \
    && /venv/bin/python -m pip uninstall --quiet --yes pip setuptools

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.version=0.1.0
ARG ENGINE=openvino
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PALM_HOST=0.0.0.0 \
    PALM_ENGINE=$ENGINE \
    PALM_MODELS_DIR=/srv/models_store \
    PALM_GALLERY_URL=sqlite:////data/gallery.db \
    PALM_MASTER_KEY_FILE=/data/master.key \
    PALM_AUDIT_FILE=/data/audit.jsonl
RUN groupadd --gid 10001 palm \
    && useradd --uid 10001 --gid palm --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin palm \
    && install --directory --owner palm --group palm --mode 700 /data /keys
COPY --from=build /venv /venv
WORKDIR /srv
COPY models_store models_store
COPY app app
USER 10001:10001
# Not /keys: Compose mounts it, and without Compose the master key is in /data. A volume without a name
# would be lost with its container.
VOLUME /data
EXPOSE 8000
# urlopen raises on a refused connection and on 503, and the command exits with 1.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os; from urllib.request import urlopen; urlopen(f\"http://127.0.0.1:{os.environ.get('PALM_PORT', 8000)}/health/ready\", timeout=4)"]
CMD ["python3", "-m", "app"]
