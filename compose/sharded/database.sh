#!/bin/sh
# database.sh SERVER_ID: one database server of a shard, in place of the mariadb image's own entrypoint.
#
# That one's preparations may go into the binary log, and a shard's history must begin empty on both servers:
# GTIDs of a server's own would keep it from replicating. So the data folder is made by mariadb-install-db and
# put in place whole, and the account that `failover` administers with is made outside the log.
# The options are those of bench/deployment/local/sharded.py, where each is explained; a test compares them.
set -eu
data=/var/lib/mysql/data
run=/run/threegen

mkdir -p "$run"
chown mysql:mysql /var/lib/mysql "$run"
if [ ! -d "$data" ]; then
  rm -rf "$data.new"
  mariadb-install-db --no-defaults --user=mysql --datadir="$data.new" \
    --auth-root-authentication-method=normal --skip-test-db --innodb-log-file-size=48M >/dev/null
  mv "$data.new" "$data"
fi
cat >"$run/root.sql" <<SQL
SET sql_log_bin=0;
CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY 'root of the stub';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
SQL

exec mariadbd --no-defaults --user=mysql --datadir="$data" --init-file="$run/root.sql" \
  --bind-address=0.0.0.0 --port=3306 --socket="$run/mariadbd.sock" --pid-file="$run/mariadbd.pid" \
  --innodb-log-file-size=48M --innodb-buffer-pool-size=64M \
  --skip-name-resolve --character-set-server=utf8mb4 --max-connections=200 \
  --read-only=1 --skip-slave-start \
  --innodb-flush-log-at-trx-commit=1 --sync-binlog=1 \
  --server-id="$1" --log-bin=binlog --relay-log=relay --log-slave-updates --gtid-strict-mode=1 --slave-parallel-threads=4 \
  --binlog-format=ROW --binlog-row-image=MINIMAL --binlog-annotate-row-events=0 \
  --rpl-semi-sync-master-wait-point=AFTER_SYNC --rpl-semi-sync-master-timeout=31536000000 \
  --rpl-semi-sync-master-wait-no-slave=1 --slave-net-timeout=2 \
  --innodb-buffer-pool-load-at-startup=0 --innodb-buffer-pool-dump-at-shutdown=0 \
  --key-buffer-size=1M --aria-pagecache-buffer-size=8M
