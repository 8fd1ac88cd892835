import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { logEnd } from './child.ts'
import { Connection } from './processes/connection.ts'

/* For rows that start the product as its users do: a program that knows nothing of the bench. */

/** A port that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server on a TCP port has an address of this kind once it listens.
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Asks until the answer is 200, at most 15 s. Returns the time, in milliseconds of `performance.now()`. */
export async function untilReady(input: {
  port: number
  child: ChildProcess
  logPath: string
}): Promise<number> {
  const { port, child, logPath } = input
  const request = Buffer.from(`GET /ready HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`)
  const deadline = performance.now() + 15_000
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the server ended:\n${logEnd(logPath)}`)
    const status = await ask(port, request)
    if (status === 200) return performance.now()
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  throw new Error(`the server was not ready in 15 s:\n${logEnd(logPath)}`)
}

async function ask(port: number, request: Buffer): Promise<number | undefined> {
  let connection: Connection | undefined
  try {
    connection = await Connection.open(port)
    return (await connection.exchange(request)).status
  } catch {
    // Nobody listens yet.
    return undefined
  } finally {
    connection?.close()
  }
}

/** Ends it with a signal and waits for that. */
export async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}
