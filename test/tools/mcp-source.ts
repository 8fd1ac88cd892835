import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AnyTool, OpenToolSource, Question, Answer, ToolContext } from '../../src/agent/definitions.ts'
import { systemClock, type Clock } from '../../src/clock.ts'
import { mcpTools } from '../../src/tools/mcp/mcp-tools.ts'
import type { McpToolsOptions } from '../../src/tools/mcp/options.ts'
import { createLogCapture, type LogCapture, type LogLine } from '../agent/log-capture.ts'
import { root } from '../architecture/source-files.ts'

export const everything = join(root, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js')
export const program = join(root, 'test/tools/mcp-program.ts')

export interface SourceUnderTest {
  readonly open: OpenToolSource
  readonly log: LogCapture
  tools(): Promise<readonly AnyTool[]>
  /** Parses and runs, as the loop does. Rejects where the arguments do not fit. */
  call(name: string, input?: unknown, context?: Partial<ToolContext>): Promise<unknown>
  /** The `nth` line with this message, from 1, written or to come. */
  logged(message: string, nth?: number): Promise<LogLine>
}

/** An open source that closes with its test. */
export function openSource(options: Partial<McpToolsOptions>, clock: Clock = systemClock): SourceUnderTest {
  const log = createLogCapture()
  const watchers = new Set<() => void>()
  const watched = watchLog(log, () => {
    for (const watch of watchers) watch()
  })
  const open = mcpTools({ name: 'test', prefix: '', ...options }).open({ logger: watched, clock })
  onTestFinished(() => open.close())
  return {
    open,
    log,
    tools: () => open.tools(new AbortController().signal),
    async call(name, input = {}, context = {}) {
      const found = (await this.tools()).find((tool) => tool.name === name)
      if (!found) throw new Error(`there is no tool ${name}`)
      const parsed = found.parse(input)
      if (!parsed.ok) throw new Error(parsed.message)
      return found.execute(parsed.value, toolContext(context))
    },
    logged: (message, nth = 1) =>
      new Promise((resolve) => {
        const look = () => {
          const line = log.lines().filter((one) => one.message.startsWith(message))[nth - 1]
          if (!line) return
          watchers.delete(look)
          resolve(line)
        }
        watchers.add(look)
        look()
      }),
  }
}

function watchLog(log: LogCapture, onLine: () => void): LogCapture['logger'] {
  const { logger } = log
  const level =
    (name: 'debug' | 'info' | 'warn' | 'error') => (fields: Record<string, unknown>, message: string) => {
      logger[name](fields, message)
      onLine()
    }
  return {
    debug: level('debug'),
    info: level('info'),
    warn: level('warn'),
    error: level('error'),
    child: () => logger,
  }
}

export function toolContext(given: Partial<ToolContext> = {}): ToolContext {
  return {
    signal: new AbortController().signal,
    idempotencyKey: 'run_1-0-0',
    principal: { owner: 'anonymous', namespace: '', name: 'anonymous' },
    namespace: '',
    runId: 'run_1',
    conversationId: null,
    callId: 'call_1',
    runContext: {},
    progress: () => undefined,
    ask: () => Promise.reject(new Error('nobody to ask')),
    log: () => undefined,
    ...given,
  }
}

/** What the `ask` of a run rejects with when it suspends: any error of its own, known by identity. */
export class Suspension extends Error {}

export interface AskedRun {
  asked: Question[]
  /** For one try of the call. */
  context: () => Pick<ToolContext, 'ask' | 'signal'>
}

/** A run as the loop does it: the first question fires the signal and rejects; from then on there is the answer. */
export function askedRun(answer: Answer): AskedRun {
  const asked: Question[] = []
  return {
    asked,
    context() {
      const controller = new AbortController()
      return {
        signal: controller.signal,
        async ask(question) {
          asked.push(question)
          if (asked.length > 1) return answer
          const suspension = new Suspension()
          controller.abort(suspension)
          throw suspension
        },
      }
    },
  }
}

export interface EverythingServer {
  readonly url: string
  kill(): Promise<void>
}

/** The reference server over Streamable HTTP. Ends with its test. */
export async function startEverything(port: number): Promise<EverythingServer> {
  const child = spawn(process.execPath, [everything, 'streamableHttp'], {
    env: { PATH: process.env['PATH'], PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  onTestFinished(kill)
  await new Promise<void>((resolve, reject) => {
    let written = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      written += text
      if (written.includes('listening on port')) resolve()
    })
    void exited.then(() => reject(new Error(`the server ended: ${written}`)))
  })
  return { url: `http://127.0.0.1:${port}/mcp`, kill }
}

/** A port nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Whether a process of this number runs. One that has ended but was not fetched by its parent does not. */
export function isAlive(pid: number): boolean {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim()
  return state !== '' && !state.startsWith('Z')
}
