# The city's processes: `serve`, `worker`, `beat`, `migrate` and every other command of `chengma`.
FROM python:3.11-slim AS build
COPY requirements.lock .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

# What runs has no compiler, no pip and no right to change its own code.
FROM python:3.11-slim
RUN mkdir /keys && chown 10001:10001 /keys && chmod 700 /keys && pip uninstall --yes --quiet pip setuptools wheel
COPY --from=build /venv /venv
RUN rm -rf /venv/bin/pip* /venv/lib/python3.11/site-packages/pip /venv/lib/python3.11/site-packages/pip-*
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
    CHENGMA_KEYS=/keys
USER 10001:10001
VOLUME /keys
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "backend"]
CMD ["serve"]
