#!/bin/sh
# A front page with a link to every other one.
set -eu
echo '<h1>Contents</h1>'
for page in public/*.html; do
    name=$(basename "$page")
    if [ "$name" != index.html ]; then
        printf '<p><a href="%s">%s</a></p>\n' "$name" "${name%.html}"
    fi
done
