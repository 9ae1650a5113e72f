#!/bin/sh
# One step of an agent's image: `install.sh STEP`. Beside it lies ca.pem, what the host trusts: behind a proxy that looks
# into TLS nothing can be fetched without it. It is for these steps alone, and no part of what the image trusts.
set -eu

node=24.21.0 npm=11.6.0
ca=/build/ca.pem

apt() {
	set -- -o Acquire::Retries=5 -o DPkg::Options::=--force-unsafe-io "$@"
	if [ -s "$ca" ]; then set -- -o "Acquire::https::CaInfo=$ca" "$@"; fi
	DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# lists fetches the lists of packages, from the mirror that the build was given, if any.
lists() {
	if [ -n "${DEBIAN_MIRROR:-}" ]; then
		rm -f /etc/apt/sources.list.d/*
		# shellcheck source=/dev/null
		. /etc/os-release
		echo "deb $DEBIAN_MIRROR $VERSION_CODENAME main" >/etc/apt/sources.list
	fi
	apt -o APT::Update::Error-Mode=any update
}

packages() { apt install -y --no-install-recommends "$@"; }

tidy() { rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb; }

# trust points what fetches to what the host trusts, and to Debian's own authorities.
trust() {
	cat /etc/ssl/certs/ca-certificates.crt "$ca" >/tmp/ca.pem
	export NODE_EXTRA_CA_CERTS=/tmp/ca.pem PIP_CERT=/tmp/ca.pem SSL_CERT_FILE=/tmp/ca.pem
	export npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false
	[ -n "${npm_config_registry:-}" ] || unset npm_config_registry
	[ -n "${PIP_INDEX_URL:-}" ] || unset PIP_INDEX_URL
}

# archive ARCH URL SHA256...: fetches the one for this machine, from another place if the build was told one, and unpacks it
# if it is the one that was meant.
archive() {
	arch=$(dpkg --print-architecture)
	while [ $# -gt 0 ] && [ "$1" != "$arch" ]; do shift 3; done
	if [ $# -eq 0 ]; then
		echo "install.sh: the vendor has no archive for $arch" >&2
		exit 1
	fi
	curl --fail --silent --show-error --location --retry 5 --max-time 1800 --max-filesize 1G --cacert /tmp/ca.pem \
		--output /tmp/archive "${ARCHIVE_URL:-$2}"
	if ! echo "$3  /tmp/archive" | sha256sum --check --status; then
		echo "install.sh: ${ARCHIVE_URL:-$2} is not what it was when av was made: its SHA-256 is not $3" >&2
		exit 1
	fi
	mkdir -p /opt/agent/archive
	tar -x -f /tmp/archive --no-same-owner -C /opt/agent/archive
	for program in $PROGRAMS; do
		chmod 755 "/opt/agent/archive/$program"
		ln -s "../archive/$program" "/opt/agent/bin/${program##*/}"
	done
	rm /tmp/archive
}

case $1 in
npm)
	# Debian's npm is several hundred packages. They are unpacked and not set up, which takes a tenth of the time: this
	# stage is thrown away, and nothing else of it is used.
	lists
	packages ca-certificates
	mkdir -p /deb/partial
	apt -o Dir::Cache::Archives=/deb/ install -y --no-install-recommends --download-only nodejs npm
	find /deb -name '*.deb' -print0 |
		xargs -0 -P 4 -I '{}' sh -c 'dpkg-deb --fsys-tarfile "{}" | tar -x --keep-directory-symlink -C /'
	ldconfig
	rm -rf /deb
	tidy
	;;
node)
	trust
	npm install -g --prefix /opt/node "node-linux-$(node -p process.arch)@$node"
	# A newer npm wants a newer Node than Debian's.
	PATH=/opt/node/bin:$PATH npm install -g --prefix /opt/node "npm@$npm"
	rm -rf /opt/node/lib/node_modules/node-linux-*/include /opt/node/lib/node_modules/node-linux-*/share
	;;
agent)
	trust
	mkdir -p /opt/agent/bin
	# The names come from av, which lets none through that a shell would read as more than one word.
	# shellcheck disable=SC2086
	[ -z "${NPM:-}" ] || PATH=/opt/node/bin:$PATH /opt/node/bin/npm install -g --prefix /opt/agent $NPM
	if [ -n "${PIP:-}" ]; then
		lists
		packages python3-venv
		python3 -m venv /opt/agent/venv
		# shellcheck disable=SC2086
		/opt/agent/venv/bin/pip install --no-cache-dir $PIP
		tidy
	fi
	if [ -n "${ARCHIVE:-}" ]; then
		lists
		packages bzip2 curl xz-utils
		# shellcheck disable=SC2086
		archive $ARCHIVE
		tidy
	fi
	;;
tools)
	lists
	packages build-essential ca-certificates curl file git jq less openssh-client patch procps python3 python3-pip \
		python3-venv ripgrep unzip
	tidy
	useradd --create-home --uid 1000 --shell /bin/bash agent
	;;
debian)
	[ -n "${DEBIAN:-}" ] || exit 0
	lists
	# shellcheck disable=SC2086
	packages $DEBIAN
	tidy
	;;
*)
	echo "install.sh: unknown step $1" >&2
	exit 1
	;;
esac
