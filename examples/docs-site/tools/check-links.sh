#!/bin/sh
# Fails if a page links to a page that is not there. Before there are pages, all is well.
set -eu
[ -d public ] || exit 0
bad=0
for target in $(grep -ho 'href="[^":]*"' public/*.html | sed 's/href="\(.*\)"/\1/' | sort -u); do
    if [ ! -f "public/$target" ]; then
        echo "no such page: $target"
        bad=1
    fi
done
exit "$bad"
