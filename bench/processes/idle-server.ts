import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { token } from '../models.ts'
import { answerCalls } from './calls.ts'

/* The baseline for memory: a stream on `node:http` that says one thing and stays open. */

const server = createServer((incoming, outgoing) => {
  incoming.resume()
  outgoing.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' })
  outgoing.write(`data: ${token}\n\n`)
})

server.listen(0, '127.0.0.1', () => {
  // A server on a TCP port has an address of this kind once it listens.
  answerCalls({}, { port: (server.address() as AddressInfo).port })
})
