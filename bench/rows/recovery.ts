import { join } from 'node:path'
import { startProgram } from '../child.ts'
import { end, findFreePort, untilReady } from '../node-process.ts'
import { inTurn, type Row } from '../row.ts'
import { parleyEnvironment } from '../stage.ts'
import { alone } from './memory.ts'

interface Recovery {
  /** Milliseconds to `run.start` of the second attempt. */
  fromSpawn: number
  /** Negative: the run was at work again before the server answered. */
  fromReady: number
}

/** A node is killed in the middle of a run and started again. */
export const recovery: Row = {
  name: 'recovery',
  async measure({ stage, rounds }) {
    const upstream = await stage.upstream()
    const { directory } = stage
    const logPath = join(directory, 'recovery.log')
    const serve = (port: number, dataDir: string) =>
      startProgram({
        program: '../src/cli/main.ts',
        args: ['serve'],
        environment: {
          ...parleyEnvironment(dataDir, upstream),
          LLM_DEFAULT_MODEL: 'llm/hang',
          SERVER_PORT: String(port),
          NODE_COMPILE_CACHE: join(directory, 'compile-cache'),
        },
        logPath,
      })
    const recover = async (round: number): Promise<Recovery> => {
      const port = await findFreePort()
      const dataDir = join(directory, `data-${round}`)
      const first = serve(port, dataDir)
      await untilReady({ port, child: first, logPath })
      const url = await createRun(port)
      await untilStarted(url, 1)
      await end(first, 'SIGKILL')
      const spawnedAt = Date.now()
      const second = serve(port, dataDir)
      const readyAt = performance.timeOrigin + (await untilReady({ port, child: second, logPath }))
      const startedAt = await untilStarted(url, 2)
      await end(second, 'SIGKILL')
      return { fromSpawn: startedAt - spawnedAt, fromReady: startedAt - readyAt }
    }
    const { parley } = await inTurn(Math.min(rounds, 3), { parley: recover })
    return [
      alone({
        name: 'run of a killed node at work again, from the new process’s spawn',
        unit: 'ms',
        values: parley.map(({ fromSpawn }) => fromSpawn),
        bar: { is: 'most', limit: 1000 },
      }),
      alone({
        name: 'the same, from its first answer on /ready',
        unit: 'ms',
        values: parley.map(({ fromReady }) => fromReady),
        bar: { is: 'most', limit: 1000 },
      }),
    ]
  },
}

async function createRun(port: number): Promise<string> {
  const base = `http://127.0.0.1:${port}/v1`
  const response = await fetch(`${base}/agents/assistant/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'Say something.', background: true }),
  })
  if (response.status !== 202) throw new Error(`creating a run: status ${response.status}`)
  // The native API's run has an id.
  const { id } = (await response.json()) as { id: string }
  return `${base}/runs/${id}/events`
}

/** Reads the run's events up to the start of that attempt and returns its time, in milliseconds since 1970. */
async function untilStarted(url: string, attempt: number): Promise<number> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  if (!response.body) throw new Error(`no events, status ${response.status}`)
  let text = ''
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part
    for (const line of text.split('\n')) {
      if (!line.startsWith('data: {') || !line.endsWith('}')) continue
      const event = JSON.parse(line.slice(6)) as { type: string; attempt?: number; at?: string }
      if (event.type === 'run.start' && event.attempt === attempt && event.at) return Date.parse(event.at)
    }
  }
  throw new Error(`the events ended without a start of attempt ${attempt}`)
}
