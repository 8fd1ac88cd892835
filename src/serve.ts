import { listen } from './http/listen.ts'
import { createParley, type Parley, type ParleyOptions } from './parley.ts'

/** A server that listens. */
export interface ParleyServer extends Parley {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string
  readonly port: number
}

export interface ServeOptions extends ParleyOptions {
  /** Whether SIGTERM and SIGINT drain and end the process. Default true. A second signal ends it at once. */
  signals?: boolean
}

/** How long connections may take to close once their streams have ended. */
const closeConnectionsMs = 2_000

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
  if (signals) closeOnSignals(server)
  return server
}

function closeOnSignals(server: ParleyServer): void {
  let told = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (told) process.exit(1)
    told = true
    server.logger.info({ signal }, 'draining')
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        server.logger.error({ err: error }, 'shutdown failed')
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}
