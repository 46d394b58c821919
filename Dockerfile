# The app for a class or a team; docs/deploy.md says how it is reached. For NVIDIA GPUs: --build-arg TORCH=cuda
FROM python:3.11-slim AS build
ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/rambo
ENV PATH=/opt/rambo/bin:$PATH
WORKDIR /src
COPY deploy/requirements.lock deploy/cuda.lock deploy/
RUN pip install --no-deps --require-hashes -r deploy/requirements.lock
RUN if [ "$TORCH" = cuda ]; then pip install --no-deps --require-hashes -r deploy/cuda.lock; \
    else pip install --no-deps --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 torchvision==0.28.0; fi
COPY pyproject.toml README.md LICENSE CHANGELOG.md app.py ./
COPY .streamlit .streamlit
COPY pages pages
COPY data/fashion-mnist data/fashion-mnist
COPY data/learn data/learn
COPY data/finished data/finished
COPY rambo rambo
RUN pip install --no-deps .

FROM python:3.11-slim
RUN useradd --uid 1000 --create-home rambo && install -d -o rambo -g rambo -m 700 /data
COPY --from=build /opt/rambo /opt/rambo
ENV PATH=/opt/rambo/bin:$PATH RAMBO_HOME=/data/runs RAMBO_DATA=/data/downloads PYTHONUNBUFFERED=1
USER rambo
WORKDIR /data
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request; \
base = os.environ.get('RAMBO_BASE_PATH', '').strip('/'); \
urllib.request.urlopen('http://127.0.0.1:8501' + '/' * bool(base) + base + '/_stcore/health', timeout=4)"]
ENTRYPOINT ["rambo"]
CMD ["app", "--share", "lan", "--host", "localhost"]
