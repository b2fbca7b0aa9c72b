"""Prints a Markdown reference of the functions in a directory of modules."""

import ast
import pathlib
import sys

print("# Reference")
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    module = ast.parse(path.read_text())
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    if not functions:
        continue
    print(f"\n## {path.stem}\n\n{ast.get_docstring(module)}\n")
    for function in functions:
        arguments = ", ".join(a.arg for a in function.args.args)
        print(f"- `{function.name}({arguments})`: {ast.get_docstring(function)}")
