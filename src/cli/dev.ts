import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileMark } from './file-mark.ts'
import { endWithLauncher, isRunByNpm } from './launcher.ts'
import type { LoadedFile } from './loaded-files.ts'
import { UsageError } from './usage-error.ts'

/** How often the files are looked at. */
const lookMs = 200
/** How long a server may take to end: its runs get a second, its connections two. One that loops for ever is killed. */
const endMs = 5_000

interface Serving {
  /** The path of a file that is not as it was before it was read. */
  findChange(): string | undefined
  signal(name: NodeJS.Signals): void
  /** Ends it, and resolves when it is gone. */
  end(): Promise<void>
  /** Resolves with the exit code; null: a signal ended it. */
  readonly exited: Promise<number | null>
}

/**
 * `parley dev [module]`: serves in a process of its own, and in a new one after each change. Returns when a signal has ended
 * both.
 *
 * It looks at the files themselves, by their names. What the system tells of is files: a save that puts another one in the
 * place of the first, as many editors do, would be the last it tells of.
 */
export async function devCommand(args: readonly string[]): Promise<number> {
  if (args.length > 1) throw new UsageError('dev takes one module')
  if (isRunByNpm()) endWithLauncher()
  let serving = startServing(args)
  const ending = new AbortController()
  const onSignal = (signal: NodeJS.Signals) => {
    ending.abort()
    serving.signal(signal)
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  while (!ending.signal.aborted) {
    await pause(lookMs)
    const changed = serving.findChange()
    if (changed === undefined || ending.signal.aborted) continue
    console.error(`parley: ${changed} has changed: starting again`)
    await serving.end()
    if (!ending.signal.aborted) serving = startServing(args)
  }
  return (await serving.exited) ?? 0
}

function startServing(args: readonly string[]): Serving {
  const marks = new Map<string, string>()
  // What it always depends on, also where it ends before it has told of anything.
  for (const path of [...args, '.env', 'package.json']) marks.set(resolve(path), fileMark(path))
  const [, program = ''] = process.argv
  const child = spawn(process.execPath, [...process.execArgv, program, 'serve', '--watched', ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    // What a run has not done by then it does in the next process.
    env: { ...process.env, SHUTDOWN_GRACE: '1s' },
  })
  child.on('message', ({ path, mark }: LoadedFile) => void marks.set(path, mark))
  let isToEnd = false
  const signal = (name: NodeJS.Signals) => {
    isToEnd = true
    child.kill(name)
  }
  const exited = once(child, 'exit').then(([code]: (number | null)[]) => {
    if (!isToEnd) console.error('parley: starts again when a file has changed')
    return code ?? null
  })
  return {
    findChange: () => [...marks].find(([path, mark]) => fileMark(path) !== mark)?.[0],
    signal,
    exited,
    async end() {
      signal('SIGTERM')
      const kill = setTimeout(() => child.kill('SIGKILL'), endMs)
      await exited
      clearTimeout(kill)
    },
  }
}
