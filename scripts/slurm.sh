#!/usr/bin/env bash
# A SLURM of one node on this machine, for tests: scripts/slurm.sh DIR starts it, scripts/slurm.sh DIR stop ends it.
# Needs root and Debian's slurmctld, slurmd, slurm-client and munge.
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
export SLURM_CONF="$dir/slurm.conf"
if [ "${2:-start}" = stop ]; then
  for name in slurmd slurmctld; do [ -f "$dir/$name.pid" ] && kill "$(cat "$dir/$name.pid")" 2>/dev/null || true; done
  exit 0
fi
mkdir -p "$dir/state" "$dir/spool" /run/munge
[ -f /etc/munge/munge.key ] || (umask 077; head -c 1024 /dev/urandom > /etc/munge/munge.key; chown munge: /etc/munge/munge.key)
chown munge: /run/munge
pgrep -x munged > /dev/null || runuser -u munge -- /usr/sbin/munged
host=$(hostname -s)
# Ports of its own, so that two test processes may each have a cluster on this machine.
read -r controller node < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
# More CPUs than a small machine has: the tests ask whether jobs run beside each other, not how fast.
cat > "$SLURM_CONF" <<CONF
ClusterName=glotmix
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
# A job that is requeued waits until its old credential has expired; two minutes are long for a test.
AuthInfo=cred_expire=5
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=100000
ReturnToService=2
KillWait=3
SlurmctldPort=$controller
SlurmdParameters=config_overrides
SlurmdPort=$node
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
/usr/sbin/slurmctld -f "$SLURM_CONF"
/usr/sbin/slurmd -f "$SLURM_CONF" -N "$host"
for _ in $(seq 600); do  # two minutes: a busy machine is slow to start
  sinfo --noheader --format=%T 2>/dev/null | grep -q idle && exit 0
  sleep 0.2
done
tail -n 5 "$dir"/slurmctld.log "$dir"/slurmd.log >&2
exit 1
