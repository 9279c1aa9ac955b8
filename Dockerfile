# The city's processes: `serve`, `worker`, `beat`, `migrate` and every other command of `chengma`.
FROM python:3.11-slim AS build
COPY requirements.lock .
RUN python -m venv --without-pip /venv && \
    pip --python /venv/bin/python install --no-cache-dir --require-hashes --only-binary=:all: -r requirements.lock

# The final image has no compiler and no pip, and its user cannot change the code.
FROM python:3.11-slim
RUN pip uninstall --yes --quiet wheel setuptools pip && \
    groupadd --gid 10001 city && useradd --uid 10001 --gid city --no-create-home --shell /usr/sbin/nologin city && \
    install -d -o city -g city -m 700 /keys /sandbox
COPY --from=build /venv /venv
WORKDIR /city
COPY backend backend
COPY rules rules
COPY integrations integrations
COPY migrations migrations
COPY openapi openapi
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CHENGMA_HOST=0.0.0.0 \
    CHENGMA_KEYS=/keys \
    CHENGMA_SANDBOX=/sandbox/sandbox.db \
    CHENGMA_MLLP_HOST=0.0.0.0
USER 10001:10001
VOLUME ["/keys", "/sandbox"]
EXPOSE 8000 2575
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "backend"]
CMD ["serve"]
