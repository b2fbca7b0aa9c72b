#!/bin/sh
# A Markdown page out of a table of options.
set -eu
echo '# Options'
awk -F '\t' '{ printf "\n`%s`: %s.\n", $1, $2 }' "$1"
