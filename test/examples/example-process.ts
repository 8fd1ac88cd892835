import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../architecture/source-files.ts'

export interface ExampleProcess {
  /** Such as `http://127.0.0.1:41234`. */
  readonly url: string
  /** Sends JSON where there is a body. */
  request(path: string, body?: unknown): Promise<Response>
  /** Types a line, and resolves with what the process writes next. */
  type(line: string): Promise<string>
  /** What the process has written so far, standard output and error together. */
  output(): string
  /** As Ctrl-C does. Resolves with the exit code. Removes the data. */
  stop(): Promise<number | null>
}

/** Serves an example with the command line, in a process of its own with its own data, on a free port of loopback. */
export function startExample(
  module: string,
  environment: Record<string, string> = {},
): Promise<ExampleProcess> {
  return startProcess(['src/cli/main.ts', 'serve', module], environment)
}

/** The same for an example that is a program of its own. */
export function startProgram(
  program: string,
  environment: Record<string, string> = {},
): Promise<ExampleProcess> {
  return startProcess([program], { LOG_LEVEL: 'silent', ...environment })
}

async function startProcess(args: string[], environment: Record<string, string>): Promise<ExampleProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-example-'))
  const child = spawn(process.execPath, args, {
    cwd: root,
    // Nothing of the surroundings: an API key at hand must not make the test call a provider.
    env: { PATH: process.env['PATH'], DATA_DIR: dataDir, SERVER_PORT: '0', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  let written = ''
  const url = await new Promise<string>((resolve, reject) => {
    const onText = (text: string) => {
      written += text
      const listens = /listens on (http:\S+)/.exec(written)?.[1]
      if (listens) resolve(listens)
    }
    child.stdout.setEncoding('utf8').on('data', onText)
    child.stderr.setEncoding('utf8').on('data', onText)
    void exited.then((code) => reject(new Error(`the example ended with code ${code}:\n${written}`)))
  })
  return {
    url,
    request: (path, body) =>
      fetch(
        new URL(path, url),
        body === undefined
          ? {}
          : {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify(body),
            },
      ),
    type(line) {
      const next = new Promise<string>((resolve) => child.stdout.once('data', resolve))
      child.stdin.write(`${line}\n`)
      return next
    },
    output: () => written,
    async stop() {
      child.kill('SIGTERM')
      const code = await exited
      await rm(dataDir, { recursive: true, force: true })
      return code
    },
  }
}

/** The events of a native stream, read to its end. */
export async function readEvents(response: Response): Promise<Record<string, unknown>[]> {
  const text = await response.text()
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as Record<string, unknown>)
}
