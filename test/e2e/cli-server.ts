import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../architecture/source-files.ts'
import type { UpstreamServer } from '../../src/testing/upstream-server.ts'
import { sendJson, startProcess, type ProgramProcess } from './program-process.ts'

/** The key the server sends to its provider: nobody else may ever see it. */
export const upstreamKey = 'sk-end-to-end-key-0123456789'

export interface CliOptions {
  dataDir: string
  /** What `parley` is told. Default: `serve`. */
  args?: string[]
  upstream?: Pick<UpstreamServer, 'baseURL'>
  environment?: Record<string, string>
  /** Default: the data folder. */
  cwd?: string
}

export interface CliServer extends ProgramProcess {
  readonly url: string
  readonly port: number
  /** Sends JSON where there is a body. */
  request(path: string, body?: unknown): Promise<Response>
  /** The body of a JSON answer, whatever its status. */
  json(path: string, body?: unknown): Promise<Record<string, unknown>>
  /** As a supervisor stops it. Resolves with the exit code. */
  stop(): Promise<number | null>
}

/** A folder for a server's data, of nobody else. */
export async function createDataDir(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'parley-e2e-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** Runs the command line as a user does. */
export function runCli(options: CliOptions): ProgramProcess {
  const { dataDir, args = ['serve'], upstream, environment, cwd = dataDir } = options
  return startProcess({
    args: [join(root, 'src/cli/main.ts'), ...args],
    cwd,
    environment: {
      SERVER_PORT: '0',
      DATA_DIR: dataDir,
      ...(upstream && {
        LLM_BASE_URL: upstream.baseURL,
        LLM_API_KEY: upstreamKey,
        LLM_DEFAULT_MODEL: 'test-model',
      }),
      ...environment,
    },
  })
}

/** Runs `parley serve` and waits until it listens. */
export async function startServer(options: CliOptions): Promise<CliServer> {
  const program = runCli(options)
  const url = await program.listening
  const request = (path: string, body?: unknown) => sendJson(new URL(path, url), body)
  return {
    ...program,
    url,
    port: Number(new URL(url).port),
    request,
    json: async (path, body) => (await request(path, body)).json() as Promise<Record<string, unknown>>,
    async stop() {
      program.signal('SIGTERM')
      return (await program.exited).code
    },
  }
}

/** Path of a module with agents, for `parley serve`. */
export function fixture(name: string): string {
  return join(root, 'test/e2e/fixtures', name)
}
