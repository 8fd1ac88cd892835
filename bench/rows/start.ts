import { join } from 'node:path'
import { startProgram } from '../child.ts'
import { end, findFreePort, untilReady } from '../node-process.ts'
import { figureOf, inTurn, type Row } from '../row.ts'
import { parleyEnvironment } from '../stage.ts'

/**
 * From the start of the process to its first 200 on `/ready`, with the sources compiled by an earlier start. The process
 * may use any core, as it does with its users.
 */
export const start: Row = {
  name: 'start',
  async measure({ stage, rounds }) {
    const { directory } = stage
    const environment = { NODE_COMPILE_CACHE: join(directory, 'compile-cache') }
    const time = async (
      program: string,
      args: (port: number) => string[],
      settings: Record<string, string>,
    ) => {
      const port = await findFreePort()
      const logPath = join(directory, 'start.log')
      const startedAt = performance.now()
      const child = startProgram({
        program,
        args: args(port),
        environment: { ...environment, ...settings, SERVER_PORT: String(port) },
        logPath,
      })
      try {
        return (await untilReady({ port, child, logPath })) - startedAt
      } finally {
        // Not killed: at its end a process keeps what it has compiled.
        await end(child, 'SIGTERM')
      }
    }
    const parley = (dataDir: string) =>
      time('../src/cli/main.ts', () => ['serve'], {
        ...parleyEnvironment(join(directory, dataDir)),
        LLM_DEFAULT_MODEL: 'llm/short',
      })
    const sides = {
      warm: () => parley('data'),
      cold: (round: number) => parley(`data-${round}`),
      hono: () => time('processes/hono-server.ts', (port) => [String(port)], {}),
    }
    await inTurn(1, { ...sides, cold: () => parley('data-first') })
    const results = await inTurn(rounds, sides)
    const figure = (name: string, values: number[]) =>
      figureOf({
        name: `process start to /ready, ${name}`,
        unit: 'ms',
        compare: 'alone',
        bar: { is: 'most', limit: 400, goal: 300 },
        parley: values,
        baseline: { name: 'bare Hono', values: results.hono },
      })
    return [figure('data there', results.warm), figure('new data folder', results.cold)]
  },
}
