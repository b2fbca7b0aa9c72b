"""A small refactoring tool that stands in for a coding agent.

It looks for orders among the lines of the prompt on standard input:

    rename OLD -> NEW in GLOB...
    header 'TEXT' in GLOB...

What it prints on standard output becomes the body of the commit message.
"""

import pathlib
import re
import shlex
import sys


def files(globs):
    found = sorted({path for glob in globs for path in pathlib.Path().glob(glob)})
    if not found:
        sys.exit(f"no file matches {' '.join(globs)}")
    return found


def rename(old, new, globs):
    count = 0
    for path in files(globs):
        text = path.read_text()
        changed, n = re.subn(rf"\b{re.escape(old)}\b", new, text)
        if n:
            path.write_text(changed)
            count += n
    print(f"Renamed {old} to {new} in {count} places.")


def header(line, globs):
    count = 0
    for path in files(globs):
        text = path.read_text()
        if not text.startswith(line):
            path.write_text(f"{line}\n{text}")
            count += 1
    print(f"Put `{line}` on top of {count} files.")


def main():
    done = 0
    for line in sys.stdin:
        if match := re.match(r"rename (\w+) -> (\w+) in (.+)", line):
            rename(match[1], match[2], match[3].split())
            done += 1
        elif line.startswith("header "):
            words = shlex.split(line)
            header(words[1], words[3:])
            done += 1
    if not done:
        sys.exit("the prompt holds no order that this tool knows")


main()
