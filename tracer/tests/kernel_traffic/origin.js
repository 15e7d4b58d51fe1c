// The origin server of the traffic tests: GET .../length/N and .../chunked/N answer with N bytes,
// PUT takes what comes and answers with how much that was. A line in origin.log for each request.
const fs = require('fs'), http = require('http');
const block = Buffer.alloc(65536, 'HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n5\r\n');
const log = fs.createWriteStream('origin.log', { flags: 'a' });

function send(request, response, framing, bytes) {
  if (framing === 'length') response.setHeader('Content-Length', bytes);
  let left = bytes;
  const done = () => response.end(() => log.write(`${request.url} 0 ${bytes}\n`));
  const more = () => {
    while (left > 0) {
      const part = block.subarray(0, Math.min(left, block.length));
      left -= part.length;
      if (!response.write(part)) return response.once('drain', more);
    }
    done();
  };
  more();
}

function take(request, response) {
  let bytes = 0;
  request.on('data', (part) => { bytes += part.length; });
  request.on('end', () => {
    response.end(String(bytes));
    log.write(`${request.url} ${bytes} ${String(bytes).length}\n`);
  });
}

const server = http.createServer((request, response) => {
  const match = /\/(length|chunked)\/(\d+)\?/.exec(request.url);
  if (request.method === 'PUT') take(request, response);
  else if (match) send(request, response, match[1], Number(match[2]));
  else response.writeHead(404).end();
});
server.keepAliveTimeout = server.requestTimeout = 0;
server.listen(Number(process.argv[2]), '127.0.0.1');
