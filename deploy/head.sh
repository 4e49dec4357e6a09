#!/usr/bin/env bash
# The head: MLflow on PostgreSQL, both for this machine alone; reach them through SSH. Run again it changes nothing.
#     deploy/head.sh s3://BUCKET/mlflow
set -euo pipefail

files=$1                        # where MLflow keeps files of runs: figures, reports
me=$(id -un)

sudo DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install postgresql >/dev/null
# No password anywhere: the database's user is the system's, known by the socket ("peer"), and no port is opened.
if ! psql -qc "SELECT 1" mlflow >/dev/null 2>&1; then
    sudo -u postgres createuser "$me" || true
    sudo -u postgres createdb --owner "$me" mlflow
fi

sudo tee /etc/systemd/system/relscale-mlflow.service >/dev/null <<UNIT
[Unit]
Description=MLflow of relscale
After=postgresql.service network-online.target
[Service]
User=$me
EnvironmentFile=$HOME/node.env
ExecStart=$HOME/env/bin/mlflow server --host 127.0.0.1 --port 5000 --workers 2 \\
    --backend-store-uri postgresql+psycopg:///mlflow?host=/var/run/postgresql --artifacts-destination $files
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
sudo systemctl daemon-reload
sudo systemctl enable --now relscale-mlflow
