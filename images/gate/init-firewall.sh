#!/bin/sh
# init-firewall.sh puts up the walls of one run, inside the run's network namespace,
# before the agent joins it. It runs once, as root of the gate's container, and the
# gate then gives up every capability that could change what stands here.
#
# What it is told (environment), each of it checked below:
#   AV_RELAY_ADDR  IPv4 address of the relay: the host's end of the run's bridge; or "none"
#                  for a box without a link, which has no use for the next two
#   AV_RELAY_PORT  the relay's port
#   AV_GATE_UID    the one user that may reach the relay
#   AV_CATCH_PORT  where the gate takes every other TCP connection
#   IPTABLES       iptables-nft or iptables-legacy: which of the kernel's two sets of
#                  tables to use; without it, what this image's iptables is
#
# Its last act is to print the rules as the kernel has them, for the comparison with
# the plan (netiso/firewall holds the same rules, with the reason for each).
set -eu

fail() {
	echo "init-firewall: $1" >&2
	exit 1
}

# A parameter is a number in its range, or the script stops: what is not a number
# could be read as another option by iptables.
number() { # NAME VALUE MIN MAX
	case $2 in
	'' | *[!0-9]* | 0?* | ??????????*) fail "$1 is not a number: '$2'" ;;
	esac
	if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
		fail "$1 is not within $3 and $4: '$2'"
	fi
}

relay=${AV_RELAY_ADDR:-} port=${AV_RELAY_PORT:-} uid=${AV_GATE_UID:-} catch=${AV_CATCH_PORT:-}

case $relay in
none) ;;
*[!0-9.]* | *..* | .* | *. | *.*.*.*.*) fail "AV_RELAY_ADDR is not an IPv4 address: '$relay'" ;;
*.*.*.*) ;;
*) fail "AV_RELAY_ADDR is not an IPv4 address: '$relay'" ;;
esac
rest=${relay#none}
while [ -n "$rest" ]; do
	number "a part of AV_RELAY_ADDR" "${rest%%.*}" 0 255
	case $rest in *.*) rest=${rest#*.} ;; *) rest= ;; esac
done
if [ "$relay" != none ]; then
	number AV_RELAY_PORT "$port" 1 65535
	number AV_GATE_UID "$uid" 1 4294967294
fi
number AV_CATCH_PORT "$catch" 1 65535

v4=${IPTABLES:-iptables}
case $v4 in
iptables | iptables-nft | iptables-legacy) ;;
*) fail "IPTABLES is neither iptables-nft nor iptables-legacy: '$v4'" ;;
esac
v6=ip6${v4#ip}

# A connection needs a route before it can be caught. A box without a link gets one to
# itself: both ends of the pair are in this namespace, and what the rules below would let
# through arrives at the other end, where nobody is. Programs ask whether there is an
# interface with an address before they try at all, so that lo alone is not enough. The
# box has no use for IPv6, nor for an address of it.
from_relay='' to_relay='' past_catch=''
if [ "$relay" = none ]; then
	# Who was told to use tables that this kernel has not is asked again, with the others: what
	# is there of the first try goes. Another eth0 than ours stays, and ends it here.
	ip link delete dev av0 2>/dev/null || true
	ip link add eth0 type veth peer name av0
	if [ -e /proc/net/if_inet6 ]; then
		ip link set dev eth0 addrgenmode none
		ip link set dev av0 addrgenmode none
	fi
	ip -4 address add 10.83.0.2/30 dev eth0
	ip link set dev av0 up
	ip link set dev eth0 up
	ip -4 route replace default via 10.83.0.1
else
	# Not every engine gives an internal network a default route.
	ip -4 route replace default via "$relay"
	from_relay="-A INPUT -s $relay/32 -p tcp -m tcp --sport $port -m conntrack --ctstate ESTABLISHED -j ACCEPT"
	to_relay="-A OUTPUT -d $relay/32 -p tcp -m tcp --dport $port -m owner --uid-owner $uid -j ACCEPT"
	past_catch="-A OUTPUT -m owner --uid-owner $uid -j RETURN"
fi

# Each table is replaced whole, in one step.
"$v4-restore" --wait 5 <<RULES
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT DROP
-A INPUT -d 127.0.0.11/32 -j DROP
-A INPUT -i lo -j ACCEPT
$from_relay
-A OUTPUT -d 127.0.0.11/32 -j REJECT --reject-with icmp-port-unreachable
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport $catch -j ACCEPT
$to_relay
-A OUTPUT -p tcp -j REJECT --reject-with tcp-reset
-A OUTPUT -p udp -j REJECT --reject-with icmp-port-unreachable
-A OUTPUT -p icmp -j REJECT --reject-with icmp-port-unreachable
-A OUTPUT -j REJECT --reject-with icmp-port-unreachable
COMMIT
RULES

# A kernel without IPv6 has nothing to wall; any other doubt about IPv6 is an error.
if [ -e /proc/net/if_inet6 ]; then
	"$v6-restore" --wait 5 <<RULES
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT DROP
-A INPUT -i lo -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -j REJECT --reject-with icmp6-adm-prohibited
COMMIT
RULES
fi

# This drops the engine's own nat rules, which lead 127.0.0.11 to its resolver, and
# with it to the host's. It comes last because it is the one that deletes: the kernel
# lets the next change wait until what was deleted is out of use, for 20 ms.
"$v4-restore" --wait 5 <<RULES
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
-A OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 53
-A OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 53
-A OUTPUT -o lo -j RETURN
$past_catch
-A OUTPUT -p tcp -j REDIRECT --to-ports $catch
COMMIT
RULES

# An engine whose own iptables is the legacy one has put its nat rules there. Which of two
# nat tables a kernel asks first is its own affair (the newer one, so far): with one of
# them empty it does not matter. Where no engine has made that table there is none.
if [ "$v4" != iptables-legacy ] && grep -qx nat /proc/net/ip_tables_names 2>/dev/null; then
	iptables-legacy-restore --wait 5 <<RULES
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
COMMIT
RULES
fi

echo "# ipv4 filter"
"$v4" --wait 5 -S
echo "# ipv4 nat"
"$v4" --wait 5 -t nat -S
if [ -e /proc/net/if_inet6 ]; then
	echo "# ipv6 filter"
	"$v6" --wait 5 -S
else
	echo "# ipv6: absent"
fi
