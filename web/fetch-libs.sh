#!/bin/sh
# Puts the libraries that the page loads where the binary embeds them. Run through `npm run libs` or `make web`.
set -eu
cd "$(dirname "$0")"
[ -d node_modules/maplibre-gl ] || npm ci --omit=dev --no-audit --no-fund --loglevel=error
for file in maplibre-gl.mjs maplibre-gl-worker.mjs maplibre-gl.css; do
  cp "node_modules/maplibre-gl/dist/$file" "lib/$file"
done
cp node_modules/maplibre-gl/LICENSE.txt lib/maplibre-gl.LICENSE.txt
echo "web/lib holds maplibre-gl $(node -p "require('./node_modules/maplibre-gl/package.json').version")"
