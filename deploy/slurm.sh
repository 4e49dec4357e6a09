#!/usr/bin/env bash
#SBATCH --job-name=relscale
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
# relscale on Slurm: a head on the first node, a worker on each, then the command. Submit it from a folder that all
# nodes share, with relscale in the environment, as often as it takes: the study goes on.
#     sbatch --nodes=16 deploy/slurm.sh sweep --config configs/paper.yaml --out /shared/paper
# The nodes are fixed for the job's length; for generation alone: `sbatch --gpus-per-node=0 deploy/slurm.sh generate`.
set -euo pipefail

if (($# == 0)); then
    echo "slurm.sh: no command was given; put one behind it, such as: sweep --config FILE --out DIR" >&2
    exit 2
fi

nodes=$SLURM_JOB_NUM_NODES cpus=${SLURM_CPUS_PER_TASK:-1} gpus=${SLURM_GPUS_ON_NODE:-0}
if ((gpus > 0)); then
    group=gpu_train resources='{}'
else
    group=cpu_gen resources="{\"cpu_spot\": $cpus}"
fi
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
first=$(getent ahostsv4 "$first" | awk '{print $1; exit}')
port=$((20000 + 3 * (SLURM_JOB_ID % 3000)))     # and the next two; other jobs of a node have others

# A token for this job alone, in a file that only its owner reads.
shared=$HOME/.relscale-slurm/$SLURM_JOB_ID
(umask 077 && mkdir -p "$shared" && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$shared/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$shared/token
# Python from a shared disk starts slowly: 3 minutes instead of 30 s for a node's first process.
export RAY_agent_register_timeout_ms=180000
export RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0

started=()
wait_for_nodes() {              # until so many have joined; not if one of Ray's processes has ended
    until (($(ray status --address "$first:$port" 2>/dev/null | grep -c '^ 1 node_') >= $1)); do
        for process in "${started[@]}"; do
            kill -0 "$process" 2>/dev/null || { tail -n 20 "$shared"/*.log >&2; exit 1; }
        done
        sleep 1
    done
}
end() {
    kill "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$shared" "/tmp/ray-$SLURM_JOB_ID"
}
trap end EXIT
trap 'exit 143' TERM INT        # Slurm's notice before the end: what is done is kept

# The head runs no work and holds the drivers of trials. Ray's folder needs a short path, and one for each job.
ray start --head --block --node-ip-address="$first" --port="$port" --num-cpus=0 --num-gpus=0 \
    --resources='{"trial_driver": 64}' --labels='relscale-group=head' --include-dashboard=false \
    --dashboard-agent-listen-port=$((port + 1)) --temp-dir="/tmp/ray-$SLURM_JOB_ID" \
    --object-store-memory=500000000 >"$shared/head.log" 2>&1 &
started+=($!)

wait_for_nodes 1

srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 ray start --block --address="$first:$port" \
    --num-cpus="$cpus" --num-gpus="$gpus" --resources="$resources" --labels="relscale-group=$group" \
    --dashboard-agent-listen-port=$((port + 2)) --object-store-memory=500000000 \
    >"$shared/workers.log" 2>&1 &
started+=($!)

wait_for_nodes $((nodes + 1))

RAY_ADDRESS=$first:$port relscale "$@" &
command=$!
started+=("$command")
wait "$command"
