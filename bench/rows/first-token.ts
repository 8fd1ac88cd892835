import { figureOf, inTurn, type Row } from '../row.ts'
import { parleyTarget, relayTarget } from '../stage.ts'

const streams = 200

/**
 * What the first token waits longer, while 200 streams are open: each takes a second, and as one ends another begins, so
 * that runs are created and committed all the time.
 */
export const firstToken: Row = {
  name: 'first-token',
  async measure({ stage, rounds, scale }) {
    const [load, upstream] = [await stage.load(), await stage.upstream()]
    const parley = await stage.parley({ upstream })
    const relay = await stage.baseline('relay', { upstream })
    const model = 'tokens-50-20'
    const at = { clients: streams, durationMs: 2000 * scale, staggerMs: 1000 }
    const targets = {
      parley: parleyTarget({ port: parley.port, agent: model, stream: true, tokens: 50 }),
      relay: relayTarget({ port: relay.port, model, stream: true, tokens: 50 }),
    }
    const sides = {
      parley: () => load.call('run', { target: targets.parley, ...at }),
      relay: () => load.call('run', { target: targets.relay, ...at }),
    }
    // The same work without pauses, until all code has been compiled for it.
    for (const target of [
      parleyTarget({ port: parley.port, agent: 'tokens-100-0', stream: true, tokens: 100 }),
      relayTarget({ port: relay.port, model: 'tokens-100-0', stream: true, tokens: 100 }),
    ]) {
      await load.call('count', { target, clients: 50, requests: Math.round(4000 * scale) })
    }
    const results = await inTurn(rounds, sides)
    const figure = (p: 'p50' | 'p99') => ({
      name: `time to first token, added, ${p}, 200 streams`,
      unit: 'ms',
      compare: 'difference' as const,
      parley: results.parley.map(({ firstToken: spread }) => spread[p]),
      baseline: { name: 'relay', values: results.relay.map(({ firstToken: spread }) => spread[p]) },
    })
    return [figureOf({ ...figure('p99'), bar: { is: 'most', limit: 10, goal: 3 } }), figureOf(figure('p50'))]
  },
}
