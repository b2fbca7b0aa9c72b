#!/bin/sh
# Adds up the prices of one region. Written to a temporary name first: a job in the checkout
# may be cut short and is then run again, so it must never leave half a result.
set -eu
region=$1
mkdir -p out
awk -F , -v region="$region" 'NR > 1 { sum += $2 } END { print region, sum }' "data/$region.csv" >"out/$region.tmp"
mv "out/$region.tmp" "out/$region.txt"
cat "out/$region.txt"
