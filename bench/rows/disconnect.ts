import { figureOf, inTurn, type Row } from '../row.ts'
import { parleyTarget, relayTarget } from '../stage.ts'
import type { Target } from '../processes/load.ts'

/** How long after its client a reply's socket to the provider closes: until then somebody pays for tokens nobody reads. */
export const disconnect: Row = {
  name: 'disconnect',
  async measure({ stage, rounds }) {
    const [load, upstream] = [await stage.load(), await stage.upstream()]
    const parley = await stage.parley({ upstream })
    const relay = await stage.baseline('relay', { upstream })
    const measure = (target: Target) => async () => {
      await upstream.call('takeCuts')
      await load.call('hold', { target, streams: 1 })
      const leftAt = BigInt(await load.call('leave'))
      for (const deadline = performance.now() + 5000; performance.now() < deadline;) {
        const [cut] = await upstream.call('takeCuts')
        if (cut !== undefined) return Number(BigInt(cut) - leftAt) / 1_000_000
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      throw new Error("the provider's socket stayed open")
    }
    const sides = {
      parley: measure(parleyTarget({ port: parley.port, agent: 'hang', stream: true })),
      relay: measure(relayTarget({ port: relay.port, model: 'hang', stream: true })),
    }
    await inTurn(5, sides)
    const results = await inTurn(rounds * 4, sides)
    return [
      figureOf({
        name: "provider's socket closed after the client's",
        unit: 'ms',
        compare: 'difference',
        bar: { is: 'most', limit: 100, goal: 20 },
        parley: results.parley,
        baseline: { name: 'relay', values: results.relay },
      }),
    ]
  },
}
