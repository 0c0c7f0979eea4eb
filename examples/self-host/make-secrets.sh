#!/bin/sh
# Makes the passwords of compose.yaml, once; what is there already stays. Nothing of them is printed.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets

random() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
# The folder keeps everyone else out. Inside the containers, each is read by a user of its own.
make() {
  if [ -e "secrets/$1" ]; then return; fi
  printf '%s' "$2" >"secrets/$1"
  chmod "$3" "secrets/$1"
}

make postgres-password "$(random)" 444
make tidemark-password "$(random)" 444
# Of this one the nodes, user 1000, insist that nobody else may read it.
make pgpass "postgres:5432:cloud:tidemark:$(cat secrets/tidemark-password)
" 600
if [ "$(id -u)" = 0 ]; then
  chown 1000:1000 secrets/pgpass
elif [ "$(stat -c %u secrets/pgpass)" != 1000 ]; then
  echo 'The nodes run as user 1000: sudo chown 1000:1000 secrets/pgpass' >&2
fi
