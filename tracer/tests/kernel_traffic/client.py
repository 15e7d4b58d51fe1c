# The Python client of the traffic tests. Reads requests as JSON: [{port, method, target, gzip,
# file, chunked}], sends them one after the other, and prints a status and a number of content bytes
# for each.
import http.client, json, os, sys

keep, requests = sys.argv[1] == "keep", json.load(sys.stdin)
connection = None

def blocks(file):
    with open(file, "rb") as content:
        while block := content.read(50_000):
            yield block

for request in requests:
    if connection is None:
        connection = http.client.HTTPConnection("127.0.0.1", request["port"], timeout=120)
    headers = {} if keep else {"Connection": "close"}
    if request["gzip"]:
        headers["Accept-Encoding"] = "gzip"
    body = None
    if request["file"] and request["chunked"]:
        body = blocks(request["file"])
        headers["Transfer-Encoding"] = "chunked"
    elif request["file"]:
        body = open(request["file"], "rb")
        headers["Content-Length"] = str(os.path.getsize(request["file"]))
    method, target, chunked = request["method"], request["target"], request["chunked"]
    connection.request(method, target, body, headers, encode_chunked=chunked)
    response = connection.getresponse()
    count = 0
    while block := response.read(1 << 20):
        count += len(block)
    print(response.status, count)
    if not keep or response.will_close:
        connection.close()
        connection = None
