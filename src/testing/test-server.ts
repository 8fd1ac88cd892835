import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { agent } from '../agent/agent.ts'
import type { Agent } from '../agent/definitions.ts'
import type { Clock } from '../clock.ts'
import { createLogger, silentLogger } from '../logger.ts'
import type { Model } from '../models/model.ts'
import type { ParleyOptions } from '../parley.ts'
import { serve, type ParleyServer } from '../serve.ts'
import type { FakeClock } from './fake-clock.ts'
import { createTestRuns, type TestRuns } from './test-runs.ts'

export interface TestServerOptions extends Omit<Partial<ParleyOptions>, 'agents'> {
  /** Model of an agent named `assistant`; give `agents` instead for anything more. */
  model?: Model
  agents?: readonly Agent[]
}

export interface TestServer extends ParleyServer, TestRuns {
  /** A request as a local client would send it, without a socket. A body that is not a string is sent as JSON. */
  request(
    path: string,
    init?: { method?: string; headers?: Record<string, string>; body?: unknown },
  ): Promise<Response>
}

/**
 * A real server for a test: its own data in a folder that goes with it, a free port on loopback, no log unless `logLevel` is given, no signals. Close
 * it: that drains without a grace, and moves the time of a fake clock on until all is over.
 */
export async function createTestServer(options: TestServerOptions): Promise<TestServer> {
  const { model, agents, ...rest } = options
  const ownDir = rest.dataDir === undefined ? await mkdtemp(join(tmpdir(), 'parley-test-')) : undefined
  const server = await serve({
    logger: rest.logLevel === undefined ? silentLogger : createLogger(rest.logLevel),
    port: 0,
    signals: false,
    ...rest,
    dataDir: rest.dataDir ?? ownDir ?? '',
    agents: agents ?? [agent({ name: 'assistant', ...(model ? { model } : {}) })],
  })
  const { leave, ...testRuns } = createTestRuns(server)
  return {
    ...server,
    ...testRuns,
    request: async (path, init = {}) => server.fetch(toRequest(server.url, { path, ...init })),
    async close(graceMs = 0) {
      await closeWith(rest.clock, server.close(graceMs))
      leave()
      if (ownDir) await rm(ownDir, { recursive: true, force: true })
    },
  }
}

/** What is under way gets a moment to end, which a fake clock would never let pass. */
async function closeWith(clock: Clock | FakeClock | undefined, closing: Promise<void>): Promise<void> {
  if (clock && 'advanceUntil' in clock) await clock.advanceUntil(closing, 1_000)
  else await closing
}

function toRequest(
  url: string,
  init: { path: string; method?: string; headers?: Record<string, string>; body?: unknown },
): Request {
  const { path, body } = init
  const headers = new Headers(init.headers)
  headers.set('host', new URL(url).host)
  if (body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json')
  return new Request(new URL(path, url), {
    method: init.method ?? (body === undefined ? 'GET' : 'POST'),
    headers,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
}
