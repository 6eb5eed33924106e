#!/bin/bash
# Meta-training on two machines of a SLURM cluster, with a process for each GPU. Change the numbers below to those of your
# cluster, and submit it from where the data is, with the arguments of `metabert train`:
#
#   sbatch slurm.sh --data dataset.json --model models/bert-base --algo fomaml --meta-batch 32 --run-dir runs/fomaml
#
#SBATCH --job-name=metabert
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
# Three minutes before the time is up training saves what it has and ends; this script then puts the job back into the queue.
#SBATCH --signal=USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

# Where the processes meet: on the first machine, at a port that other jobs are unlikely to have.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
export MASTER_ADDR MASTER_PORT OMP_NUM_THREADS

# Starts the run, or continues it after a time limit, a preemption or a lost machine.
# Where one is lost the others say which, and end by themselves.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 metabert train --resume auto "$@"
code=$?
if [ "$code" -eq 138 ]; then # 128 + SIGUSR1
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
