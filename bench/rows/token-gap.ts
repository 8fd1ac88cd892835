import { fileURLToPath } from 'node:url'
import { figureOf, inTurn, type Figure, type Row, type RowContext } from '../row.ts'
import { parleyTarget } from '../stage.ts'

const runs = 100
/** Between two steps of each of the other runs, of two commits each; on average. */
const pauseMs = 100
const bar = { is: 'most', limit: 2, goal: 1.2 } as const

/**
 * How evenly the tokens of one stream arrive (its upstream sends one every 5 ms) while other runs commit, over how they
 * arrive alone.
 */
export const tokenGap: Row = {
  name: 'token-gap',
  async measure(context) {
    return [...(await measureGaps(context, { slow: false })), ...(await measureGaps(context, { slow: true }))]
  },
}

async function measureGaps(
  { stage, rounds, scale }: RowContext,
  { slow }: { slow: boolean },
): Promise<Figure[]> {
  const [load, upstream] = [await stage.load(), await stage.upstream()]
  const preload = fileURLToPath(new URL('../processes/slow-commits.ts', import.meta.url))
  const parley = await stage.parley({ upstream, nodeArgs: slow ? ['--import', preload] : [] })
  const target = (tokens: 100 | 400) =>
    parleyTarget({ port: parley.port, agent: `tokens-${tokens}-5`, stream: true, tokens })
  let tokens: 100 | 400 = 100
  const commitsPerSecond: Record<string, number[]> = {}
  const gaps = () => load.call('gaps', { target: target(tokens) })
  const amid = (name: string, pause: number) => async () => {
    await parley.call('startCommitting', { runs, pauseMs: pause })
    const startedAt = performance.now()
    const spread = await gaps()
    const seconds = (performance.now() - startedAt) / 1000
    const commits = await parley.call('stopCommitting')
    ;(commitsPerSecond[name] ??= []).push(commits / seconds)
    return spread
  }
  const sides = { alone: gaps, paced: amid('paced', pauseMs), flatOut: amid('flatOut', 0) }
  const warmUp = parleyTarget({ port: parley.port, agent: 'tokens-100-0', stream: true, tokens: 100 })
  await load.call('count', { target: warmUp, clients: 50, requests: Math.round(2000 * scale) })
  await inTurn(1, sides)
  commitsPerSecond.paced = []
  commitsPerSecond.flatOut = []
  if (scale === 1) tokens = 400
  const results = await inTurn(rounds, sides)
  const suffix = slow ? ', each commit 5 ms slower' : ''
  const figure = (side: 'paced' | 'flatOut', name: string) => ({
    name: `p99 token gap amid 100 runs ${name}${suffix}`,
    unit: 'ms',
    compare: 'ratio' as const,
    parley: results[side].map(({ p99 }) => p99),
    baseline: { name: 'without them', values: results.alone.map(({ p99 }) => p99) },
    facts: { commits_per_second: commitsPerSecond[side], max_ms: results[side].map(({ max }) => max) },
  })
  return [
    figureOf({ ...figure('paced', 'in 100 ms steps'), bar }),
    figureOf(figure('flatOut', 'without a pause')),
  ]
}
