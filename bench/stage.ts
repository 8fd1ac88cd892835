import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { startChild, type Child } from './child.ts'
import type { BenchAgent, UpstreamModel } from './models.ts'
import type { Calls } from './processes/calls.ts'
import type { LoadCalls, Target } from './processes/load.ts'
import type { ParleyCalls } from './processes/parley-server.ts'
import type { UpstreamCalls } from './processes/upstream.ts'

export interface StageOptions {
  /** A folder of its own, on a real disk. */
  directory: string
  /** Folder for CPU profiles of the server under test; absent: none are made. */
  profileDirectory?: string
}

/** The processes of one row. What it starts, `close` ends. */
export interface Stage {
  readonly directory: string
  load(): Promise<Child<LoadCalls>>
  upstream(): Promise<Child<UpstreamCalls>>
  parley(options?: {
    upstream?: Child<UpstreamCalls>
    nodeArgs?: readonly string[]
    environment?: Record<string, string>
  }): Promise<Child<ParleyCalls>>
  /** A baseline: a program of `processes/`, on the server's core. */
  baseline(
    program: 'relay' | 'hono-server' | 'idle-server',
    options?: BaselineOptions,
  ): Promise<Child<Record<never, never>>>
  close(): Promise<void>
}

export interface BaselineOptions {
  upstream?: Child<UpstreamCalls>
  nodeArgs?: readonly string[]
}

export function createStage({ directory, profileDirectory }: StageOptions): Stage {
  const children: { stop(): Promise<void> }[] = []
  let count = 0
  mkdirSync(directory, { recursive: true })
  const start = async <C extends Calls>(
    options: Omit<Parameters<typeof startChild>[0], 'logPath'>,
  ): Promise<Child<C>> => {
    const logPath = join(directory, `${++count}.log`)
    const child = await startChild<C>({ ...options, logPath })
    children.push(child)
    return child
  }
  return {
    directory,
    load: () => start<LoadCalls>({ program: 'processes/load.ts', core: 1 }),
    upstream: () => start<UpstreamCalls>({ program: 'processes/upstream.ts', core: 1 }),
    parley: ({ upstream, nodeArgs = [], environment } = {}) =>
      start<ParleyCalls>({
        program: 'processes/parley-server.ts',
        core: 0,
        nodeArgs: [
          ...nodeArgs,
          ...(profileDirectory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`]),
        ],
        environment: { ...parleyEnvironment(join(directory, `data-${count}`), upstream), ...environment },
      }),
    baseline: (program, { upstream, nodeArgs = [] } = {}) =>
      start({
        program: `processes/${program}.ts`,
        core: 0,
        nodeArgs,
        args: upstream ? [String(upstream.port)] : [],
      }),
    async close() {
      await Promise.all(children.map((child) => child.stop()))
    },
  }
}

/** Settings are the product's own, but for a free port, the data, the upstream, and room for the streams of the memory rows. */
export function parleyEnvironment(dataDir: string, upstream?: { port: number }): Record<string, string> {
  return {
    SERVER_PORT: '0',
    DATA_DIR: dataDir,
    MAX_CONCURRENT_RUNS: '4096',
    // Port 9 discards: the agents of an upstream must be configured even where nobody calls them.
    LLM_BASE_URL: `http://127.0.0.1:${upstream?.port ?? 9}/v1`,
  }
}

/** A request to Parley's native API, answered in one piece or as a stream. */
export function parleyTarget(input: {
  port: number
  agent: BenchAgent
  stream: boolean
  tokens?: number
}): Target {
  const { port, agent, stream, tokens } = input
  return {
    port,
    path: `/v1/agents/${agent}/runs`,
    body: stream ? { input: 'Say something.', stream } : { input: 'Say something.' },
    expect: '"status":"completed"',
    ...(tokens === undefined ? {} : { tokens }),
  }
}

/** The same request to the relay, in the upstream's own words. */
export function relayTarget(input: {
  port: number
  model: UpstreamModel
  stream: boolean
  tokens?: number
}): Target {
  const { port, model, stream, tokens } = input
  const messages = [{ role: 'user', content: 'Say something.' }]
  return {
    port,
    path: '/v1/chat/completions',
    body: stream ? { model, messages, stream } : { model, messages },
    expect: stream ? '[DONE]' : '"finish_reason":"stop"',
    ...(tokens === undefined ? {} : { tokens }),
  }
}
