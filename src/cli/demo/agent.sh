#!/bin/sh
# A stand-in for a coding agent: does what the prompt on its standard input tells it.
#   write FILE: TEXT     add a line to a file
#   first FILE: TEXT     the same, but only on the first attempt
#   crash                die in the middle of the first attempt
set -eu
while IFS= read -r line; do
    case $line in
    "write "*|"first "*)
        word=${line%% *} rest=${line#* }
        file=${rest%%: *} text=${rest#*: }
        if [ "$word" = first ] && [ "$DROVER_ATTEMPT_NUMBER" != 1 ]; then continue; fi
        mkdir -p "$(dirname "$file")"
        printf '%s\n' "$text" >>"$file"
        echo "wrote a line to $file"
        ;;
    crash)
        if [ "$DROVER_ATTEMPT_NUMBER" = 1 ]; then echo "out of memory"; kill -9 $$; fi
        ;;
    esac
done
