#!/usr/bin/env bash
# Any node of a cluster: Python and relscale in ~/env, every version as constraints.txt pins it. Run again it changes
# nothing. Debian or Ubuntu; run by cluster.yaml and deploy/gcp.yaml, from the sources beside this folder. Arguments
# are further packages: what Ray and MLflow need to speak to the cloud.
set -euo pipefail

UV=0.13.8                       # knows one newest Python 3.11, so all nodes get the same: Ray insists on it
here=$(cd "$(dirname "$0")/.." && pwd)

# A fresh machine still installs updates of its own.
cloud-init status --wait >/dev/null 2>&1 || true
if [[ ! -x ~/uv/bin/uv ]]; then
    sudo apt-get -qq -o DPkg::Lock::Timeout=300 update
    sudo DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install python3-venv >/dev/null
    python3 -m venv ~/uv
    ~/uv/bin/pip install --quiet "uv==$UV"
fi
[[ -x ~/env/bin/python ]] || ~/uv/bin/uv venv --quiet --python 3.11 ~/env

# A torch for the GPU driver that is here, or for CPUs alone: several GB less.
export UV_TORCH_BACKEND=${UV_TORCH_BACKEND-auto}
~/uv/bin/uv pip install --quiet --python ~/env/bin/python --constraint "$here/constraints.txt" \
    --reinstall-package relscale "${here}[sql]" "$@"

# Whatever Ray runs here, by SSH or as a job, has the settings of this node.
grep -qs node.env ~/.bashrc || echo 'set -a; source ~/node.env; set +a' >>~/.bashrc
# rsync keeps the token's mode; this is for a token file that others could read where it came from.
chmod 600 ~/.ray/auth_token
