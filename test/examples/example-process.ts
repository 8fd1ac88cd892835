import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../architecture/source-files.ts'
import { sendJson, startProcess, type ProgramProcess } from '../e2e/program-process.ts'

export interface ExampleProcess extends Pick<ProgramProcess, 'output' | 'type'> {
  /** Such as `http://127.0.0.1:41234`. */
  readonly url: string
  /** Sends JSON where there is a body. */
  request(path: string, body?: unknown): Promise<Response>
  /** As Ctrl-C does. Resolves with the exit code. Removes the data. */
  stop(): Promise<number | null>
}

/** Serves an example with the command line, in a process of its own with its own data, on a free port of loopback. */
export function startExample(
  module: string,
  environment: Record<string, string> = {},
): Promise<ExampleProcess> {
  return start([join(root, 'src/cli/main.ts'), 'serve', join(root, module)], environment)
}

/** The same for an example that is a program of its own. */
export function startProgram(
  program: string,
  environment: Record<string, string> = {},
): Promise<ExampleProcess> {
  return start([join(root, program)], { LOG_LEVEL: 'silent', ...environment })
}

async function start(args: string[], environment: Record<string, string>): Promise<ExampleProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parley-example-'))
  const program = startProcess({
    args,
    cwd: dataDir,
    environment: { DATA_DIR: dataDir, SERVER_PORT: '0', ...environment },
  })
  const url = await program.listening
  return {
    url,
    output: () => program.output(),
    type: (line) => program.type(line),
    request: (path, body) => sendJson(new URL(path, url), body),
    async stop() {
      program.signal('SIGTERM')
      const { code } = await program.exited
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
