import { Agent, createServer, request as send, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerCalls } from './calls.ts'

/*
 * The baseline for everything with an upstream: the least that a program on `node:http` can do to pass a request on and its
 * answer back, with connections kept alive and one write per chunk. It understands nothing and keeps nothing.
 */

const port = Number(process.argv[2])
const agent = new Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 4096 })

const server = createServer({ keepAliveTimeout: 65_000, noDelay: true }, (incoming, outgoing) => {
  const parts: Buffer[] = []
  incoming.on('data', (part: Buffer) => parts.push(part))
  incoming.on('end', () => forward(incoming, outgoing, Buffer.concat(parts)))
})

function forward(incoming: IncomingMessage, outgoing: ServerResponse, body: Buffer): void {
  const headers = { 'content-type': 'application/json', 'content-length': body.length }
  const request = send(
    { host: '127.0.0.1', port, method: 'POST', path: incoming.url, headers, agent },
    (response) => {
      const { 'content-type': type = '', 'content-length': length } = response.headers
      outgoing.writeHead(
        response.statusCode ?? 502,
        length === undefined ? { 'content-type': type } : { 'content-type': type, 'content-length': length },
      )
      response.on('data', (chunk: Buffer) => outgoing.write(chunk))
      response.on('end', () => outgoing.end())
    },
  )
  request.on('error', () => outgoing.destroy())
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) request.destroy()
  })
  request.end(body)
}

server.listen(0, '127.0.0.1', () => {
  // A server on a TCP port has an address of this kind once it listens.
  answerCalls({}, { port: (server.address() as AddressInfo).port })
})
