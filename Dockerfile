# syntax=docker/dockerfile:1

# The first stage has the build tools; only the finished environment leaves it.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv /opt/infergate
COPY requirements/build.txt requirements/extras.txt requirements/
# The lock files change less often than the code: their layers are reused.
RUN /opt/build/bin/pip install --require-hashes --requirement requirements/build.txt \
    && /opt/infergate/bin/pip install --require-hashes --requirement requirements/extras.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY backends backends
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/infergate/bin/pip install --no-deps dist/*.whl \
    && /opt/infergate/bin/pip uninstall --yes pip

FROM python:3.11-slim
RUN groupadd --gid 10001 infergate \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/infergate infergate \
    && install --directory --mode=0700 --owner=10001 --group=10001 /var/lib/infergate
COPY --from=build /opt/infergate /opt/infergate
WORKDIR /srv/infergate
COPY models models
COPY config config
ENV PATH=/opt/infergate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The ledger of predictions and labels: mount a volume here that outlives the container.
ENV STATE_DIRECTORY=/var/lib/infergate
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Slow to start is not ill: models may take a while to load and warm up.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["infergate"]
# Inside a container the loopback address would be reachable by nobody.
CMD ["serve", "-c", "config/quickstart.yaml", "--http", "0.0.0.0:8000"]
