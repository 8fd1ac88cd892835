import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { migrationNames } from '../../src/store/migrations/migration-names.ts'
import { createDataDir, runCli, startServer } from './cli-server.ts'

async function dataFolder(): Promise<string> {
  const dataDir = await createDataDir()
  onTestFinished(() => dataDir.remove())
  return dataDir.path
}

async function migrate(dataDir: string, ...args: string[]) {
  const program = runCli({ dataDir: join(dataDir, 'data'), args: ['migrate', ...args], cwd: dataDir })
  const { code } = await program.exited
  return { code, output: program.output() }
}

function all(state: string): string {
  return migrationNames.map((name) => `${state}  ${name}\n`).join('')
}

test('migrate makes the folder, tells its state, and takes a step back only when told twice', async () => {
  const folder = await dataFolder()
  expect(await migrate(folder, 'status')).toEqual({ code: 0, output: all('pending') })
  expect(await migrate(folder, 'up')).toEqual({ code: 0, output: all('applied') })
  const refused = await migrate(folder, 'down')
  expect(refused.code).toBe(2)
  expect(refused.output).toContain('--yes')
  expect(await migrate(folder, 'status')).toEqual({ code: 0, output: all('applied') })
  expect(await migrate(folder, 'down', '--yes')).toEqual({
    code: 0,
    output: `taken back  ${migrationNames.at(-1)}\n`,
  })
  expect(existsSync(join(folder, 'data', 'parley.db'))).toBe(true)
})

test('what people tell agents is readable for nobody else on the machine', async () => {
  const folder = await dataFolder()
  const server = await startServer({ dataDir: folder })
  const mode = statSync(join(folder, 'parley.db')).mode & 0o777
  await server.stop()
  expect(mode.toString(8)).toBe('600')
})
