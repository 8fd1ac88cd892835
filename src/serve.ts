import { listen } from './http/listen.ts'
import { createParley, type Parley, type ParleyOptions } from './parley.ts'

/** A server that listens. */
export interface ParleyServer extends Parley {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly port: number
}

export interface ServeOptions extends ParleyOptions {
  /** Whether SIGTERM, SIGINT and exceptions that nobody caught drain and end the process. Default true. */
  signals?: boolean
}

/** How long connections may take to close once their streams have ended. */
const closeConnectionsMs = 2_000
/** A terminal signals every process in it, and npm passes that on: what comes this soon is the first one again. */
const sameSignalMs = 1_000

/**
 * Creates a server and listens. Rejects as `createParley` does, and with a `ListenError`.
 *
 * @example
 * const parley = await serve({ agents: [assistant], port: 8080 })
 */
export async function serve(options: ServeOptions): Promise<ParleyServer> {
  const { signals = true, ...parleyOptions } = options
  const parley = await createParley(parleyOptions)
  const { host, port } = parley.settings
  const listener = await listen({ fetch: parley.fetch, host, port }).catch(async (error: unknown) => {
    await parley.close(0)
    throw error
  })
  let closing: Promise<void> | undefined
  const closeAll = async (graceMs: number | undefined) => {
    // Connections stay open while runs drain: their readers get the end, probes get their 503.
    await parley.close(graceMs)
    await listener.close(closeConnectionsMs)
  }
  const server: ParleyServer = {
    ...parley,
    url: listener.url,
    port: listener.port,
    close: (graceMs) => (closing ??= closeAll(graceMs)),
  }
  if (signals) closeWithProcess(server)
  parley.logger.info({ url: server.url, agents: parley.agents.map(({ name }) => name) }, 'listening')
  parley.logger.warn(
    {},
    'no authentication is configured: anybody on this machine may call; others cannot reach it',
  )
  return server
}

/**
 * A signal drains and ends the process; another one, a second later at the earliest, ends it at once. So does an exception
 * that nobody caught, with exit code 1: after it, nobody knows what still works, and whoever supervises the process starts
 * another. A rejection that nobody handled, as a tool's forgotten promise leaves it, is logged, and the server goes on.
 */
function closeWithProcess(server: ParleyServer): void {
  const { logger } = server
  let told = false
  const end = (code: number) => {
    if (told) process.exit(1)
    told = true
    server.close().then(
      () => {
        logger.info({}, 'stopped')
        process.exit(code)
      },
      (error: unknown) => {
        logger.error({ err: error }, 'shutdown failed')
        process.exit(1)
      },
    )
  }
  let signalledAt = -Infinity
  const onSignal = (signal: NodeJS.Signals) => {
    if (performance.now() - signalledAt < sameSignalMs) return
    signalledAt = performance.now()
    logger.info({ signal }, 'draining')
    end(0)
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('unhandledRejection', (reason) => logger.error({ err: reason }, 'a rejection was not handled'))
  process.on('uncaughtException', (error) => {
    logger.error({ err: error }, 'an exception was not caught: ending the process')
    if (!told) end(1)
  })
}
