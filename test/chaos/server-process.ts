import { fork, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Item } from '../../src/items.ts'
import type { CallLine, Decision, FixtureMessage, TestMessage } from './fixture-link.ts'

export interface ServerProcessOptions {
  /** Folder of the database and of the fixture's files. Outlives the process. */
  dataDir: string
  /** `cli`: `parley serve fixture-app.ts`. `embedded`: the same app in a program that can also decide approvals. */
  program: 'cli' | 'embedded'
  /** Places where the fixture does not stand still. */
  released?: string[]
  environment?: Record<string, string>
}

export interface ServerProcess {
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** Resolves with the address when it listens; rejects when the process ends before. */
  readonly listening: Promise<string>
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** What was written to stdout and stderr. */
  output(): string
  /** Resolves when the fixture stands at this place. */
  held(name: string): Promise<void>
  release(name: string): void
  /** What the puppet's model was asked last. What clients saw of the run may be here before it: so it is waited for. */
  lastRequest(): Promise<readonly Item[]>
  /** Resolves with the error's code, or null. Rejects when the process ends before it has answered. */
  decide(approvalId: string, decision: 'approve' | 'reject' | Decision): Promise<string | null>
  /** Resolves when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
}

const here = fileURLToPath(new URL('.', import.meta.url))
const commands = {
  cli: [join(here, '../../src/cli/main.ts'), 'serve', join(here, 'fixture-app.ts')],
  embedded: [join(here, 'fixture-server.ts')],
}

/** Starts a server in a process of its own, on a free port. */
export function startServerProcess(options: ServerProcessOptions): ServerProcess {
  const [program = '', ...args] = commands[options.program]
  const child = fork(program, args, {
    cwd: options.dataDir,
    env: {
      PATH: process.env.PATH,
      SERVER_PORT: '0',
      DATA_DIR: options.dataDir,
      FIXTURE_DIR: options.dataDir,
      LOG_LEVEL: 'warn',
      FIXTURE_RELEASED: (options.released ?? []).join(','),
      ...options.environment,
    },
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const link = createLink(child, exited)
  const { listening, output } = watchOutput(child, exited)
  return {
    startedAt: Date.now(),
    listening,
    exited,
    output,
    ...link,
    async kill(signal = 'SIGKILL') {
      child.kill(signal)
      await exited
    },
  }
}

function watchOutput(child: ChildProcess, exited: ServerProcess['exited']) {
  let text = ''
  const listening = new Promise<string>((resolve, reject) => {
    const take = (chunk: string) => {
      text += chunk
      const url = /listens on (http:\S+)/.exec(text)?.[1]
      if (url) resolve(url)
    }
    child.stdout?.setEncoding('utf8').on('data', take)
    child.stderr?.setEncoding('utf8').on('data', take)
    void exited.then(() => reject(new Error(`the server ended before it listened: ${text}`)))
  })
  // Not everybody waits for it: some are killed before.
  listening.catch(() => undefined)
  return { listening, output: () => text }
}

function createLink(child: ChildProcess, exited: ServerProcess['exited']) {
  let asked: readonly Item[] = []
  let told: (() => void)[] = []
  const places = new Map<string, { reached: Promise<void>; reach: () => void }>()
  // Two may decide about the same approval at the same time; answers come in the order of the questions.
  const decisions = new Map<string, ((error: string | null) => void)[]>()
  const place = (name: string) => {
    const known = places.get(name)
    if (known) return known
    let reach = () => {}
    const reached = new Promise<void>((resolve) => {
      reach = resolve
    })
    const made = { reached, reach }
    places.set(name, made)
    return made
  }
  child.on('message', (message: FixtureMessage) => {
    if (message.kind === 'hold') place(message.name).reach()
    else if (message.kind === 'request') asked = message.items
    else if (message.kind === 'told') told.shift()?.()
    else decisions.get(message.approvalId)?.shift()?.(message.error)
  })
  const send = (message: TestMessage) => {
    // A process that is gone hears nothing; who waits for an answer watches its end.
    if (child.connected) child.send(message, () => undefined)
  }
  const failWhenGone = async (what: string) => {
    const { code, signal } = await exited
    throw new Error(`the server ended (${code ?? signal}) before ${what}`)
  }
  return {
    async lastRequest() {
      const all = new Promise<void>((resolve) => {
        told = [...told, resolve]
      })
      send({ kind: 'tell' })
      await Promise.race([all, failWhenGone('it had told all')])
      return asked
    },
    held: (name: string) => Promise.race([place(name).reached, failWhenGone(`it came to ${name}`)]),
    release: (name: string) => send({ kind: 'release', name }),
    decide(approvalId: string, decision: 'approve' | 'reject' | Decision) {
      const answer = new Promise<string | null>((resolve) => {
        decisions.set(approvalId, [...(decisions.get(approvalId) ?? []), resolve])
      })
      send({
        kind: 'decide',
        approvalId,
        ...(typeof decision === 'string' ? { decision } : decision),
      })
      return Promise.race([answer, failWhenGone('it had decided')])
    },
  }
}

/** Every execution of a tool, by any process that worked in the folder, in order. */
export function readCalls(dataDir: string): CallLine[] {
  return readLines(dataDir, 'calls.jsonl')
}

/** Lines of a file of the fixture's folder. What `write` wrote is whole lines, whenever the process was killed. */
export function readLines<T>(dataDir: string, file: string): T[] {
  try {
    const text = readFileSync(join(dataDir, file), 'utf8')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
