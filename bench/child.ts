import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Calls, CallMessage, processCalls, ReplyMessage } from './processes/calls.ts'

export interface ChildOptions {
  /** Below this folder, such as `processes/relay.ts`. */
  program: string
  args?: readonly string[]
  nodeArgs?: readonly string[]
  environment?: Record<string, string>
  /** Where it runs, if processes can be pinned here. Server and baseline: 0. Clients and upstream: 1. Absent: anywhere. */
  core?: 0 | 1
  /** File that takes both its outputs. */
  logPath: string
}

/** A process of the bench that answers calls. */
export interface Child<C extends Calls> {
  readonly pid: number
  /** Where it listens; 0 where it does not. */
  readonly port: number
  call<K extends keyof (C & typeof processCalls)>(
    name: K,
    input?: Parameters<(C & typeof processCalls)[K]>[0],
  ): Promise<Awaited<ReturnType<(C & typeof processCalls)[K]>>>
  /** Ends it at once, and waits for that. A server with `--cpu-prof` writes its profile first. */
  stop(): Promise<void>
}

const readyWithinMs = 20_000
const answerWithinMs = 60_000
const running = new Set<ChildProcess>()

/** Whether processes can be bound to cores: `taskset` is there, and two cores are. */
export const canPin =
  availableParallelism() >= 2 &&
  (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'taskset')))

/** Starts a program that does not answer calls. It ends with the bench at the latest. */
export function startProgram(options: ChildOptions & { ipc?: boolean }): ChildProcess {
  const program = fileURLToPath(new URL(options.program, import.meta.url))
  const command = [process.execPath, ...(options.nodeArgs ?? []), program, ...(options.args ?? [])]
  if (options.core !== undefined && canPin) command.unshift('taskset', '-c', String(options.core))
  const [file = '', ...args] = command
  const log = openSync(options.logPath, 'a')
  try {
    const child = spawn(file, args, {
      stdio: options.ipc ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      env: { ...process.env, ...options.environment },
    })
    running.add(child)
    child.once('exit', () => running.delete(child))
    return child
  } finally {
    closeSync(log)
  }
}

/** Starts a program that answers calls, and waits until it is ready. Rejects with the end of its log. */
export async function startChild<C extends Calls>(options: ChildOptions): Promise<Child<C>> {
  const child = startProgram({ ...options, ipc: true })
  const waiting = new Map<number, (reply: ReplyMessage) => void>()
  const gone = () => new Error(`${options.program} has ended:\n${logEnd(options.logPath)}`)
  let lastId = 0
  const ready = await new Promise<Record<string, unknown>>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${options.program} was not ready in time:\n${logEnd(options.logPath)}`))
    }, readyWithinMs)
    child.once('exit', () => {
      clearTimeout(timer)
      reject(gone())
      for (const [id, settle] of waiting) settle({ id, failure: gone().message })
    })
    child.on('message', (message: { ready: Record<string, unknown> } | ReplyMessage) => {
      clearTimeout(timer)
      if ('ready' in message) resolve(message.ready)
      else waiting.get(message.id)?.(message)
    })
  })

  const call = (name: string, input: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++lastId
      const timer = setTimeout(
        () => settle({ id, failure: `${options.program}: ${name} took too long` }),
        answerWithinMs,
      )
      const settle = (reply: ReplyMessage) => {
        clearTimeout(timer)
        waiting.delete(id)
        if ('failure' in reply) reject(new Error(reply.failure))
        else resolve(reply.value)
      }
      waiting.set(id, settle)
      const message: CallMessage = { id, name, input }
      child.send(message, (error) => {
        if (error) settle({ id, failure: gone().message })
      })
    })

  return {
    pid: child.pid ?? 0,
    port: Number(ready.port ?? 0),
    // The other side has the calls of this type; JSON has no types.
    call: call as Child<C>['call'],
    stop: () => stopChild(child),
  }
}

/** Asks it to end, by closing its channel, and kills it where it does not. */
export async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  if (child.connected) child.disconnect()
  else child.kill('SIGKILL')
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000)
  await exited
  clearTimeout(timer)
}

/** For the bench's own end, however it comes. */
export function killChildren(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** The last lines of a process's log. */
export function logEnd(path: string): string {
  return readFileSync(path, 'utf8').split('\n').slice(-15).join('\n')
}
