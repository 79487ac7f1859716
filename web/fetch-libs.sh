#!/bin/sh
# Puts the library that the page loads where the binary embeds it. It fetches MapLibre's package alone: its dependencies
# are bundled into the files that the page loads. Version and checksum are those of package-lock.json.
# Run through `npm run libs` or `make web`.
set -eu
cd "$(dirname "$0")"
locked() { node -p "require('./package-lock.json').packages['node_modules/maplibre-gl'].$1"; }
version=$(locked version)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

npm pack --silent --pack-destination "$dir" "maplibre-gl@$version" >/dev/null
package=$dir/maplibre-gl-$version.tgz
sum=$(node -p "'sha512-' + require('crypto').createHash('sha512').update(require('fs').readFileSync('$package')).digest('base64')")
if [ "$sum" != "$(locked integrity)" ]; then
  echo "maplibre-gl $version is not the file that package-lock.json names: its checksum is $sum" >&2
  exit 1
fi

tar -xzf "$package" -C "$dir"
for file in maplibre-gl.mjs maplibre-gl-worker.mjs maplibre-gl.css; do
  cp "$dir/package/dist/$file" "lib/$file"
done
cp "$dir/package/LICENSE.txt" lib/maplibre-gl.LICENSE.txt
echo "web/lib holds maplibre-gl $version"
