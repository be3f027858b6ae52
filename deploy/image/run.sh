#!/bin/sh
# Runs what the container's command names. A copy is called after its container, whose name survives its restarts: after a crash
# it takes up its partitions at once, without waiting until Kafka has given its predecessor up.
set -eu
export ITHACA_COPY="${ITHACA_COPY-${HOSTNAME-}}"
case "${1-}" in
setup) exec python -m deploy.image.setup ;;
gateway | matching | scheduling | notifications | analytics) exec python -m "services.$1.main" ;;
*)
	echo "ithaca: say which service to run: gateway, matching, scheduling, notifications, analytics, or setup" >&2
	exit 64
	;;
esac
