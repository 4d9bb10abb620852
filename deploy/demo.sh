#!/bin/sh
# A cluster on this machine with a service on it. May be run again; leaves the cluster up.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"

show() {
    echo "\$ $*"
    "$@"
    echo
}

show swarmctl dev up
eval "$(swarmctl dev env)"

image=$(mktemp)
trap 'rm -f "$image"' EXIT
show python examples/hello/build.py "$image"
show swarmctl image load -i "$image"

if swarmctl service inspect hello > /dev/null 2>&1; then
    echo "The service hello is there already."
else
    # Without root there are no networks of nodes: a port of the node that runs the task has to do.
    if swarmctl node inspect self | grep -q '"network_drivers":.*ingress'; then
        publish=8080:8080
    else
        publish=mode=host,published=8080,target=8080
    fi
    show swarmctl service create --name hello --replicas 3 --publish "$publish" hello:1
fi
show swarmctl node ls
show swarmctl service ps hello

node=$(swarmctl service ps hello --filter desired-state=running --format '{{.Node}}' | head -n 1)
address=$(swarmctl dev ps --format '{{.Node}} {{.Address}}' | awk -v node="$node" '$1 == node { print $2 }')
echo "The service answers on port 8080, e.g. of $node, which runs a replica:"
if command -v curl > /dev/null; then
    show curl -s "http://$address:8080"
else
    echo "http://$address:8080"
    python -c "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=10).read().decode())" \
        "http://$address:8080"
    echo
fi

cat << END
The cluster stays up. To use it:
  PATH="$PWD/.venv/bin:\$PATH"
  eval "\$(swarmctl dev env)"
  swarmctl service ls
To remove it:
  swarmctl dev down
END
