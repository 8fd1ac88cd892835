import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  assertHostIsSafe,
  isLoopbackHost,
  loadSettings,
  settingsTable,
  SettingsError,
  type Environment,
  type SettingRow,
} from '../../src/config.ts'

function load(environment: Environment, dotEnv?: string) {
  const directory = mkdtempSync(join(tmpdir(), 'parley-settings-'))
  if (dotEnv !== undefined) writeFileSync(join(directory, '.env'), dotEnv)
  return loadSettings({ environment, directory })
}

function faultsOf(environment: Environment): readonly string[] {
  try {
    load(environment)
  } catch (error) {
    if (error instanceof SettingsError) return error.faults
    throw error
  }
  return []
}

test('an empty environment gives the defaults', () => {
  expect(load({})).toEqual({
    host: '127.0.0.1',
    port: 8080,
    dataDir: '.parley',
    sessionTimeoutMs: 3_600_000,
    runTimeoutMs: 600_000,
    requestWaitMs: 300_000,
    maxConcurrentRuns: 256,
    maxWaitingRuns: 32,
    maxQueuedRuns: 10_000,
    maxBodyBytes: 8 * 1_048_576,
    maxFileBytes: 5 * 1_048_576,
    runLogRetentionMs: 30 * 86_400_000,
    leaseMs: 10_000,
    shutdownGraceMs: 10_000,
    modelStallTimeoutMs: 60_000,
    logLevel: 'info',
  })
})

test.for([
  ['90s', 90_000],
  ['15m', 900_000],
  ['1h', 3_600_000],
  ['1.5h', 5_400_000],
  ['2d', 172_800_000],
  ['250ms', 250],
  ['1500', 1500],
] as const)('the duration %s is %i ms', ([text, ms]) => {
  expect(load({ RUN_TIMEOUT: text }).runTimeoutMs).toBe(ms)
})

test.for([
  ['1mb', 1_048_576],
  ['512KB', 524_288],
  ['2 mb', 2_097_152],
  ['4096', 4096],
] as const)('the size %s is %i bytes', ([text, bytes]) => {
  expect(load({ MAX_BODY_BYTES: text }).maxBodyBytes).toBe(bytes)
})

test('PORT is read where SERVER_PORT is not set', () => {
  expect(load({ PORT: '1234' }).port).toBe(1234)
  expect(load({ PORT: '1234', SERVER_PORT: '5678' }).port).toBe(5678)
})

test('.env is read and the environment wins, under either name', () => {
  expect(load({}, 'SERVER_PORT=4000\n# a comment\nLLM_API_KEY="quoted"').port).toBe(4000)
  expect(load({}, 'LLM_API_KEY="quoted"').llmApiKey).toBe('quoted')
  expect(load({ PORT: '5000' }, 'SERVER_PORT=4000').port).toBe(5000)
})

test('an empty variable counts as absent', () => {
  expect(load({ SERVER_PORT: '', LLM_API_KEY: '' })).toMatchObject({ port: 8080 })
  expect(load({ LLM_API_KEY: '' }).llmApiKey).toBeUndefined()
})

test.for([
  ['SERVER_PORT', 'http'],
  ['SERVER_PORT', '70000'],
  ['SERVER_PORT', '-1'],
  ['RUN_TIMEOUT', 'soon'],
  ['RUN_TIMEOUT', '0'],
  ['RUN_TIMEOUT', '365d'],
  ['LEASE_MS', '10'],
  ['MAX_BODY_BYTES', '1tb'],
  ['MAX_BODY_BYTES', '1'],
  ['MAX_CONCURRENT_RUNS', '0'],
  ['MAX_CONCURRENT_RUNS', '1.5'],
  ['LLM_BASE_URL', 'localhost:11434'],
  ['LOG_LEVEL', 'loud'],
] as const)('%s=%s is one line that names variable, value and an example', ([name, value]) => {
  const faults = faultsOf({ [name]: value })
  expect(faults).toHaveLength(1)
  expect(faults[0]).toContain(`${name}: ${JSON.stringify(value)} must be`)
  expect(faults[0]).toContain(`for example ${name}=`)
  expect(faults[0]).not.toContain('\n')
})

test('every fault is told at once', () => {
  expect(faultsOf({ SERVER_PORT: 'x', RUN_TIMEOUT: 'y', LOG_LEVEL: 'z' })).toHaveLength(3)
})

test.for(['0.0.0.0', '::', '192.168.1.4', 'example.com'])('listening on %s is refused', (host) => {
  expect(faultsOf({ SERVER_HOST: host })).toEqual([
    expect.stringContaining('no authentication is configured'),
  ])
  expect(() => assertHostIsSafe(host)).toThrow(SettingsError)
})

test.for(['127.0.0.1', '127.9.9.9', 'localhost', '::1', '[::1]'])('%s is loopback', (host) => {
  expect(isLoopbackHost(host)).toBe(true)
  expect(faultsOf({ SERVER_HOST: host })).toEqual([])
})

test('docs/settings.md has the rows of the table in code', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/settings.md'), 'utf8')
  const documented = page.split('\n').filter((line) => line.startsWith('| `'))
  const rows = Object.entries<SettingRow>(settingsTable).map(
    ([key, { names, fallback, meaning, option }]) => {
      expect(option).toBe(key)
      const variables = names.map((name) => `\`${name}\``).join(' or ')
      return `| ${variables} | ${fallback === undefined ? '–' : `\`${fallback}\``} | ${meaning} | \`${option}\` |`
    },
  )
  expect(documented.map((line) => line.replace(/ +\|/g, ' |'))).toEqual(rows)
})
