#!/bin/bash
# A program under mpiexec on hosts that are network namespaces of this machine, joined by a bridge; what each of them
# sends is limited to a rate, as on a network. Root alone can do this; it wants ip and tc (iproute2) and MPICH.
#
#     bash bench/namespaces.sh HOSTS RATE PROGRAM [ARGUMENTS]
#     bash bench/namespaces.sh 4 1gbit python bench/scaling.py --threads 1
set -eu
if [ "${1-}" = -x ]; then  # called by mpiexec in place of ssh: -x ADDRESS COMMAND
    place=$2
    shift 2
    exec ip netns exec "featlearn${place##*.}" bash -c "$*"
fi
hosts=$1 rate=$2
shift 2
net=10.77.$((RANDOM % 200)) bridge=featlearn0 list=
leave() {
    for i in $(seq "$hosts"); do ip netns del "featlearn$i" 2>/dev/null || true; done
    ip link del "$bridge" 2>/dev/null || true
}
trap leave EXIT
ip link add "$bridge" type bridge
ip addr add "$net.254/24" dev "$bridge"
ip link set "$bridge" up
for i in $(seq "$hosts"); do
    ip netns add "featlearn$i"
    ip link add "flveth$i" type veth peer name eth0 netns "featlearn$i"
    ip link set "flveth$i" master "$bridge" up
    ip -n "featlearn$i" addr add "$net.$i/24" dev eth0
    ip -n "featlearn$i" link set lo up
    ip -n "featlearn$i" link set eth0 up
    tc -n "featlearn$i" qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 50ms
    list=$list${list:+,}$net.$i
done
export UCX_TLS=tcp,self UCX_NET_DEVICES=eth0 MPIR_CVAR_POLLS_BEFORE_YIELD=0
mpiexec -launcher ssh -launcher-exec "$(realpath "$0")" -localhost "$net.254" -hosts "$list" -n "$hosts" "$@"
