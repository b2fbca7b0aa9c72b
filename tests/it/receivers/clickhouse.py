"""ClickHouse's interface over HTTP, as much of it as an exporter and a dashboard need, before chdb.

Prints its port. It ends when its standard input does, and after ten minutes.
"""

import os
import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session

directory = sys.argv[1]
session = Session(os.path.join(directory, "data"))
one_at_a_time = threading.Lock()


def answer(arguments, body):
    if "database" in arguments:
        session.query("USE " + arguments["database"])
    query = arguments.get("query", "")
    insert = re.match(r"(INSERT\s.*?)\s+(?:SETTINGS\s.*\s)?FORMAT\s+RowBinary\s*$", query, re.S)
    if not insert:
        return session.query(query + body.decode(), "JSON").bytes()
    with tempfile.NamedTemporaryFile(dir=directory) as rows:
        rows.write(body)
        rows.flush()
        return session.query(f"{insert[1]} FROM INFILE '{rows.name}' FORMAT RowBinary").bytes()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.body()
        try:
            with one_at_a_time:
                code, text = 200, answer(dict(parse_qsl(urlsplit(self.path).query)), body)
        except Exception as error:
            code, text = 500, str(error).encode()
            print(error, file=sys.stderr, flush=True)
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Timer(600, os._exit, [1]).start()
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
os._exit(0)
