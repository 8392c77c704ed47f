"""Go's text/template as far as docker's `--format` uses it: the whole language, with the same error texts.

lexer.py     text → tokens            parser.py   tokens → nodes          nodes.py    what a template consists of
executor.py  nodes + data → text      functions.py  the functions         printing.py `fmt`: %v and its family
values.py    what data looks like: structures with Go's field names, nil, rows of a table
"""
