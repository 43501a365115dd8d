#!/bin/sh
# Installs what package-lock.json names, checked against its hashes, and copies the three modules and
# their licences here. Needs npm and the registry. To take newer versions: npm update --package-lock-only
# --ignore-scripts after package.json names them.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund --silent
copy() { sed -e '/^\/\/# sourceMappingURL=/d' -e 's/from"preact"/from".\/preact.mjs"/' "node_modules/$1" > "$2"; }
copy preact/dist/preact.mjs preact.mjs
copy preact/hooks/dist/hooks.mjs hooks.mjs
copy htm/dist/htm.mjs htm.mjs
for library in preact htm; do
    version=$(node -p "require('./node_modules/$library/package.json').version")
    echo "$library $version"
    echo
    cat "node_modules/$library/LICENSE"
    echo
done > LICENSES
sha256sum package-lock.json LICENSES preact.mjs hooks.mjs htm.mjs > SHA256SUMS
rm -r node_modules
