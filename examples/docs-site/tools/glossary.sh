#!/bin/sh
# A Markdown page out of a sorted list of terms.
set -eu
echo '# Glossary'
while IFS= read -r line; do
    printf '\n%s\n' "$line"
done <"$1"
