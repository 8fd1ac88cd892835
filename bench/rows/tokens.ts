import type { Child } from '../child.ts'
import { aiSdkAgent, type BenchAgent } from '../models.ts'
import { figureOf, inTurn, type Figure, type Row } from '../row.ts'
import { parleyTarget, relayTarget } from '../stage.ts'
import type { Calls } from '../processes/calls.ts'
import type { LoadCalls, Target } from '../processes/load.ts'

const streams = 50
/** Of the bar for tokens per second the other way up. */
const cpuBar = { is: 'most', limit: 1.25, goal: 1 } as const

interface Measured {
  perSecond: number
  /** Microseconds of the server's CPU. */
  cpuPerToken: number
  /** Share of one core that the server, and the clients, had. Where the server's is well below 1, others held it up. */
  serverShare: number
  loadShare: number
}

/** Tokens through 50 streams at a time: as fast as they go, and at the pace of real models, where none share a read. */
export const tokens: Row = {
  name: 'tokens',
  async measure({ stage, rounds, scale }) {
    const [load, upstream] = [await stage.load(), await stage.upstream()]
    const parley = await stage.parley({ upstream })
    const relay = await stage.baseline('relay', { upstream })
    const throughParley = (agent: BenchAgent) => () =>
      measure({
        load,
        server: parley,
        target: parleyTarget({ port: parley.port, agent, stream: true, tokens: 100 }),
        durationMs: 1500 * scale,
      })
    const throughRelay = (model: 'tokens-100-0' | 'tokens-100-4') => () =>
      measure({
        load,
        server: relay,
        target: relayTarget({ port: relay.port, model, stream: true, tokens: 100 }),
        durationMs: 1500 * scale,
      })
    const sides = {
      relay: throughRelay('tokens-100-0'),
      llm: throughParley('tokens-100-0'),
      aiSdk: throughParley(aiSdkAgent),
      scripted: throughParley('scripted-100'),
      relayPaced: throughRelay('tokens-100-4'),
      llmPaced: throughParley('tokens-100-4'),
    }
    for (const target of [
      relayTarget({ port: relay.port, model: 'tokens-100-0', stream: true, tokens: 100 }),
      parleyTarget({ port: parley.port, agent: 'tokens-100-0', stream: true, tokens: 100 }),
      parleyTarget({ port: parley.port, agent: aiSdkAgent, stream: true, tokens: 100 }),
      parleyTarget({ port: parley.port, agent: 'scripted-100', stream: true, tokens: 100 }),
    ]) {
      await load.call('count', { target, clients: streams, requests: Math.round(4000 * scale) })
    }
    return toFigures(await inTurn(rounds, sides))
  },
}

function toFigures(
  results: Record<'relay' | 'llm' | 'aiSdk' | 'scripted' | 'relayPaced' | 'llmPaced', Measured[]>,
): Figure[] {
  const { relay, llm, aiSdk, scripted, relayPaced, llmPaced } = results
  const shares = (side: Measured[]) =>
    side.map(({ serverShare, loadShare }) => ({ server: serverShare, load: loadShare }))
  const rate = (name: string, side: Measured[]) => ({
    name,
    unit: 'tokens/s',
    compare: 'ratio' as const,
    parley: side.map(({ perSecond }) => perSecond),
    baseline: { name: 'relay', values: relay.map(({ perSecond }) => perSecond) },
    facts: { core_share: { parley: shares(side), relay: shares(relay) } },
  })
  const cpu = (name: string, side: Measured[], base: Measured[]) => ({
    name,
    unit: 'µs',
    compare: 'ratio' as const,
    parley: side.map(({ cpuPerToken }) => cpuPerToken),
    baseline: { name: 'relay', values: base.map(({ cpuPerToken }) => cpuPerToken) },
    facts: { core_share: { parley: shares(side), relay: shares(base) } },
  })
  return [
    figureOf({
      ...rate('tokens/s, 50 streams of 100, `llm/` model', llm),
      bar: { is: 'least', limit: 0.8, goal: 1 },
    }),
    figureOf({ ...cpu('CPU per token of those', llm, relay), bar: cpuBar }),
    figureOf({
      ...cpu('CPU per token, paced: one every 4 ms in each stream', llmPaced, relayPaced),
      bar: cpuBar,
    }),
    figureOf(rate('tokens/s, 50 streams of 100, AI SDK model', aiSdk)),
    figureOf(cpu('CPU per token of those', aiSdk, relay)),
    figureOf(rate('tokens/s, 50 streams of 100, scripted model', scripted)),
    figureOf(cpu('CPU per token of those', scripted, relay)),
  ]
}

async function measure(input: {
  load: Child<LoadCalls>
  server: Child<Calls>
  target: Target
  durationMs: number
}): Promise<Measured> {
  const { load, server, target, durationMs } = input
  const [serverBefore, loadBefore] = [await server.call('cpu'), await load.call('cpu')]
  const result = await load.call('run', { target, clients: streams, durationMs, staggerMs: 50 })
  const [serverAfter, loadAfter] = [await server.call('cpu'), await load.call('cpu')]
  const microseconds = result.seconds * 1_000_000
  return {
    perSecond: result.tokens / result.seconds,
    cpuPerToken: (serverAfter - serverBefore) / result.tokens,
    serverShare: (serverAfter - serverBefore) / microseconds,
    loadShare: (loadAfter - loadBefore) / microseconds,
  }
}
