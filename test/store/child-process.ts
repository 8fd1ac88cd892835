import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

export interface Child {
  process: ChildProcess
  /** Lines it has said so far. */
  lines: string[]
  /** Resolves with the first line, said or to come, that the check takes. Rejects when the process ends before. */
  line(check: (line: string) => boolean): Promise<string>
  /** Ends it at once, as a crash would, and waits until it is gone. */
  kill(): Promise<void>
}

/** Runs a fixture in a process of its own, which does not outlive the test. */
export function startChild(fixture: string, args: string[]): Child {
  const file = fileURLToPath(new URL(`./fixtures/${fixture}`, import.meta.url))
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const reader = createInterface({ input: child.stdout })
  const lines: string[] = []
  reader.on('line', (line) => lines.push(line))

  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  onTestFinished(kill)
  return {
    process: child,
    lines,
    kill,
    line: (check) =>
      new Promise((resolve, reject) => {
        const found = lines.find(check)
        if (found !== undefined) return resolve(found)
        reader.on('line', (line) => {
          if (check(line)) resolve(line)
        })
        reader.once('close', () => reject(new Error(`it ended after: ${lines.join('; ')}`)))
      }),
  }
}
