#!/bin/sh
# Just enough Markdown for this example.
set -eu
mkdir -p public
for page in pages/*.md; do
    sed -e 's|^# \(.*\)|<h1>\1</h1>|' \
        -e 's|\*\*\([^*]*\)\*\*|<b>\1</b>|g' \
        -e 's|`\([^`]*\)`|<code>\1</code>|g' \
        -e 's|\[\([^]]*\)\](\([^)]*\))|<a href="\2">\1</a>|g' \
        "$page" >"public/$(basename "$page" .md).html"
done
