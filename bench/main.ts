import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { killChildren } from './child.ts'
import { describeMachine } from './machine.ts'
import { judge, toTable } from './report.ts'
import { valueOf, type Figure, type Row } from './row.ts'
import { disconnect } from './rows/disconnect.ts'
import { firstToken } from './rows/first-token.ts'
import { abandonedStreams, heapGrowth, idleMemory } from './rows/memory.ts'
import { recovery } from './rows/recovery.ts'
import { start } from './rows/start.ts'
import { syncLatency, syncScripted, syncUpstream } from './rows/sync.ts'
import { tokenGap } from './rows/token-gap.ts'
import { tokens } from './rows/tokens.ts'
import { createStage } from './stage.ts'

const rows: readonly Row[] = [
  syncScripted,
  syncUpstream,
  syncLatency,
  tokens,
  firstToken,
  tokenGap,
  idleMemory,
  heapGrowth,
  abandonedStreams,
  start,
  disconnect,
  recovery,
]

const usage = `npm run bench -- [options]

  --only <row,row>     ${rows.map(({ name }) => name).join(', ')}
  --quick              fewer and shorter rounds: to see that it works, not to trust the figures
  --rounds <n>         default 5
  --profile <folder>   CPU profiles of the server under test`

/** Longer than any row takes; then something hangs. */
const rowTimeoutMs = 120_000
const results = fileURLToPath(new URL('results', import.meta.url))
const scratch = join(results, `scratch-${process.pid}`)

interface Failure {
  row: string
  error: string
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  const chosen = rowsNamed(values.only)
  if (values.help || !chosen) {
    console.error(usage)
    return values.help ? 0 : 2
  }
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 5))
  const scale = values.quick ? 0.25 : 1
  const began = performance.now()
  const startedAt = new Date()
  const load = loadavg()[0]
  const figures: Figure[] = []
  const failures: Failure[] = []
  for (const row of chosen) {
    process.stderr.write(`${row.name} … `)
    const rowBegan = performance.now()
    try {
      const profile = values.profile === undefined ? {} : { profileDirectory: values.profile }
      figures.push(...(await measureRow(row, { rounds, scale, ...profile })))
      console.error(`${seconds(rowBegan)} s`)
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      failures.push({ row: row.name, error: text })
      console.error(`could not be measured: ${text}`)
    }
  }
  console.log(`\n${toTable(figures)}\n`)
  const path = join(results, `${startedAt.toISOString().replaceAll(':', '-')}.json`)
  const figuresJudged = figures.map((figure) => {
    const value = valueOf(figure)
    return { ...figure, value, reached: judge(figure, value) }
  })
  const all = {
    at: startedAt.toISOString(),
    seconds: seconds(began),
    quick: values.quick,
    machine: describeMachine(),
    load_before: load,
    figures: figuresJudged,
    failures,
  }
  writeFileSync(path, `${JSON.stringify(all, null, 2)}\n`)
  console.log(`${seconds(began)} s, load before ${load?.toFixed(2)}, all rounds in ${path}`)
  return failures.length > 0 ? 1 : 0
}

async function measureRow(
  row: Row,
  options: { rounds: number; scale: number; profileDirectory?: string },
): Promise<Figure[]> {
  const { rounds, scale, profileDirectory } = options
  const stage = createStage({
    directory: join(scratch, row.name),
    ...(profileDirectory === undefined ? {} : { profileDirectory: join(profileDirectory, row.name) }),
  })
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('took too long')), rowTimeoutMs)
    })
    return await Promise.race([row.measure({ stage, rounds, scale }), late])
  } finally {
    clearTimeout(timer)
    await stage.close()
    killChildren()
  }
}

/** Undefined where a name is not known. */
function rowsNamed(names: string | undefined): readonly Row[] | undefined {
  if (names === undefined) return rows
  const wanted = new Set(names.split(','))
  const found = rows.filter(({ name }) => wanted.has(name))
  return found.length === wanted.size ? found : undefined
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 100) / 10
}

mkdirSync(scratch, { recursive: true })
process.on('exit', () => {
  killChildren()
  rmSync(scratch, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
process.exitCode = await main()
