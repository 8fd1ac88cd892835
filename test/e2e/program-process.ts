import { spawn } from 'node:child_process'

export interface ProgramOptions {
  /** What Node runs: the program's file, then its arguments. */
  args: string[]
  /** Its working folder: a `.env` there is read. */
  cwd: string
  environment: Record<string, string>
}

/** One line of the server's log. */
export type LogLine = Record<string, unknown> & { level: string; msg: string }

export interface ProgramProcess {
  /** Resolves with the address, such as `http://127.0.0.1:41234`; rejects when the process ends before. */
  readonly listening: Promise<string>
  /** As `listening`, for the server that is the `n`th to say so, the first 1. */
  announced(n: number): Promise<string>
  /** Resolves when its output, written or to come, has this in it. Rejects when the process ends before. */
  wrote(pattern: RegExp): Promise<true>
  /** When the process is gone and everything it wrote is here. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** What it has written so far, standard output and error together. */
  output(): string
  /** What it has written to standard error so far. */
  errors(): string
  /** The log so far. Throws where a line of standard error is none of it. */
  log(): LogLine[]
  /** Resolves with the first line of the log, written or to come, that passes. Rejects when the process ends before. */
  logged(check: (line: LogLine) => boolean): Promise<LogLine>
  /** Types a line, and resolves with what the process writes next. */
  type(line: string): Promise<string>
  signal(name: NodeJS.Signals): void
}

/** Runs a program in a process of its own. Nothing of the surroundings: a key at hand must not make it call a provider. */
export function startProcess(options: ProgramOptions): ProgramProcess {
  const child = spawn(process.execPath, options.args, {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let written = ''
  let errors = ''
  const checks = new Set<() => void>()
  const take = (text: string) => {
    written += text
    for (const check of checks) check()
  }
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
    take(text)
  })
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })

  /** Looks now and whenever something was written. */
  function found<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = () => {
        const value = look()
        if (value === undefined) return
        checks.delete(check)
        resolve(value)
      }
      checks.add(check)
      check()
      void exited.then(({ code, signal }) => {
        check()
        reject(new Error(`the process ended (${code ?? signal}):\n${written}`))
      })
    })
  }

  const wholeLines = () => errors.slice(0, errors.lastIndexOf('\n') + 1)
  const log = () =>
    wholeLines()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine)
  const announced = (n: number) => found(() => [...written.matchAll(/listens on (http:\S+)/g)][n - 1]?.[1])
  const listening = announced(1)
  // Not everybody waits for it: some are meant to end before.
  listening.catch(() => undefined)
  return {
    listening,
    announced,
    wrote: (pattern) => found(() => pattern.test(written) || undefined).then(() => true),
    exited,
    output: () => written,
    errors: () => errors,
    log,
    logged: (check) => found(() => log().find(check)),
    type(line) {
      const next = new Promise<string>((resolve) => child.stdout.once('data', resolve))
      child.stdin.write(`${line}\n`)
      return next
    },
    signal: (name) => void child.kill(name),
  }
}

/** Sends JSON where there is a body. */
export function sendJson(url: URL, body?: unknown): Promise<Response> {
  if (body === undefined) return fetch(url)
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
}
