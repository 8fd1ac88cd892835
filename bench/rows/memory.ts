import { median } from '../statistics.ts'
import { figureOf, inTurn, type Figure, type Row } from '../row.ts'
import { parleyTarget } from '../stage.ts'
import type { Child } from '../child.ts'
import type { Calls } from '../processes/calls.ts'

const nodeArgs = ['--expose-gc']

/** What a stream costs while nothing happens in it. Each measurement is made in a process of its own. */
export const idleMemory: Row = {
  name: 'idle-memory',
  async measure({ stage, rounds, scale }) {
    const streams = Math.round(2000 * scale)
    const load = await stage.load()
    const measure = (start: () => Promise<Child<Calls>>) => async () => {
      const server = await start()
      const target = parleyTarget({ port: server.port, agent: 'scripted-hang', stream: true })
      // What is made once, and pages that were used before, shall not be counted.
      await load.call('hold', { target, streams: 200 })
      await load.call('leave')
      const before = await server.call('memory')
      await load.call('hold', { target, streams })
      const after = await server.call('memory')
      await load.call('leave')
      await server.stop()
      return {
        rss: (after.rss - before.rss) / streams / 1024,
        heap: (after.heap - before.heap) / streams / 1024,
      }
    }
    const results = await inTurn(Math.min(rounds, 3), {
      parley: measure(() => stage.parley({ nodeArgs })),
      bare: measure(() => stage.baseline('idle-server', { nodeArgs })),
    })
    const figure = (name: string, part: 'rss' | 'heap') => ({
      name,
      unit: 'KB',
      compare: 'difference' as const,
      parley: results.parley.map((result) => result[part]),
      baseline: { name: 'bare node:http', values: results.bare.map((result) => result[part]) },
    })
    return [
      figureOf({
        ...figure('memory per open idle stream, its run included', 'rss'),
        bar: { is: 'most', limit: 12, goal: 6 },
      }),
      figureOf(figure('of which heap', 'heap')),
    ]
  },
}

/** What runs leave behind when they are over. */
export const heapGrowth: Row = {
  name: 'heap-growth',
  async measure({ stage, scale }) {
    const load = await stage.load()
    const parley = await stage.parley({ nodeArgs })
    const target = parleyTarget({ port: parley.port, agent: 'scripted', stream: false })
    const [first, last] = [Math.round(5000 * scale), Math.round(20_000 * scale)]
    await load.call('count', { target, clients: 16, requests: first })
    const early = await parley.call('memory')
    await load.call('count', { target, clients: 16, requests: last - first })
    const late = await parley.call('memory')
    return [
      alone({
        name: `heap at ${last.toLocaleString('en')} runs over that at ${first.toLocaleString('en')}`,
        unit: 'MB',
        values: [toMegabytes(late.heap - early.heap)],
        bar: { is: 'most', limit: 5, goal: 1 },
        facts: {
          heap_mb: [toMegabytes(early.heap), toMegabytes(late.heap)],
          gauges: await parley.call('gauges'),
        },
      }),
    ]
  },
}

/** What is left of streams whose clients went away in the middle of a reply: nothing here, nothing at the provider. */
export const abandonedStreams: Row = {
  name: 'abandoned-streams',
  async measure({ stage, scale }) {
    const [load, upstream] = [await stage.load(), await stage.upstream()]
    const parley = await stage.parley({ upstream, nodeArgs })
    const target = parleyTarget({ port: parley.port, agent: 'hang', stream: true })
    const waves = 4
    const streams = Math.round((2000 * scale) / waves)
    const left = async () => {
      const gauges = await parley.call('gauges')
      return Object.values(gauges).reduce((sum, count) => sum + count, await upstream.call('replying'))
    }
    const abandon = async () => {
      for (let wave = 0; wave < waves; wave++) {
        await load.call('hold', { target, streams })
        await load.call('leave')
        await until(async () => (await left()) === 0)
      }
    }
    await abandon()
    const before = await parley.call('memory')
    await abandon()
    const after = await parley.call('memory')
    const count = (waves * streams).toLocaleString('en')
    return [
      alone({
        name: `gauges and provider requests left by ${count} abandoned streams`,
        unit: '',
        values: [await left()],
        bar: { is: 'most', limit: 0 },
      }),
      alone({ name: 'heap left by them', unit: 'MB', values: [toMegabytes(after.heap - before.heap)] }),
    ]
  },
}

export function alone(
  input: Pick<Figure, 'name' | 'unit' | 'bar' | 'facts'> & { values: readonly number[] },
): Figure {
  const { values, ...rest } = input
  return { ...rest, compare: 'alone', parley: median(values), rounds: { parley: values } }
}

/** Looks until it is so, at most ten seconds: then whoever looks next sees what is wrong. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await isSo()) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function toMegabytes(bytes: number): number {
  return bytes / 1024 / 1024
}
