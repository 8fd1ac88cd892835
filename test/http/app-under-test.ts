import { Writable } from 'node:stream'
import { systemClock, type Clock } from '../../src/clock.ts'
import { createHttpApp, type HttpApp, type HttpOptions } from '../../src/http/app.ts'
import { listen, type Listener } from '../../src/http/listen.ts'
import { createStreams, type Streams } from '../../src/http/streams.ts'
import { pino } from 'pino'
import type { Logger } from '../../src/logger.ts'

export interface AppUnderTest {
  app: HttpApp
  streams: Streams
  /** Entries of the log so far. */
  log: Record<string, unknown>[]
  /** Resolves with the first entry that fits, past or to come. */
  logged: (fits: (entry: Record<string, unknown>) => boolean) => Promise<Record<string, unknown>>
}

/** The HTTP layer with routes of the test's own and nothing behind it. */
export function createAppUnderTest(
  routes: (app: HttpApp, streams: Streams) => void = () => {},
  options: Partial<HttpOptions> & { clock?: Clock } = {},
): AppUnderTest {
  const log: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  const destination = new Writable({
    write(chunk, _encoding, done) {
      log.push(JSON.parse(String(chunk)))
      for (const look of waiting) look()
      done()
    },
  })
  const logger: Logger = pino({ level: 'debug', base: null }, destination)
  const clock = options.clock ?? systemClock
  const streams = createStreams({ clock, logger })
  const app = createHttpApp({
    clock,
    logger,
    version: '1.2.3',
    maxBodyBytes: 2048,
    loopbackOnly: true,
    streams,
    countConversations: async () => 3,
    ping: async () => {},
    isDraining: () => false,
    mounts: [{ owns: () => false, routes: (mounted) => routes(mounted, streams) }],
    ...options,
  })
  return {
    app,
    streams,
    log,
    logged: (fits) =>
      new Promise((resolve) => {
        const look = () => {
          const entry = log.find(fits)
          if (!entry) return
          waiting.delete(look)
          resolve(entry)
        }
        waiting.add(look)
        look()
      }),
  }
}

/** The same app on a free port. */
export function listenOn(app: HttpApp): Promise<Listener> {
  return listen({ fetch: app.fetch, host: '127.0.0.1', port: 0 })
}
