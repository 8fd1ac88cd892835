import { figureOf, inTurn, type Row, type RowContext } from '../row.ts'
import { parleyTarget, relayTarget } from '../stage.ts'
import type { Child } from '../child.ts'
import type { Calls } from '../processes/calls.ts'
import type { LoadCalls, LoadResult, Target } from '../processes/load.ts'

const clients = 16

/** Requests per second that are answered in one piece, with a model that costs nothing: what durability and the engine cost. */
export const syncScripted: Row = {
  name: 'sync-scripted',
  async measure(context) {
    const { stage } = context
    const load = await stage.load()
    const parley = await stage.parley()
    const hono = await stage.baseline('hono-server')
    const target = parleyTarget({ port: parley.port, agent: 'scripted', stream: false })
    const measure = (server: Child<Calls>) => () =>
      withCpu(server, () =>
        load.call('run', {
          target: { ...target, port: server.port },
          clients,
          durationMs: 1500 * context.scale,
        }),
      )
    await warmUp(context, load, [target, { ...target, port: hono.port }])
    const results = await inTurn(context.rounds, { parley: measure(parley), baseline: measure(hono) })
    return [
      figureOf({
        ...throughput(results, 'bare Hono'),
        name: 'sync requests/s, 16 clients, scripted model',
        bar: { is: 'least', limit: 0.15, goal: 0.25 },
      }),
      figureOf(cpu(results, 'bare Hono')),
    ]
  },
}

/** The same through a model on another server. */
export const syncUpstream: Row = {
  name: 'sync-upstream',
  async measure(context) {
    const { measure } = await upstreamSides(context)
    const at = { clients, durationMs: 1500 * context.scale }
    const results = await inTurn(context.rounds, {
      parley: () => measure.parley(at),
      baseline: () => measure.relay(at),
    })
    return [
      figureOf({
        ...throughput(results, 'relay'),
        name: 'sync requests/s, 16 clients, upstream model',
        bar: { is: 'least', limit: 0.25, goal: 0.4 },
      }),
      figureOf(cpu(results, 'relay')),
    ]
  },
}

/** What one client waits longer. */
export const syncLatency: Row = {
  name: 'sync-latency',
  async measure(context) {
    const { measure } = await upstreamSides(context)
    const at = { clients: 1, durationMs: 1000 * context.scale }
    const results = await inTurn(context.rounds, {
      parley: () => measure.parley(at),
      baseline: () => measure.relay(at),
    })
    return [
      figureOf({
        name: 'added p50 of that request, 1 client',
        unit: 'ms',
        compare: 'difference',
        bar: { is: 'most', limit: 1, goal: 0.5 },
        parley: results.parley.map(({ latency }) => latency.p50),
        baseline: { name: 'relay', values: results.baseline.map(({ latency }) => latency.p50) },
      }),
    ]
  },
}

async function upstreamSides(context: RowContext) {
  const { stage } = context
  const [load, upstream] = [await stage.load(), await stage.upstream()]
  const parley = await stage.parley({ upstream })
  const relay = await stage.baseline('relay', { upstream })
  const targets = {
    parley: parleyTarget({ port: parley.port, agent: 'short', stream: false }),
    relay: relayTarget({ port: relay.port, model: 'short', stream: false }),
  }
  await warmUp(context, load, [targets.parley, targets.relay])
  type At = { clients: number; durationMs: number }
  const measure = (server: Child<Calls>, target: Target) => (at: At) =>
    withCpu(server, () => load.call('run', { target, ...at }))
  return { measure: { parley: measure(parley, targets.parley), relay: measure(relay, targets.relay) } }
}

interface Measured extends LoadResult {
  /** Microseconds of the server. */
  cpuPerAnswer: number
}

async function withCpu(server: Child<Calls>, run: () => Promise<LoadResult>): Promise<Measured> {
  const before = await server.call('cpu')
  const result = await run()
  return { ...result, cpuPerAnswer: ((await server.call('cpu')) - before) / result.answers }
}

/** A server is at its speed after some thousand requests, when all of its code has been compiled for them. */
async function warmUp({ scale }: RowContext, load: Child<LoadCalls>, targets: Target[]): Promise<void> {
  for (const target of targets)
    await load.call('count', { target, clients, requests: Math.round(10_000 * scale) })
}

type Results = Record<'parley' | 'baseline', Measured[]>

function throughput({ parley, baseline }: Results, name: string) {
  const perSecond = ({ answers, seconds }: LoadResult) => answers / seconds
  return {
    unit: 'req/s',
    compare: 'ratio' as const,
    parley: parley.map(perSecond),
    baseline: { name, values: baseline.map(perSecond) },
    facts: { latency_ms: parley.map(({ latency }) => latency) },
  }
}

function cpu({ parley, baseline }: Results, name: string) {
  return {
    name: 'CPU per request of those',
    unit: 'µs',
    compare: 'ratio' as const,
    parley: parley.map(({ cpuPerAnswer }) => cpuPerAnswer),
    baseline: { name, values: baseline.map(({ cpuPerAnswer }) => cpuPerAnswer) },
  }
}
